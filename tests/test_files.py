"""Promise: a file that the project writes is there as a whole or not at all, whatever happens while it is written."""

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inequality_phenomenon._support.files import DamagedFile, atomic_path, read_sealed, sha256_of, write_sealed


def test_content_appears_under_the_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert os.listdir(target.parent) == ["file.txt"]
    assert target.stat().st_mode & 0o777 == 0o644


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
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_old_content_survives_a_kill_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    script = f"""
import os, signal
from pathlib import Path
from inequality_phenomenon._support.files import atomic_path
with atomic_path(Path({str(target)!r})) as temporary:
    temporary.write_text("half of the ne")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert target.read_text() == "old"


def test_file_that_does_not_fit_is_an_os_error_that_names_it_and_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "weights.safetensors"
    target.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"weights\.safetensors.*too large"), atomic_path(target) as temporary:
            save_file({"a": torch.zeros(10_000)}, temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_sha256_of_a_file_larger_than_a_buffer(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"text", b"\n\n", bytes(range(256)) * 40])
def test_sealed_content_comes_back(tmp_path: Path, content: bytes) -> None:
    write_sealed(tmp_path / "entry", content)
    assert read_sealed(tmp_path / "entry") == content


@pytest.mark.parametrize("place", [0, 10, 64, 65, 80, -1])
def test_one_changed_bit_in_a_sealed_file_is_named(tmp_path: Path, place: int) -> None:
    file = tmp_path / "entry"
    write_sealed(file, b"some content of the cache")
    damaged = bytearray(file.read_bytes())
    damaged[place] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(DamagedFile, match=str(file)):
        read_sealed(file)


@pytest.mark.parametrize("length", [0, 30, 64, 70])
def test_truncated_sealed_file_is_named(tmp_path: Path, length: int) -> None:
    file = tmp_path / "entry"
    write_sealed(file, b"some content of the cache")
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DamagedFile, match=str(file)):
        read_sealed(file)
