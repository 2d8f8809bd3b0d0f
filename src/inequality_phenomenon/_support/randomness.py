"""Random numbers that belong to an image, not to its place in a batch or to a device."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

SMALL = 3 * 64 * 64  # values of an image up to which threads cost more than they save


def generator_for(*key: int) -> np.random.Generator:
    """A NumPy generator for a key such as (seed, image id, draw)."""
    # The length is part of it: a SeedSequence ignores zeros at the end, so (0, 0) and (0,) would be the same key.
    return np.random.default_rng(np.random.SeedSequence([len(key), *(int(part) for part in key)]))


def normal_images(ids: list[int], shape: tuple[int, ...], *key: int) -> Float32[Tensor, "n ..."]:
    """Standard normal values of ``shape`` for each image: a function of (``key``, image id) alone."""
    return _stacked(lambda image_id: generator_for(*key, image_id).standard_normal(shape, np.float32), ids, shape)


def uniform_images(ids: list[int], shape: tuple[int, ...], *key: int) -> Float32[Tensor, "n ..."]:
    """Uniform values in [0, 1) of ``shape`` for each image: a function of (``key``, image id) alone."""
    return _stacked(lambda image_id: generator_for(*key, image_id).random(shape, np.float32), ids, shape)


def _stacked(draw: Callable[[int], np.ndarray], ids: list[int], shape: tuple[int, ...]) -> Tensor:
    """The draws of all images; large ones in threads, since a GPU is faster than one thread draws."""
    drawn = np.empty((len(ids), *shape), np.float32)

    def one(place: int) -> None:
        drawn[place] = draw(ids[place])

    if math.prod(shape) <= SMALL:
        for place in range(len(ids)):
            one(place)
    else:
        with ThreadPoolExecutor(usable_cpus()) as pool:
            list(pool.map(one, range(len(ids))))
    return torch.from_numpy(drawn)


def usable_cpus() -> int:
    """Processors that this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
