"""Figures and tables of the chapter on attribution methods (section 4.5)."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import pyplot as plt
from torch import Tensor

from ..statistics import bootstrap_mean
from ..verdicts.comparison import Compared, Contrasted
from . import Shown, _by_model, _claim, _decided, _source, listed, look, number, show, table, text_of, title_of

# Okabe and Ito 2008; the line style tells what colour alone must not.
_METHOD_LOOKS = {
    "Integrated Gradients": ("#0072B2", "-"),
    "Input X Gradient": ("#D55E00", "--"),
    "GradientShap": ("#009E73", "-."),
    "SmoothGrad": ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
    "Gradient": ("#E69F00", (0, (1, 1))),
    "random order": ("#444444", ":"),
}


def leaders_table(leaders: pd.DataFrame, *, name: str) -> Shown:
    """``ablation.published_leaders``: which method has the largest value in each column of the paper's own Table 3."""
    rows = []
    for row in leaders.to_dict("records"):
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


def methods_figure(
    records: pd.DataFrame,
    methods: list[str],
    panels: dict[str, tuple[str, str, str]],
    *,
    name: str,
    resamples: int,
) -> Shown:
    """One panel a measure, one row a method, one mark a network; with 95 % intervals over images.

    ``panels``: title -> (what follows the method in the condition, column, unit of the axis: "index" or "%").
    """
    rows_of_panels = -(-len(panels) // 2)
    figure, grid = plt.subplots(
        rows_of_panels, 2, figsize=(8.4, rows_of_panels * (0.42 * len(methods) + 1)), sharey=True, squeeze=False
    )
    axes = grid.flatten()[: len(panels)]
    words = []
    for panel, (title, (suffix, column, unit)) in zip(axes, panels.items(), strict=True):
        scale = 1 if unit == "index" else 100
        for place, method in enumerate(methods):
            rows = records[records.condition == method + suffix]
            for shift, (checkpoint, own) in enumerate(_by_model(rows)):
                found = bootstrap_mean(own[column].to_numpy(float), resamples=resamples)
                value, low, high = (scale * v for v in (found.value, found.low, found.high))
                seen = look(checkpoint)
                panel.errorbar(
                    value, place + 0.24 * (shift - 0.5), xerr=[[value - low], [high - value]], fmt=seen["marker"],
                    color=seen["color"], ms=6, capsize=2, label=None if place else title_of(checkpoint),
                )  # fmt: skip
                words.append(f"{title}, {method}, {title_of(checkpoint)}: {number(found.value, unit == '%')}")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("Gini index" if unit == "index" else "images, %", fontsize=9)
        panel.set_yticks(range(len(methods)), methods)
    axes[0].invert_yaxis()
    for spare in grid.flatten()[len(panels) :]:
        spare.set_axis_off()
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    counted = sum(
        _higher(records, method + suffix, column) for suffix, column, _ in panels.values() for method in methods
    )
    known = sum(
        records[records.condition == method + suffix].checkpoint.nunique() == 2
        for suffix, _, _ in panels.values()
        for method in methods
    )
    caption = (
        f"Every method, both networks. The mean of the ℓ∞ network is the higher one in {counted} of {known} pairs of marks. "
        "Bars: 95 % bootstrap intervals over images."
    )
    return show(figure, name=name, caption=caption, alt=f"Dot plots by method. {'; '.join(words)}.")


def _higher(records: pd.DataFrame, condition: str, column: str) -> bool:
    """Whether the second network's mean exceeds the first one's."""
    means = [float(rows[column].astype(float).mean()) for _, rows in _by_model(records[records.condition == condition])]
    return len(means) == 2 and means[1] > means[0]


def completeness_table(
    reference: dict[str, pd.DataFrame], this_run: dict[str, pd.DataFrame], *, name: str, resamples: int
) -> Shown:
    """Completeness error and Gini index of Integrated Gradients by baseline and number of steps, for each network."""
    conditions = list(dict.fromkeys(this_run["completeness"].condition))
    rows = [
        {
            "Baseline and steps": condition,
            "Reference": _completeness_cell(reference, condition, resamples),
            "This run": _completeness_cell(this_run, condition, resamples),
        }
        for condition in conditions
    ]
    caption = (
        "How far the maps of Integrated Gradients are from adding up to the change of the logit: mean error in logits "
        "with its 95 % interval; in brackets, the same relative to the mean size of that change; then the global Gini index."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def _completeness_cell(records: dict[str, pd.DataFrame], condition: str, resamples: int) -> str:
    if "completeness" not in records or "grid" not in records:
        return text_of(None)
    lines = []
    errors, indices = (records[key][records[key].condition == condition] for key in ("completeness", "grid"))
    for checkpoint, rows in _by_model(errors):
        error = bootstrap_mean(rows.completeness_error.to_numpy(), resamples=resamples)
        index = indices[indices.checkpoint == checkpoint].global_gini.mean()
        share = error.value / rows.change.abs().mean()
        lines.append(
            f"{title_of(checkpoint)}: <strong>{error.value:.2f}</strong> <small>[{error.low:.2f}, {error.high:.2f}] "
            f"({100 * share:.0f} %)</small>, Gini {index:.3f} <small>n = {error.n}</small>"
        )
    return "<br>".join(lines) or text_of(None)


def completeness_note(records: dict[str, pd.DataFrame]) -> Shown:
    """Whether more steps lower the error, in words made from the numbers of this run."""
    sentences = []
    for checkpoint, rows in _by_model(records["completeness"]):
        means = rows.groupby("condition", sort=False).completeness_error.mean()
        parts = []
        for baseline in dict.fromkeys(str(condition).split(",")[0] for condition in means.index):
            own = means[[c for c in means.index if c.startswith(f"{baseline},")]]
            steps = [c.rpartition(", ")[2] for c in own.index]
            parts.append(f"{baseline} {own.iloc[0]:.2f} ({steps[0]}) to {own.iloc[-1]:.2f} logits ({steps[-1]})")
        sentences.append(f"{title_of(checkpoint)}, mean completeness error by baseline: {'; '.join(parts)}.")
    return listed(sentences)


def faithfulness_figure(records: pd.DataFrame, methods: list[str], shares: list[int], *, name: str) -> Shown:
    """Deletion and insertion curves of each method for each network, beside a random order."""
    models = _by_model(records)
    figure, panels = plt.subplots(len(models), 2, figsize=(9, 3.1 * len(models)), sharey="row", squeeze=False)
    words = []
    for row, (checkpoint, own) in zip(panels, models, strict=True):
        for axes, kind in zip(row, ("deletion", "insertion"), strict=True):
            for method in methods:
                rows = own[own.condition == method]
                if not len(rows):
                    continue
                colour, style = _METHOD_LOOKS[method]
                curve = [100 * rows[f"{kind}_{share}"].mean() for share in shares]
                axes.plot(shares, curve, color=colour, linestyle=style, lw=1.8, label=method)
                words.append(
                    f"{title_of(checkpoint)}, {kind}, {method}: area {rows[f'{kind}_area'].mean():.2f}, n = {len(rows)}"
                )
            axes.set_title(f"{kind}, {title_of(checkpoint)}", fontsize=10)
            axes.set_xlabel("subpixels deleted, %" if kind == "deletion" else "subpixels inserted, %", fontsize=9)
        row[0].set_ylabel("confidence in the label, %", fontsize=9)
        row[0].set_ylim(bottom=0)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    best = _most_faithful(models, methods)
    caption = (
        f"Confidence in the label as the most important subpixels are deleted first (left: lower is better) or inserted first "
        f"(right: higher is better). {best} Means over images."
    )
    return show(figure, name=name, caption=caption, alt=f"Line charts of confidence. {'; '.join(words)}.")


def _most_faithful(models: list[tuple[str, pd.DataFrame]], methods: list[str]) -> str:
    parts = []
    for checkpoint, own in models:
        for kind, best in (("deletion", min), ("insertion", max)):
            areas = {
                method: float(rows[f"{kind}_area"].mean())
                for method in methods
                if len(rows := own[own.condition == method]) and method != "random order"
            }
            winner = best(areas, key=lambda method: areas[method])
            parts.append(f"{title_of(checkpoint)}, {kind}: {winner} ({areas[winner]:.2f})")
    return f"Best area: {'; '.join(parts)}."


def maps_by_method(
    images: Float[Tensor, "n 3 h w"],
    maps: dict[str, dict[str, Float[Tensor, "n 3 h w"]]],
    labels: list[str],
    *,
    name: str,
) -> Shown:
    """Signed maps, summed over channels, of the same images: a row for each image and network, a column for each method.

    ``maps``: checkpoint -> method -> maps.
    """
    methods = list(next(iter(maps.values())))
    figure, axes = plt.subplots(
        len(images) * len(maps), len(methods) + 1, figsize=(1.7 * (len(methods) + 1), 1.75 * len(images) * len(maps)),
        squeeze=False,
    )  # fmt: skip
    for index, label in enumerate(labels):
        for shift, (checkpoint, found) in enumerate(maps.items()):
            row = axes[index * len(maps) + shift]
            row[0].imshow(images[index].permute(1, 2, 0).cpu().numpy())
            row[0].set_ylabel(f"{label}\n{title_of(checkpoint)}", fontsize=8)
            for axis, method in zip(row[1:], methods, strict=True):
                signed = found[method][index].sum(0).cpu().numpy()
                bound = np.abs(signed).max()
                axis.imshow(signed, cmap="RdBu_r", vmin=-bound, vmax=bound)
            for axis in row:
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(False)
    for axis, method in zip(axes[0, 1:], methods, strict=True):
        axis.set_title(method, fontsize=8)
    caption = (
        "The same images under each method, summed over the three colours: red speaks for the label, blue against it. "
        "Each map has its own scale."
    )
    names = ", ".join(title_of(checkpoint) for checkpoint in maps)
    alt = f"Grid of {len(images)} CIFAR-10 images ({', '.join(labels)}) and their maps by {', '.join(methods)}, for {names}."
    return show(figure, name=name, caption=caption, alt=alt, vector=False)


def ablation_findings(
    primary: list[tuple[Compared, str]],
    between: dict[str, list[tuple[Contrasted, str]]],
    indices: list[tuple[Contrasted, str]],
    attacks: list[tuple[Contrasted, str]],
    faithful: list[tuple[Contrasted, str]],
) -> Shown:
    """The chapter's conclusions in sentences made from the numbers.

    ``between``: what section 4.5 says -> the contrasts that it implies; ``indices``, ``attacks``: ℓ∞ minus standard under
    every setting; ``faithful``: a method minus the random order, with the sign that an order that matters has.
    """
    claimed = [(item, source) for item, source in primary if item.cell.baseline]
    sentences = [_claim(claimed, f"Table 3, the ℓ∞ network against the standard one, {len(claimed)} comparisons")]
    for kind, column in (("Gini index", "gini"), ("noise", "failure"), ("occlusion", "fooled")):
        own = [(item, source) for item, source in claimed if column in item.cell.column]
        sentences.append(_claim(own, f"{kind}, {len(own)} of them"))
    counted = {
        **between,
        "All settings, the ℓ∞ network has the higher Gini index": indices,
        "All settings, the ℓ∞ network fails more": attacks,
        "A map's order changes the confidence sooner than a random order": faithful,
    }
    sentences += [
        f"<strong>{text}{_source(items)}.</strong> {_counted([item for item, _ in items])}"
        for text, items in counted.items()
    ]
    return listed(sentences)


def _counted(items: list[Contrasted]) -> str:
    """Of the contrasts with an expected sign, how many have it, the opposite one, or neither."""
    known = [item for item in items if item.difference]
    if not known:
        return "Not measured here."
    signs = [
        "open" if not (word := _decided(item, "+", "-", "")) else word == ("+" if item.contrast.expected == 1 else "-")
        for item in known
    ]
    missing = f", not measured are {len(items) - len(known)}" if len(known) < len(items) else ""
    return (
        f"Of {len(known)} comparisons, confirmed are {signs.count(True)}, contradicted {signs.count(False)}, undecided "
        f"{signs.count('open')}{missing} (Holm-adjusted over their table)."
    )
