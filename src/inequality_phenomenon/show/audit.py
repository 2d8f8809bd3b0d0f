"""Figures and tables of the chapter that sets the paper's text beside its released scripts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from ..measure.audit import OTHER_LINES, POSITIVE_PRODUCT_OF_NORMALS, PRODUCT_OF_NORMALS, Choice
from ..networks import named, training_of
from ..statistics import Estimate, bootstrap_mean
from ..verdicts.comparison import Compared, Contrasted
from . import (
    Shown,
    _by_model,
    _decided,
    _source,
    listed,
    look,
    number,
    p_text,
    points,
    show,
    table,
    title_of,
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
    frame = pd.DataFrame([*lines, *OTHER_LINES], columns=["Topic", *words, "Measured in"])
    places = frame.groupby(words, sort=False)["Measured in"].agg(lambda found: ", ".join(dict.fromkeys(found)))
    frame = frame.drop_duplicates(words).drop(columns="Measured in").join(places, on=words)
    return table(frame, name=name, caption=f"{len(frame)} differences between the text and the scripts.")


def ledger_table(
    choices: Sequence[Choice],
    reference: Sequence[Contrasted],
    this_run: Sequence[Contrasted],
    *,
    name: str,
    caption: str,
) -> Shown:
    """One row a choice and run: what it does to each network's number, and to the claim.

    The contrasts are those of ``audit.contrasted_choices``, four a choice.
    """
    rows = []
    for place, choice in enumerate(choices):
        for run, contrasts in (("reference", reference), ("this run", this_run)):
            four = contrasts[4 * place : 4 * place + 4]
            if any(item.difference is None for item in four):
                continue
            unit = "Gini" if "gini" in choice.text[1] else "points"
            rows.append(
                {
                    "": f"{choice.topic}<br><small class='wrap'>{choice.in_text}<br>→ {choice.in_scripts}<br>({run})</small>",
                    **{named(item.contrast.terms[0][0]): _change(item, unit) for item in four[:2]},
                    "Gap: the text": _gap(four[2], unit),
                    "Gap: this change": _gap(four[3], unit),
                }
            )
    if not rows:
        return listed([f"{caption} Not measured here."])
    return table(pd.DataFrame(rows), name=name, caption=caption)


def _change(item: Contrasted, unit: str) -> str:
    """From the text's value to the script's, with the paired difference."""
    assert item.difference is not None
    after, before = (number(term.value, unit == "points") for term in item.terms)
    if item.difference.low == item.difference.high == 0:
        return f"{before}<br><small>no image changes<br>n = {item.difference.n}</small>"
    return f"{before} → <strong>{after}</strong><br><small>{_broken(item, unit)}</small>"


def _gap(item: Contrasted, unit: str) -> str:
    return f"{verdict_badge(item.verdict)}<br><small>{_broken(item, unit)}</small>"


def _broken(item: Contrasted, unit: str) -> str:
    """Difference, interval, p and n on short lines, for a table of many columns."""
    assert item.difference is not None
    value, _, interval = points(item.difference, unit).partition(" [")
    return f"{value.removesuffix(' Gini')}<br>[{interval}<br>{p_text(item)}<br>n = {item.difference.n}"


def changes_note(groups: dict[str, tuple[Sequence[Choice], Sequence[tuple[Contrasted, str]]]]) -> Shown:
    """For each table of the paper: how often a choice moves a number, and how often it changes the verdict on the claim."""
    sentences = []
    for title, (choices, found) in groups.items():
        contrasts, source = [item for item, _ in found], _source(found)
        fours = [(choice, contrasts[4 * i : 4 * i + 4]) for i, choice in enumerate(choices)]
        known = [(choice, four) for choice, four in fours if all(item.difference for item in four)]
        if not known:
            sentences.append(f"<strong>{title}.</strong> Not measured here.")
            continue
        moved = sum(any(_decided(item, "+", "-", "") for item in four[:2]) for _, four in known)
        turned = [
            f"{choice.topic} ({choice.in_scripts}): {four[2].verdict} → {four[3].verdict}"
            for choice, four in known
            if four[2].verdict != four[3].verdict
        ]
        verdicts = (
            f"The verdict on the gap changes in {len(turned)}: {'; '.join(turned)}."
            if turned
            else "It changes no verdict."
        )
        sentences.append(
            f"<strong>{title}{source}.</strong> Of {len(known)} changes, {moved} move the number of at least one network. {verdicts}"
        )
    return listed(sentences)


def readings_table(
    reference: dict[tuple[str, str], list[Compared]],
    this_run: dict[tuple[str, str], list[Compared]],
    *,
    name: str,
) -> Shown:
    """Each reading of the regional index beside the published column; (reading, maps) -> compared cells."""
    cells = [item.cell for item in next(iter(this_run.values()))]
    titles = [cell.label.removeprefix("ResNet-18, ") for cell in cells]
    published = {title: f"<strong>{cell.paper:.2f}</strong>" for title, cell in zip(titles, cells, strict=True)}
    rows = [{"Reading": "the published column", "Run": "paper", **published, "Met": "", "Mean distance": ""}]
    for reading, maps in this_run:
        for run, found in (("reference", reference), ("this run", this_run)):
            items = found[reading, maps]
            met, distance, n = closeness(items)
            if not n:
                continue
            values = [f"{item.ours.value:.3f}" if item.ours else "" for item in items]
            rows.append(
                {
                    "Reading": f"{reading.replace('_', ' ')}<br><small>maps of the {maps}</small>",
                    "Run": run,
                    **dict(zip(titles, values, strict=True)),
                    "Met": f"{met} of {n}",
                    "Mean distance": f"{distance:.3f}",
                }
            )
    caption = (
        "Five readings of the regional index, on maps with the settings of the text and of the scripts. Met: published values "
        "that our 95 % interval meets within 0.03."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def closeness(items: Sequence[Compared]) -> tuple[int, float, int]:
    """Published values met, mean distance of ours to them, and how many were measured."""
    measured = [(item, item.ours) for item in items if item.ours]
    distances = [abs(ours.value - item.cell.paper) for item, ours in measured]
    met = sum(item.verdict == "reproduced" for item, _ in measured)
    return met, float(np.mean(distances)) if distances else float("nan"), len(measured)


def relation_figure(published: pd.DataFrame, records: pd.DataFrame, regional: pd.DataFrame, *, name: str) -> Shown:
    """Global index against regional index: the paper's 25 cells, and two readings of ours, beside y = (1 + x) / 2.

    ``records``: of ``audit.positive_part``; ``regional``: of ``measurements.inequality`` on the same images.
    """
    figure, axes = plt.subplots(figsize=(6.6, 4.8))
    line = np.linspace(0.5, 1, 50)
    axes.plot(line, (1 + line) / 2, color="#444444", label="(1 + global) / 2")
    axes.plot(line, line, ":", color="#444444", label="global itself: the most that block sums of |a| can reach")
    for dataset, marker, colour in (("cifar10", "s", "#CC79A7"), ("imagenet", "o", "#56B4E9")):
        rows = published[published.dataset == dataset]
        label = f"the paper, {'CIFAR-10' if dataset == 'cifar10' else 'ImageNet'}"
        axes.plot(rows.published_global, rows.published_regional, marker, color=colour, ms=6, mfc="none", label=label)
    words = []
    for checkpoint, rows in _by_model(records):
        own = regional[regional.checkpoint == checkpoint]
        x, high, low = rows.absolute.mean(), rows.positive.mean(), own.regional_gini_sum_of_absolute.mean()
        seen = look(checkpoint)
        axes.plot([x, x], [high, low], color=seen["color"], lw=0.8)
        axes.plot(
            [x],
            [high],
            color=seen["color"],
            marker=seen["marker"],
            ms=8,
            ls="",
            label=f"ours, {title_of(checkpoint)}: max(a, 0), no blocks",
        )
        axes.plot(
            [x],
            [low],
            color=seen["color"],
            marker=seen["marker"],
            ms=8,
            ls="",
            mfc="white",
            label=f"ours, {title_of(checkpoint)}: block sums of |a|",
        )
        words.append(f"ours, {title_of(checkpoint)}: global {x:.3f}, max(a, 0) {high:.3f}, block sums {low:.3f}")
    axes.set_xlabel("global Gini index, of |a|")
    axes.set_ylabel("“regional” Gini index")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    error = published.residual.abs().mean()
    above = int((published.published_regional > published.published_global).sum())
    distances = ", ".join(
        f"{(rows.positive - rows.half_rule).mean():+.3f} ({title_of(name)})" for name, rows in _by_model(records)
    )
    caption = (
        f"The published regional column follows (1 + global) / 2 with a mean absolute error of {error:.3f} over {len(published)} "
        f"cells, and lies above the global index in {above} of {len(published)}. On our maps Gini(max(a, 0)) is off the "
        f"line by {distances} on average. Block sums of |a| must lie below the dotted line."
    )
    return show(figure, name=name, caption=caption, alt=f"Scatter plot of Table 1. {caption} {'; '.join(words)}.")


def relation_note(records: pd.DataFrame, regional: pd.DataFrame, *, resamples: int) -> Shown:
    """The identity, the half rule and the bound of block sums, checked on every image."""
    sentences = []
    for checkpoint, rows in _by_model(records):
        error = (rows.identity - rows.positive).abs().max()
        rule = bootstrap_mean((rows.positive - rows.half_rule).to_numpy(), resamples=resamples)
        share, among = (bootstrap_mean(rows[c].to_numpy(), resamples=resamples) for c in ("share", "among_positive"))
        held = bootstrap_mean(rows.held_by_top.to_numpy(), resamples=resamples)
        sentences.append(
            f"<strong>{title_of(checkpoint)}.</strong> 1 − q (1 − G₊) equals Gini(max(a, 0)) on every image (largest difference "
            f"{error:.1e}, n = {len(rows)}). q is {_short(share)} and G₊ is {_short(among)}, against {rows.absolute.mean():.3f} for "
            f"all |a|. Gini(max(a, 0)) minus (1 + Gini(|a|)) / 2 is {_short(rule, '+')}. If 1 − Gini counted the subpixels that "
            f"dominate, these would hold 100 % of the total; they hold {100 * held.value:.1f} % [{100 * held.low:.1f}, {100 * held.high:.1f}]."
        )
    over = int((regional.regional_gini_sum_of_absolute > regional.global_gini).sum())
    sentences.append(
        f"Block sums of |a| exceed the map's own index on {over} of {len(regional)} maps; the published column does so in every cell."
    )
    return listed(sentences)


def _short(item: Estimate, sign: str = "") -> str:
    return f"{item.value:{sign}.3f} [{item.low:{sign}.3f}, {item.high:{sign}.3f}]"


def null_figure(records: pd.DataFrame, *, name: str, resamples: int) -> Shown:
    """Gini indices of our maps beside those of products of independent numbers, for |a| and for max(a, 0)."""
    kinds = {
        "normal": "product of normal numbers, same moments",
        "shuffled": "same factors, places shuffled",
        "measured": "the maps",
    }
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True)
    words = []
    for axes, suffix, theory, title in (
        (panels[0], "", PRODUCT_OF_NORMALS, "Gini(|a|)"),
        (panels[1], "_positive", POSITIVE_PRODUCT_OF_NORMALS, "Gini(max(a, 0))"),
    ):
        axes.axvline(theory, color="#444444", ls=":", label=f"two normal variables of mean 0: {theory:.3f}")
        for shift, (checkpoint, rows) in enumerate(_by_model(records)):
            for place, kind in enumerate(kinds):
                found = bootstrap_mean(rows[kind + suffix].to_numpy(), resamples=resamples)
                seen = look(checkpoint)
                axes.errorbar(
                    found.value, place + 0.24 * (shift - 0.5), xerr=[[found.value - found.low], [found.high - found.value]],
                    fmt=seen["marker"], color=seen["color"], ms=6, capsize=3, label=None if place else title_of(checkpoint),
                )  # fmt: skip
                words.append(f"{title}, {kinds[kind]}, {title_of(checkpoint)}: {_short(found)}")
        axes.set_title(f"{title}; dotted: {theory:.3f}", fontsize=10)
        axes.set_xlabel("Gini index")
    panels[0].set_yticks(range(len(kinds)), kinds.values())
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[1:], labels[1:], frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    parts = [
        f"{title_of(checkpoint)} {rows.measured.mean():.3f}, and {rows.normal.mean():.3f} for products of normal numbers with the same moments"
        for checkpoint, rows in _by_model(records)
    ]
    caption = (
        f"What chance gives. Two independent normal variables of mean 0 have {PRODUCT_OF_NORMALS:.3f} and {POSITIVE_PRODUCT_OF_NORMALS:.3f} "
        f"(dotted); the paper's standard networks on CIFAR-10 have 0.58 and 0.79. Ours, Gini(|a|): {'; '.join(parts)}. "
        "Bars: 95 % bootstrap intervals over images."
    )
    return show(figure, name=name, caption=caption, alt=f"Dot plots. {'; '.join(words)}.")


def null_note(records: pd.DataFrame) -> Shown:
    """Where the gap between two networks comes from: moments, shapes of the factors, or their dependence."""
    models = _by_model(records)
    if len(models) != 2:
        return listed(["The decomposition of the gap: not measured here."])
    (_, first), (second_name, second) = models
    gaps = {kind: second[kind].mean() - first[kind].mean() for kind in ("normal", "shuffled", "measured")}
    return listed(
        [
            f"The gap between {title_of(second_name)} and the standard network is {gaps['measured']:+.3f}. Products of normal numbers "
            f"with the maps' own moments have {gaps['normal']:+.3f} of it; the shapes of the two distributions add "
            f"{gaps['shuffled'] - gaps['normal']:+.3f}, the dependence between the factors "
            f"{gaps['measured'] - gaps['shuffled']:+.3f} (n = {len(first)} and {len(second)})."
        ]
    )


def loops_note(records: pd.DataFrame, conditions: Sequence[str]) -> Shown:
    """The order of Algorithm 1's loops: the same images fooled, by larger or smaller first masks."""
    sentences = []
    for condition in conditions:
        for checkpoint, rows in _by_model(records[records.condition == condition]):
            fooled = rows[rows.fooled]
            differ = int((rows.fooled != rows.fooled_radius_outer).sum())
            areas = (fooled[f"area_{order}_outer"].mean() for order in ("count", "radius"))
            text = "{:.0f} pixels with n outer, {:.0f} with r outer".format(*areas) if len(fooled) else "there is none"
            sentences.append(
                f"{condition}, {title_of(checkpoint)}: the order of the loops changes the outcome of {differ} of {len(rows)} images. "
                f"Mean area of the first successful mask: {text}."
            )
    return listed(sentences)


def area_table(limits: dict[str, tuple[int, int]], *, name: str) -> Shown:
    """What a budget can hide at most; label -> (pixels hidden, pixels of the image)."""
    rows = [
        {
            "Budget": label,
            "Hidden at most": f"{hidden} pixels",
            "Of": f"{total}",
            "Share": f"{100 * hidden / total:.1f} %",
        }
        for label, (hidden, total) in limits.items()
    ]
    caption = "The largest area that the patches of a budget can hide, over all sets of centres; computed exactly."
    return table(pd.DataFrame(rows), name=name, caption=caption)


def spread_table(published: pd.DataFrame, records: pd.DataFrame, *, name: str) -> Shown:
    """The published ± of the global index beside the spread of ours over images."""
    rows = []
    for checkpoint, own in _by_model(records):
        epsilon = training_of(checkpoint).removeprefix("linf").replace("standard", "0")
        match = published[
            (published.dataset == "cifar10") & (published.architecture == "resnet18") & (published.epsilon_255 == epsilon)
        ]  # fmt: skip
        if len(match):
            spreads = own.groupby("condition", sort=False).global_gini
            ours = {f"Ours over images, maps of the {maps}": f"{value:.3f}" for maps, value in spreads.std().items()}
            published_spread = f"{float(match.spread.iloc[0]):.2f}"
            rows.append(
                {"": title_of(checkpoint), "Published ±": published_spread, **ours, "n": spreads.size().iloc[0]}
            )
    caption = "The paper says that its ± are standard deviations over random seeds. Beside them, ours over images, one network each."
    return table(pd.DataFrame(rows), name=name, caption=caption)


def checks_table(checks: pd.DataFrame, *, name: str) -> Shown:
    """``audit.checks``: what a reader can verify with the published numbers alone."""
    rows = [
        {"Statement": row["statement"], "Numbers": row["numbers"], "Holds": "yes" if row["holds"] else "no"}
        for row in checks.to_dict("records")
    ]
    return table(
        pd.DataFrame(rows), name=name, caption="Recomputed from the published values; nothing of ours is in it."
    )


def audit_findings(
    readings: dict[tuple[str, str], list[tuple[Compared, str]]],
    published: pd.DataFrame,
    algorithm: Sequence[tuple[Compared, str]],
    null: tuple[pd.DataFrame | None, str],
) -> Shown:
    """The chapter's conclusions in sentences made from the numbers, each with the words that say which run's they are.

    ``readings``: of ``audit.compared_readings``; ``null``: the record of ``audit.product_null``.
    """
    close = {key: closeness([item for item, _ in items]) for key, items in readings.items()}
    ranked = sorted((key for key in close if close[key][2]), key=lambda key: close[key][1])
    best = ranked[0]
    met, distance, n = close[best]
    sentences = [
        f"<strong>The regional column{_source(readings[best])}.</strong> Of {len(ranked)} combinations of a reading and maps, {best[0].replace('_', ' ')} on the "
        f"maps of the {best[1]} comes closest to the published values: mean distance {distance:.3f}, {met} of {n} met.",
        f"<strong>The published table by itself.</strong> (1 + global) / 2 predicts the regional column with a mean absolute error of "
        f"{published.residual.abs().mean():.3f} over {len(published)} cells.",
    ]
    if null[0] is not None:
        ours = "; ".join(
            f"{title_of(name)} {rows.measured.mean():.3f}, null {rows.normal.mean():.3f}"
            for name, rows in _by_model(null[0])
        )
        sentences.append(
            f"<strong>What chance gives{null[1]}.</strong> Gini(|a|) beside products of normal numbers: {ours}."
        )
    for item, source in algorithm:
        if item.ours and item.cell.baseline is None:
            continue
        if item.ours and item.difference:
            sentences.append(
                f"<strong>{item.cell.label}</strong>{source}: {number(item.ours.value, True)} fooled (A.10: "
                f"{number(item.cell.paper, True)}), {points(item.difference)} against standard, {p_text(item)}. Verdict: "
                f"{verdict_badge(item.verdict)}"
            )
    return listed(sentences)
