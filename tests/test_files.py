"""Promise: a file that the project writes is there as a whole or not at all, whatever happens while it is written."""

import errno
import fcntl
import hashlib
import os
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from conftest import fails, no_file_above, python, umask
from damage import flip_bit
from safetensors.torch import save_file

from inequality_phenomenon._support import files
from inequality_phenomenon._support.files import DamagedFile, atomic_path, file_lock, read_sealed, write_sealed


def test_content_appears_under_the_name_alone_and_a_file_that_was_made_private_stays_so(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content" and os.listdir(target.parent) == ["file.txt"]
    target = tmp_path / "file"
    target.touch(0o600)
    with umask(0o022), atomic_path(target) as temporary:
        temporary.write_text("content")
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_a_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    with umask(mask), atomic_path(tmp_path / "file") as temporary:
        assert temporary.stat().st_mode & 0o777 == mode  # nor can others read it while it is written
        temporary.write_text("content")
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_old_content_survives_an_error_while_writing(tmp_path: Path, problem: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half of the ne")
            raise problem

    with pytest.raises(problem):
        write()
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["file.txt"]


def test_old_content_survives_a_kill_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    script = f"""import os, pathlib, signal
from inequality_phenomenon._support.files import atomic_path
with atomic_path(pathlib.Path({str(target)!r})) as temporary:
    temporary.write_text("half of the ne")
    os.kill(os.getpid(), signal.SIGKILL)"""
    python("-c", script, status=-9)
    assert target.read_text() == "old"


def test_file_that_does_not_fit_is_an_os_error_that_names_it_and_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "weights.safetensors"
    target.write_text("old")
    too_large = pytest.raises(OSError, match=r"weights\.safetensors.*too large")
    with no_file_above(10_000), too_large, atomic_path(target) as temporary:
        save_file({"a": torch.zeros(10_000)}, temporary)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["weights.safetensors"]


def test_sha256_of_a_file_larger_than_a_buffer(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(content)
    assert files.sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"text", b"\n\n", bytes(range(256)) * 40])
def test_sealed_content_comes_back_and_a_changed_bit_or_a_missing_end_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "entry"
    write_sealed(file, content)
    assert read_sealed(file) == content
    whole = file.read_bytes()
    for place in (0, 10, 64, len(whole) - 1) if content else (0, 10):
        flip_bit(file, place)
        fails(DamagedFile, str(file), read_sealed, file)
        file.write_bytes(whole[:place])
        fails(DamagedFile, str(file), read_sealed, file)
        file.write_bytes(whole)


@pytest.mark.parametrize("problem", [None, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_one_at_a_time_holds_a_lock_also_where_the_file_system_has_none(tmp_path, monkeypatch, problem) -> None:
    if problem:
        monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(problem, os.strerror(problem))))
    order, entered = [], threading.Event()

    def second() -> None:
        entered.set()
        with file_lock(tmp_path / "locks" / "registry"):
            order.append("second")

    with file_lock(tmp_path / "locks" / "registry"):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        thread.join(0.3)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_a_taken_lock_is_refused_where_one_does_not_wait_and_a_broken_one_is_an_error(tmp_path, monkeypatch) -> None:
    with file_lock(tmp_path / "lock"), pytest.raises(files.Locked), file_lock(tmp_path / "lock", wait=False):
        pytest.fail("two hold one lock")
    with file_lock(tmp_path / "lock", wait=False):
        pass  # free again
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"), file_lock(tmp_path / "lock"):
        pass


def test_files_of_an_operating_system_are_known_by_their_names() -> None:
    theirs = [
        "._1.ipynb", ".DS_Store", ".ipynb_checkpoints", "__MACOSX", "Thumbs.db", "desktop.ini", "~$notes.docx",
        "notes.py~", "Icon\r", "@eaDir",
    ]  # fmt: skip
    assert [name for name in theirs if not files.made_by_a_system(name)] == []
    ours = ("ada", "1_measuring.ipynb", "n01440764", "Icon", "a.JPEG", "_x")
    assert not any(files.made_by_a_system(name) for name in ours)
