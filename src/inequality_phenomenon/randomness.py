"""Random numbers that belong to an image, not to its place in a batch or to a device."""

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor


def generator_for(*key: int) -> np.random.Generator:
    """A NumPy generator for a key such as (seed, image id, draw)."""
    # The length is part of it: a SeedSequence ignores zeros at the end, so (0, 0) and (0,) would be the same key.
    return np.random.default_rng(np.random.SeedSequence([len(key), *(int(part) for part in key)]))


def normal_images(ids: list[int], shape: tuple[int, ...], *key: int) -> Float32[Tensor, "n ..."]:
    """Standard normal values of ``shape`` for each image: a function of (``key``, image id) alone."""
    draws = [generator_for(*key, image_id).standard_normal(shape, np.float32) for image_id in ids]
    return torch.from_numpy(np.stack(draws))


def uniform_images(ids: list[int], shape: tuple[int, ...], *key: int) -> Float32[Tensor, "n ..."]:
    """Uniform values in [0, 1) of ``shape`` for each image: a function of (``key``, image id) alone."""
    draws = [generator_for(*key, image_id).random(shape, np.float32) for image_id in ids]
    return torch.from_numpy(np.stack(draws))
