"""Promise: what ``load_cifar10`` returns is CIFAR-10, byte for byte; anything else is refused by name and leaves nothing behind."""

import hashlib
import io
import os
import re
import shutil
import socket
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import fails, mounted, no_file_above, python
from damage import flip_bit
from torch import Tensor

from inequality_phenomenon import datasets
from inequality_phenomenon._support import paths
from inequality_phenomenon.networks import CIFAR10_MEAN, CIFAR10_STD
from inequality_phenomenon.training.data import TrainingImages, held_out_ids
from inequality_phenomenon.training.settings import TrainingSettings

Member = tuple[str, bytes]


@pytest.fixture(scope="module")
def store(test_set: tuple[Tensor, Tensor]) -> Path:
    """The verified file that every other test of the session reads."""
    return paths.data_folder() / "cifar10.safetensors"


@pytest.fixture(scope="module")
def members(store: Path) -> list[Member]:
    """The official layout: a record is one label byte and 3072 pixel bytes, channel first; 10,000 records a file."""
    found = []
    for split, names in (("train", [f"data_batch_{i}" for i in range(1, 6)]), ("test", ["test_batch"])):
        images, labels = datasets.load_cifar10_bytes(split)
        records = torch.cat([labels[:, None], images.permute(0, 3, 1, 2).flatten(1)], dim=1).numpy()
        for i, name in enumerate(names):
            found.append((f"cifar-10-batches-bin/{name}.bin", records[10_000 * i : 10_000 * (i + 1)].tobytes()))
    return [("cifar-10-batches-bin/readme.html", b"<html>"), *found]


def write_archive(file: Path, members: list[Member], compresslevel: int = 0) -> None:
    """Stored, not compressed, for speed; the same format."""
    with tarfile.open(file, "w:gz", compresslevel=compresslevel) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def assert_refused(folder: Path, *messages: str) -> None:
    """Loading fails with all of ``messages``, and the folder is as it was."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(datasets.DataError) as caught:
        datasets.load_cifar10("test")
    assert all(message in str(caught.value) for message in messages)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_bytes_have_the_committed_digests_and_images_are_these_over_255_in_the_official_order(test_set) -> None:
    images, labels = test_set
    raw, raw_labels = datasets.load_cifar10_bytes("test")
    assert images.shape == (10_000, 3, 32, 32) and images.dtype == torch.float32
    assert labels.dtype == torch.int64 and torch.equal(labels, raw_labels.long())
    assert torch.equal(images, raw.permute(0, 3, 1, 2).float() / 255) and images.min() == 0 and images.max() == 1
    assert labels.bincount().tolist() == [1000] * 10
    first = [datasets.CIFAR10_CLASSES[label] for label in labels[:8]]
    assert first == ["cat", "ship", "ship", "airplane", "frog", "frog", "automobile", "frog"]
    pixels = datasets.load_cifar10_bytes("train")[0][::10].double() / 255
    assert pixels.mean((0, 1, 2)).tolist() == pytest.approx(CIFAR10_MEAN, abs=0.005)
    assert pixels.std((0, 1, 2)).tolist() == pytest.approx(CIFAR10_STD, abs=0.005)
    images, _ = datasets.load_cifar10_bytes("test")
    images[0] = 0
    assert datasets.load_cifar10_bytes("test")[0][0].any()
    for split in ("validation", "", "Train"):
        fails(ValueError, f"'{split}'; CIFAR-10 has 'train' and 'test'", datasets.load_cifar10, split)
    for split, n in (("train", 50_000), ("test", 10_000)):
        images, labels = datasets.load_cifar10_bytes(split)
        assert images.shape == (n, 32, 32, 3) and labels.shape == (n,)
        assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == datasets.CIFAR10_DIGESTS[f"{split}_images"]
        assert hashlib.sha256(labels.numpy().tobytes()).hexdigest() == datasets.CIFAR10_DIGESTS[f"{split}_labels"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
def test_train_split_needs_little_more_memory_than_its_result(store: Path) -> None:
    script = """from pathlib import Path
from inequality_phenomenon.datasets import load_cifar10
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
images, labels = load_cifar10("train")
print((peak() - before) / (images.numel() * 4))"""
    assert 1 <= float(python("-c", script).stdout) < 1.5  # the floats, and the bytes mapped from the file


def test_held_out_images_are_balanced_and_never_trained_on() -> None:
    ids, (images, labels) = held_out_ids(), datasets.load_cifar10_bytes("train")
    assert len(ids.unique()) == 500 and labels[ids].bincount().tolist() == [50] * 10
    rest = ~torch.isin(torch.arange(50_000), ids)
    data = TrainingImages(TrainingSettings(title="all"), torch.device("cpu"))
    assert torch.equal(data.padded[:, 4:-4, 4:-4], images[rest]) and torch.equal(data.labels, labels[rest].long())
    held_out = {pixels.tobytes() for pixels in images[ids].numpy()}
    assert not held_out & {pixels.tobytes() for pixels in images[rest].numpy()}  # no duplicate image either


@pytest.mark.parametrize(("place", "split", "other"), [(0.1, "test", "train"), (0.9, "train", "test")])
def test_altered_store_is_refused_with_both_digests(store: Path, data_copy: Path, place, split, other) -> None:
    """At 10 % of the file are test images (names are sorted), at 90 % training images."""
    altered = Path(shutil.copy(store, data_copy))
    flip_bit(altered, int(place * altered.stat().st_size))
    with pytest.raises(datasets.DataError, match=f"delete {altered}") as problem:
        datasets.load_cifar10_bytes(split)
    digests = set(re.findall(r"\b[0-9a-f]{64}\b", str(problem.value)))
    assert len(digests) == 2 and datasets.CIFAR10_DIGESTS[f"{split}_images"] in digests
    assert len(datasets.load_cifar10_bytes(other)[0]) >= 10_000 and os.listdir(data_copy) == [store.name]


@pytest.mark.parametrize("size", [0, 5, 1000, 100_000_000])
def test_truncated_store_is_refused(store: Path, data_copy: Path, size: int) -> None:
    truncated = data_copy / store.name
    with store.open("rb") as stream:
        truncated.write_bytes(stream.read(size))
    assert_refused(data_copy, "The file is damaged", f"delete {truncated}")


def changed_pixel(members: list[Member]) -> list[Member]:
    content = bytearray(members[3][1])
    content[12345] ^= 255
    return [*members[:3], (members[3][0], bytes(content)), *members[4:]]


def swapped_labels(members: list[Member]) -> list[Member]:
    table = np.frombuffer(members[-1][1], np.uint8).reshape(10_000, 3073).copy()
    table[[0, 1], 0] = table[[1, 0], 0]
    return [*members[:-1], (members[-1][0], table.tobytes())]


@pytest.mark.parametrize(("change", "messages"), [
    (changed_pixel, ("train_images", datasets.CIFAR10_DIGESTS["train_images"], "delete")),
    (swapped_labels, ("test_labels", datasets.CIFAR10_DIGESTS["test_labels"])),
    (lambda members: members[:-1], ("lacks", "test_batch.bin")),
    (lambda members: [(members[1][0], members[1][1][:-3073]), *members[2:]], ("wrong length",)),
], ids=["one changed pixel", "two swapped labels", "without a batch", "a short batch"])  # fmt: skip
def test_archive_that_is_not_what_it_should_be_is_refused(members, data_copy: Path, change, messages) -> None:
    write_archive(data_copy / datasets.OFFICIAL_ARCHIVE, change(members))
    assert_refused(data_copy, datasets.OFFICIAL_ARCHIVE, *messages)


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty", "text"])
def test_damaged_official_archive_is_refused(members: list[Member], data_copy: Path, damage: str) -> None:
    archive, (name, batch) = data_copy / datasets.OFFICIAL_ARCHIVE, members[1]
    write_archive(archive, [(name, batch[:3_000_000])], compresslevel=1)  # so that damage breaks the stream itself
    content = archive.read_bytes()
    middle = len(content) // 2
    overwritten = content[:middle] + bytes([255]) * 100_000 + content[middle + 100_000 :]
    damaged = {"truncated": content[:middle], "overwritten": overwritten, "empty": b"", "text": b"<html>404</html>"}
    archive.write_bytes(damaged[damage])
    assert_refused(data_copy, datasets.OFFICIAL_ARCHIVE, "not a complete archive", f"delete {archive}")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b" + bytes(1000)])
def test_npm_archive_with_another_hash_is_refused(data_copy: Path, content: bytes) -> None:
    (data_copy / datasets.NPM_ARCHIVE).write_bytes(content)
    assert_refused(data_copy, datasets.NPM_ARCHIVE, "SHA-512", "expected", "delete")


@pytest.mark.parametrize("name", ["../escaped.bin", "{absolute}", "cifar-10-batches-bin/../../escaped.bin"])
def test_archive_that_points_outside_writes_nothing(data_copy: Path, tmp_path: Path, name: str) -> None:
    write_archive(data_copy / datasets.OFFICIAL_ARCHIVE, [(name.format(absolute=tmp_path / "absolute.bin"), b"evil")])
    assert_refused(data_copy, datasets.OFFICIAL_ARCHIVE, "lacks")
    assert sorted(os.listdir(tmp_path)) == ["data"]


def test_link_in_the_place_of_a_batch_is_not_followed(data_copy: Path) -> None:
    with tarfile.open(data_copy / datasets.OFFICIAL_ARCHIVE, "w:gz") as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    assert_refused(data_copy, datasets.OFFICIAL_ARCHIVE, "lacks", "data_batch_1.bin")


def test_official_archive_is_kept_as_the_fast_file_or_leaves_nothing_where_it_does_not_fit(members, data_copy) -> None:
    write_archive(data_copy / datasets.OFFICIAL_ARCHIVE, members)
    with no_file_above(100_000_000):
        fails(OSError, r"cannot write .*cifar10\.safetensors", datasets.load_cifar10, "test")
    assert os.listdir(data_copy) == [datasets.OFFICIAL_ARCHIVE]
    images, _ = datasets.load_cifar10_bytes("test")
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == datasets.CIFAR10_DIGESTS["test_images"]
    assert sorted(os.listdir(data_copy)) == [datasets.OFFICIAL_ARCHIVE, "cifar10.safetensors"]
    (data_copy / datasets.OFFICIAL_ARCHIVE).unlink()
    assert len(datasets.load_cifar10_bytes("train")[0]) == 50_000  # from the fast file alone


@pytest.fixture
def read_only(data_copy: Path, members: list[Member]) -> Iterator[Path]:
    """Root may write to any folder that is not mounted."""
    with nullcontext() if os.geteuid() else mounted(data_copy, "300m"):
        write_archive(data_copy / datasets.OFFICIAL_ARCHIVE, members)
        data_copy.chmod(0o555)
        if os.access(data_copy, os.W_OK):
            subprocess.run(["mount", "-o", "remount,ro", data_copy], check=True)
        yield data_copy


def test_an_archive_in_a_folder_that_may_only_be_read_is_kept_in_the_cache_folder(read_only, tmp_path, move) -> None:
    move(CACHE=tmp_path / "cache")
    assert datasets.cifar10_file() == tmp_path / "cache" / "cifar10.safetensors"
    written = datasets.cifar10_file().stat().st_mtime_ns
    images, _ = datasets.load_cifar10_bytes("test")
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == datasets.CIFAR10_DIGESTS["test_images"]
    assert datasets.cifar10_file().stat().st_mtime_ns == written  # made once
    assert os.listdir(read_only) == [datasets.OFFICIAL_ARCHIVE]


class Nonsense(socketserver.BaseRequestHandler):
    """A proxy that speaks no protocol."""

    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(b"\xff\xfe no protocol \r\n\r\n")


@pytest.mark.parametrize("proxy", ["nobody", "nonsense", "http://p:PORT"])
def test_without_data_and_network_one_message_names_every_source(data_copy: Path, tmp_path: Path, proxy: str) -> None:
    """Both clients really try, through a proxy where nobody listens, which says nonsense, or which is no address."""
    with ExitStack() as stack:
        if proxy == "nobody":
            closed = stack.enter_context(socket.socket())
            closed.bind(("127.0.0.1", 0))
            proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        elif proxy == "nonsense":
            server = stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense))
            threading.Thread(target=server.serve_forever).start()
            stack.callback(server.shutdown)
            proxy = f"http://127.0.0.1:{server.server_address[1]}"
        environment = dict.fromkeys(("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"), "")
        for key in ("http_proxy", "https_proxy", "npm_config_proxy", "npm_config_https_proxy"):
            environment |= {key: proxy, key.upper(): proxy}
        environment |= {"npm_config_fetch_retry_mintimeout": "1", "npm_config_fetch_retry_maxtimeout": "1"}
        environment |= {"npm_config_userconfig": os.devnull, "INEQUALITY_DATA": str(data_copy), "TMPDIR": str(tmp_path)}
        script = "from inequality_phenomenon.datasets import load_cifar10; load_cifar10('test')"
        error = python("-c", script, status=1, **environment).stderr
    message = error[error.index("DataError") :]
    sources = (datasets.OFFICIAL_ARCHIVE, datasets.NPM_ARCHIVE, "official binary archive", datasets.NPM_PACKAGE)
    assert all(part in message for part in (str(data_copy), *sources, "INEQUALITY_DATA")), message
    assert os.listdir(data_copy) == []
    assert not [name for name in os.listdir(tmp_path) if name.startswith("tmp")]  # the clients' folders are gone
