"""Public checkpoints, which are pickles: their tensors are taken out and nothing in them is run.

Loading a pickle calls whatever its author put there. The reader below carries out itself the few instructions that
torch.save writes, on descriptions of tensors and plain values; Python's unpickler has no part in it. Names that a training
state needs, as dill writes it, are replaced by objects that do nothing; every other name is an error that states it. No
name is ever imported. Each file is converted once to safetensors, with both hashes recorded.
What a file takes of memory and time grows with its size, and no faster.
"""

import errno
import io
import json
import math
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

from .._support import paths
from .._support.files import atomic_path, sha256_of

HUGGING_FACE = "madrylab/robust-imagenet-models"
NOT_KNOWN = "not known"
_MODEL, _COPY, _NORMALISER = "module.model.", "module.attacker.", "module.normalizer."  # Salman et al.'s names


_MOST_INSTRUCTIONS = 500_000  # of one pickle; a ResNet-50's has about 20,000
_MOST_NAMES = 1000  # of a training state
_MOST_ARGUMENTS = 8  # torch's functions that rebuild a tensor have up to seven
_MOST_DIMENSIONS = 64  # torch's own limit


class CheckpointError(RuntimeError):
    """A checkpoint file is missing or not the one that was registered."""


# --- reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Storage:
    """A stretch of numbers in the file."""

    dtype: torch.dtype
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: where it lies in its storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.size)


@dataclass(frozen=True, slots=True)
class _Left:
    """Stands for a name that is not admitted: whatever a pickle does with one gives it again."""

    name: str


def _view(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> _View:
    """Stands for torch's functions that rebuild a tensor."""
    if not isinstance(storage, _Storage):
        raise ValueError("it builds a tensor of something that is no storage")
    shape = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_DIMENSIONS
    if not shape or not all(map(_is_size, (offset, *size, *stride))):
        raise ValueError("a tensor of no possible shape leaves its storage")
    return _View(storage, offset, size, stride)


def _parameter(data: _View, *rest: Any) -> _View:
    return data


def _ordered_dict(pairs: list[list[Any]] | None = None) -> dict[str, Any]:
    """``pairs``, as Python 2 writes them, are used up: otherwise a few bytes could make a long list a dict again and again."""
    made: dict[str, Any] = {}
    for key, value in pairs or ():
        _put(made, key, value)
    if pairs:
        pairs.clear()
    return made


def _put(target: object, key: object, value: object) -> None:
    """Entries with a name, of a dict; nothing else is needed, and to hash a tuple of tuples of tuples may take for ever."""
    if isinstance(target, dict) and isinstance(key, str):
        target[key] = value


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


_ADMITTED: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": _parameter,
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


class _Reader:
    """Reads pickles; ``left`` collects the names that were replaced, with what replaces them."""

    def __init__(self) -> None:
        self.left: dict[str, _Left] = {}
        self.storages: dict[str, _Storage] = {}

    def read(self, stream: BinaryIO) -> Any:
        """The next pickle of ``stream``, which stands behind it afterwards."""
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}
        for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= _MOST_INSTRUCTIONS:
                raise ValueError("its structure is larger than that of any network")
            if instruction.name in _LITERALS:
                self.stack.append(argument)
            elif instruction.name not in ("PROTO", "STOP"):
                self._carry_out(instruction.name, argument)
        return self.stack.pop()

    def _carry_out(self, name: str, argument: Any) -> None:
        """An instruction that admits neither a call nor a change of anything but dicts and lists made here."""
        stack = self.stack
        match name:
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}[name]())
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                items = self._since_mark()
                self.stack.append(tuple(items))
            case "APPEND":
                self._fill_list([stack.pop()])
            case "APPENDS":
                self._fill_list(self._since_mark())
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _put(stack[-1], key, value)
            case "SETITEMS":
                items = self._since_mark()
                for key, value in zip(items[::2], items[1::2], strict=True):
                    _put(self.stack[-1], key, value)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "POP" | "BUILD":  # BUILD fills in attributes: of a state dict its versions, which are not needed
                stack.pop()
            case "POP_MARK":
                self._since_mark()
            case "GLOBAL":
                stack.append(self._named(argument.replace(" ", ".", 1)))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_called(function, arguments))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case _:
                raise CheckpointError(
                    f"it has the instruction {name}, which torch.save never writes: refused. Nothing was run"
                )

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _fill_list(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _named(self, full: str) -> Any:
        if full in _ADMITTED:
            return _ADMITTED[full]
        if not _TRAINING_STATE.fullmatch(full):
            raise CheckpointError(f"it asks for {full}: refused, since no checkpoint needs it. Nothing was run")
        if full not in self.left and len(self.left) >= _MOST_NAMES:
            raise ValueError(f"its training state has more than {_MOST_NAMES} names")
        return self.left.setdefault(full, _Left(full))

    def _storage(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or not 5 <= len(pid) <= 6:
            raise ValueError("it refers to something that is no storage")
        kind, dtype, key, _, numel, *rest = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not _is_size(numel):
            raise ValueError("it refers to something that is no storage")
        if rest not in ([], [None]):
            raise ValueError("it refers to a part of a storage, which torch.save has not written for years")
        return self.storages.setdefault(key, _Storage(dtype, key, numel))


_LITERALS = frozenset(
    ["BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "BINSTRING", "SHORT_BINSTRING"]
)


def _called(function: object, arguments: Any) -> Any:
    """What one of the functions above gives; nothing else is called."""
    if isinstance(function, _Left):
        return function
    if not any(function is admitted for admitted in (_ordered_dict, _view, _parameter)):
        raise ValueError(f"it calls a {type(function).__name__}")
    if not isinstance(arguments, tuple) or len(arguments) > _MOST_ARGUMENTS:
        raise ValueError("it calls a function with something else than a few arguments")
    return function(*arguments)  # type: ignore[operator]


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
    reader = _Reader()
    with _as_checkpoint_error(file), file.open("rb") as stream:
        content, read = _archive(stream, reader) if zipfile.is_zipfile(stream) else _old_format(stream, reader)
        state = content.get("model", content) if isinstance(content, dict) else content
        if not isinstance(state, dict):
            raise ValueError("it holds no state of a network")
        for key, value in (views := _bare(state)).items():
            if not isinstance(value, _View):
                found = value.name if isinstance(value, _Left) else type(value).__name__
                raise CheckpointError(f"{key} is no tensor but {found}: refused. Nothing was run")
            _check_inside(value)
        storages = {view.storage.key: view.storage for view in views.values()}
        held = sum(storage.numel * storage.dtype.itemsize for storage in storages.values())
        if max(held, sum(view.numel * view.storage.dtype.itemsize for view in views.values())) > file.stat().st_size:
            raise ValueError("its tensors together are larger than the file")
        numbers = read(set(storages))
        return {key: _tensor(view, numbers[view.storage.key]) for key, view in views.items()}, tuple(
            sorted(reader.left)
        )


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
    if max(last + 1, view.numel) > view.storage.numel:
        raise ValueError(f"a tensor of {view.size} leaves its storage")


def _tensor(view: _View, numbers: bytearray) -> Tensor:
    flat = torch.frombuffer(numbers, dtype=view.storage.dtype, count=view.storage.numel)
    return flat.as_strided(view.size, view.stride, view.offset).clone()


_Read = Callable[[set[str]], dict[str, bytearray]]


def _archive(stream: BinaryIO, reader: _Reader) -> tuple[Any, _Read]:
    """torch.save since version 1.6: a ZIP file with one pickle and one member a storage."""
    archive = zipfile.ZipFile(stream)
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    if not stored or sum(member.file_size for member in archive.infolist()) > stream.seek(0, io.SEEK_END):
        raise ValueError("its members are compressed or overlap, which torch.save never does")
    (name,) = (name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1)
    folder = name.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")
    content = reader.read(io.BytesIO(archive.read(name)))

    def read(wanted: set[str]) -> dict[str, bytearray]:
        return {key: bytearray(archive.read(f"{folder}data/{key}")) for key in wanted}

    return content, read


def _old_format(stream: BinaryIO, reader: _Reader) -> tuple[Any, _Read]:
    """torch.save before version 1.6: five pickles, then each storage behind its number of elements."""
    stream.seek(0)
    magic, protocol, system, content, keys = (reader.read(stream) for _ in range(5))
    if (magic, protocol) != (0x1950A86A20F9469CFC6C, 1001) or not system["little_endian"]:
        raise ValueError("it does not begin as torch.save begins")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("it lists no storages")

    def read(wanted: set[str]) -> dict[str, bytearray]:
        found = {}
        for key in keys:
            (numel,) = struct.unpack("<q", stream.read(8))
            size = numel * reader.storages[key].dtype.itemsize
            if numel != reader.storages[key].numel:
                raise ValueError(f"storage {key} has {numel} elements, {reader.storages[key].numel} were announced")
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
        return paths.models_folder() / self.source

    @property
    def file(self) -> Path:
        """The converted file."""
        return paths.converted_folder() / f"{self.name}.safetensors"

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


def read_public_models(file: Path = paths.PUBLIC_MODELS) -> dict[str, PublicModel]:
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
        if stored is not None and not _close(stored, value):
            raise CheckpointError(
                f"{source}: its normaliser has {part} {stored.flatten()[:4].tolist()}, expected {value}"
            )
    _check_shapes(entry, source, state, expected.shapes)
    with atomic_path(entry.file) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    done = Conversion(source=source.name, source_sha256=source_sha256, sha256=sha256_of(entry.file), left_unread=left)
    with atomic_path(entry.file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(done.model_dump(mode="json"), indent=1), "utf-8")
    return done


def _close(stored: Tensor, value: tuple[float, ...]) -> bool:
    return stored.numel() == len(value) and torch.allclose(stored.flatten().float(), torch.tensor(value), atol=1e-4)


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
