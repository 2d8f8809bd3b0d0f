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
from .style import Shown, dot_panels, drawn, listed, look, shared_legend, table
from .words import (
    NAMES,
    by_condition,
    by_model,
    decided_sign,
    difference_cell,
    in_unit,
    mean,
    means,
    number,
    percent,
    plain,
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
    for (reading, maps), items in groups.items():
        met, distance, n = closeness(items)
        if n:
            values = [number(item.ours.value) if item.ours else "" for item in items]
            what = f"{reading.replace('_', ' ')}<br><small>maps of the {maps}</small>"
            rows.append([what, *values, f"{met} of {n}", number(distance)])
    columns = ["Reading", *(cell.label.removeprefix("ResNet-18, ") for cell in cells), "Met", "Mean distance"]
    caption = (
        "Five readings of the regional index, on maps with the settings of the text and of the scripts. Met: published values "
        "that our 95 % interval meets within 0.03."
    )
    return table(pd.DataFrame(rows, columns=columns), name=name, caption=caption)


def closeness(items: Sequence[Compared]) -> tuple[int, float, int]:
    """Published values met, mean distance of ours to them, and how many were measured."""
    measured = [(item, item.ours) for item in items if item.ours]
    distances = [abs(ours.value - item.cell.paper) for item, ours in measured]
    met = sum(item.verdict == "reproduced" for item, _ in measured)
    return met, float(np.mean(distances)) if distances else float("nan"), len(measured)


def column_sentences(found: Sequence[Compared], published: pd.DataFrame) -> list[str]:
    """Which reading comes closest to the published regional column, and how close (1 + global) / 2 comes."""
    close = {key: closeness(items) for key, items in by_reading(found).items()}
    ranked = sorted((key for key in close if close[key][2]), key=lambda key: close[key][1])
    (reading, maps), (met, distance, n) = ranked[0], close[ranked[0]]
    return [
        f"<strong>The regional column.</strong> Of {len(ranked)} combinations of a reading and maps, {reading.replace('_', ' ')} on the "
        f"maps of the {maps} comes closest to the published values: mean distance {number(distance)}, {met} of {n} met.",
        f"<strong>The published table by itself.</strong> (1 + global) / 2 predicts the regional column with a mean absolute "
        f"error of {number(published.residual.abs().mean())} over {len(published)} cells.",
    ]


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


def relation_note(records: pd.DataFrame, regional: pd.DataFrame) -> Shown:
    """The identity, the half rule and the bound of block sums, checked on every image."""
    sentences = []
    for checkpoint, rows in by_model(records):
        error = (rows.identity - rows.positive).abs().max()
        rows = rows.assign(rule=rows.positive - rows.half_rule)
        share, among, held, rule = (mean(rows, column) for column in ("share", "among_positive", "held_by_top", "rule"))
        sentences.append(
            f"<strong>{named(checkpoint)}.</strong> 1 − q (1 − G₊) equals Gini(max(a, 0)) on every image (largest difference "
            f"{error:.1e}, n = {len(rows)}). q is {plain(share)} and G₊ is {plain(among)}, against {number(rows.absolute.mean())} for "
            f"all |a|. Gini(max(a, 0)) minus (1 + Gini(|a|)) / 2 is {plain(rule, signed=True)}. If 1 − Gini counted the subpixels that "
            f"dominate, these would hold 100 % of the total; they hold {plain(held, '%')}."
        )
    over = int((regional.regional_gini_sum_of_absolute > regional.global_gini).sum())
    sentences.append(
        f"Block sums of |a| exceed the map's own index on {over} of {len(regional)} maps; the published column does so in every cell."
    )
    return listed(sentences)


def null_figure(records: pd.DataFrame, *, name: str) -> Shown:
    """Gini indices of our maps beside those of products of independent numbers, for |a| and for max(a, 0)."""
    theory = {"Gini(|a|)": PRODUCT_OF_NORMALS, "Gini(max(a, 0))": POSITIVE_PRODUCT_OF_NORMALS}
    found = [
        {words: means(records, kind + end) for kind, words in NAMES["products"].items()} for end in ("", "_positive")
    ]
    titles = [f"{title}; dotted: {value:.3f}" for title, value in theory.items()]
    panels = {title: (rows, "Gini") for title, rows in zip(titles, found, strict=True)}
    figure, every, words = dot_panels(panels, (9, 2.9), share=True)
    for axes, value in zip(every, theory.values(), strict=True):
        axes.axvline(value, color="#444444", ls=":")
    parts = [
        f"{named(checkpoint)} {rows.measured.mean():.3f}, and {rows.normal.mean():.3f} for products of normal numbers with the same moments"
        for checkpoint, rows in by_model(records)
    ]
    caption = (
        f"What chance gives. Two independent normal variables of mean 0 have {PRODUCT_OF_NORMALS:.3f} and {POSITIVE_PRODUCT_OF_NORMALS:.3f} "
        f"(dotted); the paper's standard networks on CIFAR-10 have 0.58 and 0.79. Ours, Gini(|a|): {'; '.join(parts)}. "
        "Bars: 95 % bootstrap intervals over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots. {'; '.join(words)}.")


def null_note(records: pd.DataFrame) -> Shown:
    """Where the gap between two networks comes from: moments, shapes of the factors, or their dependence."""
    models = by_model(records)
    if len(models) != 2:
        return listed(["The decomposition of the gap: not measured here."])
    (_, first), (second_name, second) = models
    gaps = {kind: second[kind].mean() - first[kind].mean() for kind in ("normal", "shuffled", "measured")}
    sentence = (
        f"The gap between {named(second_name)} and the standard network is {gaps['measured']:+.3f}. Products of normal numbers "
        f"with the maps' own moments have {gaps['normal']:+.3f} of it; the shapes of the two distributions add "
        f"{gaps['shuffled'] - gaps['normal']:+.3f}, the dependence between the factors "
        f"{gaps['measured'] - gaps['shuffled']:+.3f} (n = {len(first)} and {len(second)})."
    )
    return listed([sentence])


def loops_note(records: pd.DataFrame) -> Shown:
    """The order of Algorithm 1's loops: the same images fooled, by larger or smaller first masks."""
    sentences = []
    for condition, checkpoint, rows in by_condition(records):
        fooled = rows[rows.fooled]
        differ = int((rows.fooled != rows.fooled_radius_outer).sum())
        areas = (fooled[f"area_{order}_outer"].mean() for order in ("count", "radius"))
        text = "{:.0f} pixels with n outer, {:.0f} with r outer".format(*areas) if len(fooled) else "there is none"
        sentences.append(
            f"{condition}, {named(checkpoint)}: the order of the loops changes the outcome of {differ} of {len(rows)} images. "
            f"Mean area of the first successful mask: {text}."
        )
    return listed(sentences)


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
