"""The images that chapters are measured on: CIFAR-10's, or those of the user's ImageNet folder.

What differs between the two is here, so that neither the chapters nor ``results`` ask which one they have.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from .._support import paths
from ..datasets import CIFAR10_CLASSES, CIFAR10_DIGESTS, DataError, common_subset, correct_subset, load_cifar10
from ..imagenet.data import (
    SIDE,
    ImageNet,
    Selection,
    candidate_ids,
    class_names,
    load_imagenet,
    pixel_hash,
    predictions,
    select_common,
    unreadable_text,
)
from ..networks import Classifier, fold_batch_norm, load_checkpoint


class EvaluationSet(ABC):
    """Test images with ids, and which of them are measured."""

    name: str  # as checkpoints' names and published values have it
    title: str
    side: int  # pixels
    region: int  # side of the paper's regions, pixels
    at_once: int  # images judged and, on a CPU, measured at once
    half_precision_maps = False

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

    def model(self, checkpoint: str, device: torch.device) -> Classifier:
        """The checkpoint as it is measured."""
        return load_checkpoint(checkpoint, device)

    def correct(self, checkpoint: str, model: Classifier, ids: Sequence[int], device: torch.device) -> list[int]:
        """Those of ``ids``, in their order, that ``model`` (the checkpoint's) classifies correctly."""
        images, labels = self.load(ids, device)
        with torch.inference_mode():
            right = model(images).argmax(1) == labels
        return [image_id for image_id, good in zip(ids, right.tolist(), strict=True) if good]

    def part_size(self, device: torch.device) -> int | None:
        """Images measured and cached at once, so that a killed run loses no more; ``None``: all."""
        return None


class Cifar10(EvaluationSet):
    name, title, side, region, at_once = "cifar10", "CIFAR-10 test images", 32, 4, 500

    @property
    def classes(self) -> Sequence[str]:
        return CIFAR10_CLASSES

    def common(self, count: int, device: torch.device) -> Sequence[int]:
        return correct_subset(count)

    def everything(self) -> Sequence[int]:
        return range(10_000)

    def shuffled(self) -> Sequence[int]:
        order: list[int] = np.random.default_rng(0).permutation(10_000).tolist()
        return order

    def common_note(self, count: int, device: torch.device, called: Callable[[str], str]) -> str:
        found = common_subset()
        return (
            f"Images: the first {count} of the common subset, drawn once from the {found['candidates']} test images "
            f"that these networks all classify correctly: {', '.join(map(called, found['correct_under']))}."
        )

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


class ImageNetSet(EvaluationSet):
    """``judges``: the models that must all classify an image correctly for it to be in the common subset."""

    name, title, side, region, at_once = "imagenet", "ImageNet validation images", SIDE, 16, 8
    half_precision_maps = True

    def __init__(self, judges: tuple[str, ...], skip_unreadable: bool) -> None:
        self.judges, self.skip_unreadable = judges, skip_unreadable
        self._decoded: dict[int, Tensor] = {}  # 150 kB an image
        self._latest: tuple[object, tuple[Tensor, Tensor]] = (None, (torch.empty(0), torch.empty(0)))
        self._selected: dict[int, Selection] = {}
        self._models: dict[tuple[str, str], Classifier] = {}
        self._right: dict[tuple[str, str], dict[int, bool]] = {}

    @cached_property
    def data(self) -> ImageNet:
        folder = paths.imagenet_folder()
        if folder is None:
            raise DataError(
                "no ImageNet folder is named: set INEQUALITY_IMAGENET to your validation folder. "
                "`inequality doctor imagenet` says what else is needed"
            )
        return load_imagenet(folder)

    @property
    def classes(self) -> Sequence[str]:
        return class_names()

    def _selection(self, count: int, device: torch.device) -> Selection:
        if count not in self._selected:
            self._selected[count] = select_common(
                self.data, self.judges, count, device, skip_unreadable=self.skip_unreadable, progress=True
            )
        return self._selected[count]

    def common(self, count: int, device: torch.device) -> Sequence[int]:
        found = self._selection(count, device)
        ids = found.ids[:count]
        self._decode(ids)
        pairs = zip(ids, found.pixels, strict=False)
        if changed := [image_id for image_id, kept in pairs if pixel_hash(self._decoded[image_id]) != kept]:
            raise DataError(
                f"{len(changed)} images have changed since the common subset was selected; the first is "
                f"{self.data.files[changed[0]]}"
            )
        return ids

    def everything(self) -> Sequence[int]:
        return sorted(self.data.files)

    def shuffled(self) -> Sequence[int]:
        return [image_id for image_id in candidate_ids() if image_id in self.data.files]

    def common_note(self, count: int, device: torch.device, called: Callable[[str], str]) -> str:
        found = self._selection(count, device)
        lost = [f"{len(found.missing)} candidates are not in the folder"] if found.missing else []
        lost += [f"{len(found.unreadable)} cannot be read and are left out"] if found.unreadable else []
        return (
            f"Images: the first {count} ImageNet validation images, in an order drawn once, that these networks all classify "
            f"correctly: {', '.join(map(called, self.judges))}. Of the {found.read} examined so far {len(found.ids)} are"
            f"{''.join(f'; {words}' for words in lost)}."
        )

    def defaults(self, method: str, options: dict[str, Any]) -> dict[str, Any]:
        """GradientShap has 20 samples on ImageNet (paper, A.8)."""
        published = method == "gradient_shap" and options.get("preset", "paper") == "paper"
        return {"samples": 20} if published else {}

    def load(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """As the base class; the latest result is kept, so that models measured on the same images share them."""
        key = tuple(ids), str(device)
        if self._latest[0] != key:
            self._decode(ids)
            self._latest = key, self._tensors(ids, device)
        return self._latest[1]

    def _tensors(self, ids: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        if not ids:
            raise DataError("no image is left: the models classify none of the images correctly")
        pixels = torch.stack([self._decoded[image_id] for image_id in ids])
        labels = torch.tensor([self.data.labels[image_id] for image_id in ids])
        return pixels.to(device).float() / 255, labels.to(device)

    def _decode(self, ids: Sequence[int]) -> None:
        todo = [image_id for image_id in ids if image_id not in self._decoded]
        pixels, bad = self.data.decode(todo, progress=len(todo) > self.at_once)
        if bad and not self.skip_unreadable:
            raise DataError(unreadable_text(self.data.files, bad))
        self._decoded |= {image_id: own for image_id, own in zip(todo, pixels, strict=True) if image_id not in bad}

    def digest(self, images: Tensor) -> str:
        return sha256((images * 255).round().byte().cpu().contiguous().numpy().tobytes()).hexdigest()

    def provenance(self) -> str:
        parts = [f"{self.title} ({self.data.layout}), decoded to {self.side}x{self.side}"]
        for count, found in sorted(self._selected.items()):
            kept = sha256("".join(found.pixels[:count]).encode()).hexdigest()
            parts.append(
                f"the first {count} of {len(found.ids)} correct under all of {len(found.models)} models, SHA-256 of their pixels' "
                f"hashes {kept[:16]}…, from {found.read} candidates; {len(found.missing)} more are not in the folder, "
                f"{len(found.unreadable)} cannot be read"
            )
        return "; ".join(parts)

    def model(self, checkpoint: str, device: torch.device) -> Classifier:
        """Folded, and kept: reading and folding a large network takes longer than measuring it on a few images."""
        key = checkpoint, str(device)
        if key not in self._models:
            model = load_checkpoint(checkpoint, device)
            self._models[key] = Classifier(fold_batch_norm(model.network), model.normalise).to(device).eval()
        return self._models[key]

    def correct(self, checkpoint: str, model: Classifier, ids: Sequence[int], device: torch.device) -> list[int]:
        """As the base class; judged once, and images that cannot be read are left out if the profile says so."""
        verdicts = self._right.setdefault((checkpoint, str(device)), {})
        self._decode(todo := [image_id for image_id in ids if image_id not in verdicts])
        todo = [image_id for image_id in todo if image_id in self._decoded]
        if todo:
            images, labels = self._tensors(todo, device)
            verdicts |= zip(todo, (predictions(model, images) == labels).tolist(), strict=True)
        return [image_id for image_id in ids if verdicts.get(image_id)]

    def part_size(self, device: torch.device) -> int | None:
        return self.at_once if device.type == "cpu" else 200


def classes_of(dataset: str) -> Sequence[str]:
    """Names of a data set's classes, by label."""
    return CIFAR10_CLASSES if dataset == "cifar10" else class_names()


@cache
def evaluation_set(name: str, judges: tuple[str, ...] = (), skip_unreadable: bool = False) -> EvaluationSet:
    """The images of the data set ``name``, with the common subset that ``judges`` decide (ImageNet's; CIFAR-10's is
    committed)."""
    return CIFAR10 if name == "cifar10" else ImageNetSet(judges, skip_unreadable)
