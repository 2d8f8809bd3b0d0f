"""Signed attribution maps of the label's logit or probability: Captum's methods behind one function (paper, sections 4.1 and A.8).

The random parts (baselines, noise) are drawn for each image from (seed, image id), so a map does not depend on the
batch that an image is in, nor on the device.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from ._support import checks
from ._support.batching import for_batches, rows_for
from ._support.randomness import normal_images, uniform_images
from .networks import Classifier, fold_batch_norm

Preset = Literal["paper", "released"]
Space = Literal["normalised", "pixel"]
Baseline = Literal["normal", "zero", "black", "mean", "blur", "zero_or_image"]
Inner = Literal["gradient", "integrated_gradients"]
Output = Literal["logit", "probability"]


@dataclass(frozen=True)
class Options:
    """Choices of one attribution; which of them matter depends on the method."""

    output: Output = "logit"  # of the label: what is attributed
    space: Space = "normalised"  # where "baseline 0", N(0, 1) and sigma are meant
    baseline: Baseline = "normal"
    steps: int = 20  # Gauss-Legendre points of Integrated Gradients
    samples: int = 20  # noisy copies of SmoothGrad and GradientShap
    power: int = 1  # SmoothGrad averages this power of the maps of its noisy copies
    inner: Inner = "gradient"  # the method that gives SmoothGrad the maps of its noisy copies
    sigma: float = 0.2  # standard deviation of the noise of SmoothGrad and GradientShap
    seed: int = 0


# What the paper says (A.8; GradientShap: the CIFAR-10 value). The paper gives no sigma for SmoothGrad.
PAPER: dict[str, Options] = {
    "integrated_gradients": Options(),
    "input_x_gradient": Options(),
    "gradient": Options(),
    "smoothgrad": Options(),
    "smoothgrad_squared": Options(power=2),
    "gradient_shap": Options(baseline="zero", samples=10, sigma=0.0),
}
# What the authors' scripts do: see the chapter "The paper and its code".
RELEASED: dict[str, Options] = PAPER | {
    "integrated_gradients": Options(baseline="zero", steps=50),
    "smoothgrad": Options(baseline="zero", steps=50, power=2, inner="integrated_gradients"),
    "gradient_shap": Options(baseline="zero_or_image", samples=50, sigma=0.01),
}
METHODS = tuple(PAPER)
METHOD_TITLES = {
    "integrated_gradients": "Integrated Gradients",
    "input_x_gradient": "Input X Gradient",
    "gradient": "Gradient",
    "smoothgrad": "SmoothGrad",
    "smoothgrad_squared": "SmoothGrad squared",
    "gradient_shap": "GradientShap",
}
_BASELINE_CHOICE = 6  # second part of a random key; 1 and 2 are used below, 3 to 5 by the attacks


def resolve_options(method: str, preset: Preset = "paper", **overrides: Any) -> Options:
    """The options of a preset with single ones replaced; ``ValueError`` lists the valid names."""
    presets = {"paper": PAPER, "released": RELEASED}
    checks.one_of("method", method, METHODS)
    checks.one_of("preset", preset, tuple(presets))
    known = {field.name for field in fields(Options)}
    if unknown := set(overrides) - known:
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    options = replace(presets[preset][method], **overrides)
    for field, choices in (
        ("output", get_args(Output)),
        ("space", get_args(Space)),
        ("baseline", get_args(Baseline)),
        ("inner", get_args(Inner)),
    ):
        checks.one_of(field, getattr(options, field), choices)
    for field in ("steps", "samples", "power"):
        checks.whole(field, getattr(options, field))
    checks.whole("seed", options.seed, 0)
    checks.real("sigma", options.sigma)
    if min(options.steps, options.samples, options.power) < 1 or options.sigma < 0:
        raise ValueError(f"steps, samples and power must be at least 1 and sigma at least 0, got {asdict(options)}")
    if options.baseline == "zero_or_image" and method != "gradient_shap":
        raise ValueError("the baseline zero_or_image is drawn for each sample of gradient_shap; no other method has it")
    return options


def attribute(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    method: str = "integrated_gradients",
    *,
    preset: Preset = "paper",
    ids: list[int] | None = None,
    batch: int | None = None,
    progress: bool = False,
    **overrides: Any,
) -> Float32[Tensor, "n 3 h w"]:
    """Attribution of an output of the network, by default the logit of ``labels``, to every subpixel.

    Positive values speak for the label.

    ``images`` in [0, 1] on the model's device; ``ids``: the images' numbers, which seed their random baselines and
    noise (default 0, 1, ...); ``batch``: images per forward pass times steps (default: what is fastest for the
    architecture, see ``_support.batching``), halved when the memory is used up; ``overrides``: fields of ``Options``.
    Raises ``ValueError`` for wrong shapes, pixels or labels out of range, unknown names, and a map with NaN
    (naming the image).
    """
    options = resolve_options(method, preset, **overrides)
    checks.pictures(images)
    checks.labels_of(images, labels)
    checks.classifier(model, images)
    ids = checks.image_ids(ids, len(images))
    if batch is not None:
        checks.whole("batch", batch, 1)
    if options.space == "normalised":
        network = fold_batch_norm(model.network)
        inputs = model.normalise(images)
    else:
        network = fold_batch_norm(model)
        inputs = images
    if options.output == "probability":
        network = nn.Sequential(network, nn.Softmax(dim=1))
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        classes = network(inputs[:1]).shape[1]
    checks.classes_known(labels, classes)
    function = _FUNCTIONS[method]
    integrates = method == "integrated_gradients" or (
        "smoothgrad" in method and options.inner == "integrated_gradients"
    )
    maps = torch.empty_like(inputs, memory_format=torch.contiguous_format)

    def attribute_part(part: slice, rows: int) -> None:
        baseline = _baseline(model, images[part], inputs[part], ids[part], options)
        maps[part] = function(network, inputs[part], labels[part], baseline, ids[part], options, rows)

    for_batches(
        len(images),
        batch or rows_for(inputs.device, inputs[0, 0].numel(), getattr(model, "kind", ""), "gradient"),
        attribute_part,
        rows_per_item=options.steps if integrates else 1,
        description=method,
        progress=progress,
    )
    bad = ~torch.isfinite(maps).flatten(1).all(1)
    if bad.any():
        raise ValueError(f"the attribution map of image {ids[int(bad.nonzero()[0])]} has NaN or infinite values")
    return maps


def baseline_of(
    model: Classifier, images: Float32[Tensor, "n 3 h w"], ids: list[int], options: Options
) -> Float32[Tensor, "n 3 h w"]:
    """The point from which ``attribute`` counts importance with these ``options``, in their space."""
    return _baseline(model, images, model.normalise(images) if options.space == "normalised" else images, ids, options)


def _baseline(model: Classifier, images: Tensor, inputs: Tensor, ids: list[int], options: Options) -> Tensor:
    """As ``baseline_of``; ``inputs`` are the images in the options' space."""
    if options.baseline == "normal":
        drawn = normal_images(ids, tuple(images.shape[1:]), options.seed).to(inputs)
        return drawn.contiguous(memory_format=torch.channels_last)
    if options.baseline in ("zero", "zero_or_image"):
        return torch.zeros_like(inputs)
    if options.baseline == "black":
        pixels = torch.zeros_like(images)
    elif options.baseline == "mean":
        pixels = model.normalise.mean.expand_as(images)
    else:
        from torchvision.transforms.functional import gaussian_blur

        pixels = gaussian_blur(images, kernel_size=[11, 11], sigma=[3.0, 3.0])
    return model.normalise(pixels) if options.space == "normalised" else pixels


def _integrated_gradients(
    network: nn.Module, inputs: Tensor, labels: Tensor, baseline: Tensor, ids: list[int], options: Options, rows: int
) -> Tensor:
    """Sundararajan et al. 2017: (x - x0) times the mean gradient on the straight line from x0 to x."""
    from captum.attr import IntegratedGradients

    at_once = rows if rows < options.steps else None  # None: all points of all images
    return IntegratedGradients(network, multiply_by_inputs=True).attribute(
        inputs, baseline, target=labels, n_steps=options.steps, method="gausslegendre", internal_batch_size=at_once
    )


def _gradient(
    network: nn.Module, inputs: Tensor, labels: Tensor, baseline: Tensor, ids: list[int], options: Options, rows: int
) -> Tensor:
    from captum.attr import Saliency

    return Saliency(network).attribute(inputs.detach().requires_grad_(), target=labels, abs=False).detach()


def _input_x_gradient(
    network: nn.Module, inputs: Tensor, labels: Tensor, baseline: Tensor, ids: list[int], options: Options, rows: int
) -> Tensor:
    """Shrikumar et al. 2016."""
    from captum.attr import InputXGradient

    return InputXGradient(network).attribute(inputs.detach().requires_grad_(), target=labels).detach()


def _noise(sample: int, inputs: Tensor, ids: list[int], options: Options) -> Tensor:
    return options.sigma * normal_images(ids, tuple(inputs.shape[1:]), options.seed, 1, sample).to(inputs)


def _smoothgrad(
    network: nn.Module, inputs: Tensor, labels: Tensor, baseline: Tensor, ids: list[int], options: Options, rows: int
) -> Tensor:
    """Smilkov et al. 2017: mean signed gradient over noisy copies; squared (Hooker et al. 2019) it is never negative."""
    inner = _gradient if options.inner == "gradient" else _integrated_gradients
    total = torch.zeros_like(inputs)
    for sample in range(options.samples):
        noisy = inputs + _noise(sample, inputs, ids, options)
        total += inner(network, noisy, labels, baseline, ids, options, rows) ** options.power
    return total / options.samples


def _gradient_shap(
    network: nn.Module, inputs: Tensor, labels: Tensor, baseline: Tensor, ids: list[int], options: Options, rows: int
) -> Tensor:
    """Lundberg and Lee 2017: (x + noise - x0) times the gradient at a random point between x0 and x + noise, averaged.

    With "zero_or_image" each sample draws its x0: zero or x itself.
    """
    total = torch.zeros_like(inputs)
    for sample in range(options.samples):
        noisy = inputs + _noise(sample, inputs, ids, options)
        place = uniform_images(ids, (1, 1, 1), options.seed, 2, sample).to(inputs)
        start = baseline
        if options.baseline == "zero_or_image":
            drawn = uniform_images(ids, (1, 1, 1), options.seed, _BASELINE_CHOICE, sample).to(inputs)
            start = torch.where(drawn < 0.5, baseline, inputs)
        total += (noisy - start) * _gradient(
            network, start + place * (noisy - start), labels, start, ids, options, rows
        )
    return total / options.samples


# (network, inputs, labels, baseline, ids, options, rows that the network gets at once) -> maps; not all need everything
_FUNCTIONS: dict[str, Callable[[nn.Module, Tensor, Tensor, Tensor, list[int], Options, int], Tensor]] = {
    "integrated_gradients": _integrated_gradients,
    "input_x_gradient": _input_x_gradient,
    "gradient": _gradient,
    "smoothgrad": _smoothgrad,
    "smoothgrad_squared": _smoothgrad,
    "gradient_shap": _gradient_shap,
}
