"""Figures and tables of the chapter on photographs: how effects move with the size, and a slice of all readings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..imagenette.resolution import FORMS, KINDS
from ..measure.galleries import first_successes, noisy_views, shared_images, views
from ..measure.multiverse import plan
from ..measure.panel import NOISE
from ..measure.run import Run
from ..networks import REGISTRY, named
from ..statistics import wilson
from ..training.floors import floor_of
from ..verdicts.comparison import Contrast, Contrasted
from ..verdicts.multiverse import sides, slice_effects
from .sliders import first_success_slider, maps_slider, noise_slider
from .style import Shown, drawn, listed, log_ticks, table
from .words import decided_sign, difference_cell, number, text_of, unit_for

NOISES = dict(zip(KINDS, ("noise at random places", "noise of type I", "noise of type II"), strict=True))


def resolution_contrasts(pairs: Mapping[int, Sequence[str]], budgets: Sequence[int]) -> list[Contrast]:
    """The second network of a pair minus the first, for each quantity of ``at_resolution``: at each side, from the smallest
    to the largest, and at the largest minus at the smallest."""

    def moving(label: str, column: str) -> Iterator[Contrast]:
        terms = [tuple((name, "", column) for name in reversed(pair)) for pair in pairs.values()]
        yield from (Contrast(label=label, terms=own) for own in terms)
        yield Contrast(label=label, terms=terms[-1] + terms[0])

    labels = {"global Gini index": "global_gini", "regional Gini index": "regional_gini"}
    for form in FORMS:
        for budget in budgets:
            labels |= {
                f"{noise}, {budget}, same {form}": f"failure_{kind}_{budget}_{form}" for kind, noise in NOISES.items()
            }
        labels[f"black patches, same {form}"] = f"fooled_{form}"
    return [contrast for label, column in labels.items() for contrast in moving(label, column)]


def resolution_figure(found: Sequence[Contrasted], pixels: Sequence[int], *, name: str) -> Shown:
    """Each effect against the side, with its interval: Gini indices, then rates with the same number and the same share; and
    a table of them, a row a quantity, a column a side, and the change from the first to the last. ``found``: as above."""
    rows = {label: list(items) for label, items in groupby(found, lambda item: item.contrast.label)}
    if not all(item.difference for item in found):
        return listed(["Resolution: not measured here."])
    parts = {"Gini": "Gini indices"} | {f"same {form}": f"the same {form} of subpixels" for form in FORMS}
    figure, panels = plt.subplots(1, 3, figsize=(11, 4.6))
    for axes, (part, heading) in zip(panels, parts.items(), strict=True):
        for label, items in rows.items():
            if part not in label:
                continue
            scale = 1 if unit_for(items[0].contrast) == "Gini" else 100
            shown = [item.difference for item in items[:-1] if item.difference]
            value, low, high = (scale * np.array([getattr(d, e) for d in shown]) for e in ("difference", "low", "high"))
            title = label.replace(f", {part}", "").replace(" Gini index", "")
            axes.errorbar(pixels, value, [value - low, high - value], label=title, marker="o", ms=5, capsize=3)
        axes.axhline(0, color="black", lw=0.8)
        log_ticks(axes, pixels)
        axes.set(title=heading, xlabel="side, pixels")
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    panels[0].set_ylabel("ℓ∞ network minus standard one")
    panels[1].set_ylabel("points")
    moved = {part: [items[-1] for label, items in rows.items() if part in label] for part in parts}
    counts = "; ".join(
        f"{title}: {sum(map(bool, map(decided_sign, moved[part])))} of {len(moved[part])}"
        for part, title in parts.items()
    )
    open_ = [item.difference for part in FORMS for item in moved[f"same {part}"] if not decided_sign(item)]
    widest = max((100 * abs(end) for item in open_ if item for end in (item.low, item.high)), default=0.0)
    caption = (
        f"How many effects are seen to change from {pixels[0]} to {pixels[-1]} pixels (adjusted p below 0.05): {counts}. The intervals of the other rates' "
        f"changes reach up to {widest:.0f} points. Bars: 95 % intervals over images; one training of each kind at each size."
    )
    alt = f"Three line charts of effects against the side; the table below has every value. Changed: {counts}."
    titles = [*(f"{side} pixels" for side in pixels), f"{pixels[-1]} minus {pixels[0]}"]
    cells = [{"": label} | dict(zip(titles, map(difference_cell, items), strict=True)) for label, items in rows.items()]
    title = "Each effect, the ℓ∞ network minus the standard one, by the size of the photographs."
    return drawn(figure, name=name, caption=caption, alt=alt) + table(cells, name=f"{name}-table", caption=title)


def networks_table(pairs: Mapping[int, Sequence[str]], *, name: str) -> Shown:
    """Accuracy of the networks of each side on the whole validation set, clean and under PGD-20 (n as registered), with floors."""
    rows = []
    for checkpoint in (checkpoint for pair in pairs.values() for checkpoint in pair):
        entry, floor = REGISTRY[checkpoint], floor_of(checkpoint)
        known = {"Clean": entry.test_clean, "PGD-20 at ℓ∞ 8/255": entry.test_robust["linf 8/255"]}
        row = {"": named(checkpoint)} | {k: text_of(wilson(a.correct, a.n), "%") for k, a in known.items()}
        asked = [f"{100 * value:.0f} %" for value in (floor.clean, floor.robust) if value] if floor else []
        rows.append(row | {"Floors": ", ".join(asked) or "—"})
    caption = (
        "The networks of this chapter. Below 224 pixels they do not ship; <code>inequality train</code> makes them."
    )
    return table(rows, name=name, caption=caption)


def lowest_margins(records: Mapping[str, pd.DataFrame]) -> list[int]:
    """The quarter of the images whose relative margin, the mean over the networks, is lowest; none without margins."""
    if "margins" not in records:
        return []
    margin = records["margins"].groupby("image_id").relative_margin.mean()
    return list(margin.index[margin <= margin.quantile(0.25)])


def seen(run: Run, ours: Run) -> Shown:
    """Sliders: maps, noise and occlusion on the first photograph of the first classes, with the rates of ``ours``."""
    if not run.data.is_here:
        return listed(["Photographs are shown where they are: `inequality data imagenette` fetches them."])
    few = shared_images(run, run.pair, classes=3)
    clean = {name: views(sample, sample.images) for name, sample in few.items()}
    maps = {"integrated_gradients": {name: sample.maps(seed=run.seed) for name, sample in few.items()}}
    caption = "Maps of Integrated Gradients, as they are and clipped, beside the photograph and what the network says."
    shown = maps_slider(clean, maps, name="16-maps", caption=caption, records=ours.records.get("inequality"))
    kind, two, budgets = "type I", {name: sample.at(slice(2)) for name, sample in few.items()}, ours.options["budgets"]
    noise = {kind: {n: noisy_views(sample, budgets, seed=run.seed, **NOISE[kind]) for n, sample in two.items()}}
    caption = "What both networks are fed and what they say, as the budget grows. One draw, clipped to what a screen can show."
    shown += noise_slider(noise, ours.records["noise"], name="16-noise-slider", caption=caption)
    (count, radius), color = ours.options["patches"][0], ours.options["colors"][0]
    found = {name: first_successes(sample, count, radius, color, seed=run.seed) for name, sample in few.items()}
    caption = f"Occlusion with at most {count} patches of radius at most {radius}."
    return shown + first_success_slider(clean, {color: found}, name="16-occluded", caption=caption)


def slice_table(records: pd.DataFrame | None, pair: Sequence[str], *, name: str) -> Shown:
    """A row a claim: in how many readings of the plan's slice it holds. ``records``: of ``imagenette.readings``."""
    found = pd.DataFrame() if records is None else slice_effects(records, pair)
    rows = []
    for claim, own in found.groupby("claim", sort=False) if len(found) else ():
        unit, counts = "Gini" if claim in ("index", "regional") else "points", sides(own).value_counts()
        low, middle, high = (number(float(own.effect.quantile(q)), unit, signed=True) for q in (0, 0.5, 1))
        row = {"Claim": plan()["claims"][claim]["title"], "Readings": len(own)}
        row |= {side.capitalize(): int(counts.get(side, 0)) for side in ("for", "against", "undecided")}
        rows.append(row | {"Median effect": f"{middle} {unit} <small>from {low} to {high}</small>"})
    images = int(found.n.max()) if len(found) else 0
    caption = f"In how many readings each claim holds on {images} photographs. For and against: the 95 % interval leaves out 0."
    return table(rows, name=name, caption=caption, missing="A slice of all readings: not measured here.")
