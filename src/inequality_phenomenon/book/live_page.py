"""What the page "Fool it yourself" is made from: networks and pictures in scripts, since a page from a disk can fetch nothing."""

import json
from base64 import b64encode
from functools import cache
from html import escape
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._support import paths
from .._support.files import write_whole
from .._support.randomness import normal_images
from ..attacks import occlude
from ..attribution import attribute, resolve_options
from ..datasets import CIFAR10_CLASSES, correct_subset, load_cifar10
from ..inequality import global_gini
from ..networks import CIFAR10_MEAN, CIFAR10_STD, LADDER, Classifier, load_checkpoint, logits, named
from ..show.sliders import importance, picture
from . import vendor

NETWORKS = LADDER  # what the page offers; the first and the last stand side by side
PAIR = NETWORKS[0], NETWORKS[-1]
FOLDER = paths.VENDOR / "fool_it"
A_CLASS = 2  # pictures of each class


def write_live_page() -> None:
    """The scripts, and the still picture with its sentence."""
    for name in NETWORKS:
        _script(name, f"networks[{json.dumps(name)}]", stored(load_checkpoint(name)))
    files = [file for library in vendor.TENSORFLOW for file in sorted(library.folder().glob("dist/*"))]
    for wasm in (file for file in files if file.suffix == ".wasm"):
        _script("wasm", "wasm", f"data:application/wasm;base64,{b64encode(wasm.read_bytes()).decode()}")
    scripts = [file for file in files if file.suffix == ".js"]
    _script("pictures", "shared", shared() | {"scripts": [str(f.relative_to(paths.VENDOR.parent)) for f in scripts]})
    loaded = [*scripts, *(FOLDER / f"{name}.js" for name in ("wasm", "pictures", *PAIR))]
    megabytes = sum(file.stat().st_size for file in loaded) / 1e6 if len(scripts) == len(vendor.TENSORFLOW) else 0
    write_whole(paths.GENERATED / "fool_it.txt", f"```{{raw}} html\n{still(megabytes)}\n```\n")


def _script(name: str, place: str, value: Any) -> None:
    write_whole(FOLDER / f"{name}.js", f"foolIt.{place} = {json.dumps(value)};\n")


def _base64(values: Tensor | np.ndarray, kind: str) -> str:
    return b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()).decode()


def stored(model: Classifier) -> dict[str, Any]:
    """A ResNet's layers in order: kernels (height, width, in, out) in half precision, batch norm as factors and summands."""
    kernels, numbers, shapes = [], [], []
    for layer in model.network.modules():
        if isinstance(layer, nn.Conv2d):
            kernels.append(layer.weight.permute(2, 3, 1, 0))
            shapes.append([*kernels[-1].shape, layer.stride[0]])
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            factor = layer.weight / (layer.running_var + layer.eps).sqrt()
            numbers += [factor, layer.bias - layer.running_mean * factor]
        elif isinstance(layer, nn.Linear):
            kernels.append(layer.weight.T[None, None])
            shapes.append([*kernels[-1].shape, 1])
            numbers += [torch.ones_like(layer.bias), layer.bias]
    halves, singles = (torch.cat([part.flatten() for part in parts]) for parts in (kernels, numbers))
    return {"shapes": shapes, "kernels": _base64(halves, "f2"), "numbers": _base64(singles, "f4")}


@cache
def live_pictures() -> tuple[list[int], Float[Tensor, "n 3 32 32"], Tensor]:
    """Ids, images and labels of the first images of each class in the common subset, class by class."""
    images, labels = load_cifar10("test")
    ids = correct_subset(1000)
    chosen = [i for c in range(len(CIFAR10_CLASSES)) for i in [j for j in ids if labels[j] == c][:A_CLASS]]
    return chosen, images[chosen], labels[chosen]


def shared() -> dict[str, Any]:
    """What does not belong to one network: pictures, their random baselines, names, and the points of the integral."""
    ids, images, labels = live_pictures()
    nodes, weights = np.polynomial.legendre.leggauss(resolve_options("integrated_gradients").steps)
    return {
        "ids": ids, "labels": labels.tolist(), "classes": CIFAR10_CLASSES, "start": ids[most_easily_fooled()],
        "pixels": _base64((images * 255).round().permute(0, 2, 3, 1), "u1"),
        "normal": _base64(normal_images(ids, (3, 32, 32), 0).permute(0, 2, 3, 1), "f4"),
        "mean": CIFAR10_MEAN, "std": CIFAR10_STD, "nodes": ((1 + nodes) / 2).tolist(), "weights": (weights / 2).tolist(),
        "networks": {name: named(name) for name in NETWORKS},
    }  # fmt: skip


@cache
def searches() -> list[tuple[Classifier, Tensor, Tensor, Tensor, Tensor]]:
    """Of the two networks: maps of the pictures; whether Algorithm 1 fools them with black patches, its last images, pixels."""
    ids, images, labels = live_pictures()
    found = []
    for model in map(load_checkpoint, PAIR):
        maps = attribute(model, images, labels, ids=ids)
        hit = occlude(model, images, labels, maps, color="black", locate=True, ids=ids)
        assert hit.images is not None and hit.area is not None
        found.append((model, maps, hit.fooled, hit.images, hit.area))
    return found


def most_easily_fooled() -> int:
    """The place of the picture on which the two networks together need the fewest pixels hidden."""
    areas = [torch.where(fooled, area, 32 * 32) for _, _, fooled, _, area in searches()]
    return int(torch.stack(areas).sum(0).argmin())


def still(megabytes: float) -> str:
    """What the page shows before it is started, and on paper; 0: TensorFlow.js is missing, there is nothing to start."""
    place, (_, images, labels) = most_easily_fooled(), live_pictures()
    parts, counted = [], []
    for name, (model, maps, fooled, seen, area) in zip(PAIR, searches(), strict=True):
        title, index = named(name), f"Gini index {float(global_gini(maps[[place]])):.3f}"
        says = f"says {CIFAR10_CLASSES[logits(model, seen[[place]]).argmax()]} once {area[place]} of 1024 pixels are hidden"
        shown = importance(maps[place], f"What matters to {title}; {index}")
        shown += picture(seen[place], f"{CIFAR10_CLASSES[labels[place]]}; {title} {says}")
        parts.append(f"<div>{shown}<p><strong>{escape(title)}</strong> {says}. {index}.</p></div>")
        counted.append(f"{title} on {int(fooled.sum())}")
    start = "This copy of the book was built without a network, so the networks cannot run in it."
    if megabytes:
        start = "<button type='button' class='fool-main' id='fool-start' hidden>Start</button> Both networks run in your browser, "
        start += f"where scripts are allowed: {megabytes:.1f} MB from this book, nothing from elsewhere."
    return (
        f"<div id='fool-still' class='fool-still'><figure>{''.join(parts)}<figcaption>What matters to each network, and the "
        "first mask of Algorithm 1 that fools it: of this page's pictures the one that is fooled with the fewest pixels. Of all "
        f"{len(images)} it fools {' and '.join(counted)}.</figcaption></figure><p class='fool-begin'>{start}</p></div>"
    )
