"""What many tests need: real CIFAR-10 images, and a small model that is really trained on them in a few seconds."""

import json
import multiprocessing
import multiprocessing.context
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import miniature
import pandas as pd
import pytest
import torch
from filelock import FileLock
from jaxtyping import Float32, Int64
from numpy.typing import ArrayLike
from torch import Tensor, nn

from inequality_phenomenon import attribute, load_cifar10, train
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import socket_folder
from inequality_phenomenon._support.profiles import Profile
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import Sample
from inequality_phenomenon.networks import REGISTRY, Accuracy, Classifier, RegistryEntry, build, save_checkpoint
from inequality_phenomenon.robustness import correct
from inequality_phenomenon.training.settings import TrainingSettings

STANDARD, ROBUST = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-linf8-s0"

os.environ.pop("SNAKEMAKE_PROFILE", None)  # a site's, where a test calls snakemake itself
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # the processes that tests start share the cores
torch.set_num_threads(1)

Subset = tuple[Classifier, Tensor, Tensor, Tensor]
SLOW_FIXTURES = {"book", "table"}  # the built book, and the graded class
LONGEST = (
    "test_book", "test_imagenet_run", "test_classroom", "test_grading", "test_training", "test_registry", "test_accuracy",
    "test_workflow", "test_faults", "test_grid",
)  # fmt: skip


def forkserver(*modules: str) -> multiprocessing.context.ForkServerContext:
    """Processes that have these modules already. The server's socket has a short path, however long TMPDIR is."""
    config: dict[str, Any] = multiprocessing.current_process()._config
    config.setdefault("tempdir", tempfile.mkdtemp(dir=socket_folder()))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a slow fixture; the longest files come first, so that two processes end at about the same time."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def test_set() -> tuple[Float32[Tensor, "10000 3 32 32"], Int64[Tensor, " 10000"]]:
    return load_cifar10("test")


@pytest.fixture
def images(test_set: tuple[Tensor, Tensor]) -> Float32[Tensor, "24 3 32 32"]:
    """The first 24 test images: a copy that a test may change."""
    return test_set[0][:24].clone()


@pytest.fixture
def labels(test_set: tuple[Tensor, Tensor]) -> Int64[Tensor, " 24"]:
    return test_set[1][:24].clone()


@pytest.fixture(scope="session")
def small_settings() -> TrainingSettings:
    """A complete training in seconds: 2,000 images, width 4, three epochs."""
    loop = {"epochs": 3, "batch_size": 50, "train_images": 2000, "peak_rate": 0.1, "precision": "float32"}
    return TrainingSettings(title="small", arguments={"width": 4}, **loop)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], object]], Path]:
    """``once(name, make)``: a folder of this run that ``make`` fills in whichever process asks first; the others wait."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, part = base / name, base / f"{name}.part"
        with FileLock(base / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)
                make(part)
                part.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def _trained(small_settings: TrainingSettings, once: Callable[..., Path]) -> dict[str, Tensor]:
    folder = once("small", lambda folder: train(small_settings, folder, progress=False))
    return train(small_settings, folder, progress=False).average.module.state_dict()  # trained already, so it is read


@pytest.fixture(scope="session")
def setup(once: Callable[..., Path]) -> miniature.Miniature:
    """One miniature of ImageNet for all tests, which change copies only."""
    return miniature.at(once("miniature", miniature.write))


@pytest.fixture
def network() -> nn.Module:
    """What the tests of foreign checkpoints write and read."""
    return build("resnet18", width=4, classes=5).eval().network


@pytest.fixture
def trained(_trained: dict[str, Tensor], small_settings: TrainingSettings) -> Classifier:
    """A trained width-4 ResNet-18 in eval mode; every test gets its own copy."""
    model = build(small_settings.architecture, **small_settings.arguments)
    model.load_state_dict(_trained)
    return model.eval().requires_grad_(False)


@pytest.fixture
def subset(trained: Classifier, test_set: tuple[Tensor, Tensor]) -> Subset:
    images, labels = (part[:200] for part in test_set)
    right = correct(trained, images, labels).nonzero().flatten()[:16]
    images, labels = images[right].clone(), labels[right].clone()
    return trained, images, labels, attribute(trained, images, labels, "input_x_gradient")


@pytest.fixture
def data_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("INEQUALITY_DATA", str(folder))
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from browser import open_chromium

    chromium = open_chromium()
    yield chromium
    chromium.quit()


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of this size at a folder that is there. Skips the test where one cannot be mounted."""
    done = subprocess.run(f"mount -t tmpfs -o size={size} tmpfs '{folder}'", shell=True, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a file system is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one state of a tiny network, but not for two."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "600k") as folder:
        yield folder


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``move(CACHE=folder)`` moves constants of ``paths`` until the test ends."""

    def to(**places: Path) -> None:
        for name, place in places.items():
            monkeypatch.setattr(paths, name, place)

    return to


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A limit on what this process may write into one file: a disk that is full, as far as it can tell."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def python(*arguments: object, cwd: Path | None = None, status: int = 0, **environment: str) -> CompletedProcess[str]:
    """Run Python to its end, which must have this exit status; arguments in capitals are variables of the environment."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-5000:]
    return done


def recipe(*arguments: str) -> str:
    """What make would run."""
    return subprocess.run(["make", "-n", *arguments], cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout


def fails(error: type[BaseException], words: str, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> None:
    """The call raises this error, and its message matches these words."""
    with pytest.raises(error, match=words):
        call(*arguments, **options)


def entry(name: str, model: Classifier, folder: Path, **facts: Any) -> RegistryEntry:
    """Save a network of width 4 and give its entry; what ``facts`` does not say was never measured."""
    some = Accuracy(correct=1, n=2)
    known = {
        "name": name, "title": {STANDARD: "standard", ROBUST: "ℓ∞ 8/255"}.get(name, name), "architecture": "resnet18",
        "arguments": {"width": 4}, "parameters": 1, "training": {}, "sha256": save_checkpoint(model, folder / f"{name}.safetensors"),
        "test_clean": some, "test_robust": {"linf 8/255": some}, "training_seconds": 1, "machine": "",
    }  # fmt: skip
    return RegistryEntry(**known | facts)


@dataclass
class Given(Sample):
    given: Tensor | None = None

    def maps(self, method: str = "integrated_gradients", **options: Any) -> Tensor:
        return self.given


def run_of(names: tuple[str, ...], n_images: int) -> Run:
    profile = Profile(name="test", n_images=n_images, bootstrap=199, chapters={})
    return Run("test", profile, torch.device("cpu"), n_images, 0, names, (), {})


def outcomes(standard: ArrayLike, robust: ArrayLike, condition: str = "", column: str = "fooled") -> pd.DataFrame:
    """Made-up records of the two networks on images 0, 1, ..."""
    tables = [pd.DataFrame({"checkpoint": name, "condition": condition, column: values}).assign(image_id=range(len(values)))
              for name, values in ((STANDARD, standard), (ROBUST, robust))]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def folder(run: Run, tmp_path: Path, move: Callable[..., None]) -> Path:
    """Where the two models of ``run`` are, their subset, and a grid's records."""
    move(GRID=tmp_path / "grid")
    return tmp_path


@pytest.fixture
def run(trained: Classifier, test_set: tuple[Tensor, Tensor], tmp_path, monkeypatch, move: Callable[..., None]) -> Run:
    """Two registered models, the trained one and a copy with noisy weights, and their common subset of 20 images."""
    subset = tmp_path / "subset.json"
    move(CHECKPOINTS=tmp_path, CACHE=tmp_path / "cache", EXECUTED=tmp_path / "executed", COMMON_SUBSET=subset)
    entries = {STANDARD: entry(STANDARD, trained, tmp_path)}
    first = correct(trained, *(part[:300] for part in test_set))
    generator = torch.Generator().manual_seed(0)
    for weights in trained.parameters():
        weights.mul_(1 + 0.1 * torch.randn(weights.shape, generator=generator))
    entries[ROBUST] = entry(ROBUST, trained, tmp_path)
    both = first & correct(trained, *(part[:300] for part in test_set))
    subset.write_text(json.dumps({"ids": both.nonzero().flatten()[:20].tolist()}))
    monkeypatch.setattr(REGISTRY, "_entries", entries)
    return run_of((STANDARD, ROBUST), 20)
