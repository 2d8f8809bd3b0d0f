"""Imagenette (Howard 2019): 9,469 training and 3,925 validation photographs of ten ImageNet classes, 224 x 224 pixels.

They are looked for in the folder that ``INEQUALITY_IMAGENETTE`` names, in the data folder, and in the pinned commit of a
public git repository. The hash of each split's git tree must equal ``TREES``, so every byte of every file is verified.
A folder with the official archive is taken as well, verified by its MD5 and resized here: other pixels.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from .._support import paths
from .._support.checks import one_of
from .._support.files import made_by_a_system
from ..datasets import DataError
from ..measure.photographs import read_photographs

Split = Literal["train", "val"]
SIDE = 224
CLASSES = {  # by WordNet id, in the order of the labels
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip

REPOSITORY = "https://github.com/thunderInfy/imagenette"
COMMIT = "b850f030ff0701c36a4adc8b928ea9483a46915b"
TREES = {"train": "b5b3dd77dff0927aa628bfad778c731a103f142d", "val": "b8b2b2c6ab7c20f1362021497531e668431744b9"}
COUNTS = {"train": 9469, "val": 3925}
BYTES = 160_000_000  # of both splits on the disk
OFFICIAL = "imagenette2"  # the official archive's top folder: photographs of all sizes
ARCHIVE = f"{OFFICIAL}.tgz"
ARCHIVE_MD5 = "fe2fc210e6bb7c5664d602c3cd71e612"  # as torchvision.datasets.Imagenette has it


def load_imagenette(split: Split) -> tuple[UInt8[Tensor, "n 3 224 224"], Int64[Tensor, " n"]]:
    """All photographs of a split, in the order of their files' names within their classes, and labels 0..9.

    ``split``: "train" (9,469) or "val" (3,925). Pixels stay uint8: as float32 they would take 5.7 GB. Gray photographs have
    three equal channels. Raises ``ValueError`` for another split and ``DataError`` if no source gives the verified files.
    """
    files, labels = imagenette_files(split)
    return decoded(files), torch.tensor(labels)


def imagenette_files(split: Split) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    """The verified files of a split, by class and name, and their labels. A photograph's id is its place here."""
    one_of("split", split, get_args(Split))
    return _files(_folder(), split)


def fetch_and_say() -> None:
    """Fetch what is not here, verify it, and print where it is."""
    for split in get_args(Split):
        files, _ = imagenette_files(split)
        print(f"Imagenette {split}: {len(files)} photographs, {source(split)}, in {files[0].parents[2]}")


def source(split: Split) -> str:
    """How the photographs of a split were verified."""
    if _folder() == _official():
        return f"official archive (MD5 {ARCHIVE_MD5[:16]}…), resized here: other pixels than in the reference run"
    return f"git tree {TREES[split][:16]}… verified"


def _folder() -> Path:
    """The folder of ``train`` and ``val``: the user's own, or the data folder's, where it is fetched to at the first use."""
    folder = paths.imagenette_folder()
    if (archive := folder / ARCHIVE).is_file():
        _unpack(archive)
        return _official()
    if not folder.is_dir() and folder.parent == paths.data_folder():
        _fetch(folder)
    return folder


@cache
def _files(folder: Path, split: Split) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    top, problem = folder / split, ""
    found = {name: sorted(_own_entries(top / name)) for name in CLASSES if (top / name).is_dir()}
    if not top.is_dir():
        problem = f"{folder} is no Imagenette folder: it has no folder {split!r}"
    elif missing := [name for name in CLASSES if name not in found]:
        problem = f"{len(missing)} of {len(CLASSES)} classes are missing in {top}: {', '.join(missing)}"
    elif (count := sum(map(len, found.values()))) != COUNTS[split]:
        problem = f"{top} has {count} photographs, Imagenette has {COUNTS[split]}"
    elif folder != _official() and (tree := _tree(top)) != TREES[split]:
        problem = f"the files in {top} are not those of the pinned commit: tree {tree}, not {TREES[split]}"
    if problem:
        raise DataError(f"{problem}. {_how()}")
    files = tuple(top / name / file for name, own in found.items() for file in own)
    return files, tuple(label for label, own in enumerate(found.values()) for _ in own)


def _how() -> str:
    return f"Needed are the folders train and val of {REPOSITORY} at commit {COMMIT[:12]}"


def _own_entries(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not made_by_a_system(name)]


def _tree(folder: Path) -> str:
    """The hash that git gives to a folder's content: all files executable, as the pinned commit has them."""

    def hashed(kind: str, content: bytes) -> bytes:
        return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()

    def one(path: Path) -> bytes:
        if not path.is_dir():
            return hashed("blob", path.read_bytes())
        entries = (
            (b"40000 " if (path / name).is_dir() else b"100755 ") + name.encode() + b"\0" + one(path / name)
            for name in sorted(_own_entries(path))
        )
        return hashed("tree", b"".join(entries))

    return one(folder).hex()


def _official() -> Path:
    return paths.data_folder() / OFFICIAL


def _unpack(archive: Path) -> None:
    """Unpack the official archive into the data folder, once and after its MD5 was verified."""
    from torchvision.datasets.utils import check_md5

    if _official().is_dir():
        return
    if not check_md5(str(archive), ARCHIVE_MD5):
        raise DataError(f"{archive} is not the official archive: its MD5 is not {ARCHIVE_MD5}. {_how()}")
    _official().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_official().parent, prefix=".imagenette.") as name:
        shutil.unpack_archive(archive, name, filter="data")
        os.replace(Path(name) / OFFICIAL, _official())


def _fetch(target: Path) -> None:
    """Clone the pinned commit beside ``target``, verify both trees, and only then move it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(target.parent).free < 3 * BYTES:
        raise DataError(f"Imagenette needs {3 * BYTES / 1e6:.0f} MB in {target.parent}, and there is less")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".imagenette.") as name:
        folder = Path(name) / "clone"
        folder.mkdir()
        _git(folder)
        for split in get_args(Split):
            _files(folder, split)
        shutil.rmtree(folder / ".git")
        os.replace(folder, target)


def _git(folder: Path) -> None:
    fetch = ("fetch", "--depth=1", "--progress", REPOSITORY, COMMIT)
    try:
        for arguments in (("init", "--quiet"), fetch, ("checkout", "--quiet", "FETCH_HEAD")):
            subprocess.run(["git", *arguments], check=True, cwd=folder)
    except FileNotFoundError:
        what = f"Imagenette is fetched with git, and there is none. {_how()}; set INEQUALITY_IMAGENETTE"
        raise DataError(what) from None
    except subprocess.CalledProcessError as problem:
        what = f"Imagenette could not be fetched: `git {problem.cmd[1]}` failed, its words are above. {_how()}"
        do = "bring them and set INEQUALITY_IMAGENETTE to their folder, or connect to a network"
        raise DataError(f"{what}; {do}") from None


def decoded(files: Sequence[Path], side: int = SIDE) -> UInt8[Tensor, "n 3 side side"]:
    """Photographs as RGB, made smaller where ``side`` is below 224; of those of the official archive the middle.

    Raises ``DataError`` naming one that cannot be read.
    """
    from PIL import Image, ImageOps

    official = bool(files) and files[0].parents[2] == _official()

    def one(file: Path) -> np.ndarray:
        with Image.open(file) as picture:
            colours = picture.convert("RGB")
        square = ImageOps.fit(colours, (SIDE, SIDE), Image.Resampling.BILINEAR) if official else colours
        if square.size != (SIDE, SIDE):
            raise DataError(f"it has {square.width} x {square.height} pixels, not {SIDE} x {SIDE}")
        return shrink(torch.from_numpy(np.array(square)).permute(2, 0, 1)[None], side)[0].numpy()

    pixels, bad = read_photographs(files, one, side)
    if bad:
        place, reason = min(bad.items())
        raise DataError(f"{files[place]} cannot be read: {reason}")
    return pixels


def shrink(images: UInt8[Tensor, "n 3 h w"], side: int) -> UInt8[Tensor, "n 3 side side"]:
    """Bilinear with antialiasing, as torchvision resizes; unchanged where they have this side."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)
