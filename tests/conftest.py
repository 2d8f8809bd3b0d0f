"""What many tests need: real CIFAR-10 images, and a small model that is really trained on them in a few seconds."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from inequality_phenomenon.datasets import load_cifar10
from inequality_phenomenon.models import Classifier, build
from inequality_phenomenon.training import TrainingSettings, train

os.environ.setdefault("TQDM_DISABLE", "1")
torch.set_num_threads(1)


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
    return TrainingSettings(
        title="small",
        arguments={"width": 4},
        epochs=3,
        batch_size=50,
        train_images=2000,
        peak_rate=0.1,
        precision="float32",
    )


@pytest.fixture(scope="session")
def _trained(small_settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    state = train(small_settings, tmp_path_factory.mktemp("small"), progress=False)
    return state.average.module.state_dict()


@pytest.fixture
def trained(_trained: dict[str, Tensor], small_settings: TrainingSettings) -> Classifier:
    """A trained width-4 ResNet-18 in eval mode; every test gets its own copy."""
    model = build(small_settings.architecture, **small_settings.arguments)
    model.load_state_dict(_trained)
    return model.eval().requires_grad_(False)


@pytest.fixture
def data_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder that INEQUALITY_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("INEQUALITY_DATA", str(folder))
    return folder
