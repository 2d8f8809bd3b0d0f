"""Every defensible reading: the plan in ``results/multiverse.yaml``, and the records from which all its universes follow.

A record has a row for each network, map and image, and keeps the outcome of every attack as a bit, so that attributions
and predictions are shared between universes.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, product
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Bool, Float32
from torch import Tensor

from .._support import paths
from ..attacks import Color, grid_outcomes, noise_outcomes
from ..inequality import region_sums
from ..networks import REGISTRY
from .measurements import Conditions, attacked, gini_or_nan
from .run import Run
from .sample import Columns, Measuring, Sample, measure

DECISIVE = ("options", "with", "draws", "sides")  # of an option; its title and reason decide no value


@cache
def plan() -> dict[str, Any]:
    """The committed plan. ``ValueError`` names an option without a reason, or one that an option or a claim goes with and
    that does not exist."""
    found: dict[str, Any] = yaml.safe_load(paths.MULTIVERSE.read_text("utf-8"))
    choices = found["choices"] | {"networks": found["networks"], "trios": found["trios"]}
    for choice, options in choices.items():
        for name, option in options.items():
            if not option.get("why"):
                raise ValueError(f"{paths.MULTIVERSE.name}: {choice} {name} has no reason")
            if unknown := set(option) - {"title", "why", *DECISIVE} if choice in found["choices"] else ():
                keys = ", ".join(map(str, unknown))
                raise ValueError(f"{paths.MULTIVERSE.name}: {choice} {name} has the unknown key {keys}")
            _known(choices, f"{choice} {name}", option.get("with", {}))
    for claim, facts in found["claims"].items():
        _known(choices, f"the claim {claim}", {name: [] for name in facts["choices"]} | facts.get("only", {}))
    return found | {"choices": choices}


def _known(choices: dict[str, dict[str, Any]], who: str, named: dict[str, list[str]]) -> None:
    for choice, options in named.items():
        if unknown := [choice] if choice not in choices else set(options) - set(choices[choice]):
            raise ValueError(f"{paths.MULTIVERSE.name}: {who} names {', '.join(sorted(unknown))}, which is no option")


def digest() -> str:
    """What identifies the plan's options, whatever they are called and why, and whichever networks are measured."""
    decisive = {name: plan()[name] for name in ("images", "max_count", "sides", "seed")}
    options = {
        choice: {name: {key: option[key] for key in DECISIVE if key in option} for name, option in own.items()}
        for choice, own in plan()["choices"].items()
        if choice not in ("networks", "trios")
    }
    claims = {name: [claim[key] for key in ("choices", "only")] for name, claim in plan()["claims"].items()}
    text = json.dumps([decisive, options, claims], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def planned_networks() -> list[str]:
    """All networks of the plan, measured or not."""
    groups, roles = [*plan()["networks"].values(), *plan()["trios"].values()], ("standard", "robust", "other")
    return list(dict.fromkeys(group[role] for group in groups for role in roles if role in group))


def goes_with(option: dict[str, Any], chosen: dict[str, str]) -> bool:
    """Whether an option may be combined with those ``chosen`` of other choices."""
    return all(chosen[name] in allowed for name, allowed in option.get("with", {}).items() if name in chosen)


def map_conditions(record: str, count: int | None = None) -> Conditions:
    """The maps that a record needs, or the first ``count``, by "method|baseline|output": arguments of measuring functions."""
    choices = plan()["choices"]
    claims = [claim for claim in plan()["claims"].values() if claim["record"] == record]
    wanted: Conditions = {}
    for method, baseline, output in product(choices["method"], choices["baseline"], choices["output"]):
        chosen, start = {"method": method, "baseline": baseline, "output": output}, choices["baseline"][baseline]
        asked = any(all(chosen[c] in claim["only"].get(c, [chosen[c]]) for c in chosen) for claim in claims)
        if asked and goes_with(start, chosen):
            options = start["options"] | {"method": method, "output": output}
            wanted["|".join(chosen.values())] = {"attribution": options, "draws": start.get("draws", 1)}
    return dict(islice(wanted.items(), count))


def measure_multiverse(run: Run) -> None:
    """The records ``right``, ``index``, ``noise``, ``random_noise`` and ``occlusion``, of the first images of the test set.

    The run's options: ``occlusion_images``, at most so many for patches; ``maps`` and ``attacked_maps``, how many of the
    plan's (null: all); ``attacked``, how many of the networks are attacked. ``right``: which images each network of the plan
    classifies correctly; only these are attacked.
    """
    options, n, known = run.options, run.n_images, [name for name in planned_networks() if name in REGISTRY]
    some: dict[str, Any] = {"models": run.models[: options["attacked"]], "only_right": True}
    few = min(n, options["occlusion_images"])
    _record(run, right, "right", n, models=known)
    _record(run, index_readings, "index", n, map_conditions("index", options["maps"]))
    _record(run, noise_readings, "noise", n, map_conditions("noise", options["attacked_maps"]), **some)
    _record(run, random_noise, "random_noise", n, **some)
    _record(run, patch_readings, "occlusion", few, map_conditions("occlusion", options["attacked_maps"]), **some)


def _record(
    run: Run, function: Measuring, name: str, n: int, conditions: Conditions | None = None, *,
    models: Sequence[str] | None = None, only_right: bool = False,
) -> None:  # fmt: skip
    frames = []
    for checkpoint in run.models if models is None else models:
        sample = run.test_images(checkpoint, n)
        if only_right:
            sample = sample.at(np.flatnonzero(right(sample, plan_id=digest(), seed=run.seed)["right"]).tolist())
        for condition, further in (conditions or {"": {}}).items():
            table = measure(function, sample, run, seed=run.seed, plan_id=digest(), **further)
            frames.append(table.assign(condition=condition))
    run.record(name, pd.concat(frames, ignore_index=True).assign(plan=digest()))


def right(sample: Sample, *, plan_id: str, seed: int) -> Columns:
    """Which images the network classifies correctly."""
    kept = sample.data.correct(sample.checkpoint, sample.model, sample.ids, sample.images.device)
    return {"right": np.isin(sample.ids, kept)}


def maps_of(sample: Sample, attribution: dict[str, Any], draws: int, seed: int) -> Float32[Tensor, "n 3 h w"]:
    """Attribution maps, averaged over ``draws`` seeds of their baseline."""
    drawn = [sample.maps(**attribution, seed=seed + draw) for draw in range(draws)]
    return torch.stack(drawn).mean(0) if draws > 1 else drawn[0]


def index_readings(sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str) -> Columns:
    """The Gini index of a map in every reading of the plan, a column each, in float32; NaN where nothing of a map is left."""
    maps = maps_of(sample, attribution, draws, seed).double()
    pixels, blocks = maps.sum(1, keepdim=True), region_sums(maps, sample.data.region)
    values = {
        "absolute": maps.abs(),
        "positive": maps.clamp_min(0),
        "channels": maps.abs().sum(1),
        "net": pixels.abs(),
        "sum_of_absolute": region_sums(maps.abs(), sample.data.region),
        "sum_of_positive": region_sums(maps.clamp_min(0), sample.data.region),
        "positive_of_sum": blocks.clamp_min(0),
        "absolute_of_sum": blocks.abs(),
    }
    return {name: gini_or_nan(own.flatten(1)).float().cpu().numpy() for name, own in values.items()}


def noise_readings(sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str) -> Columns:
    """Which budgets of noise fool the network, in every reading: columns "order|kind|noise", a bit a budget; ``close_call``."""
    maps = maps_of(sample, attribution, draws, seed)
    return _noise(sample, {"signed|": maps, "absolute|": maps.abs()}, seed)


def random_noise(sample: Sample, *, seed: int, plan_id: str) -> Columns:
    """The same at random places of each image: columns "kind|noise"."""
    return _noise(sample, {"": sample.images}, seed, positions="random")


def _noise(sample: Sample, orders: dict[str, Tensor], seed: int, **positions: Any) -> Columns:
    choices, columns, close = plan()["choices"], Columns(), np.zeros(len(sample.ids), bool)
    for (order, maps), kind, (noise, option) in product(orders.items(), choices["kind"], choices["noise"].items()):
        options = option["options"] | positions | {"draws": 1, "ids": sample.ids}
        found = noise_outcomes(*attacked(sample), maps, [*map(int, choices["budget"])], kind, seed, **options)
        columns[f"{order}{kind}|{noise}"] = packed(found.fooled[:, :, 0])
        close[list(found.close_calls)] = True
    return columns | {"close_call": close}


def patch_readings(sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str) -> Columns:
    """Which masks fool the network, in every reading: columns "order|colour", a bit a mask, sides inner; ``close_call``."""
    maps, columns, close = maps_of(sample, attribution, draws, seed), Columns(), np.zeros(len(sample.ids), bool)
    grid: Any = {"max_count": plan()["max_count"], "sides": plan()["sides"], "ids": sample.ids, "progress": True}
    for order, color in patch_columns(attribution["method"]):
        ranked = {"absolute": maps.abs(), "positive": maps.clamp_min(0)}.get(order, maps)
        positions = "top_pixels" if order == "pixels" else "regional"
        found = grid_outcomes(*attacked(sample), ranked, color=color, positions=positions, **grid)
        columns[f"{order}|{color}"] = packed(found.fooled.flatten(1))
        close |= (found.close.flatten(1).any(1) | found.close_at_start).cpu().numpy()
    return columns | {"close_call": close}


def patch_columns(method: str) -> Iterator[tuple[str, Color]]:
    """Orders and colours that differ for the maps of a method: those of squared SmoothGrad are never negative."""
    choices = plan()["choices"]
    for order in choices["order"]:
        for color, option in choices["color"].items():
            coincides = method == "smoothgrad_squared" and order in ("absolute", "positive")
            if goes_with(option, {"order": order}) and not coincides:
                yield order, cast(Color, color)


def packed(outcomes: Bool[Tensor, "n columns"]) -> np.ndarray:
    """Truth values as bytes, one object an image, the first column in the highest bit."""
    return np.array([row.tobytes() for row in np.packbits(outcomes.cpu().numpy(), axis=1)], dtype=object)


def unpacked(column: pd.Series, count: int) -> Bool[np.ndarray, "n count"]:
    """The first ``count`` truth values in each of a column's ``bytes``."""
    raw = np.frombuffer(b"".join(column), np.uint8).reshape(len(column), -1)
    return np.unpackbits(raw, axis=1, count=count).astype(bool)
