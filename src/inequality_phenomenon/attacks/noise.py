"""Inductive noise (paper, section 3.2.1): random values on the subpixels that matter most, or in their place."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .._support import checks
from .._support.randomness import normal_images, uniform_images
from ..attribution import Preset, Space
from ..networks import Classifier
from .referee import CLOSE, Referee, checked_ids, ranking

Kind = Literal["type_1", "type_2"]
Positions = Literal["top", "random", "lowest"]
Distribution = Literal["normal", "uniform"]

BUDGETS = (10, 20, 102, 204, 408, 100, 300, 600, 1000)  # 32x32: to 408 the paper's shares of 3x224x224; round numbers
_NOISE, _NOISE_PLACES = 3, 4  # second part of a random key; attribution uses 1, 2 and 6, patches 5


@dataclass(frozen=True)
class NoiseOptions:
    """Choices of a noise attack beside budget, kind and seed."""

    positions: Positions = "top"  # subpixels of the largest signed attribution, random ones of each image, the smallest
    space: Space = "normalised"  # where the noise lives
    distribution: Distribution = "normal"  # N(0, 1); uniform between the image's extremes, the result clamped to them
    clamp: bool = False  # the result to pixels in [0, 1]
    threshold: bool = False  # all subpixels >= the (budget + 1)-th largest, instead of exactly ``budget``


NOISE_PRESETS = {"paper": NoiseOptions(), "released": NoiseOptions(distribution="uniform", threshold=True)}


class _Noise:
    """One kind of noise on images (N, 3, H, W): ranks of the subpixels, values for a draw, and Equation 5."""

    def __init__(self, model: Classifier, kind: str, seed: int, preset: str, overrides: dict[str, Any]) -> None:
        checks.one_of("kind", kind, get_args(Kind))
        checks.whole("seed", seed, 0)
        self.model, self.kind, self.seed = model, kind, seed
        self.options = checks.options(NOISE_PRESETS, preset, overrides)

    def check(self, budgets: Sequence[int], subpixels: int, energy: object) -> None:
        most = subpixels - self.options.threshold
        for budget in budgets:
            checks.whole("the budget", budget)
            if not 1 <= budget <= most:
                raise ValueError(f"the budget must lie between 1 and {most} subpixels, got {budget}")
        if energy is not None and not isinstance(energy, Tensor | Real):
            raise TypeError(f"energy is a number or a tensor of one number an image, got {energy!r}")
        if energy is not None and (self.options.clamp or self.options.distribution == "uniform"):
            raise ValueError("energy fixes the size of the perturbation, and clamping changes it: choose one of them")

    def ranks(self, maps: Tensor, ids: list[int], draw: int) -> Tensor:
        """Place of each subpixel, from 0, in the order in which noise is put; same shape as ``maps``."""
        if self.options.positions == "random":
            maps = uniform_images(ids, tuple(maps.shape[1:]), self.seed, _NOISE_PLACES, draw).to(maps.device)
        scores = maps.flatten(1)
        order = ranking(scores, descending=self.options.positions != "lowest")
        places = torch.arange(order.shape[1], device=order.device).expand_as(order)
        if self.options.threshold:  # ties share the place of the first of them
            ordered = scores.gather(1, order)
            tied = F.pad(ordered[:, 1:] == ordered[:, :-1], (1, 0))
            places = places.masked_fill(tied, 0).cummax(dim=1).values
        return torch.empty_like(order).scatter_(1, order, places).view(maps.shape)

    def values(self, images: Tensor, ids: list[int], draw: int) -> Tensor:
        """Noise for every subpixel: a function of (seed, image id, draw), whatever the budget, kind and positions."""
        source = normal_images if self.options.distribution == "normal" else uniform_images
        return source(ids, tuple(images.shape[1:]), self.seed, _NOISE, draw).to(images)

    def apply(
        self, images: Tensor, ranks: Tensor, budget: int, values: Tensor, energy: Tensor | float | None
    ) -> Tensor:
        """Equation 5: noise on the subpixels that rank first; every other one keeps its bits."""
        normalised = self.options.space == "normalised"
        clean = self.model.normalise(images) if normalised else images
        if uniform := self.options.distribution == "uniform":
            low, high = (extreme.view(-1, 1, 1, 1) for extreme in clean.flatten(1).aminmax(dim=1))
            values = low + (high - low) * values
        changed = clean + values if self.kind == "type_1" else values
        changed = changed.clamp(low, high) if uniform else changed
        pixels = self.model.normalise.inverse(changed) if normalised else changed
        pixels = pixels.clamp(0, 1) if self.options.clamp else pixels
        noisy = torch.where(ranks < budget + self.options.threshold, pixels, images)
        return noisy if energy is None else _rescale(images, noisy, energy)


def _rescale(images: Tensor, noisy: Tensor, energy: Tensor | float) -> Tensor:
    """The perturbation of each image stretched to the l2 norm ``energy``, in pixel units."""
    step = (noisy - images).double()
    scale = torch.as_tensor(energy, dtype=torch.float64, device=images.device) / step.flatten(1).norm(dim=1)
    if not (torch.isfinite(scale) & (scale > 0)).all():
        raise ValueError("energy must be positive and finite, and the noise must change every image")
    return (images + step * scale.view(-1, 1, 1, 1)).float()


@torch.no_grad()
def perturb_with_noise(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    maps: Float[Tensor, "n 3 h w"],
    budget: int = 300,
    kind: Kind = "type_1",
    seed: int = 0,
    *,
    draw: int = 0,
    ids: Sequence[int] | None = None,
    preset: Preset = "paper",
    energy: Float[Tensor, " n"] | float | None = None,
    **overrides: Any,
) -> Float32[Tensor, "n 3 h w"]:
    """Noise on the ``budget`` most important subpixels (Equation 5): "type_1" adds it, "type_2" replaces by it.

    ``images`` in [0, 1] and their signed attributions ``maps``; ``ids``: the images' numbers, which seed their noise
    (default 0, 1, ...); ``energy``: l2 norm, in pixel units, to which each image's perturbation is scaled;
    ``overrides``: fields of ``NoiseOptions``. Returns images as the model is fed them: they may leave [0, 1].
    Raises ``ValueError`` for wrong shapes, pixels out of range, a budget above the image's size and unknown names.
    """
    noise = _Noise(model, kind, seed, preset, overrides)
    checks.whole("draw", draw, 0)
    numbers = checked_ids(images, maps, ids)
    checks.classifier(model, images)
    noise.check([budget], images[0].numel(), energy)
    if isinstance(energy, Tensor) and energy.shape not in ((), images.shape[:1]):
        raise ValueError(f"energy is one number an image, {len(images)} in all; got shape {tuple(energy.shape)}")
    return noise.apply(images, noise.ranks(maps, numbers, draw), budget, noise.values(images, numbers, draw), energy)


@dataclass(frozen=True)
class NoiseOutcomes:
    """What noise does to each image."""

    fooled: Bool[Tensor, "n budgets draws"]
    close_calls: tuple[int, ...]  # indices of images with a margin below CLOSE, clean or in any of the predictions


@torch.no_grad()
def noise_outcomes(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    maps: Float[Tensor, "n 3 h w"],
    budgets: Sequence[int] = BUDGETS,
    kind: Kind = "type_1",
    seed: int = 0,
    *,
    draws: int = 5,
    ids: Sequence[int] | None = None,
    preset: Preset = "paper",
    energy: Float[Tensor, "n budgets"] | None = None,
    batch: int | None = None,
    progress: bool = False,
    **overrides: Any,
) -> NoiseOutcomes:
    """Whether ``perturb_with_noise`` fools the model, for each image, budget and draw 0, 1, ...: one prediction each.

    Arguments as there, ``energy`` with a column a budget. Ranks are computed once an image and noise once a draw; the
    memory is that of one batch. Raises ``ValueError`` also for labels out of range and images misclassified at the
    start (naming them).
    """
    noise = _Noise(model, kind, seed, preset, overrides)
    checks.whole("draws", draws)
    numbers = checked_ids(images, maps, ids)
    noise.check(budgets, images[0].numel(), energy)
    if draws < 1 or not len(budgets):
        raise ValueError(f"at least one draw and one budget are needed, got {draws} and {len(budgets)}")
    if energy is not None and energy.shape != (len(images), len(budgets)):
        raise ValueError(f"energy has shape ({len(images)}, {len(budgets)}), got {tuple(energy.shape)}")
    referee = Referee(model, images, labels, batch)
    fooled = torch.zeros(len(images), len(budgets), draws, dtype=torch.bool, device=images.device)
    close = referee.close_at_start.clone()
    for part in tqdm(referee.parts(referee.everyone), desc=f"noise {kind}", disable=not progress, leave=False):
        own = [numbers[index] for index in part.tolist()]
        for draw in range(draws):
            if draw == 0 or noise.options.positions == "random":
                ranks = noise.ranks(maps[part], own, draw)
            values = noise.values(images[part], own, draw)
            for column, budget in enumerate(budgets):
                size = None if energy is None else energy[part, column]
                noisy = noise.apply(images[part], ranks, budget, values, size)
                fooled[part, column, draw], margins = referee.verdicts(noisy, part)
                close[part] |= margins.abs() < CLOSE
    return NoiseOutcomes(fooled, tuple(close.nonzero().flatten().tolist()))
