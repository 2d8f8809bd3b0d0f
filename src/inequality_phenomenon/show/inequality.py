"""Figures, tables and tests of the chapters on the index: of networks, and of classes."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float

from ..measure.classes import INDICES, ClassExample, animals, objects
from ..networks import dataset_of, named, network_of
from ..statistics import Estimate, bootstrap_mean, class_ranks
from ..verdicts.claims import AgreementTest, ClassTest, Test
from ..verdicts.comparison import Compared, by_class, meets
from ..verdicts.published import published_values, table1_cells
from .style import Shown, dot, dot_panels, drawn, image, look, table
from .words import means, number, text_of

REGIONAL = "regional_gini_sum_of_absolute"
MOST = 24  # classes that are shown; of more than that, both ends


def gini_by_epsilon(found: list[Compared], *, name: str, title: str) -> Shown:
    """The Gini index of each network of a ladder, paper and ours side by side, with intervals."""
    figure, axes = plt.subplots(figsize=(7.5, 3.6))
    places = list(range(len(found)))
    axes.plot(places, [item.cell.paper for item in found], "k_", markersize=22, markeredgewidth=2, label="paper")
    for place, item in zip(places, found, strict=True):
        if item.ours:
            dot(axes, item.ours, place, item.cell.checkpoint, upright=True, ms=8, capsize=4)
    axes.plot([], [], "o", color="#444444", label="ours")
    axes.set_xticks(places, [item.cell.label.split(", ")[-1] for item in found])
    axes.set_ylabel(title)
    axes.legend()
    known = [(item.cell, item.ours) for item in found if item.ours]
    words = "; ".join(f"{cell.label}: paper {cell.paper:.2f}, ours {number(ours.value)}" for cell, ours in known)
    (first, low), (last, high) = known[0], known[-1]
    rises = all(a.value < b.value for (_, a), (_, b) in pairwise(known))
    trend = f"rises at every step, from {number(low.value)} ({first.label}) to {number(high.value)} ({last.label})"
    falls = f"does not rise at every step: {', '.join(f'{number(ours.value)} ({cell.label})' for cell, ours in known)}"
    caption = f"{title} {trend if rises else falls}. Dashes: the paper. Bars: 95 % bootstrap intervals over images."
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot of {title} by model. {words}.")


def lorenz_curves(curves: dict[str, Float[np.ndarray, " points"]], *, name: str) -> Shown:
    """Mean Lorenz curve of |a| of each model."""
    figure, axes = plt.subplots(figsize=(5.2, 4.6))
    some = next(iter(curves.values()))
    population = np.linspace(0, 100, len(some))
    axes.plot([0, 100], [0, 100], ":", color="#444444", label="perfect equality")
    for place, (checkpoint, curve) in enumerate(curves.items()):
        marks = look(checkpoint) | {"markevery": (4 * place, 20), "ms": 6}
        axes.plot(population, 100 * curve, label=named(checkpoint), **marks)
    axes.set(xlabel="least important subpixels, %", ylabel="their share of the total |attribution|, %")
    axes.legend()
    words = (f"{named(c)}: {100 * np.interp(50, population, curve):.1f} %" for c, curve in curves.items())
    found = f"averaged over images. The less important half of the subpixels holds: {'; '.join(words)}."
    return drawn(figure, name=name, caption=f"Lorenz curves of |attribution|, {found}", alt=f"Lorenz curves, {found}")


def top_share_curves(
    shares: dict[str, Float[np.ndarray, " counts"]], counts: Float[np.ndarray, " counts"], total: int, *, name: str
) -> Shown:
    """Share of the total carried by the N most important subpixels: the paper's definition of dominance."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for checkpoint, share in shares.items():
        axes.plot(100 * counts / total, 100 * share, label=named(checkpoint), markevery=10, **look(checkpoint))
    axes.set(xlabel=f"most important subpixels, % of {total}", ylabel="share of the total |attribution|, %")
    axes.set_xscale("log")
    axes.legend()
    at = int(np.argmin(np.abs(counts - 0.05 * total)))
    words = "; ".join(f"{named(c)}: {100 * share[at]:.1f} %" for c, share in shares.items())
    found = f"The top {counts[at]} subpixels ({100 * counts[at] / total:.0f} %) carry, averaged over images: {words}."
    return drawn(figure, name=name, caption=found, alt=f"Curves by number of subpixels. {found}")


def readings_figure(records: pd.DataFrame, columns: Sequence[str], *, name: str) -> Shown:
    """The five readings of regional inequality (and both of global) for each model, beside the paper's two columns."""
    first = records.checkpoint.iloc[0]
    titles = {column: column.removeprefix("regional_gini_").replace("_", " ") for column in columns}
    found = {title: means(records, column) for column, title in titles.items()}
    figure, (axes,), words = dot_panels({"": (found, "Gini")}, (7.5, 4), step=0)
    setting = {"dataset": dataset_of(first), "architecture": network_of(first), "metric": "regional_gini"}
    published = published_values(table="table1", **setting).value.astype(float)
    axes.axvspan(published.min(), published.max(), color="#999999", alpha=0.25)
    cells = {cell.checkpoint: cell for cell in table1_cells("regional_gini", [first])}
    met = {title: [meets(e, cells[c]) for c, e in items if c in cells] for title, items in list(found.items())[1:]}
    caption = (
        f"Five readings of “regional inequality” give five answers. The paper's regional column spans {published.min():.2f} to "
        f"{published.max():.2f} (gray). Published values of these {max(map(len, met.values()))} models that our 95 % interval meets "
        f"within 0.03: {'; '.join(f'{title}: {sum(values)}' for title, values in met.items())}."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot of the readings by model. {'; '.join(words)}.")


def class_tests(standard: str, robust: str) -> tuple[list[Test], list[Test]]:
    """The tests that decide the two claims, on the network ``robust``; and the secondary ones."""
    dataset, record = dataset_of(robust), "class_inequality"
    between: dict[str, Any] = {"above": tuple(animals(dataset)), "below": tuple(objects(dataset))}
    between["measured_only"] = dataset != "cifar10"  # of a thousand classes many have no two images in the subset

    def kinds(model: str, column: str) -> ClassTest:
        label = f"animals − objects, {INDICES[column].split()[0]}, {named(model)}"
        return ClassTest(label=label, model=model, record=record, column=column, **between)

    def ranks(model: str) -> AgreementTest:
        label = f"global and regional rank correlation, {named(model)}"
        return AgreementTest(label=label, model=model, record=record, columns=("global_gini", REGIONAL))

    usual = [kinds(standard, column) for column in ("global_gini", REGIONAL)]
    return [kinds(robust, "global_gini"), ranks(robust)], [kinds(robust, REGIONAL), *usual, ranks(standard)]


def ranked(records: pd.DataFrame, checkpoint: str, column: str) -> dict[str, tuple[Estimate, Estimate]]:
    """Mean and rank of each class with intervals, by descending mean; classes of fewer than two images are left out."""
    if not (values := by_class(records, checkpoint, column)):
        return {}
    ranks = class_ranks(values)
    means = {name: bootstrap_mean(own) for name, own in values.items()}
    return {name: (means[name], ranks[name]) for name in sorted(means, key=lambda name: -means[name].value)}


def _kind(name: str, checkpoint: str) -> str:
    return "animal" if name in animals(dataset_of(checkpoint)) else "object"


def class_table(records: pd.DataFrame, checkpoint: str, column: str, *, name: str) -> Shown:
    """Mean and rank of each class, by descending mean."""
    found = ranked(records, checkpoint, column)
    rows = [
        {"Class": title, "Kind": _kind(title, checkpoint), "Mean": text_of(index)}
        | {"Rank": f"<strong>{rank.value:g}</strong> <small>[{rank.low:g}, {rank.high:g}]</small>"}
        for title in _shown(list(found))
        for index, rank in [found[title]]
    ]
    caption = f"The {INDICES[column]} of {named(checkpoint)} by class. Ranks with 95 % intervals of resampled ranks."
    if len(rows) < len(found):
        caption += f" The first and the last {MOST // 2} of {len(found)} classes with at least two images."
    return table(rows, name=name, caption=caption)


def _shown(ordered: list[str]) -> list[str]:
    """All classes, or both ends where they are too many."""
    return ordered if len(ordered) <= MOST else [*ordered[: MOST // 2], *ordered[-MOST // 2 :]]


def class_dots(records: pd.DataFrame, models: list[str], *, name: str) -> Shown:
    """Class means of both indices for each model, classes in the order of the last model; animals in bold."""
    found = {title: {m: ranked(records, m, column) for m in models} for column, title in INDICES.items()}
    panels = {
        title: ({n: [(m, of[n][0]) for m, of in own.items() if n in of] for n in _shown(list(own[models[-1]]))}, "Gini")
        for title, own in found.items()
    }
    figure, every, words = dot_panels(panels, (9.5, 4.2), step=0)
    for axes in every:
        for label in axes.get_yticklabels():
            label.set_fontweight("bold" if _kind(label.get_text(), models[-1]) == "animal" else "normal")
    ends = []
    for title, m in product(found, models):
        said = [f"{class_name} ({number(mean.value)})" for class_name, (mean, _) in found[title][m].items()]
        if len(said) > 1:
            ends.append(f"{title}, {named(m)}: highest for {said[0]}, lowest for {said[-1]}")
    caption = (
        f"Class means with 95 % bootstrap intervals over images; animals in bold. Order: {named(models[-1])}. "
        f"At the ends: {'; '.join(ends) or 'too few images of each class'}."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots of class means. {'; '.join(words)}.")


def example_grid(examples: dict[str, list[ClassExample]], checkpoint: str, *, name: str) -> Shown:
    """A row for each index: the images that the rule chose, each beside its map."""
    columns = 2 * max(len(found) for found in examples.values())
    figure, rows = plt.subplots(len(examples), columns, figsize=(1.45 * columns, 2.0 * len(examples)), squeeze=False)
    words = []
    for axes, (column, found) in zip(rows, examples.items(), strict=True):
        for place, example in enumerate(found):
            for axis, picture in zip(axes[2 * place : 2 * place + 2], (example.image, example.importance), strict=True):
                image(axis, picture, cmap="magma")
                axis.set_axis_off()
            axes[2 * place].set_title(f"{example.rule}\n{example.label}", fontsize=8)
            axes[2 * place + 1].set_title(f"{INDICES[column].split()[0]}\n{number(example.value)}", fontsize=8)
            words.append(f"{INDICES[column]}, {example.rule}: {example.label}, {number(example.value)}")
    caption = f"Images and |attribution| maps of {named(checkpoint)} at the extremes, by the rule: {'; '.join(words)}."
    alt = f"Grid of images beside their attribution maps. {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)
