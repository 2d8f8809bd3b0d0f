"""Figures and tables of the chapter on attribution methods (section 4.5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from ..measure.sample import Sample
from ..statistics import bootstrap_mean
from ..verdicts.comparison import Compared, Contrasted
from ..verdicts.published import published_leaders
from .findings import claim_sentence
from .style import Shown, dot, drawn, listed, table, title_of
from .tables import comparison_table, contrast_table
from .words import MISSING, by_model, decided_sign, interval, number

# Okabe and Ito 2008; the line style tells what colour alone must not.
_METHOD_LOOKS = {
    "Integrated Gradients": ("#0072B2", "-"),
    "Input X Gradient": ("#D55E00", "--"),
    "GradientShap": ("#009E73", "-."),
    "SmoothGrad": ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
    "Gradient": ("#E69F00", (0, (1, 1))),
    "random order": ("#444444", ":"),
}
_STATEMENTS = {"4-sparser": "Gini", "4-noisier": "points", "4-patches": "points"}  # table -> unit


def leaders_table(*, name: str) -> Shown:
    """Which method has the largest value in each column of the paper's own Table 3."""
    rows = []
    for row in published_leaders().to_dict("records"):
        unit = "" if row["measure"] == "Gini index" else " %"
        rows.append(
            {
                "": f"{row['measure']}, {row['model']}",
                "Values": ", ".join(f"{method} {value:g}{unit}" for method, value in row["values"].items()),
                "Largest": row["leader"],
                "Section 4.5 names": row["named"],
                "Agree": "yes" if row["leader"] == row["named"] else "no",
            }
        )
    agree = sum(row["Agree"] == "yes" for row in rows)
    caption = (
        f"The paper's Table 3 by itself (ImageNet, ResNet-50): the method with the largest value is the one that the text "
        f"names in {agree} of {len(rows)} columns."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def table3(found: Sequence[Compared], *, noise: str) -> Shown:
    """Table 3 in its CIFAR-10 form, in three parts. ``noise``: how many subpixels are noisy, in words."""
    captions = {
        "gini": "Table 3, global Gini index of |attribution|.",
        "failure": f"Table 3, images that fail under noise on {noise}.",
        "fooled": "Table 3, images fooled by occlusion at the smaller budget.",
    }
    names = ("4-gini", "4-noise", "4-occlusion")
    first, second, third = (
        comparison_table([item for item in found if column in item.cell.column], name=name, caption=caption)
        for name, (column, caption) in zip(names, captions.items(), strict=True)
    )
    return first + second + third


def statement_tables(found: Mapping[str, Sequence[Contrasted]]) -> Shown:
    """A table for each statement of section 4.5. ``found``: of ``section45_contrasts``."""
    first, second, third = (
        contrast_table(items, name=name, caption=f"{text}? Differences between methods, same network.", unit=unit)
        for (text, items), (name, unit) in zip(found.items(), _STATEMENTS.items(), strict=True)
    )
    return first + second + third


def methods_figure(
    records: pd.DataFrame,
    methods: Sequence[str],
    panels: Mapping[str, tuple[str, str, str]],
    *,
    name: str,
    resamples: int,
) -> Shown:
    """One panel a measure, one row a method, one mark a network; with 95 % intervals over images.

    ``panels``: title -> (what follows the method in the condition, column, unit: "Gini" or "%").
    """
    height = -(-len(panels) // 2)
    figure, grid = plt.subplots(
        height, 2, figsize=(8.4, height * (0.42 * len(methods) + 1)), sharey=True, squeeze=False
    )
    words, higher, known = [], 0, 0
    for panel, (title, (suffix, column, unit)) in zip(grid.flat, panels.items(), strict=False):
        for place, method in enumerate(methods):
            means = []
            for shift, (checkpoint, own) in enumerate(by_model(records[records.condition == method + suffix])):
                found = bootstrap_mean(own[column].to_numpy(float), resamples=resamples)
                dot(
                    panel, found, place + 0.24 * (shift - 0.5), checkpoint, scale=100 if unit == "%" else 1, ms=6,
                    label=None if place else title_of(checkpoint),
                )  # fmt: skip
                words.append(f"{title}, {method}, {title_of(checkpoint)}: {number(found.value, unit)}")
                means.append(found.value)
            known += len(means) == 2
            higher += len(means) == 2 and means[1] > means[0]
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("images, %" if unit == "%" else "Gini index", fontsize=9)
        panel.set_yticks(range(len(methods)), methods)
    grid[0, 0].invert_yaxis()
    for spare in grid.flat[len(panels) :]:
        spare.set_axis_off()
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=2
    )
    caption = (
        f"Every method, both networks. The mean of the ℓ∞ network is the higher one in {higher} of {known} pairs of marks. "
        "Bars: 95 % bootstrap intervals over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots by method. {'; '.join(words)}.")


def completeness_table(errors: pd.DataFrame, indices: pd.DataFrame, *, name: str, resamples: int) -> Shown:
    """Completeness error and Gini index of Integrated Gradients by baseline and number of steps, for each network.

    ``errors``: of ``ablation.completeness``; ``indices``: of ``measurements.inequality``, under the same conditions.
    """
    rows = [{"Baseline and steps": condition} for condition in dict.fromkeys(errors.condition)]
    for row in rows:
        for checkpoint, own in by_model(errors):
            both = [part[part.condition == row["Baseline and steps"]] for part in (own, indices)]
            index = both[1][both[1].checkpoint == checkpoint].global_gini.mean()
            row[title_of(checkpoint)] = _completeness_cell(both[0], index, resamples)
    caption = (
        "How far the maps of Integrated Gradients are from adding up to the change of the logit: mean error in logits "
        "with its 95 % interval; in brackets, the same relative to the mean size of that change; then the global Gini index."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def _completeness_cell(rows: pd.DataFrame, index: float, resamples: int) -> str:
    if not len(rows):
        return MISSING
    error = bootstrap_mean(rows.completeness_error.to_numpy(), resamples=resamples)
    share = error.value / rows.change.abs().mean()
    return (
        f"<strong>{number(error.value, 'logits')}</strong> <small>{interval(error, 'logits')} ({100 * share:.0f} %)</small>, "
        f"Gini {number(index)} <small>n = {error.n}</small>"
    )


def completeness_note(errors: pd.DataFrame) -> Shown:
    """Whether more steps lower the error, in words made from the numbers."""
    sentences = []
    for checkpoint, rows in by_model(errors):
        means = rows.groupby("condition", sort=False).completeness_error.mean()
        parts = []
        for baseline in dict.fromkeys(str(condition).split(",")[0] for condition in means.index):
            own = means[[c for c in means.index if c.startswith(f"{baseline},")]]
            steps = [c.rpartition(", ")[2] for c in own.index]
            parts.append(f"{baseline} {own.iloc[0]:.2f} ({steps[0]}) to {own.iloc[-1]:.2f} logits ({steps[-1]})")
        sentences.append(f"{title_of(checkpoint)}, mean completeness error by baseline: {'; '.join(parts)}.")
    return listed(sentences)


def faithfulness_figure(records: pd.DataFrame, shares: Sequence[int], *, name: str) -> Shown:
    """Deletion and insertion curves of each method (a condition) for each network, beside a random order."""
    models = by_model(records)
    figure, panels = plt.subplots(len(models), 2, figsize=(9, 3.1 * len(models)), sharey="row", squeeze=False)
    words, winners = [], []
    for row, (checkpoint, own) in zip(panels, models, strict=True):
        for axes, kind, best in zip(row, ("deletion", "insertion"), (min, max), strict=True):
            areas = {}
            for method in dict.fromkeys(own.condition):
                rows = own[own.condition == method]
                colour, style = _METHOD_LOOKS[method]
                curve = [100 * rows[f"{kind}_{share}"].mean() for share in shares]
                axes.plot(shares, curve, color=colour, linestyle=style, lw=1.8, label=method)
                areas[method] = float(rows[f"{kind}_area"].mean())
                words.append(f"{title_of(checkpoint)}, {kind}, {method}: area {areas[method]:.2f}, n = {len(rows)}")
            winner = best(areas.keys() - {"random order"}, key=areas.__getitem__)
            winners.append(f"{title_of(checkpoint)}, {kind}: {winner} ({areas[winner]:.2f})")
            axes.set_title(f"{kind}, {title_of(checkpoint)}", fontsize=10)
            axes.set_xlabel(f"subpixels {'deleted' if kind == 'deletion' else 'inserted'}, %", fontsize=9)
        row[0].set_ylabel("confidence in the label, %", fontsize=9)
        row[0].set_ylim(bottom=0)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    caption = (
        "Confidence in the label as the most important subpixels are deleted first (left: lower is better) or inserted first "
        f"(right: higher is better). Best area: {'; '.join(winners)}. Means over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Line charts of confidence. {'; '.join(words)}.")


def maps_by_method(
    samples: Mapping[str, Sample], settings: Mapping[str, Mapping[str, Any]], *, seed: int, name: str
) -> Shown:
    """Signed maps, summed over channels, of the same images: a row for each image and network, a column for each method.

    ``samples``: the networks on a few images; ``settings``: method -> arguments of ``attribute``.
    """
    first = next(iter(samples.values()))
    labels = [first.classes[int(label)] for label in first.labels]
    maps = {
        checkpoint: {title: sample.maps(**own, seed=seed).sum(1).cpu().numpy() for title, own in settings.items()}
        for checkpoint, sample in samples.items()
    }
    height, width = len(labels) * len(samples), len(settings) + 1
    figure, axes = plt.subplots(height, width, figsize=(1.7 * width, 1.75 * height), squeeze=False)
    pairs = [(index, checkpoint) for index in range(len(labels)) for checkpoint in samples]
    for row, (index, checkpoint) in zip(axes, pairs, strict=True):
        row[0].imshow(first.images[index].permute(1, 2, 0).cpu().numpy())
        row[0].set_ylabel(f"{labels[index]}\n{title_of(checkpoint)}", fontsize=8)
        for axis, signed in zip(row[1:], maps[checkpoint].values(), strict=True):
            bound = np.abs(signed[index]).max()
            axis.imshow(signed[index], cmap="RdBu_r", vmin=-bound, vmax=bound)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
    for axis, method in zip(axes[0, 1:], settings, strict=True):
        axis.set_title(method, fontsize=8)
    caption = (
        "The same images under each method, summed over the three colours: red speaks for the label, blue against it. "
        "Each map has its own scale."
    )
    names, titles = ", ".join(map(title_of, samples)), ", ".join(settings)
    alt = f"Grid of {len(labels)} images ({', '.join(labels)}) and their maps by {titles}, for {names}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)


def ablation_findings(primary: Sequence[Compared], counted: Mapping[str, Sequence[Contrasted]]) -> Shown:
    """The chapter's conclusions in sentences made from the numbers.

    ``primary``: Table 3; ``counted``: statement -> the contrasts that it implies, each with its expected sign.
    """
    claimed = [item for item in primary if item.cell.baseline]
    sentences = [
        claim_sentence(claimed, f"Table 3, the ℓ∞ network against the standard one, {len(claimed)} comparisons")
    ]
    for kind, column in (("Gini index", "gini"), ("noise", "failure"), ("occlusion", "fooled")):
        own = [item for item in claimed if column in item.cell.column]
        sentences.append(claim_sentence(own, f"{kind}, {len(own)} of them"))
    sentences += [f"<strong>{text}.</strong> {_counted(items)}" for text, items in counted.items()]
    return listed(sentences)


def _counted(items: Sequence[Contrasted]) -> str:
    """Of the contrasts with an expected sign, how many have it, the opposite one, or neither."""
    known = [item for item in items if item.difference]
    if not known:
        return "Not measured here."
    signs = [decided_sign(item) * (item.contrast.expected or 0) for item in known]
    missing = f", not measured are {len(items) - len(known)}" if len(known) < len(items) else ""
    return (
        f"Of {len(known)} comparisons, confirmed are {signs.count(1)}, contradicted {signs.count(-1)}, undecided "
        f"{signs.count(0)}{missing} (Holm-adjusted over their table)."
    )
