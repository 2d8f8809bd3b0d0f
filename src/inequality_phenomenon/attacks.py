"""Common corruptions put where the attribution is: inductive noise (paper, 3.2.1) and inductive occlusion (3.2.2).

Attribution maps are signed: large values speak for the label. Pixels are in [0, 1], radii and areas in pixels.
"Fooled" means that the label is no longer predicted. Random parts belong to (seed, image id, draw), not to a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ._support import checks
from ._support.batching import for_batches, rows_for
from ._support.randomness import normal_images, uniform_images
from .attribution import Preset, Space
from .inequality import region_sums
from .networks import Classifier, fold_batch_norm

Kind = Literal["type_1", "type_2"]
Positions = Literal["top", "random", "lowest"]
Distribution = Literal["normal", "uniform"]
Centres = Literal["regional", "top_pixels", "random", "lowest", "centre", "separate"]
Color = Literal["black", "gray", "white", "minimum"]
Search = Literal["grid", "single"]

BUDGETS = (10, 20, 102, 204, 408, 100, 300, 600, 1000)  # 32x32: to 408 the paper's shares of 3x224x224; round numbers
CLOSE = 1e-4  # two top logits nearer than this may change places with the batch size or the number of threads
_NOISE, _NOISE_PLACES, _PATCH_PLACES = 3, 4, 5  # second part of a random key; attribution uses 1 and 2
_NOWHERE = -1_000_000  # the centre of a patch that hides nothing


# What both attacks share


def _known(name: str, value: str, valid: Any) -> None:
    checks.one_of(name, value, get_args(valid))


def _checked_ids(images: Tensor, maps: Tensor, ids: Sequence[int] | None) -> list[int]:
    """The images' ids; ``ValueError`` if images, maps and ids cannot belong together."""
    checks.pictures(images)
    checks.real_tensor("maps", maps)
    if maps.shape != images.shape:
        raise ValueError(f"the maps of these images have shape {tuple(images.shape)}, got {tuple(maps.shape)}")
    if (bad := ~torch.isfinite(maps).flatten(1).all(1)).any():
        raise ValueError(f"the map of image {int(bad.nonzero()[0])} (counted from 0) has NaN or infinite values")
    return checks.image_ids(ids, len(images))


def _ranking(scores: Tensor, descending: bool = True) -> Tensor:
    """(N, M) -> (N, M): indices in the order of the scores, ties by index (-0.0 counts as 0.0 on every device)."""
    return (scores + 0.0).sort(dim=1, descending=descending, stable=True).indices


class _Referee:
    """The model, folded once, and its verdicts. Refuses bad labels and images that are misclassified at the start."""

    def __init__(self, model: Classifier, images: Tensor, labels: Tensor, batch: int | None) -> None:
        checks.classifier(model, images)
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() before attacking it")
        checks.labels_of(images, labels)
        if batch is not None:
            checks.whole("batch", batch, 1)
        self.network, self.labels = fold_batch_norm(model), labels
        # 128 small images stay in a CPU's cache. ``rows`` is what the network gets at once: less after out of memory.
        small = 128 if images.device.type == "cpu" else 1000
        self.batch = self.rows = batch or rows_for(images.device, images[0, 0].numel(), small=small)
        self.everyone = torch.arange(len(images), device=images.device)
        checks.classes_known(labels, self._logits(images[:1]).shape[1])
        verdicts = [self.verdicts(images[part], part) for part in self.parts(self.everyone)]
        fooled, margins = (torch.cat(column) for column in zip(*verdicts, strict=True))
        if len(wrong := fooled.nonzero().flatten().tolist()):
            names = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
            raise ValueError(f"the model misclassifies {len(wrong)} images before any attack (from 0): {names}")
        self.close_at_start = margins.abs() < CLOSE

    def parts(self, which: Tensor) -> tuple[Tensor, ...]:
        """``which`` in nearly equal parts of at most a batch."""
        return which.chunk(-(-len(which) // self.batch))

    @torch.inference_mode()
    def _logits(self, inputs: Tensor) -> Tensor:
        found: list[Tensor] = []

        def predict(part: slice, rows: int) -> None:
            found.append(self.network(inputs[part].contiguous(memory_format=torch.channels_last)).float())

        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 would make margins of 1e-2 close calls
            self.rows = for_batches(len(inputs), self.rows, predict)
        return torch.cat(found)

    def verdicts(self, inputs: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Fooled, and the margin (best other logit minus the label's), of ``inputs`` made from the images ``which``."""
        logits, labels = self._logits(inputs), self.labels[which, None]
        if not (finite := torch.isfinite(logits).all(1)).all():
            raise ValueError(f"the model's logits of image {int(which[~finite][0])} (counted from 0) are not finite")
        margins = logits.scatter(1, labels, -torch.inf).amax(1) - logits.gather(1, labels)[:, 0]
        return logits.argmax(1) != labels[:, 0], margins


# Noise


@dataclass(frozen=True)
class NoiseOptions:
    """Choices of a noise attack beside budget, kind and seed."""

    positions: Positions = "top"  # subpixels of the largest signed attribution, random ones of each image, the smallest
    space: Space = "normalised"  # where the noise lives
    distribution: Distribution = "normal"  # N(0, 1); uniform between the image's extremes, the result clamped to them
    clamp: bool = False  # the result to pixels in [0, 1]
    threshold: bool = False  # all subpixels >= the (budget + 1)-th largest, instead of exactly ``budget``


NOISE_PRESETS = {"paper": NoiseOptions(), "released": NoiseOptions(distribution="uniform", threshold=True)}


def resolve_noise_options(kind: str, preset: str = "paper", **overrides: Any) -> NoiseOptions:
    """The options of a preset with single ones replaced; ``ValueError`` lists the valid names."""
    _known("kind", kind, Kind)
    _known("preset", preset, Preset)
    known = [field.name for field in fields(NoiseOptions)]
    if unknown := set(overrides) - set(known):
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    options = replace(NOISE_PRESETS[preset], **overrides)
    _known("positions", options.positions, Positions)
    _known("space", options.space, Space)
    _known("distribution", options.distribution, Distribution)
    return options


class _Noise:
    """One kind of noise on images (N, 3, H, W): ranks of the subpixels, values for a draw, and Equation 5."""

    def __init__(self, model: Classifier, kind: str, options: NoiseOptions, seed: int) -> None:
        checks.whole("seed", seed, 0)
        self.model, self.kind, self.options, self.seed = model, kind, options, seed

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
        order = _ranking(scores, descending=self.options.positions != "lowest")
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
    noise = _Noise(model, kind, resolve_noise_options(kind, preset, **overrides), seed)
    checks.whole("draw", draw, 0)
    numbers = _checked_ids(images, maps, ids)
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
    noise = _Noise(model, kind, resolve_noise_options(kind, preset, **overrides), seed)
    checks.whole("draws", draws)
    numbers = _checked_ids(images, maps, ids)
    noise.check(budgets, images[0].numel(), energy)
    if draws < 1 or not len(budgets):
        raise ValueError(f"at least one draw and one budget are needed, got {draws} and {len(budgets)}")
    if energy is not None and energy.shape != (len(images), len(budgets)):
        raise ValueError(f"energy has shape ({len(images)}, {len(budgets)}), got {tuple(energy.shape)}")
    referee = _Referee(model, images, labels, batch)
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


# Occlusion: where the patches are


def patch_mask(centres: Int64[Tensor, "n patches 2"], radius: int, height: int, width: int) -> Bool[Tensor, "n 1 h w"]:
    """Union of the squares [row - r, row + r) x [column - r, column + r) around ``centres``, clipped at the border."""
    sides = []
    for axis, length in enumerate((height, width)):
        offset = torch.arange(length, device=centres.device) - centres[:, :, axis, None]  # (N, patches, length)
        sides.append(((offset >= -radius) & (offset < radius)).float())
    return (sides[0].mT @ sides[1] > 0)[:, None]  # memory does not grow with the patches


def patch_centres(
    maps: Float[Tensor, "n 3 h w"],
    count: int | None = None,
    *,
    positions: Centres = "regional",
    region: int | None = None,
    max_radius: int = 4,
    seed: int = 0,
    ids: Sequence[int] | None = None,
) -> Int64[Tensor, "n count 2"]:
    """Row and column of the first ``count`` patch centres (default: all), in the order in which they are occluded.

    "regional": centres s i + s // 2 of the s x s blocks (s = ``region``, default 4, or 16 from 224 pixels on) by
    descending signed sum, ties row-major; "lowest": ascending; "random": an order for each image; "separate": as
    regional, skipping centres nearer than 2 ``max_radius`` (Chebyshev) to a kept one, with patches that hide nothing
    once no place is left; "top_pixels" (released scripts): pixels by descending signed channel mean; "centre": the
    image's, whatever the count. Raises ``ValueError`` for unknown names, blocks that do not tile and a count too large.
    """
    _known("positions", positions, Centres)
    checks.whole("seed", seed, 0)
    if region is not None:
        checks.whole("region", region, 1)
    n, _, height, width = maps.shape
    side = 1 if positions == "top_pixels" else region or (16 if height >= 224 else 4)
    scores = region_sums(maps, side).flatten(1)
    count = scores.shape[1] if count is None else count
    if not 1 <= count <= scores.shape[1]:
        raise ValueError(f"there are {scores.shape[1]} places of {side}x{side} pixels, got a count of {count}")
    if positions == "centre":
        return torch.tensor([height // 2, width // 2], device=maps.device).expand(n, count, 2)
    if positions == "random":
        numbers = range(n) if ids is None else ids
        scores = uniform_images(list(numbers), (scores.shape[1],), seed, _PATCH_PLACES, 0).to(maps.device)
    order = _ranking(scores, descending=positions != "lowest")
    columns = width // side
    centres = torch.stack([order // columns, order % columns], dim=2) * side + side // 2
    return (_kept_apart(centres, 2 * max_radius) if positions == "separate" else centres)[:, :count]


def _kept_apart(centres: Tensor, distance: int) -> Tensor:
    """Greedy, in order: the centres at least ``distance`` (Chebyshev) from every kept one; what is left is nowhere."""
    n, places, _ = centres.shape
    kept, index = torch.full_like(centres, _NOWHERE), torch.arange(places, device=centres.device)
    free = torch.ones(n, places, dtype=torch.bool, device=centres.device)
    for place in range(places):
        first = torch.where(free, index, places - 1).amin(1)
        chosen = centres[torch.arange(n, device=centres.device), first]
        kept[:, place] = torch.where(free.any(1)[:, None], chosen, _NOWHERE)
        free &= (centres - chosen[:, None]).abs().amax(2) >= distance
    return kept


def _grid(max_count: int, max_radius: int) -> list[tuple[int, int]]:
    """All (n, r) in the order of Algorithm 1."""
    checks.whole("max_count", max_count)
    checks.whole("max_radius", max_radius)
    if max_count < 1 or max_radius < 1:
        raise ValueError(f"max_count and max_radius must be at least 1, got {max_count} and {max_radius}")
    return [(n, r) for n in range(1, max_count + 1) for r in range(1, max_radius + 1)]


def mask_areas(
    maps: Float[Tensor, "n 3 h w"], max_count: int = 10, max_radius: int = 4, **places: Any
) -> Int64[Tensor, "n counts radii"]:
    """Occluded pixels of every mask of the grid, at [image, n - 1, r - 1]; ``places``: as for ``patch_centres``."""
    grid = _grid(max_count, max_radius)
    centres = patch_centres(maps, max_count, max_radius=max_radius, **places)
    areas = [patch_mask(centres[:, :n], r, *maps.shape[2:]).flatten(1).sum(1) for n, r in grid]
    return torch.stack(areas, dim=1).view(len(maps), max_count, max_radius)


def area_mask(
    centres: Int64[Tensor, "n patches 2"], radius: int, area: int, height: int, width: int
) -> Bool[Tensor, "n 1 h w"]:
    """Patches in order until exactly ``area`` pixels are hidden; of the last patch, the first new pixels row by row."""
    first = torch.full((len(centres), 1, height, width), centres.shape[1], device=centres.device)  # patch that hides it
    for patch in range(centres.shape[1] - 1, -1, -1):
        first.masked_fill_(patch_mask(centres[:, patch : patch + 1], radius, height, width), patch)
    coverage = int((first < centres.shape[1]).flatten(1).sum(1).min())
    if not 1 <= area <= coverage:
        raise ValueError(f"the area must lie between 1 and {coverage} pixels, all that these patches cover; got {area}")
    chosen = _ranking(first.flatten(1), descending=False)[:, :area]
    return torch.zeros_like(first, dtype=torch.bool).flatten(1).scatter_(1, chosen, True).view(first.shape)


# Occlusion: what the model makes of it


@dataclass(frozen=True)
class Occlusion:
    """What occlusion does to each image. The last four belong to the first success, else to the last mask tried."""

    fooled: Bool[Tensor, " n"]
    forwards: Int64[Tensor, " n"]  # predictions spent, the one on the clean image included
    close_calls: tuple[int, ...]  # indices of images decided by, or starting with, a margin below CLOSE
    count: Int64[Tensor, " n"] | None = None
    radius: Int64[Tensor, " n"] | None = None
    area: Int64[Tensor, " n"] | None = None  # pixels
    images: Float32[Tensor, "n 3 h w"] | None = None


def patch_fill(model: Classifier, images: Tensor, color: str) -> Tensor:
    """(N, 3, 1, 1): the patches' colour in pixel units."""
    _known("color", color, Color)
    if color == "minimum":  # the smallest normalised value of the image in all channels: may be darker than black
        lowest = model.normalise(images).flatten(1).amin(1).view(-1, 1, 1, 1)
        return model.normalise.inverse(lowest.expand(-1, 3, 1, 1))
    return torch.full_like(images[:, :, :1, :1], {"black": 0.0, "gray": 0.5, "white": 1.0}[color])


@torch.no_grad()
def _search(
    referee: _Referee,
    images: Tensor,
    fill: Tensor,
    masks: Callable[[int, Tensor], tuple[Tensor, Tensor]],
    places: Sequence[int],
    locate: bool,
    progress: bool,
) -> tuple[Occlusion, Tensor]:
    """Try mask after mask on the images that it may still decide; also the place of each image's first success.

    ``masks(place, which)`` gives (the images of ``which`` that need it, their masks (B, 1, H, W)). To locate, an image
    ends at its first success; else at its first clear one, and it is a close call if its largest margin is not clear:
    so neither ``fooled`` nor ``close_calls`` depends on the order of the masks.
    """
    active, found = referee.everyone, torch.full_like(referee.everyone, places[-1])
    fooled = torch.zeros_like(active, dtype=torch.bool)
    close, forwards = referee.close_at_start.clone(), torch.ones_like(active)
    best = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    for place in tqdm(places, desc="occlusion", disable=not progress, leave=False):
        for part in referee.parts(active):
            which, mask = masks(place, part)
            if not len(which):
                continue
            success, margins = referee.verdicts(torch.where(mask, fill[which], images[which]), which)
            fooled[which] |= success
            found[which[success]] = place
            best[which] = torch.maximum(best[which], margins)
            forwards[which] += 1
            if locate:
                close[which] |= margins.abs() < CLOSE
        active = active[~(fooled if locate else best > CLOSE)[active]]
        if not len(active):
            break
    close = close if locate else close | (best.abs() < CLOSE)
    return Occlusion(fooled, forwards, tuple(close.nonzero().flatten().tolist())), found


def occlude(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    maps: Float[Tensor, "n 3 h w"],
    max_count: int = 10,
    max_radius: int = 4,
    color: Color | None = None,
    *,
    preset: Preset = "paper",
    positions: Centres | None = None,
    region: int | None = None,
    search: Search = "grid",
    locate: bool = False,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch: int | None = None,
    progress: bool = False,
) -> Occlusion:
    """Algorithm 1: does a mask of the first n <= ``max_count`` patches, of radius r <= ``max_radius``, fool the model?

    ``images`` in [0, 1]; ``maps``: their signed attributions, of this model or of another; ``positions``, ``region``,
    ``seed``, ``ids``: see ``patch_centres``; ``color``: 0, 0.5 or 1 in pixel units, or the normalised image's minimum.
    Presets: "paper" is regional and black, "released" is top_pixels and minimum. ``search="single"``: only the mask
    (``max_count``, ``max_radius``). ``locate``: go in Algorithm 1's order (n outer, r inner) and return its first
    success; else backwards, which finds the same ``fooled`` in far fewer predictions. The memory is that of a batch,
    whatever the grid. At 32x32, (10, 4) hides up to 624 of 1024 pixels (640 with top_pixels).
    Raises ``ValueError`` for bad input, unknown names, labels out of range, and images that the model misclassifies at
    the start (naming them).
    """
    _known("preset", preset, Preset)
    _known("search", search, Search)
    numbers = _checked_ids(images, maps, ids)
    checks.classifier(model, images)
    grid = _grid(max_count, max_radius)[-1 if search == "single" else 0 :]
    default: tuple[Centres, Color] = ("regional", "black") if preset == "paper" else ("top_pixels", "minimum")
    positions = default[0] if positions is None else positions
    fill = patch_fill(model, images, default[1] if color is None else color)
    centres = patch_centres(
        maps, max_count, positions=positions, region=region, max_radius=max_radius, seed=seed, ids=numbers
    )
    height, width = images.shape[2:]

    def masks(place: int, which: Tensor) -> tuple[Tensor, Tensor]:
        count, radius = grid[place]
        mask = patch_mask(centres[which, :count], radius, height, width)
        if search == "single":
            return which, mask
        smaller = patch_mask(centres[which, : count - 1], radius, height, width)  # in the grid, or nothing at all
        new = (mask != smaller).flatten(1).any(1)  # else the last patch hides nothing more
        return which[new], mask[new]

    places = range(len(grid)) if locate else range(len(grid) - 1, -1, -1)
    hit, found = _search(_Referee(model, images, labels, batch), images, fill, masks, places, locate, progress)
    if not locate:
        return hit
    mask = torch.cat([patch_mask(centres[[i], : grid[p][0]], grid[p][1], height, width) for i, p in enumerate(found)])
    count, radius = torch.tensor(grid, device=images.device)[found].unbind(1)
    return replace(hit, count=count, radius=radius, area=mask.flatten(1).sum(1), images=torch.where(mask, fill, images))


def occlude_area(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    maps: Float[Tensor, "n 3 h w"],
    area: int,
    radius: int = 4,
    color: Color = "black",
    *,
    batch: int | None = None,
    progress: bool = False,
    **places: Any,
) -> Occlusion:
    """One mask an image, of exactly ``area`` pixels (see ``area_mask``): compares positions at equal occluded area.

    Other arguments and errors as ``occlude``; ``places``: positions, region, seed, ids of ``patch_centres``.
    """
    places["ids"] = _checked_ids(images, maps, places.get("ids"))
    centres = patch_centres(maps, max_radius=radius, **places)[:, : max(area, 1)]
    fill, (height, width) = patch_fill(model, images, color), images.shape[2:]
    mask = torch.cat([area_mask(part, radius, area, height, width) for part in centres.split(100)])
    referee = _Referee(model, images, labels, batch)
    hit, _ = _search(referee, images, fill, lambda place, which: (which, mask[which]), [0], False, progress)
    return replace(hit, area=mask.flatten(1).sum(1), images=torch.where(mask, fill, images))
