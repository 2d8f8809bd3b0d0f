"""A model and the images it is measured on, its measurements, and their cache.

The key of a cached measurement names everything that decides it: the function's source and that of every measuring
module that it stands on, the parameters, the images and the checkpoint.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

from ..attribution import Space, attribute, baseline_of, resolve_options
from ..networks import REGISTRY, Classifier, named
from .cache import cached, code_hash
from .image_sets import CIFAR10, EvaluationSet

Columns = dict[str, Any]  # tensors or arrays of one value an image
Measuring = Callable[..., Columns]  # (sample, **parameters)


@dataclass
class Sample:
    """One registered model and the images it is measured on: test images that it classifies correctly."""

    checkpoint: str
    model: Classifier
    images: Float32[Tensor, "n 3 h w"]
    labels: Int64[Tensor, " n"]
    ids: list[int]  # places in the test set
    data: EvaluationSet = CIFAR10
    network_hash: str = ""  # stands for a network that no registry knows

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, by label."""
        return self.data.classes

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the model and the images."""
        return {
            "checkpoint": self.network_hash or REGISTRY[self.checkpoint].sha256,
            "data": self.data.digest(self.images),
            "ids": hashlib.sha256(np.array(self.ids, np.int64).tobytes()).hexdigest(),
            "device": self.images.device.type,
        }

    def seen_by(self, checkpoint: str) -> "Sample":
        """Another model on the same images, which it need not classify correctly."""
        return replace(self, checkpoint=checkpoint, model=self.data.model(checkpoint, self.images.device))

    def at(self, rows: Sequence[int] | slice) -> "Sample":
        """The same model on some of the images, by their rows."""
        ids = self.ids[rows] if isinstance(rows, slice) else [self.ids[row] for row in rows]
        return replace(self, images=self.images[rows], labels=self.labels[rows], ids=ids)

    def parts(self, size: int | None = None) -> list["Sample"]:
        """The same model on parts of the images, by default what is computed and cached at once: on CIFAR-10 all of them."""
        size = size or self.data.part_size(self.images.device) or len(self.ids)
        return [self.at(slice(start, start + size)) for start in range(0, len(self.ids), size)]

    def maps(self, method: str = "integrated_gradients", **options: Any) -> Float32[Tensor, "n 3 h w"]:
        """Signed attribution maps from ``attribute`` with the same arguments, cached; on ImageNet in half precision."""
        options = self.data.defaults(method, options) | options
        return torch.cat([part._maps(method, options) for part in self.parts()])

    def baseline(self, **options: Any) -> tuple[Float32[Tensor, "n 3 h w"], Space]:
        """The point from which Integrated Gradients with these ``options`` count importance, and the space that it is in."""
        resolved = resolve_options("integrated_gradients", **options)
        return baseline_of(self.model, self.images, self.ids, resolved), resolved.space

    def _maps(self, method: str, options: dict[str, Any]) -> Tensor:
        key = self.key | asdict(resolve_options(method, **options)) | {"method": method}
        key["code"] = code_hash(attribute.__module__)

        def compute() -> bytes:
            maps = attribute(self.model, self.images, self.labels, method, ids=self.ids, progress=True, **options).cpu()
            return save(halved(maps) if self.data.half_precision_maps else {"maps": maps})

        content, _ = cached("maps", key, compute)
        return restored(load(content)).to(self.images.device)


def halved(maps: Float32[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
    """Maps in half precision with a scale for each image, so that its largest value is half precision's 32768.

    Values keep a relative precision of 2^-11 down to 2e-9 of the largest; the absolute error below that is 2^-40 of it.
    """
    scale = maps.abs().flatten(1).amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 32768
    return {"maps": (maps / scale.view(-1, 1, 1, 1)).half(), "scale": scale}


def restored(stored: dict[str, Tensor]) -> Float32[Tensor, "n 3 h w"]:
    """What was stored whole or by ``halved``."""
    return stored["maps"].float() * stored["scale"].view(-1, 1, 1, 1) if "scale" in stored else stored["maps"]


class Steps(Protocol):
    """What notes the steps of a measurement: a ``run.Run``."""

    steps: list[dict[str, Any]]


def measure(
    function: Measuring, sample: Sample, run: Steps | None = None, at_once: int | None = None, **parameters: Any
) -> pd.DataFrame:
    """The per-image record of ``function(sample, **parameters)``, cached; adds checkpoint and image id.

    A function that leaves images out returns the ids of those it kept as the column ``image_id``. Each part of ``at_once``
    images (default: see ``Sample.parts``) is cached by itself, so that a killed run goes on there, and a bar counts them.
    """
    parts, found = sample.parts(at_once), []
    description = f"{function.__name__} of {named(sample.checkpoint)}"
    with tqdm(total=len(sample.ids), desc=description, unit="image", disable=len(parts) == 1) as bar:
        for part in parts:
            found.append(_measure(function, part, parameters))
            bar.update(len(part.ids))
    if run is not None:
        facts = {"seconds": sum(f["seconds"] for _, f in found), "cached": all(f["cached"] for _, f in found)}
        run.steps.append({"step": function.__name__, "checkpoint": sample.checkpoint, "n": len(sample.ids)} | facts)
    return pd.concat([table for table, _ in found], ignore_index=True) if len(found) > 1 else found[0][0]


def _measure(function: Measuring, sample: Sample, parameters: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    others = {name: REGISTRY[name].sha256 for name in sorted(_words(parameters)) if name in REGISTRY}
    key = sample.key | {"function": function.__name__, "parameters": parameters, "others": others}
    key["code"] = code_hash(function.__module__)

    def compute() -> bytes:
        found = function(sample, **parameters)
        columns = {name: v.cpu().numpy() if isinstance(v, Tensor) else v for name, v in found.items()}
        table = pd.DataFrame({"checkpoint": sample.checkpoint, "image_id": sample.ids} | columns)
        return table.to_parquet(index=False)

    content, facts = cached(function.__name__, key, compute)
    return pd.read_parquet(BytesIO(content)), facts


def _words(value: Any) -> set[str]:
    """All texts in nested parameters: the names of other checkpoints are among them."""
    if isinstance(value, dict):
        return set().union(*map(_words, [*value, *value.values()]))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_words, value))
    return {value} if isinstance(value, str) else set()
