"""A model and the images it is measured on, its measurements, and their cache.

The key of a cached measurement names everything that decides it: the function's source and that of every module it
stands on, the parameters, the images and the checkpoint. So this module imports neither statistics nor words: a change
of those makes no measurement stale.
"""

import ast
import hashlib
import importlib
import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from io import BytesIO
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

from .attribution import attribute, resolve_options
from .evaluation import CIFAR10, EvaluationSet
from .files import read_sealed, write_sealed
from .models import REGISTRY, Classifier
from .names import named
from .paths import CACHE


@cache
def code_hash(module: str) -> str:
    """SHA-256 of a module's source and of the package's modules that it imports, directly or not."""
    package = __package__ or ""
    todo, sources = [module], {}
    while todo:
        name = todo.pop()
        if name in sources:
            continue
        sources[name] = inspect.getsource(importlib.import_module(f"{package}.{name}"))
        imports = (node for node in ast.walk(ast.parse(sources[name])) if isinstance(node, ast.ImportFrom))
        for node in imports:
            if node.level == 1:
                todo += [node.module] if node.module else [alias.name for alias in node.names]
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def cached(name: str, key: dict[str, Any], compute: Callable[[], bytes]) -> tuple[bytes, dict[str, Any]]:
    """``compute()`` or what it gave before for the same key; also how long it took and whether it was cached.

    Raises ``files.DamagedFile`` naming the file where a stored result was altered.
    """
    text = json.dumps(key, sort_keys=True)
    file = CACHE / name / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.bin"
    if file.exists():
        payload = read_sealed(file)
        header, _, content = payload.partition(b"\n")
        return content, {"cached": True, **json.loads(header)}
    started = time.perf_counter()
    content = compute()
    facts = {"seconds": round(time.perf_counter() - started, 3)}
    write_sealed(file, json.dumps(facts).encode() + b"\n" + content)
    return content, {"cached": False, **facts}


@dataclass
class Subject:
    """One registered model and the images it is measured on: test images that it classifies correctly."""

    checkpoint: str
    model: Classifier
    images: Float32[Tensor, "n 3 h w"]
    labels: Int64[Tensor, " n"]
    ids: list[int]  # places in the test set
    data: EvaluationSet = CIFAR10

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, by label."""
        return self.data.classes

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the model and the images."""
        return {
            "checkpoint": REGISTRY[self.checkpoint].sha256,
            "data": self.data.digest(self.images),
            "ids": hashlib.sha256(np.array(self.ids, np.int64).tobytes()).hexdigest(),
            "device": self.images.device.type,
        }

    def seen_by(self, checkpoint: str) -> "Subject":
        """Another model on the same images, which it need not classify correctly."""
        return replace(self, checkpoint=checkpoint, model=self.data.model(checkpoint, self.images.device))

    def pieces(self) -> list["Subject"]:
        """The same model on parts of the images: what is computed and cached at once. On CIFAR-10 that is all of them."""
        size = self.data.piece(self.images.device) or len(self.ids)
        parts = [slice(start, start + size) for start in range(0, len(self.ids), size)]
        return [replace(self, images=self.images[p], labels=self.labels[p], ids=self.ids[p]) for p in parts]

    def maps(self, method: str = "integrated_gradients", **options: Any) -> Float32[Tensor, "n 3 h w"]:
        """Signed attribution maps from ``attribute`` with the same arguments, cached; on ImageNet in half precision."""
        options = self.data.defaults(method, options) | options
        return torch.cat([piece._maps(method, options) for piece in self.pieces()])

    def _maps(self, method: str, options: dict[str, Any]) -> Tensor:
        key = (
            self.key | asdict(resolve_options(method, **options)) | {"method": method, "code": code_hash("attribution")}
        )

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
    """What notes the steps of a measurement: a ``results.Run``."""

    steps: list[dict[str, Any]]


def measure(
    function: Callable[..., dict[str, Any]], subject: Subject, run: Steps | None = None, **parameters: Any
) -> pd.DataFrame:
    """The per-image record of ``function(subject, **parameters)``, cached; adds checkpoint and image id.

    A function that leaves images out returns the ids of those it kept as the column ``image_id``. Each of the subject's
    pieces is cached by itself: on ImageNet a killed run goes on there, and a bar counts the images.
    """
    pieces, found = subject.pieces(), []
    description = f"{function.__name__} of {named(subject.checkpoint)}"
    with tqdm(total=len(subject.ids), desc=description, unit="image", disable=len(pieces) == 1) as bar:
        for piece in pieces:
            found.append(_measure(function, piece, parameters))
            bar.update(len(piece.ids))
    if run is not None:
        facts = {"seconds": sum(f["seconds"] for _, f in found), "cached": all(f["cached"] for _, f in found)}
        run.steps.append({"step": function.__name__, "checkpoint": subject.checkpoint, "n": len(subject.ids)} | facts)
    return pd.concat([table for table, _ in found], ignore_index=True) if len(found) > 1 else found[0][0]


def _measure(
    function: Callable[..., dict[str, Any]], subject: Subject, parameters: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    module = function.__module__.rpartition(".")[2]
    key = subject.key | {"function": function.__name__, "parameters": parameters, "code": code_hash(module)}
    key["others"] = {name: REGISTRY[name].sha256 for name in sorted(_words(parameters)) if name in REGISTRY}

    def compute() -> bytes:
        columns = function(subject, **parameters)
        table = pd.DataFrame({"checkpoint": subject.checkpoint, "image_id": subject.ids} | columns)
        buffer = BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()

    content, facts = cached(function.__name__, key, compute)
    return pd.read_parquet(BytesIO(content)), facts


def _words(value: Any) -> set[str]:
    """All texts in nested parameters: the names of other checkpoints are among them."""
    if isinstance(value, dict):
        return set().union(*map(_words, [*value, *value.values()]))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_words, value))
    return {value} if isinstance(value, str) else set()
