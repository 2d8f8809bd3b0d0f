"""All readings of a claim on one page: the specification curve, shares in words and by option, what decides."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..measure.chance import LAYERS, SMALL
from ..measure.multiverse import plan
from ..networks import named
from ..statistics import bootstrap_mean
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
from .style import Shown, boxed, dot, drawn, folded, listed, look, table
from .words import by_model, number, p_value, plain, text_of, verdict_badge

COLOURS = {"for": "#8C2D04", "undecided": "#BBBBBB", "against": "#0072B2"}
BINS = 150  # of the ranked universes, in the dashboard below the curve


def share_text(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"


def unit_of(found: Multiverse) -> str:
    return "Gini" if plan()["claims"][found.claim]["record"] == "index" else "points"


def readings_in_short(*groups: Sequence[Multiverse]) -> Shown:
    """The box on top: each claim, or several as one, with the share of readings that bear it out."""
    return boxed([sentence(*found) for found in groups])


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
    names = {"map": "which attribution map is taken", "count": "the number of patches", "radius": "the patches' size"}
    names |= {"images": "which images count", "networks": "the pair of networks", "sign": "the sign of a region"}
    names |= {"order": "the order of regions", "values": "which values are counted", "kind": "the kind of noise"}
    names |= {
        "noise": "the noise",
        "budget": "how many subpixels get noise",
        "output": "the output attributed",
        "trios": "the ℓ2 network",
    }
    names |= {"pixel_order": "the order of subpixels", "search": "the search", "patch": "the side of a patch"}
    return names.get(choice, f"the {choice}")


def overview(multiverses: Sequence[Multiverse], *, name: str = "readings") -> Shown:
    """A row a claim: shares, median effect, and the joint permutation test."""
    rows = []
    for found in (f for f in multiverses if len(f.table)):
        own, unit = shares(found).iloc[0], unit_of(found)
        rows.append(
            {
                "Claim": plan()["claims"][found.claim]["title"],
                "Readings": f"{len(found.table):,} of {len(universes(found.claim)):,}",
                "For": f"{share_text(own['for'])}",
                "Against": f"{share_text(own.against)}",
                "Undecided": f"{share_text(own.undecided)}",
                "Median effect": f"{number(own['median'], unit, signed=True)} {unit}",
                "All at once": p_value(permutation(found)) if found.differences else "—",
            }
        )
    caption = (
        "In how many readings each claim holds. For and against: the 95 % interval of the universe leaves out 0. All at once: a "
        f"permutation test of the median effect over the readings in which both networks classify an image correctly. {_missing(multiverses)}"
    )
    return table(rows, name=name, caption=caption, missing="No reading was measured here.")


def _missing(multiverses: Sequence[Multiverse]) -> str:
    """Which networks of the plan these claims still lack."""
    there = pd.concat(
        [own.table.get(group, pd.Series(dtype=str)) for own in multiverses for group in ("networks", "trios")]
    )
    asked = {c for own in multiverses for c in plan()["claims"][own.claim]["choices"]} & {"networks", "trios"}
    lacking = [o["title"] for group in sorted(asked) for name, o in plan()[group].items() if name not in set(there)]
    return f"Planned and not measured for any of them yet: {'; '.join(lacking)}." if lacking else ""


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
    figure, (top, below) = plt.subplots(
        2, 1, figsize=(7, 2.6 + 0.2 * rows), height_ratios=[2.4, 0.2 * rows + 0.01], sharex=True
    )
    ranks = np.arange(len(ranked))
    top.fill_between(
        ranks, scale * ranked.low, scale * ranked.high, color="#DDDDDD", lw=0, label="95 % intervals", rasterized=True
    )
    for verdict, colour in COLOURS.items():
        mine = verdicts == verdict
        top.scatter(
            ranks[mine],
            scale * ranked.effect[mine],
            s=3,
            color=colour,
            rasterized=True,
            label=f"{verdict} ({share_text(mine.mean())})",
        )
    top.axhline(0, color="black", lw=0.8)
    top.set_ylabel(f"difference ({unit})")
    top.legend(loc="upper left", markerscale=3)
    _dashboard(below, strips, len(ranked))
    own, facts = shares(found).iloc[0], plan()["claims"][found.claim]
    caption = (
        f"{facts['title']}: in {share_text(own['for'])} of {len(ranked):,} readings. Above, the effect in each, from the smallest to the "
        "largest; below, where in that order the readings with an option lie (dark: most of those at this place have it)."
    )
    low, high = (number(float(found.table.effect.quantile(q)), unit, signed=True) for q in (0.05, 0.95))
    alt = (
        f"Effects of {len(ranked):,} readings, 90 % of them from {low} to {high} {unit}; {share_text(own['for'])} for the claim, "
        f"{share_text(own.against)} against, {share_text(own.undecided)} undecided. {_extremes(found)}"
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


def _extremes(found: Multiverse) -> str:
    parts = explained_variance(found)
    return " ".join(by_option(found, choice) for choice in list(parts)[:1])


def by_option(found: Multiverse, choice: str) -> str:
    """In words: in which share of the readings with each option the claim holds, and in which it is contradicted."""
    own = shares(found, choice) if choice != "map" else shares(_mapped(found), "map")
    said = [
        f"{titled(choice, str(option))}: {share_text(row['for'])} for, {share_text(row.against)} against"
        for option, row in own.iterrows()
    ]
    return f"{called(choice).capitalize()}: {'; '.join(said)}."


def _mapped(found: Multiverse) -> Multiverse:
    return Multiverse(found.claim, with_maps(found.table), found.differences)


def what_decides(multiverses: Sequence[Multiverse], most: int = 2) -> Shown:
    """For each claim the choices that explain most of the effects' variance, with the share for each option."""
    sentences = []
    for found in (f for f in multiverses if len(f.table)):
        parts = explained_variance(found)
        said = [
            f"{by_option(found, choice)} <small>({share_text(share)} of the variance)</small>"
            for choice, share in parts.items()
        ]
        if said:
            first = next(iter(parts))
            title = f"{plan()['claims'][found.claim]['title']}: {called(first)} ({share_text(parts[first])} of the variance)"
            sentences.append(folded(title, "<br>".join(said[:most])))
    return listed(sentences or ["Not measured here."])


def option_table(found: Multiverse, *, name: str) -> Shown:
    """Every option of every choice: in how many readings with it the claim holds."""
    parts, rows = explained_variance(found), []
    for choice in deciding(found) if len(found.table) else ():
        own = shares(_mapped(found) if choice == "map" else found, choice)
        for option, row in own.iterrows():
            rows.append(
                {
                    "Option": titled(choice, str(option)),
                    "Choice": called(choice)
                    + (f" ({share_text(parts[choice])} of the variance)" if choice in parts else ""),
                    "Readings": f"{row.universes:,.0f}",
                    "For": f"{share_text(row['for'])}",
                    "Against": f"{share_text(row.against)}",
                    "Median effect": number(row["median"], unit_of(found), signed=True),
                }
            )
    caption = f"{plan()['claims'][found.claim]['title']}, by option; effects in {unit_of(found)}."
    return table(rows, name=name, caption=caption, missing=sentence(found))


def closest_note(found: Closest, what: str, unit: str) -> Shown:
    """Which universe comes nearest to published values, and how near on images that did not choose it."""
    names = {"other": "standard", "robust": "ℓ∞"}
    said = [
        f"{names[role]}, {rest}: paper {number(paper, unit)}, ours {number(ours, unit)}"
        for (role, rest), (paper, ours) in ((name.split(" ", 1), pair) for name, pair in found.values.items())
    ]
    options = "; ".join(_option_title(choice, option) for choice, option in found.options.items())
    tolerance, words = (0.03, "0.03") if unit == "Gini" else (0.05, "5 points")
    verdict = f"meets all of them within {words}" if found.meets(tolerance) else f"does not meet all within {words}"
    return listed(
        [
            f"<strong>{what}: the nearest of {found.among:,} readings {verdict}</strong> (root mean square distance "
            f"{number(found.distance, unit)} on the half of the images that did not choose it, {number(found.chosen, unit)} on the "
            f"half that did). {'; '.join(said)}. It is: {options}."
        ]
    )


def _option_title(choice: str, option: str) -> str:
    if choice.startswith("reading"):
        kind = "values" if option in plan()["choices"]["values"] else "sign"
        return f"{choice.removeprefix('reading ')} column: {titled(kind, option)}"
    return titled(choice, option)


def chance_table(records: pd.DataFrame, *, resamples: int) -> Shown:
    """The index of a map, of its two factors and of its permutation, and how many of its values are small."""
    columns = {
        "measured": "Map",
        "step": "|x − x′| alone",
        "gradient": "Gradient alone",
        "regional": "Regions",
        "regional_permuted": "Regions, permuted",
        **{f"below_{100 * share:.0f}": f"Below {100 * share:.0f} % of the largest" for share in SMALL},
    }
    rows = [
        {"": named(name)}
        | {
            title: text_of(bootstrap_mean(own[c].to_numpy(float), resamples=resamples), _kind(c))
            for c, title in columns.items()
        }
        for name, own in by_model(records)
    ]
    caption = "Gini indices of |a|, and the share of small subpixels: Integrated Gradients from black, and what it is made of."
    return table(rows, name="chance", caption=caption)


def _kind(column: str) -> str:
    return "%" if column.startswith("below") else "Gini"


def cascade_figure(records: pd.DataFrame, *, resamples: int) -> Shown:
    """The index as ever more layers are made random, from the output on."""
    figure, axes = plt.subplots(figsize=(6, 3.4))
    said = []
    for name, own in by_model(records):
        found = [
            bootstrap_mean(own[f"random_{100 * share:.0f}"].to_numpy(float), resamples=resamples) for share in LAYERS
        ]
        for share, estimate in zip(LAYERS, found, strict=True):
            dot(axes, estimate, 100 * share, name, upright=True, label=named(name) if share == 0 else None)
        axes.plot([100 * share for share in LAYERS], [e.value for e in found], color=look(name)["color"], lw=1)
        said.append(f"{named(name)}: {plain(found[0])} as trained, {plain(found[-1])} with every layer random")
    axes.set(xlabel="layers made random, from the output on (%)", ylabel="Gini index of |a|")
    axes.legend()
    caption = f"A network that has learnt nothing has an index, too. {'; '.join(said)} (n = {len(own)} images each)."
    return drawn(figure, name="cascade", caption=caption, alt=caption)
