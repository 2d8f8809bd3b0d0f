"""The images that a network is trained on, and the few that are held out."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .._support.plugins import image_set
from ..datasets import load_cifar10, load_cifar10_bytes
from ..networks import CIFAR10_MEAN
from .settings import TrainingSettings


def held_out_ids() -> Tensor:
    """The 500 training images, 50 a class by position in the file, that no model is trained on."""
    return first_of_each_class(load_cifar10_bytes("train")[1], 50)


def first_of_each_class(labels: Tensor, count: int) -> Tensor:
    """Places of the first ``count`` images of each class, in order."""
    return torch.cat([(labels == label).nonzero().flatten()[:count] for label in labels.unique()]).sort().values


def held_out_images() -> tuple[Tensor, Tensor]:
    """The held-out images in [0, 1] and their labels."""
    images, labels = load_cifar10_bytes("train")
    ids = held_out_ids()
    return images[ids].permute(0, 3, 1, 2).float().div_(255), labels[ids].long()


class TrainingData(Protocol):
    """Training images on a device. ``progress``: the part of the training that is over, in [0, 1]."""

    labels: Tensor

    def __len__(self) -> int:
        """Batches in an epoch."""

    def batches(self, generator: Generator, progress: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled and augmented (images in [0, 1], channels-last (B, 3, h, w); labels), for one epoch."""

    def held_out(self, progress: float) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] that no network is trained on, and their labels."""


def training_data(settings: TrainingSettings, device: torch.device) -> TrainingData:
    """The images of the settings' data set. ``ValueError`` for one that is not known."""
    if settings.dataset == "cifar10":
        return TrainingImages(settings, device)
    found: TrainingData = image_set(settings.dataset).training_data(settings.batch_size, device)
    return found


def test_images(dataset: str) -> tuple[Tensor, Tensor]:
    """All test images of a data set in [0, 1], in an order in which any first so many are a fair sample, and their labels."""
    if dataset == "cifar10":
        return load_cifar10("test")
    found: tuple[Tensor, Tensor] = image_set(dataset).test_images()
    return found


class TrainingImages:
    """Training images on the device as uint8, augmented in batches: random crop of a 4-pixel zero padding, random flip."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        images, labels = load_cifar10_bytes("train")
        kept = torch.ones(len(images), dtype=torch.bool)
        kept[held_out_ids()] = False
        ids = kept.nonzero().flatten()[: settings.train_images]
        self.padded = F.pad(images[ids], (0, 0, 4, 4, 4, 4)).to(device)  # (N, 40, 40, 3)
        self.labels = labels[ids].long().to(device)
        self.mean_colour = torch.tensor(CIFAR10_MEAN, device=device)
        self.settings = settings
        self._held_out = tuple(part.to(device) for part in held_out_images())

    def batches(self, generator: Generator, progress: float = 0.0) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches of (images in [0, 1], channels-last (B, 3, 32, 32); labels); the last short one is dropped."""
        order = torch.randperm(len(self.labels), generator=generator, device=self.padded.device)
        size = min(self.settings.batch_size, len(order))
        for ids in order.split(size)[: len(order) // size]:
            yield self._augment(ids, generator), self.labels[ids]

    def held_out(self, progress: float = 0.0) -> tuple[Tensor, Tensor]:
        """All 500, whatever the progress."""
        images, labels = self._held_out
        return images, labels

    def __len__(self) -> int:
        return max(1, len(self.labels) // self.settings.batch_size)

    def _augment(self, ids: Tensor, generator: Generator) -> Tensor:
        device, n = ids.device, len(ids)
        offsets = torch.randint(0, 9, (2, n, 1), generator=generator, device=device)
        flip = torch.rand(n, 1, generator=generator, device=device) < 0.5
        span = torch.arange(32, device=device)
        rows = offsets[0] + span
        columns = offsets[1] + torch.where(flip, 31 - span, span)
        images = self.padded[ids[:, None, None], rows[:, :, None], columns[:, None, :]].float().div_(255)
        if self.settings.cutout:
            images = _cutout(images, self.settings.cutout, self.mean_colour, generator)
        return images.permute(0, 3, 1, 2)


def _cutout(images: Tensor, side: int, colour: Tensor, generator: Generator) -> Tensor:
    """One square hole an image, of one colour, its centre anywhere: DeVries and Taylor 2017. (B, H, W, 3) -> same."""
    device, (n, height, width, _) = images.device, images.shape
    centre = torch.randint(0, height, (2, n, 1), generator=generator, device=device)
    offsets = [torch.arange(length, device=device) - centre[axis] for axis, length in enumerate((height, width))]
    rows, columns = ((offset >= -side // 2) & (offset < side // 2) for offset in offsets)
    hole = rows[:, :, None] & columns[:, None, :]
    return torch.where(hole[..., None], colour, images)
