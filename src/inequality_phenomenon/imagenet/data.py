"""ImageNet validation images (Russakovsky et al. 2015) from the user's own folder, and the subset that is measured.

Images are known by their official number less one, so that ids and random draws do not depend on the folder's layout.
"""

import csv
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from statsmodels.stats.proportion import proportion_confint
from torch import Tensor, nn
from tqdm import tqdm

from .._support import paths
from .._support.files import made_by_a_system, write_whole
from ..datasets import DataError
from ..measure.photographs import read_photographs
from ..networks import REGISTRY
from ..robustness import correct

IMAGES = 50_000
SIDE, SHORTER_SIDE = 224, 256  # crop, after the shorter side is made so long
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.(?:jpe?g|png)", re.IGNORECASE)
_KAGGLE, _CAFFE, _DEVKIT = "LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt"
_UNZIPPED = ("ILSVRC", "Data", "CLS-LOC", "val")  # below the top of Kaggle's archive, where its ground truth lies
_PLAUSIBLE_AFTER = 100  # candidates, before a model's accuracy is compared with the published one
_AT_ONCE = 100  # candidates decoded at once


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1000 classes by WordNet id, in the order of the networks' logits."""
    return tuple(paths.IMAGENET_CLASSES.read_text("utf-8").split())


@cache
def class_names() -> tuple[str, ...]:
    """The 1000 classes as torchvision names them, in the same order."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


@dataclass(frozen=True)
class ImageNet:
    """An indexed validation folder; images are decoded on demand."""

    root: Path
    layout: str
    files: dict[int, Path]  # id -> file
    labels: dict[int, int]  # id -> class

    def decode(
        self, ids: Sequence[int], skip_unreadable: bool = False, progress: bool = False
    ) -> tuple[UInt8[Tensor, "n 3 224 224"], dict[int, str]]:
        """The images of ``ids``, and with ``skip_unreadable`` the reason for each that cannot be read (its pixels are 0).

        Raises ``DataError`` naming the files that cannot be read, with their number, and ids that are not in the folder.
        """
        if missing := [image_id for image_id in ids if image_id not in self.files]:
            raise DataError(f"{len(missing)} images are not in {self.root}: {_few([_name(i) for i in missing])}")
        pixels, unread = read_photographs([self.files[image_id] for image_id in ids], decode, SIDE, progress)
        bad = {ids[place]: reason for place, reason in unread.items()}
        if bad and not skip_unreadable:
            raise DataError(unreadable_text(self.files, bad))
        return pixels, bad


def decode(file: Path) -> UInt8[np.ndarray, "3 224 224"]:
    """The usual evaluation crop: shorter side to 256 (bilinear), the middle 224x224, RGB; a rotation mark is ignored."""
    from PIL import Image
    from torchvision.transforms.functional import center_crop, resize

    with Image.open(file) as picture:
        crop = center_crop(resize(picture.convert("RGB"), SHORTER_SIDE), [SIDE, SIDE])
    return np.asarray(crop).transpose(2, 0, 1)


def unreadable_text(files: dict[int, Path], bad: dict[int, str]) -> str:
    names = _few([f"{files[i]} ({reason})" for i, reason in sorted(bad.items())])
    return f"{len(bad)} images cannot be read: {names}\nReplace them, or set skip_unreadable to leave them out."


def _name(image_id: int) -> str:
    return f"ILSVRC2012_val_{image_id + 1:08d}.JPEG"


def _few(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def load_imagenet(root: Path | str) -> ImageNet:
    """Index the validation folder ``root``, or the one in Kaggle's unzipped archive ``root``; no image is read yet.

    Classes come from folders named by WordNet id; for a flat folder from the first ground truth in it, beside it or at the
    top of Kaggle's archive: ``LOC_val_solution.csv``, Caffe's ``val.txt``, or the development kit's
    ``ILSVRC2012_validation_ground_truth.txt`` with its ``meta.mat``.
    Raises ``DataError`` for a folder that is neither, a missing class, and a file without a label.
    """
    root = Path(root).expanduser().absolute()
    if not root.is_dir():
        raise DataError(f"the ImageNet folder {root} does not exist")
    unzipped = (root.joinpath(*_UNZIPPED[start:]) for start in range(3))
    root = next((folder for folder in unzipped if folder.is_dir()), root)
    with os.scandir(root) as found:
        entries = [entry for entry in found if not made_by_a_system(entry.name)]
    sorted_by_class = [entry for entry in entries if re.fullmatch(r"n\d{8}", entry.name) and entry.is_dir()]
    flat = {int(m[1]) - 1: root / e.name for e in entries if (m := _NUMBER.fullmatch(e.name))}
    if sorted_by_class:
        return _by_class(root, {entry.name for entry in sorted_by_class})
    if flat:
        return _flat(root, flat)
    below = {e.name: os.listdir(e) for e in entries if e.is_dir()}
    inside = [name for name, files in below.items() if any(re.match(r"n\d{8}|ILSVRC2012_val_", n) for n in files)]
    hint = f" Is it {root / max(inside)}?" if inside else ""  # the last by name: val, not train
    missing = f"it has neither folders like n01440764 nor files like {_name(0)}"
    raise DataError(f"{root} is no ImageNet validation folder: {missing}.{hint}")


def _by_class(root: Path, folders: set[str]) -> ImageNet:
    known = wordnet_ids()
    files, labels = dict[int, Path](), dict[int, int]()
    for label, name in enumerate(known):
        for file in os.listdir(root / name) if name in folders else ():
            if made_by_a_system(file):
                continue
            if not (match := _NUMBER.fullmatch(file)):
                raise DataError(f"{root / name / file} is not named like {_name(0)}, so its number is not known")
            image_id = int(match[1]) - 1
            if image_id in files:
                raise DataError(f"image {image_id + 1} is there twice: {files[image_id]} and {root / name / file}")
            files[image_id], labels[image_id] = root / name / file, label
    if missing := sorted(set(range(len(known))) - set(labels.values())):
        names = _few([known[i] for i in missing])
        raise DataError(f"{len(missing)} of {len(known)} classes are missing in {root}: {names}")
    return ImageNet(root, "by class", files, labels)


def _flat(root: Path, files: dict[int, Path]) -> ImageNet:
    places = [
        place
        for folder in (root, root.resolve())  # a link and what it names
        for place in (folder, *folder.parents[: 4 if folder.parts[-3:] == _UNZIPPED[1:] else 1])
    ]
    places += [place / "ILSVRC2012_devkit_t12" / "data" for place in places]
    readers = {_KAGGLE: _kaggle, _CAFFE: _caffe, _DEVKIT: _devkit}
    found = [place / name for name in readers for place in places if (place / name).exists()]
    if not found:
        needed = f"{_KAGGLE}, {_CAFFE}, or {_DEVKIT} with meta.mat"
        raise DataError(f"{root} is flat, and there is no ground truth in it or beside it: {needed}")
    truth = found[0]
    try:
        labels = readers[truth.name](truth)
    except (KeyError, ValueError, IndexError, TypeError) as problem:
        raise DataError(f"{truth} is not the ground truth that its name promises ({problem!r})") from None
    if unknown := sorted(set(files) - set(labels)):
        raise DataError(f"{truth} has no label for {len(unknown)} images: {_few([_name(i) for i in unknown])}")
    return ImageNet(root, f"flat, labels from {truth.name}", files, {i: labels[i] for i in files})


def _kaggle(file: Path) -> dict[int, int]:
    """Rows of "ILSVRC2012_val_00000001,n01751748 111 108 429 272 ..."."""
    index = {name: label for label, name in enumerate(wordnet_ids())}
    rows = list(csv.reader(file.read_text("utf-8").splitlines()))[1:]
    return {int(image.rpartition("_")[2]) - 1: index[boxes.split()[0]] for image, boxes in rows}


def _caffe(file: Path) -> dict[int, int]:
    """Lines of "ILSVRC2012_val_00000001.JPEG 65", the class counted in the order of the WordNet ids."""
    rows = [line.split() for line in file.read_text("utf-8").splitlines() if line.strip()]
    labels = {int(_NUMBER.fullmatch(image)[1]) - 1: int(label) for image, label in rows}  # type: ignore[index]
    if not set(labels.values()) <= set(range(len(wordnet_ids()))):
        raise ValueError("a label lies outside 0, ..., 999")
    return labels


def _devkit(file: Path) -> dict[int, int]:
    """One ILSVRC id a line; those count the classes in an order of their own, which ``meta.mat`` maps to WordNet ids."""
    from scipy.io import loadmat

    meta = file.with_name("meta.mat")
    if not meta.exists():
        needed = f"{meta.name} of the development kit beside it"
        raise DataError(f"{file} needs {needed}: its class numbers have their own order")
    synsets = np.atleast_1d(loadmat(meta, squeeze_me=True)["synsets"])
    leaves = (s for s in synsets if int(s["num_children"]) == 0)
    classes = {int(s["ILSVRC2012_ID"]): wordnet_ids().index(str(s["WNID"])) for s in leaves}
    return {image_id: classes[int(line)] for image_id, line in enumerate(file.read_text("utf-8").split())}


@cache
def candidate_ids() -> tuple[int, ...]:
    """5000 of the 50,000 validation images in an order drawn once (seed 0); the list is committed."""
    return tuple(json.loads(paths.IMAGENET_CANDIDATES.read_text("utf-8"))["ids"])


class Selection(BaseModel):
    """The images that all ``models`` classify correctly, as far as the candidates were examined, and how it was made."""

    model_config = ConfigDict(extra="forbid")
    models: dict[str, str]  # name -> SHA-256
    candidates: str  # SHA-256 of the committed list
    examined: int = 0  # candidates, in their order
    missing: list[int] = Field(default_factory=list)  # of these, not in the folder
    unreadable: dict[int, str] = Field(default_factory=dict)  # left out because the user asked for it
    correct: dict[str, int] = Field(default_factory=dict)  # of those examined and read, by model
    ids: list[int] = Field(default_factory=list)
    pixels: list[str] = Field(default_factory=list)  # first digits of the SHA-256 of each one's decoded pixels

    @property
    def read(self) -> int:
        return self.examined - len(self.missing) - len(self.unreadable)


def pixel_hash(pixels: UInt8[Tensor, "3 h w"]) -> str:
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()[:16]


def select_common(
    data: ImageNet, networks: Mapping[str, nn.Module], count: int, device: str | torch.device = "cpu",
    *, skip_unreadable: bool = False, progress: bool = False,
) -> Selection:  # fmt: skip
    """At least ``count`` candidates that all ``networks`` classify correctly: the evaluation set of the paper's section 4.1.

    They are examined in their committed order; what was found is saved after every 100, so a killed run goes on.
    Raises ``DataError`` for unreadable images, for labels that cannot be right (a model far below its published
    accuracy), and where the candidates do not suffice.
    """
    file, selection = _stored(data, list(networks))
    with tqdm(total=count, initial=min(len(selection.ids), count), desc="common subset", disable=not progress) as bar:
        while len(selection.ids) < count and selection.examined < len(candidate_ids()):
            _examine(selection, data, networks, device, skip_unreadable)
            _check_plausible(selection)
            write_whole(file, selection.model_dump_json(indent=1))
            bar.update(min(len(selection.ids), count) - bar.n)
    if len(selection.ids) < count:
        found = f"{selection.read} could be read and {len(selection.ids)} are classified correctly"
        models = f"by all of {', '.join(networks)}"
        raise DataError(f"of the {len(candidate_ids())} candidates {found} {models}; n_images must not be larger")
    return selection


def _stored(data: ImageNet, models: Sequence[str]) -> tuple[Path, Selection]:
    """The file of the selection that these models, labels and candidates make, and what it holds so far."""
    hashes = {name: REGISTRY[name].sha256 for name in sorted(models)}
    candidates = hashlib.sha256(paths.IMAGENET_CANDIDATES.read_bytes()).hexdigest()
    labels = [data.labels.get(image_id, -1) for image_id in candidate_ids()]
    key = hashlib.sha256(json.dumps([hashes, candidates, labels]).encode()).hexdigest()[:16]
    file = paths.converted_folder().parent / "imagenet-subsets" / f"{key}.json"
    if not file.exists():
        return file, Selection(models=hashes, candidates=candidates, correct=dict.fromkeys(models, 0))
    try:
        return file, Selection.model_validate_json(file.read_text("utf-8"))
    except ValidationError:
        raise DataError(f"{file} is damaged: delete it, and the selection is made again") from None


def _examine(
    selection: Selection, data: ImageNet, networks: Mapping[str, nn.Module], device: str | torch.device, skip: bool
) -> None:
    """Add the next candidates to the selection."""
    part = candidate_ids()[selection.examined :][:_AT_ONCE]
    here = [image_id for image_id in part if image_id in data.files]
    pixels, bad = data.decode(here, skip)
    kept = [place for place, image_id in enumerate(here) if image_id not in bad]
    pixels, ids = pixels[kept], [here[place] for place in kept]
    images = (pixels.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
    labels = torch.tensor([data.labels[image_id] for image_id in ids], device=device)
    batch = 25 if images.device.type == "cpu" else 250
    right = {name: correct(network, images, labels, batch) for name, network in networks.items()}
    chosen = torch.stack(list(right.values())).all(0).nonzero().flatten().tolist()
    selection.examined += len(part)
    selection.missing += sorted(set(part) - set(here))
    selection.unreadable |= bad
    selection.correct = {name: selection.correct[name] + int(own.sum()) for name, own in right.items()}
    selection.ids += [ids[place] for place in chosen]
    selection.pixels += [pixel_hash(pixels[place]) for place in chosen]


def _check_plausible(selection: Selection) -> None:
    """Labels in another order, or weights of another network, make a model guess: stop before hours are spent on that."""
    if selection.read < _PLAUSIBLE_AFTER:
        return
    for name, count in selection.correct.items():
        published = REGISTRY[name].top1
        _, high = proportion_confint(count, selection.read, method="wilson")
        if published and 100 * high < published / 2:
            found = f"{name} classifies {count} of {selection.read} images correctly; published are {published} %"
            why = "The labels do not belong to these images, or the weights not to this network"
            raise DataError(f"{found}. {why}")
