"""Public checkpoints, which are pickles: their tensors are taken out and nothing in them is run.

Loading a pickle calls whatever its author put there. The reader below admits tensors, ordered dicts and plain values.
Names that a training state needs, as dill writes it, are replaced by objects that do nothing; every other name is an
error that states it. No name is ever imported. Each file is converted once to safetensors, with both hashes recorded.
A file cannot change what the reader consists of, nor take more memory than its own size accounts for.
"""

import errno
import io
import json
import math
import pickle
import pickletools
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .files import atomic_path, sha256_of
from .paths import PUBLIC_MODELS, converted_folder, models_folder

HUGGING_FACE = "madrylab/robust-imagenet-models"
NOT_KNOWN = "not known"
_MODEL, _COPY, _NORMALISER = "module.model.", "module.attacker.", "module.normalizer."  # Salman et al.'s names


# Bounds that no checkpoint of these networks comes near: a ResNet-50's has about 4000 tuples in half a megabyte.
_MOST_BYTES = 16_000_000  # of one pickle without the numbers
_MOST_TUPLES = 30_000  # deeper nesting than 50,000 overflows the interpreter's stack when such a tuple is hashed
_MOST_NAMES = 1000  # of a training state


class CheckpointError(RuntimeError):
    """A checkpoint file is missing or not the one that was registered."""


# --- reading ---------------------------------------------------------------------------------------------------


def _unchangeable(self: object, state: object) -> None:
    """What a pickle's instruction to fill in an object calls; the default would set any attribute."""
    raise CheckpointError(f"it changes a {type(self).__name__.strip('_')} of its reader: refused. Nothing was run")


@dataclass(frozen=True, slots=True)
class _Storage:
    """A stretch of numbers in the file."""

    dtype: torch.dtype
    key: str
    numel: int
    __setstate__ = _unchangeable


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: where it lies in its storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    __setstate__ = _unchangeable

    @property
    def numel(self) -> int:
        return math.prod(self.size)


@dataclass(frozen=True, slots=True)
class _Function:
    """What a pickle may call and, unlike a function, cannot give other defaults."""

    call: Callable[..., Any]
    __setstate__ = _unchangeable

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


def _view(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> _View:
    """Stands for torch's functions that rebuild a tensor."""
    if not isinstance(storage, _Storage):
        raise ValueError("it builds a tensor of something that is no storage")
    return _View(storage, offset, tuple(size), tuple(stride))


def _parameter(data: _View, *rest: Any) -> _View:
    return data


class _OrderedDict(dict):
    """Without attributes: those that a state dict carries, its versions, are not needed."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None: ...


_ADMITTED: dict[str, Any] = {
    "collections.OrderedDict": _OrderedDict,
    "torch._utils._rebuild_tensor": _Function(_view),
    "torch._utils._rebuild_tensor_v2": _Function(_view),
    "torch._utils._rebuild_parameter": _Function(_parameter),
}
_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16, "Long": torch.int64,
    "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
}  # fmt: skip
_ADMITTED |= {f"torch.{place}{name}Storage": d for name, d in _DTYPES.items() for place in ("", "cuda.")}

# What training states consist of when dill writes them: functions by value, with their module's variables; classes;
# numbers of NumPy.
_TRAINING_STATE = re.compile(
    r"(dill|numpy|torch|cox|robustness|__main__)(\.\w+)+|[\w.]+\.__dict__|_codecs\.encode"
    r"|(__builtin__|builtins)\.(getattr|setattr|object|set|frozenset|complex|bytearray|slice|x?range|__main__)"
)


class _Inert(type):
    """Of classes that stand for a name which is not admitted: whatever a pickle does with one gives the class again."""

    def __call__(cls, *args: Any, **kwargs: Any) -> "_Inert":
        return cls

    def __setitem__(cls, key: object, value: object) -> None: ...


def _inert(name: str) -> _Inert:
    nothing = classmethod(lambda cls, *args: None)
    methods = {"__setstate__": nothing, "append": nothing, "extend": nothing, "add": nothing}
    return _Inert(name, (), {"__new__": lambda cls, *args, **kwargs: cls} | methods)


class _Reader(pickle.Unpickler):
    """Unpickles descriptions of tensors; ``left`` collects the names that were replaced, with what replaces them."""

    def __init__(self, stream: BinaryIO, left: dict[str, _Inert], storages: dict[str, _Storage]) -> None:
        super().__init__(stream)
        self.left, self.storages = left, storages

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _ADMITTED:
            return _ADMITTED[full]
        if not _TRAINING_STATE.fullmatch(full):
            raise CheckpointError(f"it asks for {full}: refused, since no checkpoint needs it. Nothing was run")
        if len(self.left) >= _MOST_NAMES:
            raise ValueError(f"its training state has more than {_MOST_NAMES} names")
        return self.left.setdefault(full, _inert(full))

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, numel, *rest = pid
        typed = isinstance(dtype, torch.dtype) and isinstance(key, str) and isinstance(numel, int)
        if kind != "storage" or not typed or numel < 0 or any(part is not None for part in rest):
            raise ValueError(f"it refers to {pid!r}, which is no storage")
        return self.storages.setdefault(key, _Storage(dtype, key, numel))


def _unpickled(stream: BinaryIO, left: dict[str, _Inert], storages: dict[str, _Storage]) -> Any:
    """The next pickle of ``stream``, read with the reader above; the stream stands behind it."""
    start, tuples = stream.tell(), 0
    for instruction, argument, place in pickletools.genops(stream):
        tuples += instruction.name in _NESTING
        _check_instruction(instruction.name, argument, (place or 0) - start, tuples)
    length = stream.tell() - start
    stream.seek(start)
    return _Reader(io.BytesIO(stream.read(length)), left, storages).load()


_NESTING = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}


def _check_instruction(name: str, argument: Any, place: int, tuples: int) -> None:
    """What the reader cannot refuse itself, since it happens before anybody is asked."""
    if "PUT" in name and (argument or 0) > place:  # each number is used once: a larger one would fill the memory
        raise ValueError(f"it numbers an object {argument} at byte {place}")
    if name.startswith("EXT"):  # what such a number stands for may come from the interpreter's cache, past find_class
        raise CheckpointError("it asks for an object by a registered number: refused. Nothing was run")
    if place > _MOST_BYTES or tuples > _MOST_TUPLES:
        raise ValueError("its structure is larger than that of any network")


@contextmanager
def _as_checkpoint_error(file: Path) -> Iterator[None]:
    """Whatever a damaged or foreign file makes the parsers raise becomes one message with its name."""
    try:
        yield
    except CheckpointError as problem:
        raise CheckpointError(f"{file}: {_shown(str(problem))}") from None
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno != errno.EINVAL:  # the disk's, not the content's
            raise
        words = _shown(f"{type(problem).__name__}: {problem}")
        raise CheckpointError(f"{file} is not a complete PyTorch checkpoint ({words})") from None


def _shown(text: str, most: int = 300) -> str:
    """Text that may come from the file: no instructions to the terminal, and not endless."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most]) + "…" * (len(text) > most)


def read_state(file: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The network's tensors in ``file``, by name, and the names in its training state that were left unread.

    Reads both of ``torch.save``'s formats, the archive and the older one. Of a checkpoint by Salman et al. these are the
    tensors under ``module.model.``; its normaliser comes as ``normaliser.mean`` and ``normaliser.std``.
    Raises ``CheckpointError`` naming the file and what was refused, or that the file is damaged.
    """
    left: dict[str, _Inert] = {}
    with _as_checkpoint_error(file), file.open("rb") as stream:
        content, read = _archive(stream, left) if zipfile.is_zipfile(stream) else _old_format(stream, left)
        state = content.get("model", content) if isinstance(content, dict) else content
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise ValueError("it holds no state of a network")
        for key, value in (views := _bare(state)).items():
            if not isinstance(value, _View):
                found = value.__name__ if isinstance(value, _Inert) else type(value).__name__
                raise CheckpointError(f"{key} is no tensor but {found}: refused. Nothing was run")
            _check_inside(value)
        if sum(view.numel * view.storage.dtype.itemsize for view in views.values()) > file.stat().st_size:
            raise ValueError("its tensors together are larger than the file")
        numbers = read({view.storage.key for view in views.values()})
        return {key: _tensor(view, numbers[view.storage.key]) for key, view in views.items()}, tuple(sorted(left))


def _bare(state: Mapping[str, Any]) -> dict[str, Any]:
    """The names as the network alone has them."""
    if not any(key.startswith(_MODEL) for key in state):
        return dict(state)
    bare = {key.removeprefix(_MODEL): value for key, value in state.items() if key.startswith(_MODEL)}
    for key, value in state.items():
        if key.startswith(_NORMALISER):
            bare[f"normaliser.{key.rpartition('_')[2]}"] = value
        elif not key.startswith((_MODEL, _COPY)):
            raise ValueError(f"{key} belongs neither to the network nor to its normaliser or attacker")
    return bare


def _check_inside(view: _View) -> None:
    """A tensor must not leave its storage or be more than that holds."""
    last = view.offset + sum((length - 1) * step for length, step in zip(view.size, view.stride, strict=True))
    if min((view.offset, *view.size, *view.stride)) < 0 or max(last + 1, view.numel) > view.storage.numel:
        raise ValueError(f"a tensor of {view.size} leaves its storage")


def _tensor(view: _View, numbers: bytearray) -> Tensor:
    flat = torch.frombuffer(numbers, dtype=view.storage.dtype, count=view.storage.numel)
    return flat.as_strided(view.size, view.stride, view.offset).clone()


_Read = Callable[[set[str]], dict[str, bytearray]]


def _archive(stream: BinaryIO, left: dict[str, _Inert]) -> tuple[Any, _Read]:
    """torch.save since version 1.6: a ZIP file with one pickle and one member a storage."""
    archive, storages = zipfile.ZipFile(stream), dict[str, _Storage]()
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    if not stored or sum(member.file_size for member in archive.infolist()) > stream.seek(0, io.SEEK_END):
        raise ValueError("its members are compressed or overlap, which torch.save never does")
    (name,) = (name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1)
    folder = name.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")
    content = _unpickled(io.BytesIO(archive.read(name)), left, storages)

    def read(wanted: set[str]) -> dict[str, bytearray]:
        return {key: bytearray(archive.read(f"{folder}data/{key}")) for key in wanted}

    return content, read


def _old_format(stream: BinaryIO, left: dict[str, _Inert]) -> tuple[Any, _Read]:
    """torch.save before version 1.6: five pickles, then each storage behind its number of elements."""
    storages: dict[str, _Storage] = {}
    stream.seek(0)
    magic, protocol, system, content, keys = (_unpickled(stream, left, storages) for _ in range(5))
    if (magic, protocol) != (0x1950A86A20F9469CFC6C, 1001) or not system["little_endian"]:
        raise ValueError("it does not begin as torch.save begins")

    def read(wanted: set[str]) -> dict[str, bytearray]:
        found = {}
        for key in keys:
            (numel,) = struct.unpack("<q", stream.read(8))
            size = numel * storages[key].dtype.itemsize
            if numel != storages[key].numel:
                raise ValueError(f"storage {key} has {numel} elements, {storages[key].numel} were announced")
            if key in wanted:
                found[key] = bytearray(stream.read(size))
            else:
                stream.seek(size, io.SEEK_CUR)
        return found

    return content, read


# --- public models ---------------------------------------------------------------------------------------------


class Conversion(BaseModel):
    """What is recorded beside a converted file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    source_sha256: str
    sha256: str
    left_unread: tuple[str, ...]


class PublicModel(BaseModel):
    """A public ImageNet model: one row of ``checkpoints/imagenet.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str  # as tables and legends show it
    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    origin: Literal["huggingface", "torchvision"]
    source: str  # name of the published file
    sha256_of_source: str = Field(alias="sha256", pattern=r"^([0-9a-f]{8,64}|not known)$")  # or its first digits
    megabytes: float  # of the published file
    top1: float | None = None  # published clean accuracy, per cent

    @property
    def published_file(self) -> Path:
        return models_folder() / self.source

    @property
    def file(self) -> Path:
        """The converted file."""
        return converted_folder() / f"{self.name}.safetensors"

    @property
    def conversion(self) -> Conversion | None:
        """The record of the conversion; ``None`` where the model has not been converted yet."""
        record = self.file.with_suffix(".json")
        if not record.exists() or not self.file.exists():
            return None
        try:
            return Conversion.model_validate_json(record.read_text("utf-8"))
        except ValidationError:
            raise CheckpointError(f"{record} is damaged: delete it, and the model is converted again") from None

    @property
    def sha256(self) -> str:
        """Of the converted file, which is what is measured."""
        if (done := self.conversion) is None:
            raise CheckpointError(f"{self.name} is not converted yet; load_checkpoint({self.name!r}) does it")
        return done.sha256

    def check_source(self, found: str) -> None:
        """Raise ``CheckpointError`` where the published file's hash is known and another one."""
        known = self.sha256_of_source
        if known != NOT_KNOWN and not found.startswith(known):
            raise CheckpointError(
                f"{self.published_file} is not the published file: SHA-256 {found}, published {known}. Delete it; it is fetched again"
            )


def read_public_models(file: Path = PUBLIC_MODELS) -> dict[str, PublicModel]:
    """All public models by name, in the order of the file."""
    rows = yaml.safe_load(file.read_text("utf-8")) if file.exists() else []
    return {row["name"]: PublicModel.model_validate(row) for row in rows}


@dataclass(frozen=True)
class Expected:
    """What a converted file must hold: the network's tensors, and the normalisation that it was trained with."""

    shapes: dict[str, tuple[int, ...]]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def public_state(entry: PublicModel, expected: Expected) -> dict[str, Tensor]:
    """The network's tensors, from the converted file; the first time that is made, from a file fetched if need be.

    Raises ``CheckpointError`` for a file that is missing and cannot be fetched, altered, or of another architecture.
    """
    done = entry.conversion or convert(entry, fetch(entry), expected)
    entry.check_source(done.source_sha256)
    if (found := sha256_of(entry.file)) != done.sha256:
        raise CheckpointError(
            f"{entry.file} was altered: SHA-256 {found}, recorded {done.sha256}. Delete it; it is made again"
        )
    return load_file(entry.file)


def convert(entry: PublicModel, source: Path, expected: Expected) -> Conversion:
    """Write the network's tensors of ``source`` as safetensors, beside a record with both hashes."""
    source_sha256 = sha256_of(source)
    entry.check_source(source_sha256)
    state, left = read_state(source)
    for part, value in (("mean", expected.mean), ("std", expected.std)):
        stored = state.pop(f"normaliser.{part}", None)
        if stored is not None and not torch.allclose(stored.flatten(), torch.tensor(value), atol=1e-4):
            raise CheckpointError(f"{source}: its normaliser has {part} {stored.flatten().tolist()}, expected {value}")
    _check_shapes(entry, source, state, expected.shapes)
    with atomic_path(entry.file) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    done = Conversion(source=source.name, source_sha256=source_sha256, sha256=sha256_of(entry.file), left_unread=left)
    with atomic_path(entry.file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(done.model_dump(mode="json"), indent=1), "utf-8")
    return done


def _check_shapes(
    entry: PublicModel, source: Path, state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Every tensor of the network, of the right shape, and no other. Older files lack the counters of batch norm."""
    for key in shapes:
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.tensor(0))
    wrong = [f"{key} is missing" for key in shapes if key not in state]
    wrong += [f"{_shown(key)} is not part of it" for key in state if key not in shapes]
    wrong += [
        f"{key} has shape {tuple(state[key].shape)}, expected {shape}"
        for key, shape in shapes.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    if wrong:
        rest = f"; {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"{source} does not fit {entry.architecture}: {'; '.join(wrong[:3])}{rest}")


# --- fetching --------------------------------------------------------------------------------------------------


def fetch(entry: PublicModel) -> Path:
    """The published file: from ``models_folder()``, else downloaded there, with progress; Hugging Face's are resumed.

    Raises ``CheckpointError`` where there is no space, or where no source is reachable, with what to do.
    """
    file = entry.published_file
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(file.parent).free
    if free < (need := 1.1e6 * entry.megabytes):
        raise CheckpointError(f"no space for {file}: {need / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")
    try:
        if entry.origin == "huggingface":
            from huggingface_hub import hf_hub_download  # slow import, needed once

            hf_hub_download(HUGGING_FACE, entry.source, local_dir=file.parent)
        else:
            _from_torchvision(entry, file)
    except Exception as problem:  # two clients, each with many words for a failure
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise CheckpointError(
            f"{entry.name} is not here and could not be fetched: {reason}\n"
            f"Connect to a network and run again, or put {entry.source} into a folder and set INEQUALITY_MODELS to it."
        ) from None
    return file


def _from_torchvision(entry: PublicModel, file: Path) -> None:
    from torch.hub import download_url_to_file
    from torchvision.models import get_model_weights

    weights = get_model_weights(entry.architecture.removeprefix("imagenet_"))["IMAGENET1K_V1"]
    download_url_to_file(weights.url, str(file), hash_prefix=entry.sha256_of_source)
