"""One recipe at three sizes of the photographs: the paper's attacks with equal numbers and with equal shares of subpixels."""

from collections.abc import Sequence
from typing import Any

import torch

from ..inequality import global_gini, regional_gini
from ..measure.measurements import noise, occlusion
from ..measure.panel import NOISE
from ..measure.run import Run
from ..measure.sample import Columns, Sample
from ..networks import REGISTRY
from .data import SIDE
from .images import SIDES, name_of

FORMS = ("number", "share")  # what is the same at every side
KINDS = {options.get("kind", "random"): options for options in NOISE.values()}  # as columns have them


def at_every_side(checkpoints: Sequence[str]) -> dict[int, list[str]]:
    """The networks that are trained as ``checkpoints``, those at 224 pixels, by side; sides that lack one are left out."""
    found = {side: [name.replace(name_of(SIDE), name_of(side), 1) for name in checkpoints] for side in SIDES}
    return {side: names for side, names in found.items() if all(name in REGISTRY for name in names)}


def measure_resolution(run: Run) -> None:
    """The record ``at_resolution`` of the run's pair at every side, on photographs that all these networks classify correctly.

    The run's options: ``resolution_images``, ``resolution_budgets``, ``draws`` and ``patches``, of which the first is taken.
    Nothing is measured for 0 images, or where weights are missing: those below 224 pixels do not ship.
    """
    options, names = run.options, [name for pair in at_every_side(run.pair).values() for name in pair]
    if options["resolution_images"] and all(REGISTRY[name].file.exists() for name in names):
        budgets, patch = tuple(options["resolution_budgets"]), tuple(options["patches"][0])
        asked = {"budgets": budgets, "patch": patch, "draws": options["draws"], "seed": run.seed}
        where = {"models": tuple(names), "own": names, "n_images": options["resolution_images"]}
        run.measure(at_resolution, {"": {}}, **where, **asked)


def at_resolution(
    sample: Sample, *, budgets: Sequence[int], patch: tuple[int, int], draws: int, seed: int = 0
) -> Columns:
    """Both Gini indices, and what fools the network: ``failure_KIND_BUDGET_FORM`` (share of draws), ``fooled_FORM``.

    ``budgets`` k (subpixels) and ``patch`` (N, R; black) are those of 224 pixels. At side h the form "number" has k and
    (N, R) again, "share" k (h / 224)^2 and (N, R h / 224), rounded. Kinds are those of ``KINDS``. A region has 1/16 of the
    side, at 224 pixels 1/14. ``close_call``: a margin too small to be trusted in some prediction.
    """
    maps, (count, radius), scale = sample.maps(seed=seed), patch, sample.data.side / SIDE
    region = sample.data.region
    columns: Columns = {"global_gini": global_gini(maps), "regional_gini": regional_gini(maps, region)}
    share = tuple(round(budget * scale**2) for budget in budgets), round(radius * scale)
    known: dict[Any, Columns] = {}  # at 224 pixels both forms are one
    close = torch.zeros(len(sample.ids), dtype=torch.bool)
    for form, (own, small) in zip(FORMS, ((tuple(budgets), radius), share), strict=True):
        if (own, small) not in known:
            found: Columns = {}
            for kind, options in KINDS.items():
                noisy = noise(sample, budgets=own, draws=draws, seed=seed, **options)
                found |= {f"failure_{kind}_{k}": noisy[f"failure_{mine}"] for k, mine in zip(budgets, own, strict=True)}
                close |= torch.from_numpy(noisy["close_call"])
            hit = occlusion(sample, max_count=count, max_radius=small, color="black", region=region, seed=seed)
            close |= torch.from_numpy(hit["close_call"])
            known[own, small] = found | {"fooled": hit["fooled"]}
        columns |= {f"{name}_{form}": values for name, values in known[own, small].items()}
    return columns | {"close_call": close}
