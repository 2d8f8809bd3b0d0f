"""Public checkpoints, which are pickles: their tensors are taken out and nothing in them is run.

The reader carries out itself the few instructions that torch.save writes, on descriptions of tensors and plain values. Names
of a training state, as dill writes it, are replaced by objects that do nothing; any other name is an error; none is imported.
What a file takes of memory and time grows with its size, and no faster: torch.load with weights_only does not promise that.
"""

import errno
import io
import math
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..networks import CheckpointError

_MODEL, _COPY, _NORMALISER = "module.model.", "module.attacker.", "module.normalizer."  # Salman et al.'s names

_MOST_INSTRUCTIONS = 500_000  # of one pickle; a ResNet-50's has about 20,000
_MOST_NAMES = 1000  # of a training state
_MOST_ARGUMENTS = 8  # torch's functions that rebuild a tensor have up to seven
_MOST_DIMENSIONS = 64  # torch's own limit


@dataclass(frozen=True, slots=True)
class _Storage:
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


@dataclass(frozen=True, slots=True)
class _Left:
    """Stands for a name that is not admitted: whatever a pickle does with one gives it again."""

    name: str


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _view(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> _View:
    """Stands for torch's functions that rebuild a tensor, which must not leave its storage or be more than that holds."""
    if not isinstance(storage, _Storage):
        raise ValueError("it builds a tensor of something that is no storage")
    shape = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_DIMENSIONS
    if not shape or not all(map(_is_size, (offset, *size, *stride))):
        raise ValueError("a tensor of no possible shape leaves its storage")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if max(last + 1, math.prod(size)) > storage.numel:
        raise ValueError(f"a tensor of {size} leaves its storage")
    return _View(storage, offset, size, stride)


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


_ADMITTED: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": lambda data, *rest: data,
}
_FUNCTIONS = tuple(_ADMITTED.values())
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
_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "BINSTRING", "SHORT_BINSTRING")
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict,
}  # fmt: skip


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
            if instruction.name not in ("PROTO", "STOP"):
                self._carry_out(instruction.name, argument)
        return self.stack.pop()

    def _carry_out(self, name: str, argument: Any) -> None:
        """An instruction that admits neither a call nor a change of anything but dicts and lists made here."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            items = self._since_mark() if name == "TUPLE" else [stack.pop() for _ in range(int(name[-1]))][::-1]
            self.stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            if isinstance(self.stack[-1], list):
                self.stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            for key, value in zip(items[::2], items[1::2], strict=True):
                _put(self.stack[-1], key, value)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("POP", "BUILD"):  # BUILD fills in attributes: of a state dict its versions, which are not needed
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "GLOBAL":
            stack.append(self._named(argument.replace(" ", ".", 1)))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        else:
            never = f"the instruction {name}, which torch.save never writes"
            raise CheckpointError(f"it has {never}: refused. Nothing was run")

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _named(self, full: str) -> Any:
        if full in _ADMITTED:
            return _ADMITTED[full]
        if not _TRAINING_STATE.fullmatch(full):
            raise CheckpointError(f"it asks for {full}: refused, since no checkpoint needs it. Nothing was run")
        if full not in self.left and len(self.left) >= _MOST_NAMES:
            raise ValueError(f"its training state has more than {_MOST_NAMES} names")
        return self.left.setdefault(full, _Left(full))

    def _storage(self, pid: Any) -> _Storage:
        """``pid``: "storage", its type, its key, a device, its length; then, in older files, nothing or the place of a part."""
        parts = pid if isinstance(pid, tuple) and len(pid) in (5, 6) else (None,) * 5
        kind, dtype, key, _, numel, *part = parts
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not _is_size(numel):
            raise ValueError("it refers to something that is no storage")
        if part not in ([], [None]):
            raise ValueError("it refers to a part of a storage, which torch.save has not written for years")
        return self.storages.setdefault(key, _Storage(dtype, key, numel))


def _called(function: object, arguments: Any) -> Any:
    """What one of the functions above gives; nothing else is called."""
    if isinstance(function, _Left):
        return function
    if not any(function is admitted for admitted in _FUNCTIONS):
        raise ValueError(f"it calls a {type(function).__name__}")
    if not isinstance(arguments, tuple) or len(arguments) > _MOST_ARGUMENTS:
        raise ValueError("it calls a function with something else than a few arguments")
    return function(*arguments)  # type: ignore[operator]


def read_state(file: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The network's tensors in ``file``, by name, and the names in its training state that were left unread.

    Reads both of ``torch.save``'s formats. Of a checkpoint by Salman et al. these are the tensors under ``module.model.``; its
    normaliser comes as ``normaliser.mean`` and ``normaliser.std``.
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
        storages = {view.storage for view in views.values()}
        held = sum(storage.numel * storage.dtype.itemsize for storage in storages)
        taken = sum(math.prod(view.size) * view.storage.dtype.itemsize for view in views.values())
        if max(held, taken) > file.stat().st_size:
            raise ValueError("its tensors together are larger than the file")
        numbers = read({storage.key for storage in storages})
        flat = {one: torch.frombuffer(numbers[one.key], dtype=one.dtype, count=one.numel) for one in storages}
        parts = {key: flat[view.storage].as_strided(view.size, view.stride, view.offset) for key, view in views.items()}
        return {key: part.clone() for key, part in parts.items()}, tuple(sorted(reader.left))


@contextmanager
def _as_checkpoint_error(file: Path) -> Iterator[None]:
    """Whatever a damaged or foreign file makes the parsers raise becomes one message with its name."""
    try:
        yield
    except CheckpointError as problem:
        raise CheckpointError(f"{file}: {shown(str(problem))}") from None
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno != errno.EINVAL:  # the disk's, not the content's
            raise
        words = shown(f"{type(problem).__name__}: {problem}")
        raise CheckpointError(f"{file} is not a complete PyTorch checkpoint ({words})") from None


def shown(text: str, most: int = 300) -> str:
    """Text that may come from the file: no instructions to the terminal, and not endless."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most]) + "…" * (len(text) > most)


def _bare(state: dict[str, Any]) -> dict[str, Any]:
    """The network's part under the network's own names; of a plain state everything."""
    if not any(key.startswith(_MODEL) for key in state):
        return state
    bare = {}
    for key, value in state.items():
        if key.startswith(_MODEL):
            bare[key.removeprefix(_MODEL)] = value
        elif key.startswith(_NORMALISER):
            bare[f"normaliser.{key.rpartition('_')[2]}"] = value
        elif not key.startswith(_COPY):
            raise ValueError(f"{key} belongs neither to the network nor to its normaliser or attacker")
    return bare


_Read = Callable[[set[str]], dict[str, bytearray]]  # the numbers of the storages with these keys


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
    return content, lambda wanted: {key: bytearray(archive.read(f"{folder}data/{key}")) for key in wanted}


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
