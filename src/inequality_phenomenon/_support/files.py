"""Writing files so that a reader sees the old content or the new, never half of it."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` on success, delete it on any error.

    A full disk is an ``OSError`` that names ``target``, also where safetensors wrote the file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except OSError as problem:
        if problem.filename is not None:
            raise
        raise OSError(problem.errno, f"cannot write {target}: {problem.strerror}") from None
    except SafetensorError as problem:  # its word for every failure to write
        raise OSError(f"cannot write {target}: {problem}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def waiting_lock(file: Path) -> Iterator[None]:
    """Hold the lock ``file``, waiting while another process has it; the system frees it however the holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class DamagedFile(RuntimeError):
    """A file's content is not what was written."""


def write_sealed(file: Path, content: bytes) -> None:
    """Write ``content`` atomically behind a line with its SHA-256."""
    with atomic_path(file) as temporary:
        temporary.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_sealed(file: Path) -> bytes:
    """The content that ``write_sealed`` stored; ``DamagedFile`` naming the file if a single bit has changed."""
    seal, _, content = file.read_bytes().partition(b"\n")
    if seal != hashlib.sha256(content).hexdigest().encode():
        raise DamagedFile(f"{file} is damaged: its content does not match its checksum. Delete it and run again")
    return content
