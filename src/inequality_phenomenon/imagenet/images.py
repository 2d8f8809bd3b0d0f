"""ImageNet as a set of test images: what the chapters ask of it, answered from the user's folder."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from .._support import paths
from ..datasets import DataError
from ..measure.image_sets import EvaluationSet
from ..networks import Classifier, fold_batch_norm, load_checkpoint
from .data import (
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
