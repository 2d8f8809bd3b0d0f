"""Figures and tables of the chapter that sets the paper's text beside its released scripts."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from ..measure.readings import POSITIVE_PRODUCT_OF_NORMALS, PRODUCT_OF_NORMALS, text_and_scripts
from ..networks import named, training_of
from ..verdicts.choices import Choice, Effect
from ..verdicts.comparison import Compared, Contrasted
from .style import Shown, dot_panels, drawn, look, shared_legend, table
from .tables import means_table
from .words import (
    NAMES,
    by_model,
    decided_sign,
    difference_cell,
    in_unit,
    means,
    number,
    percent,
    unit_for,
    verdict_badge,
)


def differences_table(choices: dict[str, list[Choice]], *, name: str) -> Shown:
    """What the text says, what the scripts do, and where the difference is measured."""
    lines = [
        (choice.topic, choice.in_text, choice.in_scripts, where)
        for where, group in choices.items()
        for choice in group
        if "as above" not in choice.in_text
    ]
    words = ["The paper's text", "The scripts"]
    frame = pd.DataFrame([*lines, *text_and_scripts()["other_lines"]], columns=["Topic", *words, "Measured in"])
    places = frame.groupby(words, sort=False)["Measured in"].agg(lambda found: ", ".join(dict.fromkeys(found)))
    frame = frame.drop_duplicates(words).drop(columns="Measured in").join(places, on=words)
    return table(frame, name=name, caption=f"{len(frame)} differences between the text and the scripts.")


def ledger_table(effects: Sequence[Effect], *, name: str, caption: str) -> Shown:
    """One row a choice: what it does to each network's number, and to the claim."""
    rows = [_ledger_row(effect) for effect in effects if effect.measured]
    return table(rows, name=name, caption=caption, missing=f"{caption} Not measured here.")


def _ledger_row(effect: Effect) -> dict[str, str]:
    choice, titles = effect.choice, ("Gap: the text", "Gap: this change")
    return {
        "": f"{choice.topic}<br><small class='wrap'>{choice.in_text}<br>→ {choice.in_scripts}</small>",
        **{named(item.contrast.terms[0][0]): _change(item) for item in effect.changes},
        **{t: f"{verdict_badge(i.verdict)}<br>{difference_cell(i)}" for t, i in zip(titles, effect.gaps, strict=True)},
    }


def _change(item: Contrasted) -> str:
    """From the text's value to the script's, with the paired difference."""
    assert item.difference is not None
    after, before = (in_unit(term.value, unit_for(item.contrast)) for term in item.terms)
    if item.difference.low == item.difference.high == 0:
        return f"{before}<br><small>no image changes<br>n = {item.difference.n}</small>"
    return f"{before} → {after}<br>{difference_cell(item)}"


def changes_sentences(groups: dict[str, Sequence[Effect]]) -> list[str]:
    """For each table of the paper: how often a choice moves a number, and how often it changes the verdict on the claim."""
    sentences = []
    for title, effects in groups.items():
        known = [effect for effect in effects if effect.measured]
        moved = sum(any(map(decided_sign, effect.changes)) for effect in known)
        turned = [
            f"{effect.choice.topic} ({effect.choice.in_scripts}): {before.verdict} → {after.verdict}"
            for effect in known
            for before, after in [effect.gaps]
            if before.verdict != after.verdict
        ]
        verdicts = f"The verdict on the gap changes in {len(turned)}: {'; '.join(turned)}."
        said = f"Of {len(known)} changes, {moved} move a number. {verdicts if turned else 'It changes no verdict.'}"
        sentences.append(f"<strong>{title}.</strong> {said if known else 'Not measured here.'}")
    return sentences


def by_reading(found: Sequence[Compared]) -> dict[tuple[str, str], list[Compared]]:
    """Compared ``choices.reading_cells`` by (reading, maps), each in the order of epsilon."""
    key = lambda item: (item.cell.column.removeprefix("regional_gini_"), item.cell.condition)  # noqa: E731
    return {place: list(items) for place, items in groupby(found, key)}


def readings_table(found: Sequence[Compared], *, name: str) -> Shown:
    """Each reading of the regional index beside the published column. ``found``: as for ``by_reading``."""
    groups = by_reading(found)
    cells = [item.cell for item in next(iter(groups.values()))]
    rows = [["the published column", *(f"<strong>{cell.paper:.2f}</strong>" for cell in cells), "", ""]]
    distances = {}
    for (reading, maps), items in groups.items():
        met, distance, n = closeness(items)
        if n:
            values = [number(item.ours.value) if item.ours else "" for item in items]
            distances[f"{reading.replace('_', ' ')} on the maps of the {maps}"] = distance
            what = f"{reading.replace('_', ' ')}<br><small>maps of the {maps}</small>"
            rows.append([what, *values, f"{met} of {n}", number(distance)])
    columns = ["Reading", *(cell.label.removeprefix("ResNet-18, ") for cell in cells), "Met", "Mean distance"]
    caption = (
        f"Of {len(distances)} combinations of a reading and maps, {min(distances, key=distances.__getitem__)} comes closest to the "
        "published regional column. Met: published values that our 95 % interval meets within 0.03."
    )
    return table(pd.DataFrame(rows, columns=columns), name=name, caption=caption)


def closeness(items: Sequence[Compared]) -> tuple[int, float, int]:
    """Published values met, mean distance of ours to them, and how many were measured."""
    measured = [(item, item.ours) for item in items if item.ours]
    distances = [abs(ours.value - item.cell.paper) for item, ours in measured]
    met = sum(item.verdict == "reproduced" for item, _ in measured)
    return met, float(np.mean(distances)) if distances else float("nan"), len(measured)


def relation_figure(published: pd.DataFrame, records: pd.DataFrame, regional: pd.DataFrame, *, name: str) -> Shown:
    """Global index against regional index: the paper's 25 cells, and two readings of ours, beside y = (1 + x) / 2.

    ``records``: of ``readings.positive_part``; ``regional``: of ``measurements.inequality`` on the same images.
    """
    figure, axes = plt.subplots(figsize=(6.6, 4.8))
    line = np.linspace(0.5, 1, 50)
    axes.plot(line, (1 + line) / 2, color="#444444", label="(1 + global) / 2")
    axes.plot(line, line, ":", color="#444444", label="global itself: the most that block sums of |a| can reach")
    for dataset, title, style in (("cifar10", "CIFAR-10", "#CC79A7 s"), ("imagenet", "ImageNet", "#56B4E9 o")):
        rows, (colour, marker) = published[published.dataset == dataset], style.split()
        label = f"the paper, {title}"
        axes.plot(rows.published_global, rows.published_regional, marker, color=colour, ms=6, mfc="none", label=label)
    words, distances = [], []
    for checkpoint, rows in by_model(records):
        own = regional[regional.checkpoint == checkpoint]
        x, high, low = rows.absolute.mean(), rows.positive.mean(), own.regional_gini_sum_of_absolute.mean()
        seen, title = look(checkpoint), named(checkpoint)
        axes.plot([x, x], [high, low], color=seen["color"], lw=0.8)
        axes.plot([x], [high], ms=8, ls="", label=f"ours, {title}", **seen)
        axes.plot([x], [low], ms=8, ls="", mfc="white", **seen)
        words.append(f"ours, {title}: global {x:.3f}, max(a, 0) {high:.3f}, block sums {low:.3f}")
        distances.append(f"{number((rows.positive - rows.half_rule).mean(), signed=True)} ({title})")
    axes.set(xlabel="global Gini index, of |a|", ylabel="“regional” Gini index")
    axes.set_title("Ours: filled, max(a, 0) without blocks; hollow, block sums of |a|")
    shared_legend(figure, axes, fontsize=8)
    above = int((published.published_regional > published.published_global).sum())
    caption = (
        f"The published regional column follows (1 + global) / 2 with a mean absolute error of "
        f"{number(published.residual.abs().mean())} over {len(published)} cells, and lies above the global index in {above} of "
        f"{len(published)}. On our maps Gini(max(a, 0)) is off the line by {', '.join(distances)} on average. Block sums of |a| "
        "must lie below the dotted line."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Scatter plot of Table 1. {caption} {'; '.join(words)}.")


def relation_table(records: pd.DataFrame, regional: pd.DataFrame, *, name: str) -> Shown:
    """The identity, the half rule and the bound of block sums, checked on every image."""
    columns = {
        "share": ("q, positive subpixels", "%"),
        "among_positive": ("G₊, index among these", "Gini"),
        "absolute": ("Gini(|a|)", "Gini"),
        "rule": ("Gini(max(a, 0)) − (1 + Gini(|a|)) / 2", "Gini"),
        "held_by_top": ("What 1 − Gini(|a|) of the subpixels hold", "%"),
    }
    over = int((regional.regional_gini_sum_of_absolute > regional.global_gini).sum())
    caption = (
        "1 − q (1 − G₊) equals Gini(max(a, 0)) on every image (largest difference "
        f"{(records.identity - records.positive).abs().max():.1e}). If 1 − Gini counted the subpixels that dominate, these would hold 100 % of "
        f"the total. Block sums of |a| exceed the map's own index on {over} of {len(regional)} maps; the published column does so in every cell."
    )
    return means_table(records.assign(rule=records.positive - records.half_rule), columns, name=name, caption=caption)


def null_figure(records: pd.DataFrame, *, name: str) -> Shown:
    """Gini indices of our maps beside those of products of independent numbers, for |a| and for max(a, 0); and where the gap
    between the two networks comes from: moments, shapes of the factors, or their dependence."""
    theory = {"Gini(|a|)": PRODUCT_OF_NORMALS, "Gini(max(a, 0))": POSITIVE_PRODUCT_OF_NORMALS}
    found = [
        {words: means(records, kind + end) for kind, words in NAMES["products"].items()} for end in ("", "_positive")
    ]
    titles = [f"{title}; dotted: {value:.3f}" for title, value in theory.items()]
    panels = {title: (rows, "Gini") for title, rows in zip(titles, found, strict=True)}
    figure, every, words = dot_panels(panels, (9, 2.9), share=True)
    for axes, value in zip(every, theory.values(), strict=True):
        axes.axvline(value, color="#444444", ls=":")
    of = records.groupby("checkpoint", sort=False)[[*NAMES["products"]]].mean()
    gap, split = of.iloc[-1] - of.iloc[0], ""
    if len(of) == 2:
        split = (
            f"The gap in Gini(|a|) between {named(of.index[1])} and {named(of.index[0])} is {gap.measured:+.3f}: {gap.normal:+.3f} for "
            f"products of normal numbers with the same moments, {gap.shuffled - gap.normal:+.3f} by the shapes of the two distributions, "
            f"{gap.measured - gap.shuffled:+.3f} by the dependence between the factors (n = {len(records) // 2} each). "
        )
    caption = (
        f"What chance gives. Two independent normal variables of mean 0 have {PRODUCT_OF_NORMALS:.3f} and {POSITIVE_PRODUCT_OF_NORMALS:.3f} "
        f"(dotted); the paper's standard networks on CIFAR-10 have 0.58 and 0.79. {split}Bars: 95 % bootstrap intervals over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots. {'; '.join(words)}.")


def loops_table(records: pd.DataFrame, *, name: str) -> Shown:
    """The order of Algorithm 1's loops: the same images fooled, by larger or smaller first masks."""
    areas = {
        "area_count_outer": "First successful mask, n outer",
        "area_radius_outer": "First successful mask, r outer",
    }
    columns = {"differ": ("Images whose outcome the order changes", "%")}
    columns |= {column: (header, "pixels") for column, header in areas.items()}
    found = records.assign(differ=records.fooled != records.fooled_radius_outer)
    found[[*areas]] = found[[*areas]].where(found.fooled)
    caption = "The order of Algorithm 1's loops. The first successful mask, in pixels: over fooled images."
    return means_table(found, columns, name=name, caption=caption)


def area_table(limits: dict[str, tuple[int, int]], *, name: str) -> Shown:
    """What a budget can hide at most; label -> (pixels hidden, pixels of the image)."""
    rows = [
        {"Budget": label, "Hidden at most": f"{hidden} pixels", "Of": f"{total}", "Share": percent(hidden / total)}
        for label, (hidden, total) in limits.items()
    ]
    caption = "The largest area that the patches of a budget can hide, over all sets of centres; computed exactly."
    return table(rows, name=name, caption=caption)


def spread_table(published: pd.DataFrame, records: pd.DataFrame, *, name: str) -> Shown:
    """The published ± of the global index beside the spread of ours over images."""
    rows = []
    resnet = published[(published.dataset == "cifar10") & (published.architecture == "resnet18")]
    for checkpoint, own in by_model(records):
        epsilon = training_of(checkpoint).removeprefix("linf").replace("standard", "0")
        match = resnet[resnet.epsilon_255 == epsilon]
        if len(match):
            spreads = own.groupby("condition", sort=False).global_gini
            row = {"": named(checkpoint), "Published ±": f"{float(match.spread.iloc[0]):.2f}"}
            row |= {f"Ours over images, maps of the {maps}": f"{value:.3f}" for maps, value in spreads.std().items()}
            rows.append(row | {"n": spreads.size().iloc[0]})
    caption = "The paper says that its ± are standard deviations over random seeds. Beside them, ours over images, one network each."
    return table(rows, name=name, caption=caption)


def checks_table(checks: pd.DataFrame, *, name: str) -> Shown:
    """``choices.checks``: what a reader can verify with the published numbers alone."""
    shown = checks.assign(holds=checks.holds.map({True: "yes", False: "no"})).rename(columns=str.capitalize)
    return table(shown, name=name, caption="Recomputed from the published values; nothing of ours is in it.")
