"""ImageNet as a set of test images: what the chapters ask of it, answered from the user's folder."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from .._support import paths
from ..datasets import DataError
from ..measure.photographs import Photographs
from ..networks import Classifier, fold_batch_norm
from .data import SIDE, ImageNet, Selection, candidate_ids, class_names, load_imagenet, pixel_hash, select_common


class ImageNetSet(Photographs):
    """``judges``: the models that must all classify an image correctly for it to be in the common subset."""

    name, title, side, region, at_once = "imagenet", "ImageNet validation images", SIDE, 16, 8
    half_precision_maps = True

    def __init__(self, judges: tuple[str, ...], skip_unreadable: bool) -> None:
        super().__init__()
        self.judges, self.skip_unreadable = judges, skip_unreadable
        self._selected: dict[int, Selection] = {}

    @cached_property
    def data(self) -> ImageNet:
        folder = paths.imagenet_folder()
        if folder is None:
            doctor = "`inequality doctor imagenet` says what else is needed"
            raise DataError(f"no ImageNet folder is named: set INEQUALITY_IMAGENET to your validation folder. {doctor}")
        return load_imagenet(folder)

    @property
    def classes(self) -> Sequence[str]:
        return class_names()

    def _selection(self, count: int, device: torch.device) -> Selection:
        if count not in self._selected:
            networks, skip = {name: self.model(name, device) for name in self.judges}, self.skip_unreadable
            found = select_common(self.data, networks, count, device, skip_unreadable=skip, progress=True)
            self._selected[count] = found
        return self._selected[count]

    def common(self, count: int, device: torch.device) -> Sequence[int]:
        found = self._selection(count, device)
        ids = found.ids[:count]
        pairs = zip(self.kept(ids).items(), found.pixels, strict=False)
        if changed := [image_id for (image_id, (own, _)), known in pairs if pixel_hash(own) != known]:
            since = "have changed since the common subset was selected"
            raise DataError(f"{len(changed)} images {since}; the first is {self.data.files[changed[0]]}")
        return ids

    def everything(self) -> Sequence[int]:
        return sorted(self.data.files)

    def shuffled(self) -> Sequence[int]:
        return [image_id for image_id in candidate_ids() if image_id in self.data.files]

    def common_note(self, count: int, device: torch.device, called: Callable[[str], str]) -> str:
        found = self._selection(count, device)
        lost = [f"{len(found.missing)} candidates are not in the folder"] if found.missing else []
        lost += [f"{len(found.unreadable)} cannot be read and are left out"] if found.unreadable else []
        which = f"the first {count} ImageNet validation images, in an order drawn once, that these networks all classify correctly"
        of = "; ".join([f"Of the {found.read} examined so far {len(found.ids)} are", *lost])
        return f"Images: {which}: {', '.join(map(called, self.judges))}. {of}."

    def defaults(self, method: str, options: dict[str, Any]) -> dict[str, Any]:
        """GradientShap has 20 samples on ImageNet (paper, A.8)."""
        published = method == "gradient_shap" and options.get("preset", "paper") == "paper"
        return {"samples": 20} if published else {}

    def read(self, ids: Sequence[int]) -> dict[int, tuple[Tensor, int]]:
        """Images that cannot be read are left out if the profile says so; otherwise they are an error."""
        pixels, bad = self.data.decode(ids, self.skip_unreadable, progress=len(ids) > self.at_once)
        return {i: (own, self.data.labels[i]) for i, own in zip(ids, pixels, strict=True) if i not in bad}

    def provenance(self) -> str:
        parts = [f"{self.title} ({self.data.layout}), decoded to {self.side}x{self.side}"]
        for count, found in sorted(self._selected.items()):
            kept = sha256("".join(found.pixels[:count]).encode()).hexdigest()[:16]
            parts += [
                f"the first {count} of {len(found.ids)} correct under all of {len(found.models)} models, SHA-256 of their pixels' "
                f"hashes {kept}…, from {found.read} candidates",
                f"{len(found.missing)} more are not in the folder, {len(found.unreadable)} cannot be read",
            ]
        return "; ".join(parts)

    def prepared(self, model: Classifier) -> Classifier:
        """Folded: for a large network that takes longer than measuring it on a few images."""
        return Classifier(fold_batch_norm(model.network), model.normalise).eval()
