"""Promise: what is not CIFAR-10 registers itself, is imported only when its name is asked for, and is missed with a word on what to do."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import torch
from conftest import fails, python
from damage import flip_bit

from inequality_phenomenon import networks
from inequality_phenomenon._support import files, plugins
from inequality_phenomenon.measure.image_sets import CIFAR10, classes_of, evaluation_set
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.networks import REGISTRY, CheckpointError, UnknownCheckpoint, build, load_checkpoint

CIFAR10_RUN = """import sys
from inequality_phenomenon.measure.measurements import inequality
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import REGISTRY
import inequality_phenomenon.show, inequality_phenomenon.verdicts.scoreboard
run = open_run("01_inequality_test", "smoke", device="cpu", n_images=2, models=["cifar10-resnet18w16-standard-s0"])
assert len(run.measure(inequality, region=4, steps=2)) == 2 and "cifar10-nothing" not in REGISTRY
print([name for name in sys.modules if name.startswith("inequality_phenomenon.imagenet")])"""


def test_a_cifar_run_imports_no_other_image_set(tmp_path: Path) -> None:
    assert python("-c", CIFAR10_RUN, INEQUALITY_CACHE=str(tmp_path)).stdout == "[]\n"


SECOND = """from types import SimpleNamespace
from inequality_phenomenon.networks import build

def evaluation_set(judges, skip_unreadable):
    return judges, skip_unreadable

def class_names():
    return ("tench", "church")

def public_networks():
    load = lambda: build("resnet18", seed=5, width=4, classes=2)
    return {"second-resnet18-standard": SimpleNamespace(title="of the second set", sha256="0", load=load)}"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Call it with the entry points that are to be installed."""

    def install(*entries: EntryPoint) -> None:
        monkeypatch.setattr(plugins, "entry_points", EntryPoints(entries).select)
        plugins.image_sets.cache_clear()
        plugins.image_set.cache_clear()

    yield install
    plugins.image_sets.cache_clear()
    plugins.image_set.cache_clear()


def test_another_set_needs_an_entry_point_and_nothing_else(installed, tmp_path, monkeypatch) -> None:
    (tmp_path / "second_set.py").write_text(SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    installed(EntryPoint("second", "second_set", plugins.GROUP))
    assert "second_set" not in sys.modules and evaluation_set("second", ("judge",), True) == (("judge",), True)
    assert classes_of("second") == ("tench", "church") and len(classes_of("cifar10")) == 10
    assert REGISTRY["second-resnet18-standard"].title == "of the second set"
    model, images = load_checkpoint("second-resnet18-standard"), torch.rand(2, 3, 32, 32)
    assert not model.training and not any(weights.requires_grad for weights in model.parameters())
    assert torch.equal(model(images), build("resnet18", seed=5, width=4, classes=2).eval()(images))
    lacking = r"and the public networks in second\.yaml$"
    fails(UnknownCheckpoint, lacking, REGISTRY.__getitem__, "second-resnet18-linf8")
    fails(ValueError, "unknown image set 'imagenet'; known: cifar10, second", evaluation_set, "imagenet")
    del sys.modules["second_set"]


def test_a_chapter_reads_hashes_and_judges_each_network_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, judged = Mock(side_effect=files.sha256_of), Mock(return_value=None)
    monkeypatch.setattr(networks, "sha256_of", hashed)
    first = run.sample(run.models[0])
    first.model.register_forward_pre_hook(judged)
    again, other = run.sample(run.models[0], n_images=10), run.sample(run.models[1])
    assert again.model is first.model is not other.model and not judged.called and again.ids == first.ids[:10]
    assert hashed.call_args_list == [call(REGISTRY[name].file) for name in run.models]
    flip_bit(REGISTRY[run.models[0]].file)
    fails(CheckpointError, "was altered", run.sample, run.models[0])


def test_without_entry_points_the_message_says_what_to_run(installed) -> None:
    installed()
    words = r"known: cifar10\. No image set beside CIFAR-10 is installed: run `make setup`"
    fails(ValueError, words, evaluation_set, "imagenet", ("any",))
    fails(UnknownCheckpoint, "installed: run `make setup`", load_checkpoint, "imagenet-resnet50-linf4-public")
    assert evaluation_set("cifar10", ("any",)) is CIFAR10
