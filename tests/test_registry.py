"""The promise: every shipped checkpoint is the one that was measured, and the committed numbers follow from the records."""

import json

import pandas as pd
import pytest

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.cli import main
from inequality_phenomenon.datasets import correct_subset, load_cifar10
from inequality_phenomenon.measure.reference import load_reference, manifest
from inequality_phenomenon.networks import REGISTRY, build, fold_batch_norm, load_checkpoint
from inequality_phenomenon.robustness import Threat, correct, robust_correct
from inequality_phenomenon.statistics import wilson
from inequality_phenomenon.training.settings import TrainingSettings, load_settings

NAMES = list(REGISTRY)
MEASURED = [  # the hash pins every network's weights; `inequality verify --all` measures all of them
    "cifar10-resnet18w16-standard-s0",
    "cifar10-resnet18w16-linf8-s0",
    pytest.param("cifar10-densenetbc40-linf8-s0", marks=pytest.mark.slow),
]
TRIED = 200  # images of the quick robust measurement; `inequality verify` takes more


def test_the_models_of_the_first_chapter_ship_and_the_checkpoints_stay_small() -> None:
    assert {f"cifar10-resnet18w16-{kind}-s0" for kind in ("standard", "linf2", "linf8")} <= set(NAMES)
    assert sum(file.stat().st_size for file in paths.CHECKPOINTS.iterdir()) < 60e6


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_network_is_the_file_that_was_registered(name):
    assert sha256_of(REGISTRY[name].file) == REGISTRY[name].sha256


@pytest.mark.parametrize("name", MEASURED)
def test_a_checkpoint_has_the_registered_accuracy(name):
    entry, model = REGISTRY[name], load_checkpoint(name)
    images, labels = load_cifar10("test")
    found = correct(fold_batch_norm(model), images, labels)
    assert abs(int(found.sum()) - entry.test_clean.correct) <= 3  # float32 rounding may turn a tie on another machine
    assert entry.test_clean.n == len(images)
    for text, registered in entry.test_robust.items():
        left = robust_correct(model, images[:TRIED], labels[:TRIED], Threat.parse(text), restarts=1)
        estimate = wilson(int(left.sum()), TRIED)
        assert estimate.low - 0.03 <= registered.rate <= estimate.high + 0.03, text  # one restart instead of two


@pytest.mark.parametrize("name", [*NAMES, *REGISTRY.unshipped])
def test_a_registry_entry_agrees_with_its_settings_and_log(name):
    entry, settings = REGISTRY[name], load_settings(name)
    named = {"title": entry.title, "architecture": entry.architecture, "arguments": entry.arguments}
    assert TrainingSettings.model_validate(entry.training | named) == settings  # settings added since have defaults
    log = pd.read_csv(entry.log)
    assert list(log.epoch) == list(range(1, len(log) + 1))
    assert len(log) == settings.epochs or settings.stop_at is not None
    assert sum(p.numel() for p in build(entry.architecture, **entry.arguments).parameters()) == entry.parameters


def test_the_common_subset_is_correct_under_the_models_it_names():
    stored = json.loads(paths.COMMON_SUBSET.read_text())
    images, labels = load_cifar10("test")
    ids = correct_subset(1000)
    assert len(set(ids)) == 1000
    for name, digest in stored["correct_under"].items():
        assert REGISTRY[name].sha256 == digest
        assert correct(fold_batch_norm(load_checkpoint(name)), images[ids], labels[ids]).float().mean() >= 0.999


@pytest.mark.parametrize("folder", [paths.REFERENCE, paths.PAPER_SCALE])
def test_reference_records_are_those_of_the_manifest_and_of_the_registered_models(folder):
    known = manifest(folder)
    assert {path.parent.name for path in folder.glob("*/*.parquet")} == set(known)
    for chapter, tables in known.items():
        assert {path.stem for path in (folder / chapter).glob("*.parquet")} == set(tables)
        for name, facts in tables.items():
            assert sha256_of(folder / chapter / f"{name}.parquet") == facts["sha256"]
            assert facts["checkpoints"] == {model: REGISTRY[model].sha256 for model in facts["checkpoints"]}
        assert load_reference(chapter, folder=folder).keys() == tables.keys()


def test_verify_measures_again_and_agrees(capsys):
    name = "cifar10-resnet18w16-linf8-s0"
    assert main(["verify", name, "--images", "100"]) == 0
    output = capsys.readouterr().out
    assert all(f"{name}  {what}" in output for what in ("clean", *REGISTRY[name].test_robust, "flags"))
