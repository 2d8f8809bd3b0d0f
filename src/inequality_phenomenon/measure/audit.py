"""The paper's text beside its authors' released scripts: what each difference does to our numbers, and what the
published numbers say by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, eye_array, hstack
from torch import Tensor, nn

from .._support.randomness import normal_images, uniform_images
from ..attacks import CLOSE, Centres, Color, mask_areas, patch_centres, patch_fill, patch_mask
from ..attribution import baseline_of, resolve_options
from ..inequality import REDUCES, gini, global_gini
from ..networks import REGISTRY, checkpoint_of, fold_batch_norm, named
from ..verdicts.comparison import Compared, Contrast, Contrasted, compare, contrasted
from ..verdicts.published import Cell, a10_cells, published_values, table1_cells
from .measurements import Attribution, chosen_maps
from .run import Run
from .sample import Sample

_NULL = 8  # second part of a random key; attribution uses 1, 2 and 6, the attacks 3 to 5, ``ablation`` 7

PRODUCT_OF_NORMALS = np.pi / 2 - 1  # Gini index of |z w| for independent standard normal z and w
POSITIVE_PRODUCT_OF_NORMALS = np.pi / 4  # and of max(z w, 0)


# --- the differences ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One difference between the paper's text and the scripts, and where our records have both.

    ``text``, ``scripts``: (condition, column), the first under the paper's text, the second with this one choice changed.
    """

    topic: str
    in_text: str
    in_scripts: str
    text: tuple[str, str]
    scripts: tuple[str, str]


RELEASED: dict[str, Any] = {"preset": "released"}  # the scripts' settings, here and in ``attribute``
# Methods beside Integrated Gradients (IG) whose settings differ.
METHODS = {"GradientShap": "gradient_shap", "SmoothGrad": "smoothgrad"}

# Conditions of ``measurements.inequality`` (twice), ``measurements.noise`` and ``first_successes``.
INDICES: dict[str, dict[str, Any]] = {"text": {}, "scripts": RELEASED, "regions of 16": {"region": 16}}
OTHER_METHODS: dict[str, dict[str, Any]] = {
    f"{title}, {label}": {"method": method, "preset": preset}
    for title, method in METHODS.items()
    for label, preset in (("text", "paper"), ("scripts", "released"))
}
NOISE: dict[str, dict[str, Any]] = {
    "type I, text": {},
    "type I, uniform": {"distribution": "uniform"},
    "type I, k + 1": {"threshold": True},
    "type I, one draw": {"draws": 1},
    "type I, maps": {"attribution": RELEASED},
    "type I, scripts": {"attribution": RELEASED, "draws": 1} | RELEASED,
    "type II, text": {"kind": "type_2"},
    "type II, scripts": {"kind": "type_2", "attribution": RELEASED, "draws": 1} | RELEASED,
}
PATCHES: dict[str, dict[str, Any]] = {
    "black, text": {},
    "gray, text": {"color": "gray"},
    "white, text": {"color": "white"},
    "darkest": {"color": "minimum"},
    "pixels": {"positions": "top_pixels"},
    "patches, maps": {"attribution": RELEASED},
    "patches, scripts": {"attribution": RELEASED, "positions": "top_pixels", "color": "minimum"},
}


# Lines without a before and after of one number; (topic, the paper's text, the scripts, where they are measured).
OTHER_LINES = (
    ("patch", "“radius” r; “size” r in the text of Algorithm 1", "a square of side 2r", "readings of Algorithm 1"),
    (
        "images",
        "1000 that all models classify correctly",
        "those of the standard and one robust network (index, noise), or of ε = 0, 1, 2 and 8 (occlusion)",
        "the images",
    ),
)


def choices(budget: int) -> dict[str, list[Choice]]:
    """Every difference, by the table of the paper that it bears on. ``budget``: noisy subpixels."""
    index, blocks = "global_gini", "regional_gini_sum_of_absolute"
    positive, unsummed = "regional_gini_sum_of_positive", "regional_gini_no_blocks_positive"
    ig = ("IG: 20 steps from N(0, 1)", "50 steps from the mean colour")
    ignored = "type ignored: the image's darkest value"
    failure = f"failure_{budget}"
    first, second, sums = "first version", "second version", "block sums, of |a| as we read it"
    table1 = [
        ("global index", "|a|", f"max(a, 0), {second}", ("text", index), ("text", f"{index}_positive")),
        ("regional index", sums, f"max(a, 0), no block summed, {first}", ("text", blocks), ("text", unsummed)),
        ("regional index", sums, f"block sums of max(a, 0), {second}", ("text", blocks), ("text", positive)),
        ("side of a region", "4 on CIFAR-10", "16 (written for ImageNet)", ("text", blocks), ("regions of 16", blocks)),
        ("maps, global index", *ig, ("text", index), ("scripts", index)),
        ("maps, regional index", *ig, ("text", blocks), ("scripts", blocks)),
        ("all, global index", "as above", f"as above, {first}", ("text", index), ("scripts", index)),
        ("all, global index", "as above", f"as above, {second}", ("text", index), ("scripts", f"{index}_positive")),
        ("all, regional index", "as above", f"as above, {first}", ("text", blocks), ("scripts", unsummed)),
        ("all, regional index", "as above", f"as above, {second}", ("text", blocks), ("scripts", positive)),
    ]
    table2 = [
        ("places", "regions, by their sum", "pixels, by their channel mean", "black, text", "pixels"),
        ("maps", *ig, "black, text", "patches, maps"),
        ("colour", "black", ignored, "black, text", "darkest"),
        ("colour", "gray", ignored, "gray, text", "darkest"),
        ("colour", "white", ignored, "white, text", "darkest"),
        ("all", "as above, black", "as above", "black, text", "patches, scripts"),
    ]
    table3 = [
        ("noise", "N(0, 1)", "uniform in the image's range, clamped to it", "type I, text", "type I, uniform"),
        ("mask", "the k largest", "all from the (k + 1)-th largest on", "type I, text", "type I, k + 1"),
        ("draws", "not stated", "one", "type I, text", "type I, one draw"),
        ("maps, noise", *ig, "type I, text", "type I, maps"),
        ("all, noise of type I", "as above", "as above", "type I, text", "type I, scripts"),
        ("all, noise of type II", "as above", "as above", "type II, text", "type II, scripts"),
    ]
    loops = (("black, text", "fooled"), ("black, text", "fooled_radius_outer"))
    shap = ("10 samples, baseline 0", "50 samples, σ 0.01, baselines 0 and the image")
    smooth = ("mean of 20 maps", "mean of 20 squared IG maps, σ 0.2")
    return {
        "Table 1": [Choice(*row) for row in table1],
        "Table 2": [
            *(Choice(topic, a, b, (text, "fooled"), (scripts, "fooled")) for topic, a, b, text, scripts in table2),
            Choice("loops", "n outer, r inner", "r outer, n inner", *loops),
        ],
        "Table 3": [
            *(Choice(topic, a, b, (text, failure), (scripts, failure)) for topic, a, b, text, scripts in table3),
            *(
                Choice(f"{title}, Gini index", *words, (f"{title}, text", index), (f"{title}, scripts", index))
                for title, words in zip(METHODS, (shap, smooth), strict=True)
            ),
        ],
    }


def choice_contrasts(rows: Sequence[Choice], pair: tuple[str, str]) -> list[Contrast]:
    """What each choice does, four contrasts a row: scripts minus text for each network, then the gap under each.

    The gap is the second, ℓ∞ network minus the first; the paper's claims are that it is positive.
    """
    first, second = pair
    found = []
    for row in rows:
        found += [Contrast(row.topic, ((name, *row.scripts), (name, *row.text))) for name in pair]
        found += [Contrast(row.topic, ((second, *place), (first, *place)), 1) for place in (row.text, row.scripts)]
    return found


def contrasted_choices(
    rows: Sequence[Choice], pair: tuple[str, str], records: pd.DataFrame | None, *, resamples: int
) -> list[Contrasted]:
    """``choice_contrasts`` tested, adjusted over all different ones: rows that share a number are tested on it once."""
    asked = choice_contrasts(rows, pair)
    different = {contrast.terms: contrast for contrast in asked}
    found = contrasted(list(different.values()), records, resamples=resamples)
    by_terms = dict(zip(different, found, strict=True))
    return [by_terms[contrast.terms] for contrast in asked]


def compared_readings(
    records: pd.DataFrame | None, maps: Sequence[str], *, resamples: int
) -> dict[tuple[str, str], list[Compared]]:
    """Table 1's regional column (CIFAR-10, ResNet-18) beside each reading of it, on each condition of ``inequality``.

    (reading, condition) -> compared cells, in order of epsilon; tests adjusted over all of them.
    """
    cells = {
        (reduce, condition): [
            replace(cell, id=f"{cell.id} {reduce} {condition}", where={"condition": condition})
            for cell in table1_cells(f"regional_gini_{reduce}")
            if cell.label.startswith("ResNet-18")
        ]
        for reduce in REDUCES
        for condition in maps
    }
    found = iter(compare([cell for group in cells.values() for cell in group], records, resamples=resamples))
    return {key: [next(found) for _ in group] for key, group in cells.items()}


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


def algorithm_cells(readings: dict[str, tuple[str, str]]) -> list[Cell]:
    """Appendix A.10's black patches under each reading of Algorithm 1 -> (condition, column)."""
    return [
        replace(
            cell, id=f"{cell.id} {label}", label=f"{label}, {named(cell.checkpoint)}", where={"condition": condition},
            column=column,
        )
        for label, (condition, column) in readings.items()
        for cell in a10_cells()
        if cell.where["condition"].endswith("black")
    ]  # fmt: skip


# --- Algorithm 1 and its readings ---------------------------------------------------------------------------------


def first_successes(
    sample: Sample,
    *,
    max_count: int,
    max_radius: int,
    attribution: Attribution = None,
    positions: Centres = "regional",
    color: Color = "black",
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """All masks of Algorithm 1's grid, none skipped, and what its readings make of them.

    ``fooled``: by any mask, found with n outer and r inner; ``fooled_radius_outer``: with r outer, as in the scripts;
    ``fooled_as_printed``: by a mask of N patches, what the printed loops return if ``break`` leaves the inner loop only;
    ``fooled_side_r``: by a mask of radius R / 2 or less, patches of side r instead of 2 r (even sides only);
    ``fooled_largest``: by the one largest mask. ``area_count_outer``, ``area_radius_outer``: hidden pixels at the first
    success in either order, 0 without one. ``close_call``: the mask that decides ``fooled`` does so by a hair.
    """
    maps = chosen_maps(sample, None, seed, attribution)
    places: dict[str, Any] = {"positions": positions, "seed": seed, "ids": sample.ids}
    centres = patch_centres(maps, max_count, max_radius=max_radius, **places)
    fill, network = patch_fill(sample.model, sample.images, color), fold_batch_norm(sample.model)
    margins = torch.zeros(len(maps), max_count, max_radius, device=maps.device)
    for part in torch.arange(len(maps), device=maps.device).split(128):
        for count, radius in np.ndindex(max_count, max_radius):
            mask = patch_mask(centres[part, : count + 1], radius + 1, *maps.shape[2:])
            inputs = torch.where(mask, fill[part], sample.images[part])
            margins[part, count, radius] = _margins(network, inputs, sample.labels[part])
    fooled, areas = margins > 0, mask_areas(maps, max_count, max_radius, **places)
    by_count = _first(fooled.flatten(1), areas.flatten(1))
    by_radius = _first(fooled.mT.flatten(1), areas.mT.flatten(1))
    columns = {
        "fooled": by_count > 0,
        "fooled_radius_outer": by_radius > 0,
        "fooled_as_printed": fooled[:, -1].any(1),
        "fooled_side_r": fooled[:, :, : max(1, max_radius // 2)].flatten(1).any(1),
        "fooled_largest": fooled[:, -1, -1],
        "area_count_outer": by_count,
        "area_radius_outer": by_radius,
        "close_call": margins.flatten(1).amax(1).abs() < CLOSE,
    }
    return {name: values.cpu().numpy() for name, values in columns.items()}


@torch.inference_mode()
def _margins(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Best other logit minus the label's: above 0 where the network is fooled."""
    logits = network(inputs.contiguous(memory_format=torch.channels_last)).float()
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None])[:, 0]


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


def positive_part(sample: Sample, *, attribution: Attribution = None, seed: int = 0) -> dict[str, np.ndarray]:
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
    columns = {
        "absolute": absolute,
        "positive": gini(maps.clamp_min(0)),
        "share": share,
        "among_positive": among,
        "identity": 1 - share * (1 - among),
        "half_rule": (1 + absolute) / 2,
        "held_by_top": (ordered.gather(1, last[:, None]) / ordered[:, -1:])[:, 0],
    }
    return {name: values.cpu().numpy() for name, values in columns.items()}


def product_null(sample: Sample, *, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
    """Gini indices of Integrated Gradients, (x - x') times a mean gradient, beside what chance alone gives.

    ``normal``: both factors replaced by independent normal numbers with each image's and channel's own mean and standard
    deviation; ``shuffled``: both factors kept, the gradients' places permuted within the channel. So *normal* to *shuffled*
    is what the shape of the two distributions adds, *shuffled* to *measured* what their dependence adds. Each of |a| and,
    with ``_positive``, of max(a, 0). ``options``: those of ``attribute``; the baseline must differ from the image everywhere.
    """
    resolved = resolve_options("integrated_gradients", seed=seed, **options)
    maps = sample.maps(seed=seed, **options).double()
    images = sample.model.normalise(sample.images) if resolved.space == "normalised" else sample.images
    step = (images - baseline_of(sample.model, sample.images, sample.ids, resolved)).double()
    if (step == 0).any():
        raise ValueError("a subpixel equals its baseline, so its mean gradient is not known; use the normal baseline")
    gradient, shape = maps / step, tuple(maps.shape[1:])
    drawn = [normal_images(sample.ids, shape, seed, _NULL, factor).to(maps) for factor in (0, 1)]
    moved = [_moments_of(factor, noise) for factor, noise in zip((step, gradient), drawn, strict=True)]
    order = uniform_images(sample.ids, shape, seed, _NULL, 2).flatten(2).argsort(2).to(maps.device)
    shuffled = step * gradient.flatten(2).gather(2, order).view_as(maps)
    products = {"measured": maps, "normal": moved[0] * moved[1], "shuffled": shuffled}
    columns = {name: global_gini(product) for name, product in products.items()}
    columns |= {f"{name}_positive": global_gini(product, sign="positive") for name, product in products.items()}
    return {name: values.cpu().numpy() for name, values in columns.items()}


def _moments_of(factor: Tensor, noise: Tensor) -> Tensor:
    """Standard normal ``noise`` with each image's and channel's mean and standard deviation of ``factor``."""
    places = (2, 3)
    return factor.mean(places, keepdim=True) + factor.std(places, keepdim=True) * noise


# --- what the published numbers say by themselves -----------------------------------------------------------------


def table1_relation() -> pd.DataFrame:
    """The 25 pairs of Table 1: published global and regional index, and (1 + global) / 2 as a prediction of the latter."""
    rows = published_values(table="table1")
    keys = ["dataset", "architecture", "training", "epsilon_255"]
    rows = rows.assign(value=rows.value.astype(float), sd=rows.sd.astype(float))
    both = rows[rows.metric == "global_gini"].merge(
        rows[rows.metric == "regional_gini"], on=keys, suffixes=("_global", "_regional")
    )
    found = both[[*keys, "value_global", "value_regional", "sd_global"]].rename(
        columns={"value_global": "published_global", "value_regional": "published_regional", "sd_global": "spread"}
    )
    found["predicted"] = (1 + found.published_global) / 2
    found["residual"] = found.published_regional - found.predicted
    return found


def _published(**where: Any) -> dict[str, float]:
    """The one published value for each training under these restrictions: "standard", "linf8", ..."""
    rows = published_values(**where).to_dict("records")
    names = [row["training"] if row["training"] == "standard" else f"linf{row['epsilon_255']}" for row in rows]
    return {name: float(row["value"]) for name, row in zip(names, rows, strict=True)}


def checks() -> pd.DataFrame:
    """Statements about the published numbers that need no measurement: ``statement``, ``numbers``, ``holds``."""
    largest = _published(table="section4.3", setting="type I, largest budget")
    random = _published(table="section4.3", setting="random noise, largest budget")
    inductive = _published(table="table3", setting="type I", attribution="integrated_gradients")
    small = {color: _published(table="table2", setting=f"N=5 R=10 {color}") for color in ("black", "gray", "white")}
    large = {color: _published(table="table2", setting=f"N=10 R=20 {color}") for color in small}
    saturated = [values[name] for values in large.values() for name in ("linf4", "linf8")]
    example = float(gini(torch.tensor([0.0, 0, 0, 1, 1000])))
    falls = [color for color, values in small.items() if values["linf4"] < values["linf2"]]
    relation = table1_relation()
    above = int((relation.published_regional > relation.published_global).sum())
    rows = [
        (
            "Noise of type I has two pairs of values: section 4.3 and Table 3 (their budgets are not stated).",
            f"ℓ∞ 8/255: {largest['linf8']:g} and {inductive['linf8']:g} %; standard: {largest['standard']:g} and {inductive['standard']:g} %",
            largest != inductive,
        ),
        (
            "Random noise in section 4.3 fools the ℓ∞ network more often than noise on chosen places in Table 3.",
            f"{random['linf8']:g} against {inductive['linf8']:g} %",
            random["linf8"] > inductive["linf8"],
        ),
        (
            "Table 2, N=5 R=10: from ε = 2 to ε = 4 the rate falls for some colours.",
            "; ".join(f"{color} {small[color]['linf2']:g} to {small[color]['linf4']:g} %" for color in small),
            bool(falls),
        ),
        (
            "Table 2, N=10 R=20: all six cells of ε = 4 and 8 are the same round number.",
            ", ".join(f"{value:g}" for value in saturated) + " %",
            len(set(saturated)) == 1,
        ),
        (
            "The abstract's rate of the standard network is that of gray patches; the other colours have higher ones.",
            "; ".join(f"{color} {large[color]['standard']:g} %" for color in large),
            large["gray"]["standard"] == 30.1 == min(values["standard"] for values in large.values()),
        ),
        (
            "Appendix A.3 reads the index of [0, 0, 0, 1, 1000] as 21.1 % of the population.",
            f"printed: 0.799, and 1 − 0.799 = {100 * (1 - 0.799):.1f} %; exactly: 1 − {example:.4f} = {100 * (1 - example):.1f} %",
            21.1 not in (round(100 * (1 - example), 1), round(100 * (1 - 0.799), 1)),
        ),
        (
            "The published regional index exceeds the global one. Sums over equal blocks of |a| cannot.",
            f"{above} of {len(relation)} cells",
            above == len(relation),
        ),
        (
            "The regional index is (1 + global) / 2 to rounding in the standard networks of CIFAR-10.",
            _residuals(relation[(relation.dataset == "cifar10") & (relation.training == "standard")]),
            bool((relation[(relation.dataset == "cifar10") & (relation.training == "standard")].residual.abs() < 0.0051).all()),
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["statement", "numbers", "holds"])


def _residuals(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{row['architecture']}: {row['published_regional']:g} against {row['predicted']:.3f}"
        for row in rows.to_dict("records")
    )
