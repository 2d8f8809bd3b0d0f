"""Figures and tables of the chapter on attribution methods (section 4.5)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from ..measure.sample import Sample
from ..networks import named
from ..verdicts.comparison import Compared, Contrasted
from ..verdicts.published import published_leaders
from .style import Shown, dot_panels, drawn, image, shared_legend, table
from .tables import comparison_table, contrast_table, means_table
from .words import NAMES, by_model, means


def leaders_table(*, name: str) -> Shown:
    """Which method has the largest value in each column of the paper's own Table 3."""
    found = published_leaders()
    agree = f"{(found.Agree == 'yes').sum()} of {len(found)} columns"
    caption = f"The paper's own Table 3: the largest value is of the method that the text names in {agree}."
    return table(found, name=name, caption=caption)


def table3(found: Sequence[Compared], *, noise: str) -> Shown:
    """Table 3 in its CIFAR-10 form, in three parts. ``noise``: how many subpixels are noisy, in words."""
    parts = {
        "gini": ("4-gini", "Table 3, global Gini index of |attribution|."),
        "failure": ("4-noise", f"Table 3, images that fail under noise on {noise}."),
        "fooled": ("4-occlusion", "Table 3, images fooled by occlusion at the smaller budget."),
    }
    cells = {column: [item for item in found if column in item.cell.column] for column in parts}
    tables = (comparison_table(cells[c], name=name, caption=said) for c, (name, said) in parts.items())
    return sum(tables, Shown("", ""))


def statement_tables(found: Mapping[str, Sequence[Contrasted]]) -> Shown:
    """A table for each statement of section 4.5. ``found``: of ``section45_contrasts``."""
    shown, caption = Shown("", ""), "{}? Differences between methods, same network."
    for name, (text, items) in zip(("4-sparser", "4-noisier", "4-patches"), found.items(), strict=True):
        shown += contrast_table(items, name=name, caption=caption.format(text))
    return shown


def methods_figure(
    records: pd.DataFrame, methods: Sequence[str], panels: Mapping[str, tuple[str, str, str]], *, name: str
) -> Shown:
    """One panel a measure, one row a method, one mark a network; with 95 % intervals over images.

    ``panels``: title -> (what follows the method in the condition, column, unit: "Gini" or "%").
    """
    found = {
        title: ({m: means(records[records.condition == m + suffix], column) for m in methods}, unit)
        for title, (suffix, column, unit) in panels.items()
    }
    height = -(-len(panels) // 2) * (0.42 * len(methods) + 1)
    figure, _, words = dot_panels(found, (8.4, height), share=True)
    pairs = [[e.value for _, e in items] for rows, _ in found.values() for items in rows.values() if len(items) == 2]
    higher = f"{sum(b > a for a, b in pairs)} of {len(pairs)} pairs of marks"
    caption = f"The mean of the ℓ∞ network is the higher one in {higher}. Bars: 95 % bootstrap intervals over images."
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots by method. {'; '.join(words)}.")


def completeness_table(errors: pd.DataFrame, indices: pd.DataFrame, *, name: str) -> Shown:
    """Completeness error and Gini index of Integrated Gradients by baseline and number of steps, for each network.

    ``errors``: of ``ablation.completeness``; ``indices``: of ``measurements.inequality``, under the same conditions.
    """
    keys = ["condition", "checkpoint", "image_id"]
    sizes = errors.groupby(keys[:2]).change.transform(lambda change: change.abs().mean())
    relative, index = errors.assign(relative=errors.completeness_error / sizes), indices[[*keys, "global_gini"]]
    found = relative.merge(index, on=keys, validate="one_to_one")
    columns = {"completeness_error": ("Error in logits", "logits"), "relative": ("Relative error", "%")}
    caption = (
        "How far the maps of Integrated Gradients are from adding up to the change of the logit: the mean error, the same "
        "relative to the mean size of that change (taken as exact), and the global Gini index."
    )
    return means_table(found, columns | {"global_gini": ("Gini index", "Gini")}, name=name, caption=caption)


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
                colour, style = NAMES["method_looks"][method]
                curve = [100 * rows[f"{kind}_{share}"].mean() for share in shares]
                dashes = style if isinstance(style, str) else tuple(style)
                axes.plot(shares, curve, color=colour, linestyle=dashes, lw=1.8, label=method)
                areas[method] = float(rows[f"{kind}_area"].mean())
                words.append(f"{named(checkpoint)}, {kind}, {method}: area {areas[method]:.2f}, n = {len(rows)}")
            winner = best(areas.keys() - {"random order"}, key=areas.__getitem__)
            winners.append(f"{named(checkpoint)}, {kind}: {winner} ({areas[winner]:.2f})")
            done = "deleted" if kind == "deletion" else "inserted"
            axes.set(title=f"{kind}, {named(checkpoint)}", xlabel=f"subpixels {done}, %")
        row[0].set(ylabel="confidence in the label, %", ylim=(0, None))
    shared_legend(figure, panels[0, 0], ncols=3)
    rule = "The most important subpixels first; lower is better on the left, higher on the right."
    caption = f"{rule} Best area: {'; '.join(winners)}. Means over images."
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
        row[0].set_ylabel(f"{labels[index]}\n{named(checkpoint)}", fontsize=8)
        for axis, signed in zip(row[1:], maps[checkpoint].values(), strict=True):
            bound = np.abs(signed[index]).max()
            image(axis, signed[index], cmap="RdBu_r", vmin=-bound, vmax=bound)
    for axis, method in zip(axes[0, 1:], settings, strict=True):
        axis.set_title(method, fontsize=8)
    caption = "Maps summed over the colours, each on its own scale: red speaks for the label, blue against it."
    names, titles = ", ".join(map(named, samples)), ", ".join(settings)
    alt = f"Grid of {len(labels)} images ({', '.join(labels)}) and their maps by {titles}, for {names}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)
