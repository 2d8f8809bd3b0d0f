"""Figures and tables of the chapters on both attacks, on transfer and on clipping."""

from collections.abc import Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..measure.galleries import Occluded
from ..networks import named
from ..statistics import Estimate, wilson
from ..verdicts.comparison import Contrasted, estimate
from .style import Shown, boxed, dot_panels, drawn, image, log_ticks, look, table
from .tables import means_table
from .words import NAMES, by_model, mean, number, percent, rate, stated, text_of


def noise_curves(records: pd.DataFrame, kinds: list[str], budgets: list[int], *, name: str, total: int) -> Shown:
    """Figure 3: failure against the number of noisy subpixels, a panel for each kind of noise, a line for each model."""
    figure, panels = plt.subplots(1, len(kinds), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    words = []
    for axes, kind in zip(panels[0], kinds, strict=True):
        for checkpoint, rows in by_model(records[records.condition == kind]):
            found = [mean(rows, f"failure_{budget}") for budget in budgets]
            values, low, high = 100 * np.array([(e.value, e.low, e.high) for e in found]).T
            axes.plot(budgets, values, label=named(checkpoint), ms=6, **look(checkpoint))
            axes.fill_between(budgets, low, high, color=look(checkpoint)["color"], alpha=0.15, lw=0)
            words.append(f"{kind}, {named(checkpoint)}: {values[0]:.1f} % to {values[-1]:.1f} %")
        apart = [b for i, b in enumerate(budgets) if i == 0 or b > 1.3 * budgets[i - 1]]  # others would overlap
        log_ticks(axes, apart)
        axes.set(title=kind, xlabel=f"noisy subpixels of {total}")
    panels[0, 0].set(ylabel="images that fail, %", ylim=(-3, None))
    panels[0, 0].legend(loc="upper left")
    said = f"Failures from {budgets[0]} to {budgets[-1]} noisy subpixels: {'; '.join(words)}."
    caption = f"{said} Bands: 95 % bootstrap intervals over images."
    return drawn(figure, name=name, caption=caption, alt=f"Line charts, one a kind of noise. {said}")


def rates_figure(records: pd.DataFrame, conditions: list[str], *, name: str) -> Shown:
    """Share of images fooled under each condition, with Wilson intervals, one colour a model."""
    models = {condition: by_model(records[records.condition == condition]) for condition in conditions}
    found = {title: [(c, wilson(int(own.fooled.sum()), len(own))) for c, own in of] for title, of in models.items()}
    figure, _, words = dot_panels({"": (found, "%")}, (7.8, 0.38 * len(conditions) + 1.2), rate)
    first = [word for word in words if word.startswith(f"{conditions[0]},")]
    caption = f"Images fooled by the attack and its controls. {'; '.join(first)}. Bars: 95 % Wilson intervals."
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot of fooled images by condition. {'; '.join(words)}.")


def first_success_figure(located: pd.DataFrame, *, name: str, total: int) -> Shown:
    """Share of images fooled by masks up to an area, and up to a number of patches, at Algorithm 1's first success."""
    figure, (by_area, by_count) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    words = []
    for checkpoint, rows in by_model(located):
        fooled = rows[rows.fooled]
        style = {"drawstyle": "steps-post", "markevery": 0.15, "ms": 6, "label": named(checkpoint)} | look(checkpoint)
        share = 100 * np.arange(len(fooled) + 1) / len(rows)
        by_area.plot([0, *(100 * fooled.area / total).sort_values(), 70], [*share, share[-1]], **style)
        by_count.plot([0, *fooled["count"].sort_values(), located["count"].max()], [*share, share[-1]], **style)
        medians = f"median {fooled.area.median():.0f} pixels and {fooled['count'].median():.0f} patches"
        middle = medians if len(fooled) else "none"
        words.append(f"{named(checkpoint)}: {len(fooled)} of {len(rows)} images fooled, first success at {middle}")
    by_area.set(xlabel="occluded area at the first success, % of the image", ylim=(0, 100))
    by_area.set_ylabel("images fooled so far, %")
    by_count.set_xlabel("patches at the first success")
    by_area.legend()
    caption = f"{'; '.join(words)}. The medians are over fooled images only; the curves count all images."
    return drawn(figure, name=name, caption=caption, alt=f"Two cumulative curves a model. {'; '.join(words)}.")


def occlusion_pictures(found: Sequence[Occluded], *, name: str) -> Shown:
    """Figures 1 and 4: image, map, and the image at first success, with what every model predicts before and after."""
    figure, axes = plt.subplots(len(found), 3, figsize=(7.6, 2.5 * len(found)), squeeze=False)
    words = []
    for row, one in zip(axes, found, strict=True):
        owner, own = named(one.checkpoint), one.after[one.checkpoint]
        before, after = (
            "\n".join(f"{named(model)}: {view.guess} {100 * view.confidence:.0f} %" for model, view in views.items())
            for views in (one.before, one.after)
        )
        pictures = (one.before[one.checkpoint].image, one.importance, own.image)
        for axis, title, picture in zip(row, (before, f"map of {owner}", after), pictures, strict=True):
            image(axis, picture, cmap="magma")
            axis.set_title(title, fontsize=8)
        pixels = f"{own.pixels} of {own.image[0].numel()} pixels{'' if own.fooled else ', not fooled'}"
        row[0].set_ylabel(own.label, fontsize=9)
        row[2].set_xlabel(pixels, fontsize=8)
        words.append(f"{own.label}, map of {owner}, {pixels}: {after}".replace("\n", ", "))
    fooled = [one for one in found if one.after[one.checkpoint].fooled]
    others = [view for one in fooled for name, view in one.after.items() if name != one.checkpoint]
    caption = (
        "The image, its map, and the image at Algorithm 1's first success, else with the last mask; above, what each model predicts. "
        f"In {len(fooled)} of {len(found)} cases the map's own model is fooled; {sum(not view.fooled for view in others)} of "
        f"{len(others)} times another model still recognises that image."
    )
    alt = f"Grid of images, maps and occluded images. {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)


def transfer_matrix(records: pd.DataFrame, attacks: Sequence[str], *, name: str) -> Shown:
    """A panel for each attack: rows are the networks that the images were made on, columns those they are shown to."""
    models = list(dict.fromkeys(records.checkpoint))
    titles = list(map(named, models))
    columns, rows, side = min(2, len(attacks)), -(-len(attacks) // 2), 0.62 * len(models) + 1.3
    figure, panels = plt.subplots(rows, columns, figsize=(columns * (side + 1.2), side * rows), squeeze=False)
    words, lower, cells = [], 0, 0
    for axes, attack in zip(panels.flat, attacks, strict=False):
        made = records[records.condition == attack].set_index("checkpoint")[[m for m in models if m in records]]
        means = made.astype(float).groupby(level=0).mean()
        rates = 100 * means.reindex(index=models, columns=models).to_numpy()  # NaN where not measured
        lower += int(np.sum(rates < np.diag(rates)))
        cells += int(np.isfinite(rates).sum() - np.isfinite(np.diag(rates)).sum())
        axes.imshow(rates, cmap="cividis", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(rates):
            text, colour = ("—" if np.isnan(value) else f"{value:.1f}", "black" if value > 55 else "white")
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
            if not np.isnan(value):
                words.append(f"{attack}, made on {titles[row]}, shown to {titles[column]}: {value:.1f} %")
        axes.set_xticks(range(len(models)), titles, fontsize=9)
        axes.set_yticks(range(len(models)), titles, fontsize=9)
        axes.set(xlabel="shown to", ylabel="made on", title=f"{attack}, fooled, %")
        axes.grid(False)
    for axes in panels.flat[len(attacks) :]:
        axes.set_axis_off()
    caption = (
        "Images fooled, in per cent. Rows: the network that the images were made on; columns: the one that sees them. Off the "
        f"diagonal, {lower} of {cells} values are below the diagonal value of their column, the network's own images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Matrices of fooled images. {'; '.join(words)}.")


def pair_table(
    records: pd.DataFrame, pair: tuple[str, str], attacks: Sequence[str], *, name: str, caption: str
) -> Shown:
    """The paper's Table 4 in its CIFAR-10 form: each network's images on both, and on those that fooled their maker."""
    rows = []
    for attack, source, target in product(attacks, pair, pair):
        made = records[(records.checkpoint == source) & (records.condition == attack)]
        own = made[source].dropna().infer_objects()
        outcomes = source != target and len(own) and own.isin((0, 1)).all() and own.sum() > 1
        fooling = text_of(_rate(made[own.astype(bool)], target), "%") if outcomes else "—"
        row = {"Attack": attack, "Made on": named(source), "Shown to": named(target)}
        row["Ours"] = text_of(_rate(made, target), "%")
        rows.append(row | {"Of those that fool their maker": fooling})
    return table(rows, name=name, caption=caption)


def _rate(rows: pd.DataFrame, target: str) -> Estimate | None:
    """Rate with Wilson's interval of outcomes, with a bootstrap interval of shares of draws."""
    if target not in rows:
        return None
    values = rows[target].dropna().infer_objects()
    return estimate(values.astype(bool) if values.isin((0, 1)).all() else values.astype(float))


def clipping_table(records: pd.DataFrame, *, name: str) -> Shown:
    """What clipping at three standard deviations does (paper, A.2)."""
    caption = "What clipping at three standard deviations does to maps of Integrated Gradients, means over images."
    return means_table(records, NAMES["clipping"], name=name, caption=caption)


def clipping_in_short(item: Contrasted, records: pd.DataFrame) -> Shown:
    """Whether clipping hides more of the l_inf network's importance, and what it does to that network's Gini index.

    ``item``: hidden importance of that network minus the standard one's, found in ``records``.
    """
    if item.difference is None:
        return boxed(["What clipping hides: not measured here."])
    robust = item.contrast.terms[0][0]
    means = records[records.checkpoint == robust][list(NAMES["clipping"])].mean()
    cuts = (
        f"In the maps of {named(robust)} the clipping cuts {percent(means.share_clipped)} of the subpixels and leaves "
        f"{percent(means.largest_kept)} of the largest value. The Gini index goes from {number(means.global_gini)} to "
        f"{number(means.global_gini_clipped)}."
    )
    return boxed([stated(item), cuts])
