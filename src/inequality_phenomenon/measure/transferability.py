"""Attack images made on one network and shown to the others (paper, appendix A.4): functions of a ``sample.Sample``.

The sample is the network on which the images are made. Every function returns a column for each network, named by its
checkpoint: is it fooled by these images? Images that one of the networks misclassifies when clean are left out.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from ..attacks import CLOSE, Color, Kind, patch_centres, patch_fill, patch_mask, perturb_with_noise
from ..networks import fold_batch_norm, logits
from .measurements import occlusion, packed_draws
from .sample import Columns, Sample, measure


def occlusion_transfer(
    sample: Sample, *, targets: Sequence[str], max_count: int, max_radius: int, color: Color = "black", seed: int = 0
) -> Columns:
    """Images at Algorithm 1's first success on the sample, else under its last mask, shown to every target.

    Columns: ``image_id``, whether each network is fooled, ``area`` (hidden pixels) and ``close_call`` (a margin too
    small to be trusted).
    """
    shown, maps = _shared(sample, targets, seed)
    hit = measure(  # cached: other chapters make the same search
        occlusion, shown, max_count=max_count, max_radius=max_radius, color=color, locate=True, seed=seed
    )
    centres = patch_centres(maps, max_count, max_radius=max_radius, seed=seed, ids=shown.ids)
    last = hit.assign(count=max_count, radius=max_radius)
    ends = hit.where(hit.fooled, last)[["count", "radius"]].astype(int).to_numpy()
    sides = shown.images.shape[2:]
    mask = torch.cat([patch_mask(centres[[i], :count], radius, *sides) for i, (count, radius) in enumerate(ends)])
    images = torch.where(mask, patch_fill(shown.model, shown.images, color), shown.images)
    close, hits = (torch.tensor(hit[column].tolist(), device=maps.device) for column in ("close_call", "fooled"))
    fooled = {sample.checkpoint: hits}
    for name in targets:
        if name != sample.checkpoint:
            fooled[name], near = _fooled(shown.seen_by(name), images)
            close |= near
    return {"image_id": shown.ids} | fooled | {"close_call": close} | {"area": mask.flatten(1).sum(1)}


def noise_transfer(
    sample: Sample, *, targets: Sequence[str], budget: int, kind: Kind = "type_1", draws: int = 5, seed: int = 0
) -> Columns:
    """Noise on the sample's ``budget`` most important subpixels, shown to every target: the share of draws that fool it.

    Columns: ``image_id``, a share for each network, beside it ``draws_NETWORK`` (see ``packed_draws``), and ``close_call``.
    The noise is that of ``measurements.noise``.
    """
    shown, maps = _shared(sample, targets, seed)
    viewers = {name: shown.seen_by(name) for name in dict.fromkeys([sample.checkpoint, *targets])}
    fooled: dict[str, list[Tensor]] = {name: [] for name in viewers}
    close = torch.zeros(len(shown.ids), dtype=torch.bool, device=maps.device)
    for draw in range(draws):
        noisy = perturb_with_noise(shown.model, shown.images, maps, budget, kind, seed, draw=draw, ids=shown.ids)
        for name, viewer in viewers.items():
            now, near = _fooled(viewer, noisy)
            fooled[name].append(now)
            close |= near
    each = {name: torch.stack(outcomes, dim=1) for name, outcomes in fooled.items()}
    packed = {f"draws_{name}": packed_draws(outcomes) for name, outcomes in each.items()}
    shares = {name: outcomes.double().mean(1) for name, outcomes in each.items()}
    return {"image_id": shown.ids} | shares | {"close_call": close} | packed


def clean(sample: Sample) -> Columns:
    """Which of the clean images the network classifies correctly, column ``correct``."""
    return {"correct": ~_fooled(sample, sample.images)[0]}


def _shared(sample: Sample, targets: Sequence[str], seed: int) -> tuple[Sample, Tensor]:
    """The sample on those of its images that all targets classify correctly too, and its maps there."""
    correct = [measure(clean, sample.seen_by(name)).correct.to_numpy(bool) for name in targets]
    kept = np.logical_and.reduce(correct)
    if not kept.any():
        raise ValueError(f"no image is classified correctly by all of {', '.join((sample.checkpoint, *targets))}")
    rows = kept.nonzero()[0].tolist()
    return sample.at(rows), sample.maps(seed=seed)[rows]


def _fooled(viewer: Sample, images: Float32[Tensor, "n 3 h w"]) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Whether the viewer's network gives these images another label, and whether its two top logits nearly tie."""
    scores = logits(fold_batch_norm(viewer.model), images, 128)
    top = scores.topk(2).values
    return scores.argmax(1) != viewer.labels, top[:, 0] - top[:, 1] < CLOSE
