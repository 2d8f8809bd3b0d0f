"""Does the attribution method decide the result (section 4.5, Table 3)? And does an attribution find what matters?"""

from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from .._support.checks import one_of
from .._support.randomness import uniform_images
from ..attribution import METHOD_TITLES, Baseline
from ..networks import fold_batch_norm, logits
from .measurements import Attribution, Conditions, chosen_maps
from .sample import Columns, Sample

_ORDER = 7  # second part of a random key; attribution uses 1, 2 and 6, the attacks 3 to 5
SHARES = (2, 5, 10, 20, 40, 60, 80)  # per cent of the subpixels, beside 0 and 100

TABLE3_METHODS = ("input_x_gradient", "gradient_shap", "smoothgrad", "integrated_gradients")  # in the paper's order
PAPER_SETTINGS = {METHOD_TITLES[method]: {"method": method} for method in TABLE3_METHODS}
VARIANTS: dict[str, dict[str, Any]] = {
    "Gradient": {"method": "gradient"},
    "SmoothGrad squared": {"method": "smoothgrad_squared"},
    "Input X Gradient, pixel space": {"method": "input_x_gradient", "space": "pixel"},
    "Integrated Gradients, black baseline": {"baseline": "black"},
    "Integrated Gradients, mean baseline": {"baseline": "mean"},
    "Integrated Gradients, blurred baseline": {"baseline": "blur"},
    "Integrated Gradients, 50 steps": {"steps": 50},
    "Integrated Gradients, released": {"preset": "released"},
    "GradientShap, released": {"method": "gradient_shap", "preset": "released"},
    "SmoothGrad, released": {"method": "smoothgrad", "preset": "released"},
}


def chosen_variants(names: list[str]) -> dict[str, dict[str, Any]]:
    """Those of ``VARIANTS``; ``ValueError`` lists the valid names."""
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ValueError(f"unknown variant {', '.join(map(repr, unknown))}; known: {'; '.join(VARIANTS)}")
    return {name: VARIANTS[name] for name in names}


def attributed(settings: Conditions) -> Conditions:
    """The settings as conditions of an attack."""
    return {name: {"attribution": options} for name, options in settings.items()}


def completeness(sample: Sample, **options: Any) -> Columns:
    """How far Integrated Gradients miss their own axiom, sum of a = f_y(x) - f_y(x'), at a finite number of steps.

    ``options``: those of ``attribute``. Columns, in logits: ``change`` = f_y(x) - f_y(x'), ``completeness_error`` =
    |sum of a - change|.
    """
    (start, space), network = sample.baseline(**options), fold_batch_norm(sample.model)
    start = start if space == "pixel" else sample.model.normalise.inverse(start)
    change = _outputs(network, sample.images, sample.labels) - _outputs(network, start, sample.labels)
    total = sample.maps("integrated_gradients", **options).double().flatten(1).sum(1)
    return {"change": change, "completeness_error": (total - change).abs()}


def deletion_insertion(
    sample: Sample,
    *,
    attribution: Attribution = None,
    order: Literal["top", "random"] = "top",
    fill: Baseline = "mean",
    shares: tuple[int, ...] = SHARES,
    seed: int = 0,
) -> Columns:
    """Confidence in the label while subpixels are deleted, or inserted, in descending order of signed attribution.

    Petsiuk et al. 2018. A deleted subpixel has the value of ``fill``, a baseline of ``attribute`` in pixel units.
    Columns for each p per cent: ``deletion_p``, ``insertion_p`` (softmax probability of the label without, or with only,
    the first p per cent), and the areas under both curves, ``deletion_area`` and ``insertion_area``. An order that finds
    what matters has a small first and a large second area.
    """
    one_of("order", order, ("top", "random"))
    images, network, percents = sample.images, fold_batch_norm(sample.model), sorted({0, *shares, 100})
    if order == "top":
        scores = chosen_maps(sample, None, seed, attribution)
    else:
        scores = uniform_images(sample.ids, tuple(images.shape[1:]), seed, _ORDER).to(images)
    ranks = scores.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view(images.shape)
    blank, _ = sample.baseline(baseline=fill, space="pixel", seed=seed)
    curves: dict[str, list[Tensor]] = {"deletion": [], "insertion": []}
    for percent in percents:
        first = ranks < round(percent / 100 * images[0].numel())
        for name, (inside, outside) in {"deletion": (blank, images), "insertion": (images, blank)}.items():
            inputs = torch.where(first, inside, outside)
            curves[name].append(_outputs(network, inputs, sample.labels, softmax=True))
    columns: dict[str, Tensor] = {}
    for name, values in curves.items():
        curve = torch.stack(values, dim=1).cpu()
        columns |= {f"{name}_{percent}": curve[:, i] for i, percent in enumerate(percents)}
        columns[f"{name}_area"] = torch.trapezoid(curve, torch.tensor(percents) / 100, dim=1)
    return columns


def _outputs(network: nn.Module, inputs: Tensor, labels: Tensor, softmax: bool = False) -> Float64[Tensor, " n"]:
    """Logit, or probability, of each image's label."""
    scores = logits(network, inputs, 128).double()
    return (scores.softmax(1) if softmax else scores).gather(1, labels[:, None])[:, 0]
