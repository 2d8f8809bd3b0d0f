"""A slice of all readings on photographs of 224 pixels: ``at_224_pixels`` of ``results/multiverse.yaml``."""

from itertools import product
from typing import Any

import torch

from ..attacks import Color, Kind, grid_outcomes, noise_outcomes
from ..measure.measurements import Conditions, attacked
from ..measure.multiverse import index_readings, plan
from ..measure.run import Run
from ..measure.sample import Columns, Sample

SEARCHES = {"best": lambda fooled: fooled.flatten(1).any(1), "largest": lambda fooled: fooled[:, -1, -1]}


def measure_slice(run: Run) -> None:
    """The record ``readings`` of the run's pair, on the first ``slice_images`` (an option; 0: none) of the common subset."""
    if count := run.options["slice_images"]:
        asked = plan()["at_224_pixels"]
        chosen = {name: asked[name] for name in ("order", "kind", "budget", "color", "count", "radius")}
        run.measure(readings, maps_of_the_slice(), models=run.pair, n_images=count, seed=run.seed, **chosen)


def maps_of_the_slice() -> Conditions:
    """The slice's attribution maps, by "method|baseline": arguments of ``readings``."""
    found = {}
    for name in plan()["at_224_pixels"]["maps"]:
        method, baseline = name.split("|")
        found[name] = {"attribution": plan()["choices"]["baseline"][baseline]["options"] | {"method": method}}
    return found


def readings(
    sample: Sample,
    *,
    attribution: dict[str, Any],
    order: list[str],
    kind: list[Kind],
    budget: list[int],
    color: list[Color],
    count: list[int],
    radius: int,
    seed: int,
) -> Columns:
    """Every reading of a map, a column each, named after its claim: "index|...", "noise|...", "patches|...".

    The Gini indices are those of ``multiverse.index_readings``; the others say whether the network was fooled, by one draw of
    noise or by a mask of patches. ``close_call``: a margin too small to be trusted in some prediction.
    """
    found = index_readings(sample, attribution=attribution, draws=1, seed=seed, plan_id="")
    columns: Columns = {f"index|{name}": values for name, values in found.items()}
    maps, close = sample.maps(**attribution, seed=seed), torch.zeros(len(sample.ids), dtype=torch.bool)
    for by in order:
        own = maps.abs() if by == "absolute" else maps
        for one in kind:
            noisy = noise_outcomes(*attacked(sample), own, budget, one, seed, draws=1, ids=sample.ids)
            columns |= {f"noise|{by}|{one}|{k}": noisy.fooled[:, i, 0] for i, k in enumerate(budget)}
            close[list(noisy.close_calls)] = True
        for fill in color:
            grid = grid_outcomes(*attacked(sample), own, max(count), radius, fill, ids=sample.ids, progress=True)
            fooled = grid.fooled.cpu()
            close |= (grid.close.flatten(1).any(1) | grid.close_at_start).cpu()
            for (search, outcome), n in product(SEARCHES.items(), count):
                columns[f"patches|{by}|{fill}|{search}|{n}"] = outcome(fooled[:, :n])
    return columns | {"close_call": close}
