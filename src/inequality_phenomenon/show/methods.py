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
from .style import Shown, dots, drawn, image, listed, shared_legend, table, title_of
from .tables import comparison_table, contrast_table
from .words import MISSING, by_model, decided_sign, interval, means, number

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
    rows = [
        {
            "": f"{row['measure']}, {row['model']}",
            "Values": ", ".join(
                f"{method} {value:g}{'' if row['measure'] == 'Gini index' else ' %'}"
                for method, value in row["values"].items()
            ),
            "Largest": row["leader"],
            "Section 4.5 names": row["named"],
            "Agree": "yes" if row["leader"] == row["named"] else "no",
        }
        for row in published_leaders().to_dict("records")
    ]
    agree = sum(row["Agree"] == "yes" for row in rows)
    caption = (
        f"The paper's Table 3 by itself (ImageNet, ResNet-50): the method with the largest value is the one that the text "
        f"names in {agree} of {len(rows)} columns."
    )
    return table(rows, name=name, caption=caption)


def table3(found: Sequence[Compared], *, noise: str) -> Shown:
    """Table 3 in its CIFAR-10 form, in three parts. ``noise``: how many subpixels are noisy, in words."""
    parts = {
        "gini": ("4-gini", "Table 3, global Gini index of |attribution|."),
        "failure": ("4-noise", f"Table 3, images that fail under noise on {noise}."),
        "fooled": ("4-occlusion", "Table 3, images fooled by occlusion at the smaller budget."),
    }
    first, second, third = (
        comparison_table([item for item in found if column in item.cell.column], name=name, caption=caption)
        for column, (name, caption) in parts.items()
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
        found = {m: means(records[records.condition == m + suffix], column, resamples) for m in methods}
        dots(panel, found, unit=unit)
        words += [f"{title}, {m}, {title_of(c)}: {number(e.value, unit)}" for m, own in found.items() for c, e in own]
        pairs = [[e.value for _, e in items] for items in found.values() if len(items) == 2]
        known, higher = known + len(pairs), higher + sum(robust > standard for standard, robust in pairs)
        panel.set(title=title, xlabel="images, %" if unit == "%" else "Gini index")
    for spare in grid.flat[len(panels) :]:
        spare.set_axis_off()
    shared_legend(figure, grid[0, 0])
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
    return table(rows, name=name, caption=caption)


def _completeness_cell(rows: pd.DataFrame, index: float, resamples: int) -> str:
    if not len(rows):
        return MISSING
    error = bootstrap_mean(rows.completeness_error.to_numpy(), resamples=resamples)
    share = error.value / rows.change.abs().mean()
    return (
        f"<strong>{number(error.value, 'logits')}</strong> <small>{interval(error, 'logits')} ({100 * share:.0f} %)</small>, "
        f"Gini {number(index)} <small>n = {error.n}</small>"
    )


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
            done = "deleted" if kind == "deletion" else "inserted"
            axes.set(title=f"{kind}, {title_of(checkpoint)}", xlabel=f"subpixels {done}, %")
        row[0].set(ylabel="confidence in the label, %", ylim=(0, None))
    shared_legend(figure, panels[0, 0], ncols=3)
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
        image(row[0], first.images[index])
        row[0].set_ylabel(f"{labels[index]}\n{title_of(checkpoint)}", fontsize=8)
        for axis, signed in zip(row[1:], maps[checkpoint].values(), strict=True):
            bound = np.abs(signed[index]).max()
            image(axis, signed[index], cmap="RdBu_r", vmin=-bound, vmax=bound)
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
    whole = f"Table 3, the ℓ∞ network against the standard one, {len(claimed)} comparisons"
    sentences = [claim_sentence(claimed, whole)]
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
