"""Where the patches of an occlusion are, and which pixels they hide."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor

from .._support import checks
from .._support.randomness import uniform_images
from ..inequality import region_sums
from ..networks import Classifier
from .referee import ranking

Centres = Literal["regional", "top_pixels", "random", "lowest", "centre", "separate"]
Color = Literal["black", "gray", "white", "minimum"]

_PATCH_PLACES = 5  # second part of a random key
_NOWHERE = -1_000_000  # the centre of a patch that hides nothing


def patch_mask(
    centres: Int64[Tensor, "n patches 2"], radius: float, height: int, width: int
) -> Bool[Tensor, "n 1 h w"]:
    """Union of the squares [row - r, row + r) x [column - r, column + r) around ``centres``, clipped at the border.

    A square of an odd side, ``radius`` 1.5 for example, has its centre in the middle.
    """
    along, side = [], int(2 * radius)
    for axis, length in enumerate((height, width)):
        offset = torch.arange(length, device=centres.device) - centres[:, :, axis, None]  # (N, patches, length)
        along.append(((offset >= -(side // 2)) & (offset < side - side // 2)).float())
    return (along[0].mT @ along[1] > 0)[:, None]  # memory does not grow with the patches


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
    checks.one_of("positions", positions, get_args(Centres))
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
    order = ranking(scores, descending=positions != "lowest")
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


def mask_grid(max_count: int, max_radius: int) -> list[tuple[int, int]]:
    """All (n, r) in the order of Algorithm 1."""
    checks.whole("max_count", max_count, 1)
    checks.whole("max_radius", max_radius, 1)
    return [(n, r) for n in range(1, max_count + 1) for r in range(1, max_radius + 1)]


def mask_areas(
    maps: Float[Tensor, "n 3 h w"], max_count: int = 10, max_radius: int = 4, **places: Any
) -> Int64[Tensor, "n counts radii"]:
    """Occluded pixels of every mask of the grid, at [image, n - 1, r - 1]; ``places``: as for ``patch_centres``."""
    grid = mask_grid(max_count, max_radius)
    centres = patch_centres(maps, max_count, max_radius=max_radius, **places)
    areas = [patch_mask(centres[:, :n], r, *maps.shape[2:]).flatten(1).sum(1) for n, r in grid]
    return torch.stack(areas, dim=1).view(len(maps), max_count, max_radius)


def first_patches(
    centres: Int64[Tensor, "n patches 2"], side: int, height: int, width: int
) -> Integer[Tensor, "n h w"]:
    """For each pixel the first patch of this ``side`` that hides it, counted from 0; the number of patches where none does."""
    patches = centres.shape[1]
    small = torch.uint8 if patches < 256 else torch.int32  # one of these is kept for every radius of a search
    first = torch.full((len(centres), height, width), patches, dtype=small, device=centres.device)
    for patch in range(patches - 1, -1, -1):
        first.masked_fill_(patch_mask(centres[:, [patch]], side / 2, height, width)[:, 0], patch)
    return first


def area_mask(
    centres: Int64[Tensor, "n patches 2"], radius: int, area: int, height: int, width: int
) -> Bool[Tensor, "n 1 h w"]:
    """Patches in order until exactly ``area`` pixels are hidden; of the last patch, the first new pixels row by row."""
    first = first_patches(centres, 2 * radius, height, width)[:, None]
    coverage = int((first < centres.shape[1]).flatten(1).sum(1).min())
    if not 1 <= area <= coverage:
        raise ValueError(f"the area must lie between 1 and {coverage} pixels, all that these patches cover; got {area}")
    chosen = ranking(first.flatten(1), descending=False)[:, :area]
    return torch.zeros_like(first, dtype=torch.bool).flatten(1).scatter_(1, chosen, True).view(first.shape)


def patch_fill(model: Classifier, images: Tensor, color: str) -> Tensor:
    """(N, 3, 1, 1): the patches' colour in pixel units."""
    checks.one_of("color", color, get_args(Color))
    if color == "minimum":  # the smallest normalised value of the image in all channels: may be darker than black
        lowest = model.normalise(images).flatten(1).amin(1).view(-1, 1, 1, 1)
        return model.normalise.inverse(lowest.expand(-1, 3, 1, 1))
    return torch.full_like(images[:, :, :1, :1], {"black": 0.0, "gray": 0.5, "white": 1.0}[color])
