"""Photographs as test images: read from their files when they are asked for, and kept as bytes."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from tqdm.contrib.concurrent import thread_map

from .._support.randomness import usable_cpus
from ..datasets import DataError
from .image_sets import EvaluationSet


def read_photographs(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], side: int, progress: bool = False
) -> tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]:
    """What ``decode`` makes of each file, and by place the reason for each that cannot be read (its pixels are 0)."""
    pixels, bad = np.zeros((len(files), 3, side, side), np.uint8), dict[int, str]()

    def one(place: int) -> None:
        try:
            pixels[place] = decode(files[place])
        except Exception as problem:  # Pillow has many for damaged files, and one for pictures of absurd size
            bad[place] = str(problem) or type(problem).__name__

    thread_map(one, range(len(files)), max_workers=usable_cpus(), unit="image", desc="decoding", disable=not progress)
    return torch.from_numpy(pixels), bad


class Photographs(EvaluationSet):
    """A set whose images are decoded once; networks that are measured on the same ones at the same time share them."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes: dict[int, Tensor] = {}  # by id; 150 kB an image of 224 pixels
        self._in_use: WeakValueDictionary[object, Tensor] = WeakValueDictionary()  # 600 kB an image

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> dict[int, UInt8[Tensor, "3 h w"]]:
        """The images of ``ids`` that can be read."""

    @abstractmethod
    def labels(self, ids: Sequence[int]) -> list[int]: ...

    def bytes_of(self, ids: Sequence[int]) -> dict[int, UInt8[Tensor, "3 h w"]]:
        """The images of ``ids`` that can be read, each decoded once."""
        if todo := [image_id for image_id in ids if image_id not in self._bytes]:
            self._bytes |= self.decode(todo)
        return {image_id: self._bytes[image_id] for image_id in ids if image_id in self._bytes}

    def load(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        if not ids:
            raise DataError("no image is left: the models classify none of the images correctly")
        key = tuple(ids), str(device)
        if (images := self._in_use.get(key)) is None:
            found = self.bytes_of(ids)
            images = self._in_use[key] = torch.stack([found[image_id] for image_id in ids]).to(device).float() / 255
        return images, torch.tensor(self.labels(ids), device=device)

    def readable(self, ids: Sequence[int]) -> Sequence[int]:
        return list(self.bytes_of(ids))

    def digest(self, images: Tensor) -> str:
        return sha256((images * 255).round().byte().cpu().contiguous().numpy().tobytes()).hexdigest()

    def part_size(self, device: torch.device) -> int | None:
        return self.at_once if device.type == "cpu" else 200
