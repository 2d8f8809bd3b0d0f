"""The pictures behind the book's sliders: what networks are fed, and what they make of it, at every place of a slider.

The images are chosen by a rule, never by eye. Nothing here is a result; the numbers beside the pictures come from records.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from ..attacks import occlude, patch_centres, patch_fill, patch_mask, perturb_with_noise
from ..inequality import global_gini
from ..networks import REGISTRY, logits
from .measurements import attacked
from .run import Run
from .sample import Columns, Sample

CLIP = 3.0  # standard deviations at which figures of attribution maps are usually clipped (paper, A.2)


@dataclass(frozen=True)
class View:
    """One image as a network is fed it, and the network's guess."""

    checkpoint: str
    image_id: int
    label: str
    image: Float32[Tensor, "3 h w"]
    guess: str
    confidence: float
    pixels: int = 0  # changed, of the image's height times width
    count: int = 0  # patches, and ...
    radius: int = 0  # ... their radius in pixels

    @property
    def fooled(self) -> bool:
        return self.guess != self.label


def ladder_of(run: Run) -> tuple[str, ...]:
    """The run's networks of the standard one's architecture and seed, trained without or with an l_inf budget, and the user's."""
    _, architecture, _, seed = run.pair[0].split("-")
    ladder = rf"cifar10-{architecture}-(standard|linf\d+)-{seed}"
    return tuple(name for name in run.models if re.fullmatch(ladder, name) or name in REGISTRY.own)


def shared_images(run: Run, checkpoints: Sequence[str] | None = None, classes: int = 10) -> dict[str, Sample]:
    """The networks on the same few images: of each class the first in the common subset that all classify correctly.

    ``checkpoints``: default all of the run; ``classes``: only the first so many, in the data set's order. A class of which
    the run's images have no such image is left out. Raises ``ValueError`` where none is left.
    """
    samples = {name: run.sample(name) for name in (run.models if checkpoints is None else checkpoints)}
    first = next(iter(samples.values()))
    shared = [i for i in first.ids if all(i in sample.ids for sample in samples.values())]
    label_of = dict(zip(first.ids, first.labels.tolist(), strict=True))
    found = {label: next((i for i in shared if label_of[i] == label), None) for label in range(classes)}
    chosen = [i for i in found.values() if i is not None]
    if not chosen:
        raise ValueError(f"{', '.join(samples)} classify none of these images correctly together; ask for more images")
    return {name: sample.at([sample.ids.index(i) for i in chosen]) for name, sample in samples.items()}


def views(sample: Sample, inputs: Float32[Tensor, "n 3 h w"], **facts: Sequence[int]) -> list[View]:
    """What the sample's network makes of ``inputs``, which are its images or were made of them, one each."""
    confidence, guess = logits(sample.model, inputs).softmax(1).max(1)
    names = ([sample.classes[label] for label in labels.tolist()] for labels in (sample.labels, guess))
    rows = zip(sample.ids, *names, inputs.cpu(), confidence.tolist(), *facts.values(), strict=True)
    return [
        View(sample.checkpoint, image_id, label, image, found, sure, **dict(zip(facts, more, strict=True)))
        for image_id, label, found, image, sure, *more in rows
    ]


def noisy(
    sample: Sample, budget: int, *, seed: int = 0, method: str = "integrated_gradients", **options: Any
) -> list[View]:
    """One view an image: noise on ``budget`` subpixels, draw 0; ``options``: those of ``perturb_with_noise``."""
    maps = sample.maps(method, seed=seed)
    inputs = perturb_with_noise(sample.model, sample.images, maps, budget, seed=seed, ids=sample.ids, **options)
    return views(sample, inputs, pixels=(inputs != sample.images).any(1).flatten(1).sum(1).tolist())


def noisy_views(sample: Sample, budgets: Sequence[int], *, seed: int = 0, **options: Any) -> dict[int, list[View]]:
    """Budget -> one view an image; ``options``: as for ``noisy``."""
    return {budget: noisy(sample, budget, seed=seed, **options) for budget in budgets}


def hidden(
    sample: Sample,
    count: int,
    radius: int,
    color: str = "black",
    *,
    seed: int = 0,
    method: str = "integrated_gradients",
) -> list[View]:
    """One view an image: the ``count`` regions of the largest attribution hidden by squares of side 2 ``radius``."""
    images, maps = sample.images, sample.maps(method, seed=seed)
    mask = patch_mask(patch_centres(maps, count, seed=seed, ids=sample.ids), radius, *images.shape[2:])
    covered = torch.where(mask, patch_fill(sample.model, images, color), images)
    return views(sample, covered, pixels=mask.flatten(1).sum(1).tolist())


def occluded_views(
    sample: Sample, max_count: int, max_radius: int, color: str = "black", *, seed: int = 0
) -> dict[tuple[int, int], list[View]]:
    """(n, r) -> one view an image: each mask of Algorithm 1 by itself; (0, 0): nothing is hidden."""
    grid = product(range(1, max_count + 1), range(1, max_radius + 1))
    return {(0, 0): views(sample, sample.images)} | {place: hidden(sample, *place, color, seed=seed) for place in grid}


def first_successes(
    sample: Sample, max_count: int = 10, max_radius: int = 4, color: str = "black", *, seed: int = 0
) -> list[View]:
    """One view an image: the first mask of Algorithm 1 that fools the network, else the last one tried."""
    grid: Any = {"max_count": max_count, "max_radius": max_radius, "color": color, "locate": True}
    hit = occlude(*attacked(sample), sample.maps(seed=seed), **grid, seed=seed, ids=sample.ids)
    assert hit.images is not None and hit.area is not None and hit.count is not None and hit.radius is not None
    return views(sample, hit.images, pixels=hit.area.tolist(), count=hit.count.tolist(), radius=hit.radius.tolist())


@dataclass(frozen=True)
class Occluded:
    """What one network's map hides, and what every network makes of the image before and after; by network."""

    checkpoint: str  # whose map
    importance: Float32[Tensor, "h w"]  # |a| over channels
    before: dict[str, View]
    after: dict[str, View]  # at the first success of Algorithm 1, else under its last mask


def occluded_for_all(samples: dict[str, Sample], *budget: Any, seed: int = 0) -> list[Occluded]:
    """Each image of ``shared_images`` under each network's own map, seen by all; ``budget``: as for ``first_successes``."""
    before = _by_image({name: views(sample, sample.images) for name, sample in samples.items()})
    rows = []
    for owner, sample in samples.items():
        own = first_successes(sample, *budget, seed=seed)
        inputs = torch.stack([view.image for view in own]).to(sample.images)
        after = _by_image({name: own if name == owner else views(other, inputs) for name, other in samples.items()})
        sizes = sample.maps(seed=seed).abs().sum(1).cpu()
        rows.append([Occluded(owner, *one) for one in zip(sizes, before, after, strict=True)])
    return [one for of_image in zip(*rows, strict=True) for one in of_image]


def _by_image(found: dict[str, list[View]]) -> list[dict[str, View]]:
    """The views of one image by network, for each image."""
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def clipped(maps: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 3 h w"]:
    """Maps clipped at ``CLIP`` standard deviations of their own values: the usual post-processing (paper, A.2)."""
    bound = CLIP * maps.flatten(1).std(1).view(-1, 1, 1, 1)
    return maps.clamp(-bound, bound)


def clipping(sample: Sample, *, seed: int = 0) -> Columns:
    """What the usual clipping of a map hides, for each image.

    Columns: ``global_gini`` of |a| and ``global_gini_clipped``; ``share_clipped``: of the subpixels, those that are cut;
    ``share_hidden``: of the total |a|, what is cut off; ``largest_kept``: what is left of the largest |a|.
    """
    maps = sample.maps(seed=seed)
    cut = clipped(maps)
    size, left = maps.abs().flatten(1).double(), cut.abs().flatten(1).double()
    return {
        "global_gini": global_gini(maps),
        "global_gini_clipped": global_gini(cut),
        "share_clipped": (left < size).double().mean(1),
        "share_hidden": 1 - left.sum(1) / size.sum(1),
        "largest_kept": left.amax(1) / size.amax(1),
    }
