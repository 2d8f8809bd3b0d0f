"""Every defensible reading: the plan in ``results/multiverse.yaml``, and the records from which all its universes follow.

A record has a row for each network, map and image, and keeps the outcome of every attack as a bit, so that attributions
and predictions are shared between universes.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Bool, Float32
from torch import Tensor

from .._support import paths
from ..attacks import Color, grid_outcomes, noise_outcomes
from ..inequality import gini, region_sums
from ..networks import REGISTRY
from .run import Run
from .sample import Sample, measure

DECISIVE = ("options", "with", "draws", "sides")  # of an option; its title and reason decide no value
Conditions = dict[str, dict[str, Any]]  # by name: further arguments of a measuring function


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
                raise ValueError(
                    f"{paths.MULTIVERSE.name}: {choice} {name} has the unknown key {', '.join(map(str, unknown))}"
                )
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
    groups = [*plan()["networks"].values(), *plan()["trios"].values()]
    return list(
        dict.fromkeys(group[role] for group in groups for role in ("standard", "robust", "other") if role in group)
    )


def goes_with(option: dict[str, Any], chosen: dict[str, str]) -> bool:
    """Whether an option may be combined with those ``chosen`` of other choices."""
    return all(chosen[name] in allowed for name, allowed in option.get("with", {}).items() if name in chosen)


def map_conditions(record: str) -> Conditions:
    """The maps that a record needs, by "method|baseline|output": the arguments of the measuring functions."""
    choices = plan()["choices"]
    claims = [claim for claim in plan()["claims"].values() if claim["record"] == record]
    wanted: Conditions = {}
    for method in choices["method"]:
        for baseline, start in choices["baseline"].items():
            for output in choices["output"]:
                chosen = {"method": method, "baseline": baseline, "output": output}
                asked = any(all(chosen[c] in claim["only"].get(c, [chosen[c]]) for c in chosen) for claim in claims)
                if asked and goes_with(start, chosen):
                    options = start["options"] | {"method": method, "output": output}
                    wanted["|".join(chosen.values())] = {"attribution": options, "draws": start.get("draws", 1)}
    return wanted


def measure_multiverse(run: Run) -> None:
    """The records ``right``, ``index``, ``noise``, ``random_noise`` and ``occlusion``, of the first images of the test set.

    The run's options: ``occlusion_images``, at most so many for patches; ``maps`` and ``attacked_maps``, how many of the
    plan's (null: all); ``attacked``, how many of the networks are attacked. ``right``: which images each network of the plan
    classifies correctly; only these are attacked.
    """
    options, n, attacked = run.options, run.n_images, run.models[: run.options["attacked"]]
    known, alone = [name for name in planned_networks() if name in REGISTRY], {"": dict[str, Any]()}
    _record(run, right, "right", known, alone, n)
    _record(run, index_readings, "index", run.models, _first(map_conditions("index"), options["maps"]), n)
    maps, few = _first(map_conditions("noise"), options["attacked_maps"]), min(n, options["occlusion_images"])
    _record(run, noise_readings, "noise", attacked, maps, n, only_right=True)
    _record(run, random_noise, "random_noise", attacked, alone, n, only_right=True)
    maps = _first(map_conditions("occlusion"), options["attacked_maps"])
    _record(run, patch_readings, "occlusion", attacked, maps, few, only_right=True)


def _first(conditions: Conditions, count: int | None) -> Conditions:
    return dict(list(conditions.items())[:count])


def _record(
    run: Run,
    function: Any,
    name: str,
    models: Sequence[str],
    conditions: Conditions,
    count: int,
    *,
    only_right: bool = False,
) -> None:
    frames = []
    for checkpoint in models:
        sample = run.test_images(checkpoint, count)
        if only_right:
            sample = sample.at(np.flatnonzero(right(sample, plan_id=digest(), seed=run.seed)["right"]).tolist())
        for condition, further in conditions.items():
            table = measure(function, sample, run, seed=run.seed, plan_id=digest(), **further)
            frames.append(table.assign(condition=condition))
    run.record(name, pd.concat(frames, ignore_index=True).assign(plan=digest()))


def right(sample: Sample, *, plan_id: str, seed: int) -> dict[str, np.ndarray]:
    """Which images the network classifies correctly."""
    kept = sample.data.correct(sample.checkpoint, sample.model, sample.ids, sample.images.device)
    return {"right": np.isin(sample.ids, kept)}


def maps_of(sample: Sample, attribution: dict[str, Any], draws: int, seed: int) -> Float32[Tensor, "n 3 h w"]:
    """Attribution maps, averaged over ``draws`` seeds of their baseline."""
    drawn = [sample.maps(**attribution, seed=seed + draw) for draw in range(draws)]
    return torch.stack(drawn).mean(0) if draws > 1 else drawn[0]


def index_readings(
    sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str
) -> dict[str, np.ndarray]:
    """The Gini index of a map in every reading of the plan, a column each, in float32.

    A reading that leaves nothing of an image's map has no index there: NaN.
    """
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
    return {name: _index(own.flatten(1)).float().cpu().numpy() for name, own in values.items()}


def _index(values: Tensor) -> Tensor:
    found = torch.full((len(values),), torch.nan, dtype=torch.float64, device=values.device)
    something = (values > 0).any(1)
    if something.any():
        found[something] = gini(values[something])
    return found


def noise_readings(
    sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str
) -> dict[str, np.ndarray]:
    """Which budgets of noise fool the network, in every reading: columns "order|kind|noise", a bit a budget.

    ``close_call``: a margin too small to be trusted in some prediction.
    """
    maps = maps_of(sample, attribution, draws, seed)
    orders = {"signed": maps, "absolute": maps.abs()}
    return _noise(sample, [(f"{order}|", own, {}) for order, own in orders.items()], seed)


def random_noise(sample: Sample, *, seed: int, plan_id: str) -> dict[str, np.ndarray]:
    """The same at random places of each image: columns "kind|noise"."""
    return _noise(sample, [("", sample.images, {"positions": "random"})], seed)


def _noise(sample: Sample, places: Sequence[tuple[str, Tensor, dict[str, Any]]], seed: int) -> dict[str, np.ndarray]:
    choices = plan()["choices"]
    budgets, columns = [int(budget) for budget in choices["budget"]], dict[str, np.ndarray]()
    close = np.zeros(len(sample.ids), bool)
    for prefix, maps, positions in places:
        for kind in choices["kind"]:
            for noise, option in choices["noise"].items():
                found = noise_outcomes(
                    sample.model, sample.images, sample.labels, maps, budgets, kind, seed, draws=1, ids=sample.ids,
                    **option["options"], **positions,
                )  # fmt: skip
                columns[f"{prefix}{kind}|{noise}"] = packed(found.fooled[:, :, 0])
                close[list(found.close_calls)] = True
    return columns | {"close_call": close}


def patch_readings(
    sample: Sample, *, attribution: dict[str, Any], draws: int, seed: int, plan_id: str
) -> dict[str, np.ndarray]:
    """Which masks fool the network, in every reading: columns "order|colour", a bit a mask, patches outer, sides inner.

    ``close_call``: a margin too small to be trusted in some prediction.
    """
    maps, columns = maps_of(sample, attribution, draws, seed), dict[str, np.ndarray]()
    close = np.zeros(len(sample.ids), bool)
    for order, color in patch_columns(attribution["method"]):
        ranked = {"absolute": maps.abs(), "positive": maps.clamp_min(0)}.get(order, maps)
        found = grid_outcomes(
            sample.model, sample.images, sample.labels, ranked, plan()["max_count"], color=color, sides=plan()["sides"],
            positions="top_pixels" if order == "pixels" else "regional", ids=sample.ids, progress=True,
        )  # fmt: skip
        columns[f"{order}|{color}"] = as_bytes(found.fooled)
        close |= found.close.any(1) | found.close_at_start.cpu().numpy()
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
    return as_bytes(np.packbits(outcomes.cpu().numpy(), axis=1))


def as_bytes(rows: np.ndarray) -> np.ndarray:
    """Rows of whole numbers below 256 as one ``bytes`` each: what a column of a record can hold."""
    return np.array([row.tobytes() for row in rows], dtype=object)


def unpacked(column: pd.Series, count: int) -> Bool[np.ndarray, "n count"]:
    """The first ``count`` truth values in each of a column's ``bytes``."""
    raw = np.frombuffer(b"".join(column), np.uint8).reshape(len(column), -1)
    return np.unpackbits(raw, axis=1, count=count).astype(bool)
