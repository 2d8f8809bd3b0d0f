"""Figures with sliders that need no kernel: every state is in the page, and a slider shows the one at its place.

The script is book/static/sliders.js. Without it the first state is shown, and a table holds the numbers of all states.
"""

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ..inequality import global_gini, top_share
from ..measure.galleries import View, clipped
from ..networks import named
from ..statistics import wilson
from .style import Shown, table
from .words import mean, number, percent, plain, rate

LOSSLESS = 64  # pixels a side; larger pictures are compressed, or a page would not load
TOP = 0.05  # share of the subpixels whose part of the importance is shown


@dataclass(frozen=True)
class Axis:
    """One slider: what it moves and the names of its stops."""

    label: str
    stops: Sequence[str]
    start: int = 0


@dataclass(frozen=True)
class Part:
    """A piece of a panel, shown while every axis named in ``at`` stands at that stop."""

    html: str
    at: Mapping[str, int] = field(default_factory=dict)


def slider(
    axes: Mapping[str, Axis], panels: Mapping[str, Sequence[Part]], values: pd.DataFrame, *, name: str, caption: str
) -> Shown:
    """A figure of titled panels whose parts change with the sliders, and all its numbers as a table to unfold.

    ``axes``: by the key that parts name. A panel whose title begins with "numbers" is read aloud when it changes.
    Raises ``ValueError`` for a part at an unknown axis or stop.
    """
    for part in (part for parts in panels.values() for part in parts):
        if wrong := [key for key, stop in part.at.items() if key not in axes or not 0 <= stop < len(axes[key].stops)]:
            raise ValueError(f"slider {name}: no such place: {', '.join(f'{key} {part.at[key]}' for key in wrong)}")
    moving = {key: axis for key, axis in axes.items() if len(axis.stops) > 1}
    controls = "".join(_control(f"{name}-{key}", key, axis) for key, axis in moving.items())
    boxes = "".join(_panel(title, parts, moving) for title, parts in panels.items())
    unfolded = table(values, name=f"{name}-values", caption="All values of this figure.")
    start = ", ".join(f"{axis.label} {axis.stops[axis.start]}" for axis in axes.values())
    body = (
        f"<figure id='fig-{name}' class='measured slider' data-slider>"
        f"<div class='slider-controls' hidden>{controls}</div><div class='slider-panels'>{boxes}</div>"
        f"<figcaption>{caption}<span class='slider-start'> Shown: {html.escape(start)}.</span></figcaption>"
        f"<details class='slider-values'><summary>All values as a table</summary>{unfolded.html}</details></figure>"
    )
    return Shown(body, f"{caption}\n{values.to_string(index=False)}")


def _control(identity: str, key: str, axis: Axis) -> str:
    stops = html.escape("|".join(axis.stops), quote=True)
    return (
        f"<label for='{identity}'>{axis.label}</label><input type='range' id='{identity}' name='{key}' min='0' "
        f"max='{len(axis.stops) - 1}' step='1' value='{axis.start}' data-stops='{stops}' autocomplete='off' "
        f"aria-valuetext='{html.escape(axis.stops[axis.start], quote=True)}'>"
        f"<output for='{identity}'>{html.escape(axis.stops[axis.start])}</output>"
    )


def _panel(title: str, parts: Sequence[Part], axes: Mapping[str, Axis]) -> str:
    live, shown = " aria-live='polite'" if title.lower().startswith("numbers") else "", ""
    for part in parts:
        at = {key: stop for key, stop in part.at.items() if key in axes}
        hidden = "" if all(axes[key].start == stop for key, stop in at.items()) else " hidden"
        shown += f"<div data-when='{' '.join(f'{key}={stop}' for key, stop in at.items())}'{hidden}>{part.html}</div>"
    return f"<div class='slider-panel'{live}><p class='slider-title'>{title}</p>{shown}</div>"


def picture(pixels: Float[Tensor, "3 h w"], alt: str) -> str:
    """An image in [0, 1] (values outside are cut off, as a screen does) as HTML, shown with crisp pixels."""
    return _encoded((pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy(), alt)


def importance(attribution: Float[Tensor, "3 h w"], alt: str) -> str:
    """The size of an attribution map, |a| summed over channels, from 0 (black) to its maximum (light yellow)."""
    size = attribution.abs().sum(0).cpu().numpy()
    return _encoded((matplotlib.colormaps["magma"](size / size.max())[..., :3] * 255).round().astype(np.uint8), alt)


def _encoded(pixels: UInt8[np.ndarray, "h w 3"], alt: str) -> str:
    buffer = BytesIO()
    height, width = pixels.shape[:2]
    small = max(height, width) <= LOSSLESS
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=small, quality=100 if small else 80, method=4)
    source = f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
    shown, kind = (128, "pixels") if small else (height, "pixels large")
    side = f"width='{shown * width // height}' height='{shown}'"
    return f"<img class='{kind}' src='{source}' alt='{html.escape(alt, quote=True)}' {side}>"


def _seen(view: View, what: str, **at: int) -> Part:
    """A picture with the network's guess below."""
    says, mark = f"{view.guess}, {view.confidence:.0%}", "fooled" if view.fooled else "right"
    alt = f"{' '.join([view.label, what]).strip()}; {named(view.checkpoint)} says {says}"
    guess = f"<p class='guess {mark}'>{says}{' — fooled' if view.fooled else ''}</p>"
    return Part(picture(view.image, alt) + guess, at)


def _all_seen(clean: Mapping[str, Sequence[View]], models: Sequence[str]) -> list[Part]:
    return [_seen(view, "", model=m, image=i) for m, name in enumerate(models) for i, view in enumerate(clean[name])]


def _image_axis(seen: Sequence[View]) -> Axis:
    return Axis("Image", [f"{view.label} (test image {view.image_id})" for view in seen])


def maps_slider(
    clean: Mapping[str, Sequence[View]],
    maps: Mapping[str, Mapping[str, Float[Tensor, "n 3 h w"]]],
    *,
    name: str,
    caption: str,
    records: pd.DataFrame | None = None,
) -> Shown:
    """Attribution maps by image, network and method, as they are and clipped at three standard deviations.

    ``maps``: method -> network -> maps, the networks in the order of the slider; ``clean``: their views of the same images.
    ``records``: of ``measurements.inequality`` under the same method, for the mean beside each image's own index.
    """
    models = list(next(iter(maps.values())))
    axes = {
        "model": Axis("Network", [named(m) for m in models], len(models) - 1),
        "image": _image_axis(clean[models[0]]),
        "method": Axis("Attribution method", [m.replace("_", " ") for m in maps]),
    }
    panels = {"image": _all_seen(clean, models), "attribution map": [], "the same, clipped at 3σ": [], "numbers": []}
    rows = []
    for (m, model), (k, method) in product(enumerate(models), enumerate(maps)):
        found, cut = maps[method][model], clipped(maps[method][model])
        size = found.abs().flatten(1)
        shares = top_share(size, [round(TOP * size.shape[1])])[:, 0].tolist()
        own = pd.DataFrame() if records is None else records[records.checkpoint == model]
        measured = {f"mean of {len(own)} images": plain(mean(own, "global_gini"))} if len(own) else {}
        numbers = zip(global_gini(found).tolist(), global_gini(cut).tolist(), shares, strict=True)
        for i, (gini, after, share) in enumerate(numbers):
            place, label = {"model": m, "image": i, "method": k}, clean[model][i].label
            words = f"of {named(model)} for the {label}: Gini index {gini:.3f}"
            alts = f"Map {words}", f"Clipped map {words}, {after:.3f} after clipping"
            panels["attribution map"].append(Part(importance(found[i], alts[0]), place))
            panels["the same, clipped at 3σ"].append(Part(importance(cut[i], alts[1]), place))
            facts = {"Gini index": number(gini), "Gini index, clipped": number(after)}
            facts["Top 5 % of subpixels carry"] = percent(share)
            panels["numbers"].append(Part(_facts(facts | measured), place))
            rows.append({"Network": named(model), "Image": label, "Method": axes["method"].stops[k]} | facts)
    return slider(axes, panels, pd.DataFrame(rows), name=name, caption=caption)


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items()) + "</dl>"


def noise_slider(
    noisy: Mapping[str, Mapping[str, Mapping[int, Sequence[View]]]], records: pd.DataFrame, *, name: str, caption: str
) -> Shown:
    """Inductive noise by budget, places and image, under each network.

    ``noisy``: condition -> network -> budget -> views; ``records``: of ``measurements.noise`` with these conditions.
    """
    conditions, models = list(noisy), list(next(iter(noisy.values())))
    budgets = list(noisy[conditions[0]][models[0]])
    seen = noisy[conditions[0]][models[0]][budgets[0]]
    axes = {
        "budget": Axis(f"Noisy subpixels of {seen[0].image.numel()}", [str(k) for k in budgets], len(budgets) // 2),
        "kind": Axis("Noise", conditions),
        "image": _image_axis(seen),
    }
    panels: dict[str, list[Part]] = {title: [] for title in [*map(named, models), "numbers"]}
    rows = []
    for (c, condition), (b, budget) in product(enumerate(conditions), enumerate(budgets)):
        rates, what = {}, f"with {condition} noise on {budget} subpixels"
        for model in models:
            views = enumerate(noisy[condition][model][budget])
            panels[named(model)] += [_seen(view, what, budget=b, kind=c, image=i) for i, view in views]
            chosen = records[(records.checkpoint == model) & (records.condition == condition)]
            rates[f"{named(model)} fails"] = rate(mean(chosen, f"failure_{budget}"))
        panels["numbers"].append(Part(_facts(rates), {"budget": b, "kind": c}))
        rows.append({"Noisy subpixels": str(budget), "Noise": condition} | rates)
    return slider(axes, panels, pd.DataFrame(rows), name=name, caption=caption)


def occlusion_slider(
    occluded: Mapping[str, Mapping[tuple[int, int], Sequence[View]]], located: pd.DataFrame, *, name: str, caption: str
) -> Shown:
    """Inductive occlusion by number of patches, radius and image, under each network.

    ``occluded``: network -> (n, r) -> views; ``located``: of ``measurements.occlusion`` with ``locate=True``, at the same
    budget: the share of images that Algorithm 1 has fooled by the time it has tried the mask (n, r).
    """
    models = list(occluded)
    masks = list(occluded[models[0]])
    counts, radii = sorted({n for n, _ in masks if n}), sorted({r for _, r in masks})
    clean = occluded[models[0]][0, 0]
    axes = {
        "count": Axis("Patches n", [str(n) for n in counts], min(2, len(counts) - 1)),
        "radius": Axis("Radius r, pixels", [str(r) if r else "none" for r in radii], min(2, len(radii) - 1)),
        "image": _image_axis(clean),
    }
    panels: dict[str, list[Part]] = {title: [] for title in [*map(named, models), "numbers"]}
    rows = []
    for count, radius in masks:
        at = {"radius": radii.index(radius)} | ({"count": counts.index(count)} if count else {})
        rates = {f"{named(model)} fooled so far": _fooled_so_far(located, model, count, radius) for model in models}
        for i in range(len(clean)):
            facts = {}
            for model in models:
                view = occluded[model][count, radius][i]
                panels[named(model)].append(_seen(view, f"with {view.pixels} pixels hidden", **at, image=i))
                facts[f"hidden by the map of {named(model)}"] = f"{view.pixels} of {view.image[0].numel()} pixels"
            panels["numbers"].append(Part(_facts(facts | rates), at | {"image": i}))
        rows.append({"Patches n": str(count), "Radius r": str(radius)} | rates)
    return slider(axes, panels, pd.DataFrame(rows), name=name, caption=caption)


def _fooled_so_far(located: pd.DataFrame, model: str, count: int, radius: int) -> str:
    """Images whose first success, in Algorithm 1's order (n outer, r inner), is not later than (n, r)."""
    rows = located[located.checkpoint == model]
    early = (rows["count"] < count) | ((rows["count"] == count) & (rows.radius <= radius))
    return rate(wilson(int((rows.fooled & early).sum()), len(rows)))


def first_success_slider(
    clean: Mapping[str, Sequence[View]], found: Mapping[str, Mapping[str, Sequence[View]]], *, name: str, caption: str
) -> Shown:
    """Algorithm 1's first success by network, colour and image: before, after, and what the network says of both.

    ``clean``: network -> views; ``found``: colour -> network -> views.
    """
    colors, models = list(found), list(clean)
    axes = {
        "model": Axis("Network", [named(m) for m in models], len(models) - 1),
        "color": Axis("Patches", colors),
        "image": _image_axis(clean[models[0]]),
    }
    panels: dict[str, list[Part]] = {"before": _all_seen(clean, models), "after": [], "numbers": []}
    rows = []
    for (m, model), (c, color) in product(enumerate(models), enumerate(colors)):
        for i, (before, view) in enumerate(zip(clean[model], found[color][model], strict=True)):
            at = {"model": m, "color": c, "image": i}
            panels["after"].append(_seen(view, f"with {view.pixels} pixels {color}", **at))
            patches = f"{view.count} patches of radius {view.radius}" if view.fooled else "no mask succeeds"
            facts = {"first success": patches, "hidden": f"{view.pixels} of {view.image[0].numel()} pixels"}
            panels["numbers"].append(Part(_facts(facts), at))
            said = {"Says before": before.guess, "Says after": view.guess}
            rows.append({"Network": named(model), "Patches": color, "Image": view.label} | said | facts)
    return slider(axes, panels, pd.DataFrame(rows), name=name, caption=caption)
