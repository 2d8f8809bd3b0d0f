"""What the chapters measure: functions of a ``sample.Sample`` that return one value an image and column."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..attacks import BUDGETS, mask_areas, noise_outcomes, occlude, occlude_area
from ..inequality import REDUCES, gini, global_gini, regional_values, top_share
from ..networks import Classifier, logits
from .sample import Columns, Sample

Donor = str | dict[str, str] | None  # a checkpoint; or one for each checkpoint
Conditions = dict[str, dict[str, Any]]  # label -> options of a measuring function
Attribution = dict[str, Any] | None  # arguments of ``attribute``; None: Integrated Gradients as in the paper
NOISE_KINDS: Conditions = {"type I": {"kind": "type_1"}, "type II": {"kind": "type_2"}}  # as the paper calls them
TOP_COUNTS = (31, 154, 307, 614, 1536)  # 1, 5, 10, 20 and 50 % of the 3072 subpixels of a 32x32 image


def inequality(sample: Sample, *, region: int = 4, method: str = "integrated_gradients", **options: Any) -> Columns:
    """Both Gini indices in all readings, and the share of the total |a| that the largest subpixels carry.

    Columns: ``global_gini`` (|a|), ``global_gini_positive`` (max(a, 0)), ``regional_gini_*`` (five readings),
    ``top_*`` (shares), ``positive_fraction`` (subpixels with a > 0). A reading that leaves nothing of an image's map, such
    as no region of positive sum, has no index there: NaN.
    """
    maps = sample.maps(method, **options)
    columns = {"global_gini": global_gini(maps), "global_gini_positive": global_gini(maps, sign="positive")}
    columns |= {f"regional_gini_{reduce}": gini_or_nan(regional_values(maps, region, reduce)) for reduce in REDUCES}
    shares = top_share(maps.abs().flatten(1), list(TOP_COUNTS))
    columns |= {f"top_{count}": shares[:, i] for i, count in enumerate(TOP_COUNTS)}
    columns["positive_fraction"] = (maps > 0).flatten(1).double().mean(1)
    return columns


def gini_or_nan(values: Float64[Tensor, "n values"]) -> Float64[Tensor, " n"]:
    """``gini``, and NaN where a reading leaves nothing of an image's map."""
    something = (values > 0).any(1)
    found = torch.full((len(values),), torch.nan, dtype=torch.float64, device=values.device)
    if something.any():
        found[something] = gini(values[something])
    return found


def centre_share(sample: Sample) -> Columns:
    """Share of the total |a| in the middle half of both sides, a quarter of the pixels: column ``centre_share``."""
    maps = sample.maps().abs().sum(1)
    rows, columns = (size // 4 for size in maps.shape[1:])
    middle = maps[:, rows : maps.shape[1] - rows, columns : maps.shape[2] - columns]
    return {"centre_share": (middle.sum((1, 2)) / maps.sum((1, 2))).double()}


def noise(
    sample: Sample,
    *,
    budgets: tuple[int, ...] = BUDGETS,
    maps_from: Donor = None,
    attribution: Attribution = None,
    equal_energy: bool = False,
    seed: int = 0,
    **options: Any,
) -> Columns:
    """Inductive noise (section 3.2.1): for each budget k the share of draws that fool the model, column ``failure_k``.

    ``draws_k`` says which: see ``packed_draws``. A draw is the same whatever the number of draws.
    ``maps_from``: a checkpoint whose attribution maps choose the places instead of the model's own, or one for each
    model. ``attribution``: how the maps are made. ``equal_energy``: every perturbation is scaled to the l2 norm that
    N(0, 1) on k subpixels has in the root mean square. ``close_call``: a margin too small to be trusted in some
    prediction. ``options``: those of ``attacks.noise_outcomes``, such as ``kind`` and ``draws``.
    """
    maps = chosen_maps(sample, maps_from, seed, attribution)
    if equal_energy:
        norms = [noise_energy(sample, budget) for budget in budgets]
        options["energy"] = torch.tensor(norms, device=maps.device).expand(len(maps), -1)
    found = noise_outcomes(*attacked(sample), maps, budgets, seed=seed, ids=sample.ids, progress=True, **options)
    shares, packed = found.fooled.double().mean(2), packed_draws(found.fooled)
    columns = {f"failure_{budget}": shares[:, i] for i, budget in enumerate(budgets)}
    columns |= {f"draws_{budget}": packed[:, i] for i, budget in enumerate(budgets)}
    return columns | {"close_call": np.isin(range(len(sample.ids)), found.close_calls)}


def attacked(sample: Sample) -> tuple[Classifier, Tensor, Tensor]:
    """The first arguments of an attack."""
    return sample.model, sample.images, sample.labels


def packed_draws(fooled: Bool[Tensor, "*rows draws"]) -> Int64[Tensor, " *rows"]:
    """Which draws fooled the model, as whole numbers: bit d is draw d; one bit above ends them, so that shared draws compare."""
    bits = 2 ** torch.arange(fooled.shape[-1], device=fooled.device)
    return (fooled * bits).sum(-1) + 2 ** fooled.shape[-1]


def noise_energy(sample: Sample, budget: int) -> float:
    """Root mean square l2 norm, in pixel units, of N(0, 1) added in normalised space to ``budget`` random subpixels."""
    return float((budget * sample.model.normalise.std.square().mean()).sqrt())


def occlusion(
    sample: Sample,
    *,
    maps_from: Donor = None,
    attribution: Attribution = None,
    seed: int = 0,
    locate: bool = False,
    **options: Any,
) -> Columns:
    """Inductive occlusion (section 3.2.2, Algorithm 1): ``fooled`` by any mask of the grid, ``forwards`` spent.

    ``maps_from``, ``attribution``: as for ``noise``; ``locate`` adds Algorithm 1's first success: ``count``, ``radius``
    and ``area`` (pixels), 0 where there is none. ``options``: those of ``attacks.occlude``.
    """
    maps = chosen_maps(sample, maps_from, seed, attribution)
    hit = occlude(*attacked(sample), maps, ids=sample.ids, seed=seed, locate=locate, progress=True, **options)
    columns = {"fooled": hit.fooled, "forwards": hit.forwards}
    if locate:
        columns |= {name: torch.where(hit.fooled, getattr(hit, name), 0) for name in ("count", "radius", "area")}
    return columns | {"close_call": np.isin(range(len(sample.ids)), hit.close_calls)}


def occluded_area(sample: Sample, *, max_count: int, max_radius: int, seed: int = 0, **places: Any) -> Columns:
    """Pixels hidden by the largest mask of the grid, column ``area``; ``places``: those of ``attacks.patch_centres``."""
    areas = mask_areas(sample.maps(seed=seed), max_count, max_radius, ids=sample.ids, seed=seed, **places)
    return {"area": areas[:, -1, -1]}


def area_occlusion(
    sample: Sample, *, area: int, radius: int = 2, maps_from: Donor = None, seed: int = 0, **options: Any
) -> Columns:
    """One mask of exactly ``area`` pixels, ``fooled`` by it; at radius 2 each patch covers its 4x4 region and no more.

    ``maps_from``: as for ``noise``; ``options``: those of ``attacks.occlude_area``.
    """
    maps = chosen_maps(sample, maps_from, seed)
    hit = occlude_area(*attacked(sample), maps, area, radius, ids=sample.ids, seed=seed, progress=True, **options)
    return {"fooled": hit.fooled, "close_call": np.isin(range(len(sample.ids)), hit.close_calls)}


def occlusion_conditions(budgets: Sequence[Sequence[int]], colors: Sequence[str]) -> Conditions:
    """Conditions for ``occlusion``, labelled as the published cells: "N=5 R=2 black", ..."""
    return {
        f"N={count} R={radius} {color}": {"max_count": count, "max_radius": radius, "color": color}
        for count, radius in budgets
        for color in colors
    }


def crossed(*choices: Conditions) -> Conditions:
    """Every combination of one condition of each, the labels joined by ", "."""
    found = {", ".join(labels): labels for labels in product(*choices)}
    return {
        label: {k: v for own, part in zip(choices, labels, strict=True) for k, v in own[part].items()}
        for label, labels in found.items()
    }


def margins(sample: Sample) -> Columns:
    """Clean logit margin (the label's logit minus the best other one) and the same divided by the spread of the logits."""
    scores = logits(sample.model, sample.images).double()
    own = scores.gather(1, sample.labels[:, None])[:, 0]
    margin = own - scores.scatter(1, sample.labels[:, None], -torch.inf).amax(1)
    return {"margin": margin, "relative_margin": margin / scores.std(1)}


def chosen_maps(sample: Sample, maps_from: Donor, seed: int, attribution: Attribution = None) -> Tensor:
    """The maps that choose the places: the sample's own, or those of another model on the same images."""
    donor = maps_from[sample.checkpoint] if isinstance(maps_from, dict) else maps_from
    options: dict[str, Any] = {"seed": seed} | (attribution or {})
    return (sample.seen_by(donor) if donor else sample).maps(**options)
