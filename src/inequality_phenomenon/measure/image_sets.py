"""The images that chapters are measured on: what every set of test images offers, and CIFAR-10's.

What differs between sets is behind ``EvaluationSet``, so that no chapter asks which one it has. Other sets live in rooms
of their own and are imported only when their name is asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from .._support.plugins import image_set
from ..datasets import CIFAR10_CLASSES, CIFAR10_DIGESTS, common_subset, correct_subset, load_cifar10
from ..networks import REGISTRY, Classifier, load_checkpoint


class EvaluationSet(ABC):
    """Test images with ids, and which of them are measured."""

    name: str  # as checkpoints' names and published values have it
    title: str
    side: int  # pixels
    region: int  # side of the paper's regions, pixels
    at_once: int  # images judged and, on a CPU, measured at once
    half_precision_maps = False

    @property
    def is_here(self) -> bool:
        """Whether the images can be read without fetching what a book never fetches by itself."""
        return True

    def __init__(self) -> None:
        self._networks: dict[tuple[str, str], tuple[Any, Classifier]] = {}
        self._right: WeakKeyDictionary[Classifier, dict[int, bool]] = WeakKeyDictionary()

    @property
    def pixels(self) -> int:
        return self.side**2

    @property
    def subpixels(self) -> int:
        return 3 * self.pixels

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]: ...

    @abstractmethod
    def common(self, count: int, device: torch.device) -> Sequence[int]:
        """Ids of the first ``count`` images of the common subset."""

    @abstractmethod
    def everything(self) -> Sequence[int]:
        """All ids, in the order of the test set."""

    @abstractmethod
    def shuffled(self) -> Sequence[int]:
        """All ids in an order drawn once, for the subset of one model alone."""

    @abstractmethod
    def common_note(self, count: int, device: torch.device, called: Callable[[str], str]) -> str:
        """Which images the first ``count`` of the common subset are, in a sentence; ``called``: a checkpoint's title."""

    def defaults(self, method: str, options: dict[str, Any]) -> dict[str, Any]:
        """Options of ``attribute`` that the paper gives for this data set, where it differs from CIFAR-10."""
        return {}

    @abstractmethod
    def load(
        self, ids: Sequence[int], device: torch.device
    ) -> tuple[Float32[Tensor, "n 3 h w"], Int64[Tensor, " n"]]: ...

    @abstractmethod
    def digest(self, images: Float32[Tensor, "n 3 h w"]) -> str:
        """What identifies the pixels in a cache key."""

    @abstractmethod
    def provenance(self) -> str:
        """Which images these are, for the footer of a page."""

    def of(self, checkpoint: str) -> "EvaluationSet":
        """The same images as the checkpoint takes them: these, unless there are several sizes."""
        return self

    def model(self, checkpoint: str, device: torch.device) -> Classifier:
        """The checkpoint as it is measured: read and hashed once, and again only if its entry or its file changes."""
        key = checkpoint, str(device)
        if key not in self._networks or self._networks[key][0] != _source(checkpoint):
            network = self.prepared(load_checkpoint(checkpoint, device))
            self._networks[key] = _source(checkpoint), network
        return self._networks[key][1]

    def prepared(self, model: Classifier) -> Classifier:
        """What is done to a network once, before it is measured on this set."""
        return model

    def readable(self, ids: Sequence[int]) -> Sequence[int]:
        """Those of ``ids`` that can be read; what happens to the others is the set's affair."""
        return ids

    def correct(self, checkpoint: str, model: Classifier, ids: Sequence[int], device: torch.device) -> list[int]:
        """Those of ``ids``, in their order, that ``model`` (the checkpoint's) classifies correctly. Each is judged once."""
        right = self._right.setdefault(model, {})
        if todo := self.readable([image_id for image_id in ids if image_id not in right]):
            images, labels = self.load(todo, device)
            with torch.inference_mode():
                right |= zip(todo, (model(images).argmax(1) == labels).tolist(), strict=True)
        return [image_id for image_id in ids if right.get(image_id)]

    def part_size(self, device: torch.device) -> int | None:
        """Images measured and cached at once, so that a killed run loses no more; ``None``: all."""
        return None


def _source(checkpoint: str) -> tuple[Any, int | None]:
    """What a loaded network came from: its entry, and its file's time."""
    entry = REGISTRY[checkpoint]
    return entry, entry.file.stat().st_mtime_ns if entry.file.exists() else None


class CommittedSet(EvaluationSet):
    """Images whose common subset is committed, in ``subset``; ids are places in the test set."""

    count: int  # of the test images
    called = "test images"
    subset: Path | None = None  # the committed file; none: CIFAR-10's

    def common(self, count: int, device: torch.device) -> Sequence[int]:
        return correct_subset(count, file=self.subset)

    def everything(self) -> Sequence[int]:
        return range(self.count)

    def shuffled(self) -> Sequence[int]:
        return np.random.default_rng(0).permutation(self.count).tolist()

    def common_note(self, count: int, device: torch.device, called: Callable[[str], str]) -> str:
        found = common_subset(self.subset)
        return (
            f"Images: the first {count} of the common subset, drawn once from the {found['candidates']} {self.called} "
            f"that these networks all classify correctly: {', '.join(map(called, found['correct_under']))}."
        )


class Cifar10(CommittedSet):
    name, title, side, region, at_once, count = "cifar10", "CIFAR-10 test images", 32, 4, 500, 10_000
    classes = CIFAR10_CLASSES

    def load(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        images, labels = _cifar10_on(str(device))
        chosen = torch.as_tensor(ids, dtype=torch.int64, device=device)
        return images[chosen], labels[chosen]

    def digest(self, images: Tensor) -> str:
        return CIFAR10_DIGESTS["test_images"]

    def provenance(self) -> str:
        return f"{self.title}, SHA-256 {CIFAR10_DIGESTS['test_images'][:16]}…"


CIFAR10 = Cifar10()


@cache
def _cifar10_on(device: str) -> tuple[Tensor, Tensor]:
    images, labels = load_cifar10("test")
    return images.to(device), labels.to(device)


def classes_of(dataset: str) -> Sequence[str]:
    """Names of a data set's classes, by label."""
    return CIFAR10_CLASSES if dataset == CIFAR10.name else image_set(dataset).class_names()


@cache
def evaluation_set(name: str, judges: tuple[str, ...] = (), skip_unreadable: bool = False) -> EvaluationSet:
    """The images of the data set ``name``: CIFAR-10, or one that registered itself (``_support.plugins``).

    ``judges``: the networks that must all classify an image correctly for it to be in the common subset; CIFAR-10's
    subset is committed. ``skip_unreadable``: leave out images that cannot be read, instead of stopping.
    Raises ``ValueError`` for an unknown name.
    """
    if name == CIFAR10.name:
        return CIFAR10
    return image_set(name).evaluation_set(judges, skip_unreadable)
