"""Figures and findings of the chapter on the inequality test."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float

from ..networks import dataset_of, named, network_of
from ..verdicts.comparison import Compared, meets
from ..verdicts.published import published_values, table1_cells
from .style import Shown, dot, dot_panels, drawn, look
from .words import means, number


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
    caption = (
        f"{title} {'rises' if rises else 'does not rise'} at every step: {number(low.value)} ({first.label}) to "
        f"{number(high.value)} ({last.label}). Dashes: the paper. Bars: 95 % bootstrap intervals over images."
    )
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
