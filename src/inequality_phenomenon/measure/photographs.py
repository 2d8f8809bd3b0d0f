"""Photographs as test images: read from their files when they are asked for, once, and kept as bytes."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .._support.randomness import usable_cpus
from ..datasets import DataError
from .image_sets import EvaluationSet


def read_photographs(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], side: int, progress: bool = False
) -> tuple[Tensor, dict[int, str]]:
    """Bytes (n, 3, side, side), and by place the reason for each file that ``decode`` cannot read (its pixels are 0)."""
    pixels, bad = np.zeros((len(files), 3, side, side), np.uint8), dict[int, str]()

    def one(place: int) -> None:
        try:
            pixels[place] = decode(files[place])
        except Exception as problem:  # Pillow has many for damaged files, and one for pictures of absurd size
            bad[place] = str(problem) or type(problem).__name__

    with ThreadPoolExecutor(usable_cpus()) as pool:
        work = pool.map(one, range(len(files)))
        list(tqdm(work, total=len(files), unit="image", desc="decoding", disable=not progress))
    return torch.from_numpy(pixels), bad


class Photographs(EvaluationSet):
    """A set of photographs, read once and kept as bytes; networks that are measured on the same ones at a time share them."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Tensor, int]] = {}  # 150 kB an image of 224 pixels
        self._in_use: WeakValueDictionary[object, Tensor] = WeakValueDictionary()  # 600 kB an image

    @abstractmethod
    def read(self, ids: Sequence[int]) -> dict[int, tuple[Tensor, int]]:
        """Bytes and label of each of ``ids`` that can be read."""

    def kept(self, ids: Sequence[int]) -> dict[int, tuple[Tensor, int]]:
        self._kept |= self.read([image_id for image_id in ids if image_id not in self._kept])
        return {image_id: self._kept[image_id] for image_id in ids if image_id in self._kept}

    def load(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        if not ids:
            raise DataError("no image is left: the models classify none of the images correctly")
        key, found = (tuple(ids), str(device)), self.kept(ids)
        if (images := self._in_use.get(key)) is None:
            images = torch.stack([found[image_id][0] for image_id in ids]).to(device).float() / 255
            self._in_use[key] = images
        return images, torch.tensor([found[image_id][1] for image_id in ids], device=device)

    def readable(self, ids: Sequence[int]) -> Sequence[int]:
        return list(self.kept(ids))

    def digest(self, images: Tensor) -> str:
        return sha256((images * 255).round().byte().cpu().contiguous().numpy().tobytes()).hexdigest()

    def part_size(self, device: torch.device) -> int | None:
        return self.at_once if device.type == "cpu" else 200
