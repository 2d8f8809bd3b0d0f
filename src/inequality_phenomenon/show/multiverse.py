"""All readings of a claim on one page: the specification curve, shares in words and by option, what decides, and every
universe of the main claims for the reader to pick one (script: book/static/readings.js).
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..measure.chance import LAYERS, SMALL
from ..measure.multiverse import plan
from ..networks import named
from ..statistics import Estimate
from ..verdicts.multiverse import (
    Closest,
    Multiverse,
    deciding,
    explained_variance,
    permutation,
    shares,
    together,
    universes,
    verdict_of,
    with_maps,
)
from .style import Shown, dot, drawn, folded, listed, look, table
from .tables import means_table
from .words import NAMES, by_model, interval, mean, number, p_value, percent, plain, verdict_badge

BINS = 150  # of the ranked universes, in the dashboard below the curve
STEP = {"points": 0.01, "Gini": 0.005}  # of the packed effects
EXCLUDED = 255


def share_text(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def unit_of(found: Multiverse) -> str:
    return "Gini" if plan()["claims"][found.claim]["record"] == "index" else "points"


def sentence(*found: Multiverse) -> str:
    """In which share of how many readings claims hold together, and which choice moves the effect of the first most."""
    titles = [plan()["claims"][own.claim]["title"] for own in found]
    colours = ", ".join([titles[0].partition(" ")[0], *(title.partition(" ")[0].lower() for title in titles[1:])])
    title = f"<strong>{colours} {titles[0].partition(' ')[2]}</strong>"
    if found[0].table.empty:
        return f"{title}: not measured here."
    (share, count), (against, _), parts = together(found), together(found, "against"), explained_variance(found[0])
    decides = f" Decides most: {called(next(iter(parts)))}." if parts else ""
    return (
        f"{verdict_badge(verdict_of(*found))} {title} in <strong>{share_text(share)} of {count:,} readings</strong>, "
        f"the opposite in {share_text(against)}.{decides}"
    )


def called(choice: str) -> str:
    """How a choice of the plan is called in a sentence."""
    return str(NAMES["choices"].get(choice, f"the {choice}"))


def overview(multiverses: Sequence[Multiverse], *, name: str = "readings") -> Shown:
    """A row a claim: shares, median effect, and the joint permutation test."""
    rows = [
        {
            "Claim": plan()["claims"][found.claim]["title"],
            "Readings": f"{len(found.table):,} of {len(universes(found.claim)):,}",
            **{side.capitalize(): share_text(own[side]) for side in ("for", "against", "undecided")},
            "Median effect": f"{number(own['median'], unit_of(found), signed=True)} {unit_of(found)}",
            "All at once": p_value(permutation(found)) if found.differences else "—",
        }
        for found in multiverses
        if len(found.table)
        for own in [shares(found).iloc[0]]
    ]
    left_out = max((own.table.undefined.max() for own in multiverses if len(own.table)), default=0.0)
    caption = (
        "In how many readings each claim holds. For and against: the 95 % interval of the universe leaves out 0. All at once: a "
        "permutation test of the median effect over the readings in which both networks classify an image correctly. "
        f"Images left out of a reading because a value is not defined: at most {percent(left_out)}.{_lacking(multiverses)}"
    )
    return table(rows, name=name, caption=caption, missing="No reading was measured here.")


def _lacking(multiverses: Sequence[Multiverse]) -> str:
    """Which networks of the plan none of these claims has yet."""
    there = {name for own in multiverses for group in {"networks", "trios"} & {*own.table} for name in own.table[group]}
    asked = {c for own in multiverses for c in plan()["claims"][own.claim]["choices"]} & {"networks", "trios"}
    titles = [
        f"“{own['title']}”" for group in sorted(asked) for name, own in plan()[group].items() if name not in there
    ]
    return f" Planned and not measured for any of them yet: {'; '.join(titles)}." if titles else ""


def named_readings(multiverses: Sequence[Multiverse], *, name: str = "named-readings") -> Shown:
    """The universes that the plan named before they were measured (``anchors``): this book's other chapters, the scripts."""
    rows = []
    for found in multiverses:
        for title, options in plan()["anchors"].items():
            asked = [choice for choice in options if choice in found.table]
            same = (found.table[asked] == pd.Series(options)[asked]).all(axis=1)
            for row, verdict in zip(found.table[same].to_dict("records"), found.verdicts[same], strict=True):
                unit, own = unit_of(found), Estimate(row["effect"], row["low"], row["high"], row["n"])
                where = {"Claim": plan()["claims"][found.claim]["title"], "Reading of": title}
                where |= {"Networks": plan()["networks"][row["networks"]]["title"]}
                effect = f"{number(own.value, unit, signed=True)} {interval(own, unit, signed=True)} {unit}"
                rows.append(where | {"Effect": effect, "For or against": verdict})
    caption = "Two readings that the plan names, among all: how each claim fares in them, with 95 % intervals."
    return table(rows, name=name, caption=caption, missing="The named readings: not measured here.")


def specification_curve(found: Multiverse, *, name: str) -> Shown:
    """The effect of every universe, ranked, and below it where in the ranking each option lies."""
    if found.table.empty:
        return listed([sentence(found)])
    order = np.argsort(found.table.effect.to_numpy(), kind="stable")
    ranked, verdicts = found.table.iloc[order], found.verdicts.to_numpy()[order]
    unit, scale = unit_of(found), 1 if unit_of(found) == "Gini" else 100
    strips = {called(c): _strips(ranked, c) for c in deciding(found)}
    strips = {choice: own for choice, own in strips.items() if len(own) > 1}
    rows = sum(map(len, strips.values()))
    heights = [2.4, 0.2 * rows + 0.01]
    figure, (top, below) = plt.subplots(2, 1, figsize=(7, 2.6 + 0.2 * rows), height_ratios=heights, sharex=True)
    ranks = np.arange(len(ranked))
    band = {"color": "#DDDDDD", "lw": 0, "label": "95 % intervals", "rasterized": True}
    top.fill_between(ranks, scale * ranked.low, scale * ranked.high, **band)
    for verdict, colour in NAMES["reading_colours"].items():
        mine = verdicts == verdict
        label = f"{verdict} ({share_text(mine.mean())})"
        top.scatter(ranks[mine], scale * ranked.effect[mine], s=3, color=colour, rasterized=True, label=label)
    top.axhline(0, color="black", lw=0.8)
    top.set_ylabel(f"difference ({unit})")
    top.legend(loc="upper left", markerscale=3)
    _dashboard(below, strips, len(ranked))
    own = shares(found).iloc[0]
    caption = (
        f"{plan()['claims'][found.claim]['title']}: in {share_text(own['for'])} of {len(ranked):,} readings. Above, the effect in each, from the smallest to the "
        "largest; below, where in that order the readings with an option lie (dark: most of those at this place have it)."
    )
    low, high = (number(float(found.table.effect.quantile(q)), unit, signed=True) for q in (0.05, 0.95))
    alt = (
        f"Effects of {len(ranked):,} readings, 90 % of them from {low} to {high} {unit}; {share_text(own['for'])} for the claim, "
        f"{share_text(own.against)} against, {share_text(own.undecided)} undecided."
    )
    return drawn(figure, name=name, caption=caption, alt=alt)


def _strips(ranked: pd.DataFrame, choice: str) -> dict[str, np.ndarray]:
    """For each option of a choice: the share of the universes at each place of the ranking that have it."""
    column = with_maps(ranked)[choice]
    place = np.minimum(np.arange(len(ranked)) * BINS // max(len(ranked), 1), BINS - 1)
    counts = pd.crosstab(column, place).reindex(columns=range(BINS), fill_value=0)
    own = counts / counts.sum().clip(lower=1)
    return {titled(choice, option): own.loc[option].to_numpy() for option in in_order(choice, column)}


def in_order(choice: str, column: pd.Series) -> list[str]:
    """The options that occur, in the plan's order."""
    seen, choices = set(column), plan()["choices"]
    every = [f"{m}|{b}" for m in choices["method"] for b in choices["baseline"]] if choice == "map" else choices[choice]
    return [option for option in every if option in seen]


def titled(choice: str, option: str) -> str:
    """How an option is called; a map by its method and baseline."""
    if choice == "map":
        method, baseline = option.split("|")
        return f"{titled('method', method)}, {titled('baseline', baseline)}"
    return str(plan()["choices"][choice][option]["title"])


def _dashboard(axes: Axes, strips: dict[str, dict[str, np.ndarray]], count: int) -> None:
    labels, place = [], 0
    for options in strips.values():
        for name, own in options.items():
            relative = own / max(own.max(), 1e-9)
            extent = (0.0, float(count), place + 0.42, place - 0.42)
            axes.imshow(relative[None], aspect="auto", extent=extent, cmap="Greys", vmin=0, vmax=1)
            labels.append((place, name))
            place += 1
        axes.axhline(place - 0.5, color="black", lw=0.6)
    axes.set_yticks([at for at, _ in labels], [name for _, name in labels], fontsize=8)
    axes.set(ylim=(place - 0.5, -0.5), xlabel="readings, from the smallest effect to the largest", xlim=(0, count))
    axes.grid(False)


def by_option(found: Multiverse, choice: str) -> str:
    """In words: in which share of the readings with each option the claim holds, and in which it is contradicted."""
    said = [
        f"{titled(choice, str(option))}: {share_text(row['for'])} for, {share_text(row.against)} against"
        for option, row in shares(found, choice).iterrows()
    ]
    return f"{called(choice).capitalize()}: {'; '.join(said)}."


def what_decides(multiverses: Sequence[Multiverse], most: int = 2) -> Shown:
    """For each claim the choices that explain most of the effects' variance, with the share for each option."""
    sentences = []
    for found in (f for f in multiverses if len(f.table)):
        if parts := {c: f"({share_text(s)} of the variance)" for c, s in explained_variance(found).items()}:
            said = [f"{by_option(found, choice)} <small>{share}</small>" for choice, share in parts.items()]
            first, share = next(iter(parts.items()))
            title = f"{plan()['claims'][found.claim]['title']}: {called(first)} {share}"
            sentences.append(folded(title, "<br>".join(said[:most])))
    return listed(sentences or ["Not measured here."])


def option_table(found: Multiverse, *, name: str) -> Shown:
    """Every option of every choice: in how many readings with it the claim holds."""
    of = {choice: f" ({share_text(share)} of the variance)" for choice, share in explained_variance(found).items()}
    rows = [
        {
            "Option": titled(choice, str(option)),
            "Choice": called(choice) + of.get(choice, ""),
            "Readings": f"{row.universes:,.0f}",
            "For": share_text(row["for"]),
            "Against": share_text(row.against),
            "Median effect": number(row["median"], unit_of(found), signed=True),
        }
        for choice in (deciding(found) if len(found.table) else ())
        for option, row in shares(found, choice).iterrows()
    ]
    caption = f"{plan()['claims'][found.claim]['title']}, by option; effects in {unit_of(found)}."
    return table(rows, name=name, caption=caption, missing=sentence(found))


def closest_note(found: Closest, what: str, unit: str) -> Shown:
    """Which universe comes nearest to published values, and how near on images that did not choose it."""
    said = [
        f"{name.replace('other ', 'standard, ').replace('robust ', 'ℓ∞, ')}: paper {number(paper, unit)}, ours {number(ours, unit)}"
        for name, (paper, ours) in found.values.items()
    ]
    options = "; ".join(_option_title(choice, option) for choice, option in found.options.items())
    tolerance, words = (0.03, "0.03") if unit == "Gini" else (0.05, "5 points")
    verdict = f"meets all of them within {words}" if found.meets(tolerance) else f"does not meet all within {words}"
    sentence = (
        f"<strong>{what}: the nearest of {found.among:,} readings {verdict}</strong> (root mean square distance "
        f"{number(found.distance, unit)} on the half of the images that did not choose it, {number(found.chosen, unit)} on the "
        f"half that did). {'; '.join(said)}. It is: {options}."
    )
    return listed([sentence])


def _option_title(choice: str, option: str) -> str:
    if choice.startswith("reading"):  # of one column of Table 1
        kind = "values" if option in plan()["choices"]["values"] else "sign"
        return f"{choice.removeprefix('reading ')} column: {titled(kind, option)}"
    return titled(choice, option)


def chance_table(records: pd.DataFrame, *, resamples: int) -> Shown:
    """The index of a map, of its two factors and of its permutation, and how many of its values are small."""
    columns = {column: (title, "Gini") for column, title in NAMES["chance"].items()}
    columns |= {f"below_{100 * s:.0f}": (f"Below {100 * s:.0f} % of the largest", "%") for s in SMALL}
    caption = "Gini indices of |a|, and the share of small subpixels: Integrated Gradients from black, and what it is made of."
    return means_table(records, columns, name="chance", caption=caption, resamples=resamples)


def cascade_figure(records: pd.DataFrame, *, resamples: int) -> Shown:
    """The index as ever more layers are made random, from the output on."""
    figure, axes = plt.subplots(figsize=(6, 3.4))
    said = []
    for name, own in by_model(records):
        found = [mean(own, f"random_{100 * share:.0f}", resamples) for share in LAYERS]
        for share, index in zip(LAYERS, found, strict=True):
            dot(axes, index, 100 * share, name, upright=True, label=named(name) if share == 0 else None)
        axes.plot([100 * share for share in LAYERS], [e.value for e in found], color=look(name)["color"], lw=1)
        said.append(f"{named(name)}: {plain(found[0])} as trained, {plain(found[-1])} with every layer random")
    axes.set(xlabel="layers made random, from the output on (%)", ylabel="Gini index of |a|")
    axes.legend()
    caption = f"A network that has learnt nothing has an index, too. {'; '.join(said)} (n = {len(own)} images each)."
    return drawn(figure, name="cascade", caption=caption, alt=caption)


def packed_readings(found: Multiverse) -> dict[str, Any]:
    """One claim for the script: its choices, and the bytes of all combinations. ``found``: with those that coincide.

    For each combination of options, the last choice running fastest: the effect and the half width of its 95 % interval, two
    bytes in ``STEP`` units, compressed. A half width of ``EXCLUDED`` marks a combination that the plan excludes.
    """
    table, step = with_maps(found.table), STEP[unit_of(found)]
    options = {choice: in_order(choice, table[choice]) for choice in deciding(found)}
    options = {choice: own for choice, own in options.items() if len(own) > 1}
    measured = table.set_index(list(options))[["effect", "high"]]
    every = measured.reindex(list(product(*options.values())))
    effect, half = every.effect / step, (every.high - every.effect) / step
    packed = [effect.clip(-127, 127).round().fillna(0), half.clip(0, EXCLUDED - 1).round().fillna(EXCLUDED)]
    content = np.stack(packed, axis=1).astype(np.int16).astype(np.uint8).tobytes()
    return {
        "id": found.claim,
        "title": plan()["claims"][found.claim]["title"],
        "unit": unit_of(found),
        "step": 100 * step if unit_of(found) == "points" else step,
        "choices": [{"label": called(c), "options": [titled(c, o) for o in own]} for c, own in options.items()],
        "readings": b64encode(gzip.compress(content, 9, mtime=0)).decode(),
    }


def explorer(multiverses: Sequence[Multiverse]) -> Shown:
    """The page's own part: a claim and its choices as lists, the effect, and its place among all."""
    claims = [packed_readings(found) for found in multiverses if len(found.table)]
    content = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    html = (
        "<div class='readings'><p class='no-script'>With scripts on, you choose a reading here and see its effect.</p>"
        f"<script type='application/json'>{content}</script></div>"
    )
    return Shown(html, "In the book's page you choose a reading here and see its effect.")
