"""The paper's text read in other ways: all readings of Algorithm 1 and of signed maps, and what chance alone gives."""

from functools import cache
from typing import Any

import numpy as np
import torch
import yaml
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, eye_array, hstack
from torch import Tensor

from .._support import paths
from .._support.randomness import normal_images, uniform_images
from ..attacks import Centres, Color, grid_outcomes, mask_areas
from ..inequality import gini, global_gini
from ..networks import REGISTRY, checkpoint_of
from .measurements import Attribution, attacked, chosen_maps, inequality, noise
from .run import Run
from .sample import Columns, Sample

_NULL = 8  # second part of a random key; attribution uses 1, 2 and 6, the attacks 3 to 5, ``ablation`` 7

PRODUCT_OF_NORMALS = np.pi / 2 - 1  # Gini index of |z w| for independent standard normal z and w
POSITIVE_PRODUCT_OF_NORMALS = np.pi / 4  # and of max(z w, 0)


@cache
def text_and_scripts() -> dict[str, Any]:
    """How the released scripts differ from the paper's text, as data: ``conditions`` (record -> condition -> options of the
    measuring function), ``choices``, ``other_lines`` and ``checks``."""
    return yaml.safe_load(paths.TEXT_AND_SCRIPTS.read_text("utf-8"))


def measure_text_and_scripts(run: Run) -> None:
    """All records of the chapter on the paper and its code; see ``script_sets`` for the other sets of images.

    The run's options: ``budget`` and ``draws`` of the noise; ``patches`` and ``large``, two budgets (N, R); ``few_images``
    for all masks of these; ``methods`` beside Integrated Gradients, and ``method_images`` for them; ``sets``.
    """
    options, conditions = run.options, text_and_scripts()["conditions"]
    pair: dict[str, Any] = {"models": run.pair, "seed": run.seed}
    few = pair | {"n_images": options["few_images"]}
    noisy = {"budgets": (options["budget"],), "draws": options["draws"]}
    small, large = ({"max_count": count, "max_radius": r} for count, r in (options["patches"], options["large"]))
    run.measure(inequality, conditions["inequality"], seed=run.seed)
    run.measure(positive_part, seed=run.seed)
    run.measure(product_null, **pair)
    run.measure(noise, {name: noisy | own for name, own in conditions["noise"].items()}, **pair)
    methods = {name: own for name, own in conditions["methods"].items() if name.split(",")[0] in options["methods"]}
    if methods:
        run.measure(inequality, methods, n_images=options["method_images"], name="methods", **pair)
    patches = {name: small | own for name, own in conditions["patches"].items()}
    run.measure(readings_of_algorithm_1, patches, name="patches", **few)
    label = "N={} R={}".format(*options["large"])
    grids = {label: large, f"{label}, scripts": large | conditions["patches"]["patches, scripts"]}
    run.measure(readings_of_algorithm_1, grids, name="large", **few)
    for name, judges in script_sets(run).items():
        others, slug = few | {"own": judges}, name.replace(" ", "_")
        run.measure(inequality, {f"index, {name}": {}}, name=f"index_{slug}", **others)
        run.measure(noise, {f"type I, {name}": noisy}, name=f"noise_{slug}", **others)
        run.measure(readings_of_algorithm_1, {f"black, {name}": small}, name=f"patches_{slug}", **others)


def script_sets(run: Run) -> dict[str, tuple[str, ...]]:
    """Sets of images in the scripts: name -> the networks that must all be right, for those that ``run`` asks for.

    "two networks" for the indices and the noise, "four networks" for occlusion; left out where one is not trained yet.
    """
    ladder = [checkpoint_of("resnet18", "linf", epsilon) for epsilon in (1, 2, 8)]
    known = {
        "pair": ("two networks", run.pair),
        "occlusion": ("four networks", (checkpoint_of("resnet18", "standard", 0), *ladder)),
    }
    if unknown := set(run.options["sets"]) - set(known):
        raise ValueError(f"unknown set of images {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    chosen = dict(known[name] for name in run.options["sets"])
    return {name: judges for name, judges in chosen.items() if all(judge in REGISTRY for judge in judges)}


# --- Algorithm 1 and its readings ---------------------------------------------------------------------------------


def readings_of_algorithm_1(
    sample: Sample,
    *,
    max_count: int,
    max_radius: int,
    attribution: Attribution = None,
    positions: Centres = "regional",
    color: Color = "black",
    seed: int = 0,
) -> Columns:
    """All masks of Algorithm 1's grid, none skipped, and what its readings make of them.

    ``fooled``: by any mask, found with n outer and r inner; ``fooled_radius_outer``: with r outer, as in the scripts;
    ``fooled_as_printed``: by a mask of N patches, what the printed loops return if ``break`` leaves the inner loop only;
    ``fooled_side_r``: by a mask of radius R / 2 or less, patches of side r instead of 2 r (even sides only);
    ``fooled_largest``: by the one largest mask. ``area_count_outer``, ``area_radius_outer``: hidden pixels at the first
    success in either order, 0 without one. ``close_call``: the mask that decides ``fooled`` does so by a hair.
    """
    maps = chosen_maps(sample, None, seed, attribution)
    places: dict[str, Any] = {"positions": positions, "seed": seed, "ids": sample.ids}
    hit = grid_outcomes(*attacked(sample), maps, max_count, max_radius, color, **places)
    fooled, close, areas = hit.fooled, hit.close, mask_areas(maps, max_count, max_radius, **places)
    by_count = _first(fooled.flatten(1), areas.flatten(1))
    by_radius = _first(fooled.mT.flatten(1), areas.mT.flatten(1))
    return {
        "fooled": by_count > 0,
        "fooled_radius_outer": by_radius > 0,
        "fooled_as_printed": fooled[:, -1].any(1),
        "fooled_side_r": fooled[:, :, : max(1, max_radius // 2)].flatten(1).any(1),
        "fooled_largest": fooled[:, -1, -1],
        "area_count_outer": by_count,
        "area_radius_outer": by_radius,
        "close_call": close.flatten(1).any(1) & ~(fooled & ~close).flatten(1).any(1),
    }


def _first(fooled: Tensor, areas: Tensor) -> Tensor:
    """Area of the first mask that fools each image; 0 where none does."""
    place = fooled.int().argmax(1, keepdim=True)
    return torch.where(fooled.any(1), areas.gather(1, place)[:, 0], 0)


def most_hidden(count: int, radius: int, side: int = 32, region: int = 4) -> int:
    """Pixels that ``count`` patches of ``radius`` at region centres can hide at most in an image of ``side`` pixels.

    The exact maximum over all sets of centres, by integer programming unless whole patches fit side by side.
    ``region=1``: any pixel may be a centre.
    """
    centres = np.arange(region // 2, side, region)
    apart: list[int] = []
    for centre in centres[(centres >= radius) & (centres <= side - radius)]:
        if not apart or centre - apart[-1] >= 2 * radius:
            apart.append(centre)
    if len(apart) ** 2 >= count:  # these patches neither overlap nor leave the image
        return count * (2 * radius) ** 2
    pixels = np.arange(side)[:, None]
    covered = (pixels >= centres - radius) & (pixels < centres + radius)
    covers = csr_matrix(np.kron(covered, covered).astype(float))  # (pixels, places)
    n, places = covers.shape
    chosen = np.r_[np.ones(places), np.zeros(n)]  # one variable for each place, then one for each pixel
    limits = [
        LinearConstraint(hstack([-covers, eye_array(n)]), ub=np.zeros(n)),  # a hidden pixel needs a patch over it
        LinearConstraint(chosen[None], ub=count),
    ]
    found = milp(chosen - 1, constraints=limits, integrality=chosen, bounds=Bounds(0, 1))
    return round(-found.fun)


# --- Gini indices of signed maps ----------------------------------------------------------------------------------


def positive_part(sample: Sample, *, attribution: Attribution = None, seed: int = 0) -> Columns:
    """Why Gini(max(a, 0)) follows Gini(|a|): with a share q of positive entries, of index G+, it is 1 - q (1 - G+).

    Columns: ``absolute`` = Gini(|a|), ``positive`` = Gini(max(a, 0)), ``share`` = q, ``among_positive`` = G+,
    ``identity`` = 1 - q (1 - G+), ``half_rule`` = (1 + Gini(|a|)) / 2, which is the identity for q = 1/2 and G+ = Gini(|a|);
    ``held_by_top``: share of the total |a| held by the top 1 - Gini(|a|) of the subpixels, 1 if the index counted heads.
    """
    maps = chosen_maps(sample, None, seed, attribution).flatten(1)
    absolute = gini(maps.abs())
    share = (maps > 0).double().mean(1)
    among = torch.stack([gini(row[row > 0]) for row in maps])
    ordered = maps.double().abs().sort(1, descending=True).values.cumsum(1)
    last = ((1 - absolute) * maps.shape[1]).round().long().clamp_min(1) - 1
    return {
        "absolute": absolute,
        "positive": gini(maps.clamp_min(0)),
        "share": share,
        "among_positive": among,
        "identity": 1 - share * (1 - among),
        "half_rule": (1 + absolute) / 2,
        "held_by_top": (ordered.gather(1, last[:, None]) / ordered[:, -1:])[:, 0],
    }


def product_null(sample: Sample, *, seed: int = 0, **options: Any) -> Columns:
    """Gini indices of Integrated Gradients, (x - x') times a mean gradient, beside what chance alone gives.

    ``normal``: both factors replaced by independent normal numbers with each image's and channel's own mean and standard
    deviation; ``shuffled``: both factors kept, the gradients' places permuted within the channel. So *normal* to *shuffled*
    is what the shape of the two distributions adds, *shuffled* to *measured* what their dependence adds. Each of |a| and,
    with ``_positive``, of max(a, 0). ``options``: those of ``attribute``; the baseline must differ from the image everywhere.
    """
    maps = sample.maps(seed=seed, **options).double()
    start, space = sample.baseline(seed=seed, **options)
    step = ((sample.images if space == "pixel" else sample.model.normalise(sample.images)) - start).double()
    if (step == 0).any():
        raise ValueError("a subpixel equals its baseline, so its mean gradient is not known; use the normal baseline")
    gradient, shape = maps / step, tuple(maps.shape[1:])
    drawn = [normal_images(sample.ids, shape, seed, _NULL, factor).to(maps) for factor in (0, 1)]
    moved = [
        factor.mean((2, 3), keepdim=True) + factor.std((2, 3), keepdim=True) * noise
        for factor, noise in zip((step, gradient), drawn, strict=True)
    ]
    order = uniform_images(sample.ids, shape, seed, _NULL, 2).flatten(2).argsort(2).to(maps.device)
    shuffled = step * gradient.flatten(2).gather(2, order).view_as(maps)
    products = {"measured": maps, "normal": moved[0] * moved[1], "shuffled": shuffled}
    columns = {name: global_gini(product) for name, product in products.items()}
    return columns | {f"{name}_positive": global_gini(product, sign="positive") for name, product in products.items()}
