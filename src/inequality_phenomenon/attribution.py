"""Signed attribution maps of the label's logit or probability: Captum's methods behind one function (paper, sections 4.1 and A.8).

The random parts (baselines, noise) are drawn for each image from (seed, image id), so a map does not depend on the
batch that an image is in, nor on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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
    checks.one_of("method", method, METHODS)
    options = checks.options({"paper": PAPER[method], "released": RELEASED[method]}, preset, overrides)
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
    """Attribution of an output, by default the logit of ``labels``, to every subpixel; positive values speak for the label.

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
    inner = options.inner if "smoothgrad" in method else method
    maps = torch.empty_like(inputs, memory_format=torch.contiguous_format)

    def attribute_part(part: slice, rows: int) -> None:
        start = baseline_of(model, images[part], ids[part], options, inputs[part])
        maps[part] = _FUNCTIONS[method](_Part(network, inputs[part], labels[part], start, ids[part], options, rows))

    for_batches(
        len(images),
        batch or rows_for(inputs.device, inputs[0, 0].numel(), getattr(model, "kind", ""), "gradient"),
        attribute_part,
        rows_per_item=options.steps if inner == "integrated_gradients" else 1,
        description=method,
        progress=progress,
    )
    bad = ~torch.isfinite(maps).flatten(1).all(1)
    if bad.any():
        raise ValueError(f"the attribution map of image {ids[int(bad.nonzero()[0])]} has NaN or infinite values")
    return maps


def baseline_of(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    ids: list[int],
    options: Options,
    inputs: Tensor | None = None,
) -> Float32[Tensor, "n 3 h w"]:
    """The point from which ``attribute`` counts importance with these ``options``, in their space.

    ``inputs``: the images in that space, where they are known.
    """
    to_space = model.normalise if options.space == "normalised" else nn.Identity()
    inputs = to_space(images) if inputs is None else inputs
    if options.baseline == "normal":
        drawn = normal_images(ids, tuple(images.shape[1:]), options.seed).to(inputs)
        return drawn.contiguous(memory_format=torch.channels_last)
    if options.baseline in ("zero", "zero_or_image"):
        return torch.zeros_like(inputs)
    if options.baseline == "black":
        return to_space(torch.zeros_like(images))
    if options.baseline == "mean":
        return to_space(model.normalise.mean.expand_as(images))
    from torchvision.transforms.functional import gaussian_blur

    return to_space(gaussian_blur(images, kernel_size=[11, 11], sigma=[3.0, 3.0]))


class _Part(NamedTuple):
    """Some of the images, as a method gets them; ``rows``: how many the network gets at once."""

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    baseline: Tensor
    ids: list[int]
    options: Options
    rows: int

    def noisy(self, sample: int) -> Tensor:
        noise = normal_images(self.ids, tuple(self.inputs.shape[1:]), self.options.seed, 1, sample)
        return self.inputs + self.options.sigma * noise.to(self.inputs)

    def uniform(self, *key: int) -> Tensor:
        """A number in [0, 1) for each image."""
        return uniform_images(self.ids, (1, 1, 1), self.options.seed, *key).to(self.inputs)


def _integrated_gradients(part: _Part) -> Tensor:
    """Sundararajan et al. 2017: (x - x0) times the mean gradient on the straight line from x0 to x."""
    from captum.attr import IntegratedGradients

    steps = part.options.steps
    at_once = part.rows if part.rows < steps else None  # None: all points of all images
    return IntegratedGradients(part.network, multiply_by_inputs=True).attribute(
        part.inputs, part.baseline, part.labels, n_steps=steps, method="gausslegendre", internal_batch_size=at_once
    )


def _gradient(part: _Part) -> Tensor:
    from captum.attr import Saliency

    return Saliency(part.network).attribute(part.inputs.detach().requires_grad_(), part.labels, abs=False).detach()


def _input_x_gradient(part: _Part) -> Tensor:
    """Shrikumar et al. 2016."""
    from captum.attr import InputXGradient

    return InputXGradient(part.network).attribute(part.inputs.detach().requires_grad_(), part.labels).detach()


def _smoothgrad(part: _Part) -> Tensor:
    """Smilkov et al. 2017: mean signed gradient over noisy copies; squared (Hooker et al. 2019) it is never negative."""
    inner, total = _FUNCTIONS[part.options.inner], torch.zeros_like(part.inputs)
    for sample in range(part.options.samples):
        total += inner(part._replace(inputs=part.noisy(sample))) ** part.options.power
    return total / part.options.samples


def _gradient_shap(part: _Part) -> Tensor:
    """Lundberg and Lee 2017: (x + noise - x0) times the gradient at a random point between x0 and x + noise, averaged.

    With "zero_or_image" each sample draws its x0: zero or x itself.
    """
    total, start = torch.zeros_like(part.inputs), part.baseline
    for sample in range(part.options.samples):
        noisy, place = part.noisy(sample), part.uniform(2, sample)
        if part.options.baseline == "zero_or_image":
            start = torch.where(part.uniform(_BASELINE_CHOICE, sample) < 0.5, part.baseline, part.inputs)
        total += (noisy - start) * _gradient(part._replace(inputs=start + place * (noisy - start)))
    return total / part.options.samples


_FUNCTIONS: dict[str, Callable[[_Part], Tensor]] = {
    "integrated_gradients": _integrated_gradients,
    "input_x_gradient": _input_x_gradient,
    "gradient": _gradient,
    "smoothgrad": _smoothgrad,
    "smoothgrad_squared": _smoothgrad,
    "gradient_shap": _gradient_shap,
}
