"""Writing files so that a reader sees the old content or the new, never half of it."""

import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from safetensors import SafetensorError

NOBODYS_WORK = {
    "__macosx", "$recycle.bin", "system volume information", "lost+found", "#recycle", "@eadir",
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
}  # fmt: skip


def made_by_a_system(name: str) -> bool:
    """Whether a file or folder of this name is an operating system's or an editor's own, and nobody's work.

    Hidden ones are (``.DS_Store``), and ``Thumbs.db`` and such, an office's locks (``~$notes.docx``), backups (``notes.py~``).
    """
    return name.startswith((".", "~$")) or name.endswith("~") or name.casefold() in NOBODYS_WORK


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` on success, delete it on any error.

    Its mode is the umask's, or that of the file that is replaced. A full disk is an ``OSError`` that names ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield temporary
        if target.is_file():
            temporary.chmod(target.stat().st_mode)
        os.replace(temporary, target)
    except OSError as problem:
        if problem.filename is not None:
            raise
        raise OSError(problem.errno, f"cannot write {target}: {problem.strerror}") from None
    except SafetensorError as problem:  # its word for every failure to write
        raise OSError(f"cannot write {target}: {problem}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file through ``atomic_path``; text as UTF-8."""
    with atomic_path(file) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


class Locked(RuntimeError): ...


@contextmanager
def file_lock(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock ``file``; the system frees it however the holder dies. ``Locked`` if it is taken and one does not wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    held: BaseFileLock = FileLock(file)
    try:
        try:
            held.acquire(blocking=wait)
        except OSError as problem:
            if problem.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            held = SoftFileLock(file.with_name(f"{file.name}.held"))  # a file, which the next process removes
            held.acquire(blocking=wait)
    except Timeout:
        raise Locked(f"{file} is locked by another process") from None
    try:
        yield
    finally:
        held.release()


LONGEST = 80  # bytes of a folder's path in which sockets can be made: a system allows about 104 with their names
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # where TMPDIR's path is too long


def socket_folder() -> str:
    """A folder for temporary files whose path leaves room for a socket's name. Raises ``OSError`` where there is none."""
    usual = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), *SHORT_FOLDERS]
    for folder in usual:
        if len(os.fsencode(folder)) <= LONGEST and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise OSError(f"the path of {usual[0]} is longer than {LONGEST} characters: set TMPDIR to a shorter one")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class DamagedFile(RuntimeError):
    """A file's content is not what was written."""


def write_sealed(file: Path, content: bytes) -> None:
    """Write ``content`` atomically behind a line with its SHA-256."""
    write_whole(file, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_sealed(file: Path) -> bytes:
    """The content that ``write_sealed`` stored; ``DamagedFile`` naming the file if a single bit has changed."""
    seal, _, content = file.read_bytes().partition(b"\n")
    if seal != hashlib.sha256(content).hexdigest().encode():
        raise DamagedFile(f"{file} is damaged: its content does not match its checksum. Delete it and run again")
    return content
