"""Inductive occlusion (paper, section 3.2.2, Algorithm 1): patches where the attribution is largest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .._support import checks
from ..attribution import Preset
from ..networks import Classifier
from .patches import Color, area_mask, first_patches, mask_grid, patch_centres, patch_fill
from .referee import CLOSE, Referee, checked_ids

Search = Literal["grid", "single"]
MaskOf = Callable[[Tensor, Tensor], Tensor]  # images (B,) and places in the grid (B,) -> masks (B, 1, H, W)


@dataclass(frozen=True)
class Occlusion:
    """What occlusion does to each image. The last four belong to the first success, else to the last mask tried."""

    fooled: Bool[Tensor, " n"]
    forwards: Int64[Tensor, " n"]  # predictions that the search needs, one after the other, the clean image's included
    close_calls: tuple[int, ...]  # indices of images decided by, or starting with, a margin below CLOSE
    count: Int64[Tensor, " n"] | None = None
    radius: Int64[Tensor, " n"] | None = None
    area: Int64[Tensor, " n"] | None = None  # pixels
    images: Float32[Tensor, "n 3 h w"] | None = None


class _Grid:
    """All masks (n, r) of some images, in the order of Algorithm 1: n outer, r inner; r counts the ``sides`` from 1."""

    def __init__(self, maps: Tensor, max_count: int, sides: Sequence[int], places: dict[str, Any]) -> None:
        pairs = torch.tensor(mask_grid(max_count, len(sides)), device=maps.device)
        self.count, self.radius = pairs.unbind(1)
        centres = patch_centres(maps, max_count, max_radius=max(sides, default=2) // 2, **places)
        self.first = torch.stack([first_patches(centres, side, *maps.shape[2:]) for side in sides], dim=1)

    def masks(self, which: Tensor, place: Tensor) -> Tensor:
        """(B,) and (B,) -> (B, 1, H, W): the mask at each place of the grid on each of the images ``which``."""
        count = self.count[place].to(self.first.dtype)
        return (self.first[which, self.radius[place] - 1] < count[:, None, None])[:, None]

    def needed(self) -> Bool[Tensor, "n masks"]:
        """Which masks hide more than the one with a patch less; the others have its outcome."""
        counts = range(int(self.count[-1]))
        return torch.stack([(self.first == n).flatten(2).any(2) for n in counts], dim=1).flatten(1)


def _sides(max_radius: int) -> range:
    """Of squares of radius 1 to ``max_radius``, in pixels."""
    checks.whole("max_radius", max_radius)
    return range(2, 2 * max_radius + 1, 2)


@torch.no_grad()
def _search(
    referee: Referee, images: Tensor, fill: Tensor, mask_of: MaskOf, todo: Tensor, locate: bool, progress: bool
) -> tuple[Occlusion, Tensor]:
    """Try mask after mask on the images that it may still decide; also the place of each image's first success.

    ``todo`` (N, masks): the places that each image tries, in order, then -1. To locate, an image ends at its first
    success; else at its first clear one, and it is a close call if its largest margin is not clear: so neither
    ``fooled`` nor ``close_calls`` depends on the order of the masks. When few images are left, a batch holds several
    masks of each; what lies behind an image's end is thrown away.
    """
    active, found = referee.everyone, torch.full_like(referee.everyone, -1)
    fooled = torch.zeros_like(active, dtype=torch.bool)
    close, forwards = referee.close_at_start.clone(), torch.ones_like(active)
    best = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    start, total = 0, todo.shape[1]
    with tqdm(total=len(active), desc="occlusion", unit="image", disable=not progress, leave=False) as bar:
        while start < total and len(active):
            stop = min(total, start + max(1, referee.batch // len(active)))
            tries = todo[active, start:stop]
            success, margins = _verdicts(referee, images, fill, mask_of, active, tries)
            running = torch.maximum(best[active, None], margins.cummax(1).values)
            ended = success.cummax(1).values if locate else running > CLOSE
            tried = (tries >= 0) & ~F.pad(ended[:, :-1], (1, 0))
            success &= tried
            fooled[active] |= success.any(1)
            forwards[active] += tried.sum(1)
            best[active] = margins.masked_fill(~tried, -torch.inf).amax(1).maximum(best[active])
            first = tries.gather(1, success.int().argmax(1, keepdim=True))[:, 0]
            found[active] = torch.where(success.any(1), first, found[active])
            if locate:
                close[active] |= (tried & (margins.abs() < CLOSE)).any(1)
            left = ~ended[:, -1] & (tries[:, -1] >= 0)
            bar.update(int((~left).sum()))
            active, start = active[left], stop
    close = close if locate else close | (best.abs() < CLOSE)
    return Occlusion(fooled, forwards, tuple(close.nonzero().flatten().tolist())), found


def _verdicts(
    referee: Referee, images: Tensor, fill: Tensor, mask_of: MaskOf, which: Tensor, tries: Tensor
) -> tuple[Tensor, Tensor]:
    """(A,) images and (A, K) places, -1 for none -> (A, K) fooled and margins, False and -inf for none."""
    success = torch.zeros_like(tries, dtype=torch.bool)
    margins = torch.full(tries.shape, -torch.inf, device=tries.device, dtype=images.dtype)
    rows, columns = (tries >= 0).nonzero(as_tuple=True)
    if len(rows):
        for part in referee.parts(torch.arange(len(rows), device=rows.device)):
            row, column = rows[part], columns[part]
            ids = which[row]
            occluded = torch.where(mask_of(ids, tries[row, column]), fill[ids], images[ids])
            success[row, column], margins[row, column] = referee.verdicts(occluded, ids)
    return success, margins


def _in_order(needed: Tensor, order: Tensor) -> Tensor:
    """(N, masks): the places of the masks that each image needs, in this order, then -1."""
    there = needed[:, order]
    behind = (~there).int().sort(dim=1, stable=True)
    return order[behind.indices].masked_fill(behind.values.bool(), -1)


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
    search: Search = "grid",
    locate: bool = False,
    batch: int | None = None,
    progress: bool = False,
    **places: Any,
) -> Occlusion:
    """Algorithm 1: does a mask of the first n <= ``max_count`` patches, of radius r <= ``max_radius``, fool the model?

    ``images`` in [0, 1]; ``maps``: their signed attributions, of this model or of another; ``places``: positions,
    region, seed, ids of ``patch_centres``; ``color``: 0, 0.5 or 1 in pixel units, or the normalised image's minimum.
    Presets: "paper" is regional and black, "released" is top_pixels and minimum. ``search="single"``: only the mask
    (``max_count``, ``max_radius``). ``locate``: go in Algorithm 1's order (n outer, r inner) and return its first
    success; else backwards, which finds the same ``fooled`` in far fewer predictions. The memory is that of the images
    and a batch, whatever the grid. At 32x32, (10, 4) hides up to 624 of 1024 pixels (640 with top_pixels).
    Raises ``ValueError`` for bad input, unknown names, labels out of range, and images that the model misclassifies at
    the start (naming them).
    """
    checks.one_of("preset", preset, get_args(Preset))
    checks.one_of("search", search, get_args(Search))
    default: tuple[str, Color] = ("regional", "black") if preset == "paper" else ("top_pixels", "minimum")
    places["ids"] = checked_ids(images, maps, places.get("ids"))
    places["positions"] = places.get("positions") or default[0]
    fill = patch_fill(model, images, default[1] if color is None else color)
    grid = _Grid(maps, max_count, _sides(max_radius), places)
    order = torch.arange(len(grid.count), device=images.device)
    if search == "single":
        todo = order[-1:].expand(len(images), 1)
    else:
        todo = _in_order(grid.needed(), order if locate else order.flip(0))
    hit, found = _search(Referee(model, images, labels, batch), images, fill, grid.masks, todo, locate, progress)
    if not locate:
        return hit
    found[found < 0] = order[-1]
    mask = grid.masks(torch.arange(len(images), device=images.device), found)
    area, occluded = mask.flatten(1).sum(1), torch.where(mask, fill, images)
    return replace(hit, count=grid.count[found], radius=grid.radius[found], area=area, images=occluded)


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
    places["ids"] = checked_ids(images, maps, places.get("ids"))
    centres = patch_centres(maps, max_radius=radius, **places)[:, : max(area, 1)]
    fill, (height, width) = patch_fill(model, images, color), images.shape[2:]
    mask = torch.cat([area_mask(part, radius, area, height, width) for part in centres.split(100)])
    referee, todo = Referee(model, images, labels, batch), torch.zeros_like(labels)[:, None]
    hit, _ = _search(referee, images, fill, lambda which, _: mask[which], todo, False, progress)
    return replace(hit, area=mask.flatten(1).sum(1), images=torch.where(mask, fill, images))


@dataclass(frozen=True)
class GridOutcomes:
    """What each mask (n, r) of a grid does to each image, at [image, n - 1, r - 1].

    The best of a smaller grid is ``fooled[:, :n, :r].any((1, 2))``, the one largest mask ``fooled[:, n - 1, r - 1]``,
    Algorithm 1 as printed ``fooled[:, n - 1, :r].any(1)``. Positions "separate" depend on ``max_radius``, others do not.
    """

    fooled: Bool[Tensor, "n counts radii"]
    close: Bool[Tensor, "n counts radii"]  # the margin is below CLOSE
    close_at_start: Bool[Tensor, " n"]  # the clean image's margin is
    forwards: Int64[Tensor, " n"]  # predictions spent, the one on the clean image included


@torch.no_grad()
def grid_outcomes(
    model: Classifier,
    images: Float32[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    maps: Float[Tensor, "n 3 h w"],
    max_count: int = 10,
    max_radius: int = 4,
    color: Color = "black",
    *,
    sides: Sequence[int] | None = None,
    batch: int | None = None,
    progress: bool = False,
    **places: Any,
) -> GridOutcomes:
    """The outcome of every mask of Algorithm 1's grid, so that each search over it, or over a part, follows.

    ``sides``: of the patches in pixels, in place of 2, 4, ..., 2 ``max_radius``; the r-th is in the place of radius r.
    Batches are full: they hold masks of several images. A mask that hides no more than the one with a patch less has its
    outcome and costs nothing. Arguments and errors as for ``occlude``.
    """
    places["ids"], sides = checked_ids(images, maps, places.get("ids")), _sides(max_radius) if sides is None else sides
    for side in sides:
        checks.whole("the side of a patch", side, 1)
    fill, grid = patch_fill(model, images, color), _Grid(maps, max_count, sides, places)
    referee, needed = Referee(model, images, labels, batch), grid.needed()
    which, place = needed.nonzero(as_tuple=True)
    fooled, close = torch.zeros_like(needed), torch.zeros_like(needed)
    with tqdm(total=len(which), desc="occlusion", unit="mask", disable=not progress, leave=False) as bar:
        for part in torch.arange(len(which), device=which.device).split(referee.batch):
            ids, places_of = which[part], place[part]
            occluded = torch.where(grid.masks(ids, places_of), fill[ids], images[ids])
            fooled[ids, places_of], margins = referee.verdicts(occluded, ids)
            close[ids, places_of] = margins.abs() < CLOSE
            bar.update(len(part))
    shape = (len(images), max_count, len(sides))
    needs, fooled, close = (outcome.view(shape) for outcome in (needed, fooled, close))
    for count in range(1, max_count):
        for outcome in (fooled, close):
            outcome[:, count] = torch.where(needs[:, count], outcome[:, count], outcome[:, count - 1])
    return GridOutcomes(fooled, close, referee.close_at_start, 1 + needed.sum(1))
