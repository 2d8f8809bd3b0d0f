"""Imagenette as sets of test images, one for each side, and as training images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Generator, Tensor

from .._support import paths
from ..datasets import choose_common_subset
from ..measure.image_sets import CommittedSet, EvaluationSet, evaluation_set
from ..measure.photographs import Photographs
from ..networks import RegistryEntry, read_registry, registry_file
from ..training.data import first_of_each_class
from .data import CLASSES, COUNTS, SIDE, decoded, imagenette_files, source

SIDES = (64, 128, SIDE)
SMALLER = 4 / 7  # of the final side, in the first epochs: 128 for 224
GROWN_FROM = 0.75  # fraction of the training after which the photographs have their final side
CROPS = (0.6, 0.7, 0.8, 0.9, 1.0)  # of the side: few, as a CPU prepares its convolutions anew for each size
HELD_OUT = 50  # photographs of a class that no network is trained on: the first
CHECKED = 10  # of these, looked at after each epoch


def name_of(side: int) -> str:
    """The data set's name in profiles and checkpoints."""
    return "imagenette" if side == SIDE else f"imagenette{side}"


class ImagenetteSet(Photographs, CommittedSet):
    """The validation photographs at one side; the committed subset is right under the networks at 224 pixels."""

    at_once = 50
    called = "Imagenette validation photographs"

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.name = name_of(side)
        self.title = f"Imagenette validation photographs at {side} pixels"
        self.region = 16 if side == SIDE else side // 16  # 16 of 224, as the paper has it
        self.count, self.subset = COUNTS["val"], paths.IMAGENETTE_SUBSET

    @property
    def is_here(self) -> bool:
        return paths.imagenette_is_here()

    def of(self, checkpoint: str) -> EvaluationSet:
        side = next((side for side in SIDES if checkpoint.startswith(f"{name_of(side)}-")), self.side)
        return self if side == self.side else evaluation_set(name_of(side))

    @property
    def classes(self) -> Sequence[str]:
        return tuple(CLASSES.values())

    def read(self, ids: Sequence[int]) -> dict[int, tuple[Tensor, int]]:
        files, labels = imagenette_files("val")
        pixels = decoded([files[place] for place in ids], self.side)
        return {place: (own, labels[place]) for place, own in zip(ids, pixels, strict=True)}

    def provenance(self) -> str:
        return f"{self.title}, {source('val')}"


class TrainingPhotographs:
    """Training photographs as bytes: a batch has one random square crop, 60 to 100 % of the side, an image a random flip.

    The first three quarters of the training see smaller copies (Howard's progressive resizing): a third of the work.
    """

    def __init__(self, side: int, batch_size: int, device: torch.device) -> None:
        self.sides = round(side * SMALLER), side
        self.batch_size, self.device = batch_size, device
        self.files, labels = imagenette_files("train")
        self.labels = torch.tensor(labels, device=device)
        kept = torch.ones(len(labels), dtype=torch.bool, device=device)
        kept[first_of_each_class(self.labels, HELD_OUT)] = False
        self.kept = kept.nonzero().flatten()
        self._pixels: tuple[int, Tensor] = 0, torch.empty(0)

    def __len__(self) -> int:
        return len(self.kept) // self.batch_size

    def _at(self, progress: float) -> Tensor:
        """All photographs at the side that a moment of the training has; one side at a time is held."""
        side = self.sides[progress >= GROWN_FROM]
        if self._pixels[0] != side:
            self._pixels = side, decoded(self.files, side)
        return self._pixels[1]

    def batches(self, generator: Generator, progress: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches of (images in [0, 1], (B, 3, h, h); labels); the last short one is dropped."""
        pixels, device = self._at(progress), self.device
        side = pixels.shape[-1]
        order = self.kept[torch.randperm(len(self.kept), generator=generator, device=device)]
        for ids in order.split(self.batch_size)[: len(self)]:
            share, top, left = torch.rand(3, generator=generator, device=device).tolist()
            crop = round(side * CROPS[int(share * len(CROPS))])
            rows, columns = (round((side - crop) * place) for place in (top, left))
            images = pixels[ids.cpu(), :, rows : rows + crop, columns : columns + crop].to(device).float().div_(255)
            flip = torch.rand(len(ids), 1, 1, 1, generator=generator, device=device) < 0.5
            images = torch.where(flip, images.flip(3), images)
            yield images.contiguous(memory_format=torch.channels_last), self.labels[ids]

    def held_out(self, progress: float) -> tuple[Tensor, Tensor]:
        """Some of the photographs that are held out, at the side of this moment of the training, and their labels."""
        places = first_of_each_class(self.labels, CHECKED)
        return self._at(progress)[places.cpu()].to(self.device).float() / 255, self.labels[places]


class ImageSetOfSide:
    """What ``_support.plugins`` asks of an image set."""

    def __init__(self, side: int) -> None:
        self.side, self.training_data = side, partial(TrainingPhotographs, side)

    def evaluation_set(self, judges: tuple[str, ...] = (), skip_unreadable: bool = False) -> ImagenetteSet:
        """``judges`` are not asked: the subset is committed. Nor is a photograph left out: all were verified."""
        return ImagenetteSet(self.side)

    def class_names(self) -> Sequence[str]:
        return self.evaluation_set().classes

    def public_networks(self) -> Mapping[str, RegistryEntry]:
        """Those that this project trained."""
        return read_registry(registry_file(name_of(self.side)))

    def test_images(self) -> tuple[Tensor, Tensor]:
        found = self.evaluation_set()
        return found.load(found.shuffled(), torch.device("cpu"))


AT_64, AT_128, AT_224 = map(ImageSetOfSide, SIDES)


def choose_photographs() -> list[int]:
    """Draw the common subset of the two networks at 224 pixels; see ``datasets.choose_common_subset``."""
    found, names = ImagenetteSet(SIDE), [f"imagenette-resnet18w32-{training}-s0" for training in ("standard", "linf8")]
    return choose_common_subset(names, *found.load(found.everything(), torch.device("cpu")), paths.IMAGENETTE_SUBSET)
