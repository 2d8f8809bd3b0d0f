"""The promise: shipped checkpoints are those that were measured, and records say by what they were measured."""

import json

import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD

from inequality_phenomenon import correct_subset, load_cifar10, wilson
from inequality_phenomenon._support import files, paths, profiles
from inequality_phenomenon.cli import main
from inequality_phenomenon.measure import accuracy, measurements, reference
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import REGISTRY, build, fold_batch_norm, load_checkpoint, named
from inequality_phenomenon.robustness import Threat, correct, robust_correct
from inequality_phenomenon.training.settings import TrainingSettings, load_settings

NAMES = list(REGISTRY)
# The hash pins every network's weights; `inequality verify --all` measures all of them.
MEASURED = [STANDARD, ROBUST, pytest.param("cifar10-densenetbc40-linf8-s0", marks=pytest.mark.slow)]
TRIED = 200  # images of the quick robust measurement; `inequality verify` takes more


def test_the_checkpoints_stay_small_and_the_common_subset_is_correct_under_the_models_it_names() -> None:
    assert {f"cifar10-resnet18w16-{kind}-s0" for kind in ("standard", "linf2", "linf8")} <= set(NAMES)
    assert sum(file.stat().st_size for file in paths.CHECKPOINTS.iterdir()) < 60e6
    stored = json.loads(paths.COMMON_SUBSET.read_text())
    images, labels = load_cifar10("test")
    ids = correct_subset(1000)
    assert len(set(ids)) == 1000
    for name, digest in stored["correct_under"].items():
        assert REGISTRY[name].sha256 == digest
        assert correct(fold_batch_norm(load_checkpoint(name)), images[ids], labels[ids]).float().mean() >= 0.999


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
def test_a_registry_entry_agrees_with_its_file_settings_and_log(name):
    entry, settings = REGISTRY[name], load_settings(name)
    assert name not in NAMES or files.sha256_of(entry.file) == entry.sha256
    named = {"title": entry.title, "architecture": entry.architecture, "arguments": entry.arguments}
    assert TrainingSettings.model_validate(entry.training | named) == settings  # settings added since have defaults
    log = accuracy.training_log(name)
    assert list(log.epoch) == list(range(1, len(log) + 1)) and 0 < log.clean.iloc[-1] <= 1
    assert len(log) == settings.epochs or (settings.stop_at is not None and len(log) < settings.epochs)
    assert ("pgd10" in log) == (settings.threat is not None)
    assert sum(p.numel() for p in build(entry.architecture, **entry.arguments).parameters()) == entry.parameters


@pytest.mark.parametrize("folder", [paths.REFERENCE, paths.PAPER_SCALE])
def test_reference_records_are_those_of_the_manifest_and_of_the_registered_models(folder):
    known = reference.manifest(folder)
    assert {path.parent.name for path in folder.glob("*/*.parquet")} == set(known)
    for chapter, tables in known.items():
        assert {path.stem for path in (folder / chapter).glob("*.parquet")} == set(tables)
        read = reference.load_reference(chapter, folder=folder)
        assert read.keys() == tables.keys()
        for name, facts in tables.items():
            assert files.sha256_of(folder / chapter / f"{name}.parquet") == facts["sha256"]
            assert facts["checkpoints"] == {model: REGISTRY[model].sha256 for model in facts["checkpoints"]}
            assert len(read[name]) == facts["rows"] and set(read[name].checkpoint) == set(facts["checkpoints"])


def test_the_reference_is_left_out_under_other_settings_and_networks_of_another_seed_have_other_names():
    assert len(reference.load_reference("01_inequality_test", {"region": 4, "seed": 0})["inequality"]) > 0
    assert all(reference.load_reference("01_inequality_test", other) == {} for other in ({"region": 8}, {"seed": 1}))
    assert (named(STANDARD), named("cifar10-resnet18w16-standard-s1")) == ("standard", "standard, seed 1")
    assert named("cifar10-resnet18w16-l2_0.5-s12") == "ℓ2 0.5, seed 12"  # of the settings of seed 0
    assert named("imagenet-resnet50-standard-torchvision") == "ResNet-50, standard"


def test_the_manifest_says_by_what_a_table_was_measured(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reference, "reference_folder", lambda profile: tmp_path / "reference")
    run.as_planned, run.profile = True, profiles.load_profile("smoke")
    run.chapter, table = "08_class_inequality", pd.DataFrame({"checkpoint": [STANDARD], "value": [1.0]})
    run.record("some", table)
    reference.save_reference("smoke")
    facts = reference.manifest(tmp_path / "reference")[run.chapter]["some"]
    assert facts["device"] == "cpu" and facts["torch"] == torch.__version__ and facts["commit"] == reference.commit()
    saved = pd.read_parquet(tmp_path / "reference" / run.chapter / "some.parquet")
    assert saved.equals(table) and not saved.attrs


def test_a_run_with_other_settings_leaves_no_record(run) -> None:
    run.measure(measurements.margins, {"clean": {}})
    assert list(reference.load_run("test")["test"]) == ["margins"]
    run.as_planned = False
    run.measure(measurements.margins, {"clean": {}}, models=(ROBUST,), name="other")
    assert list(reference.load_run("test")["test"]) == ["margins"]


@pytest.mark.parametrize(
    "overrides", [{"n_images": 5}, {"seed": 1}, {"models": [STANDARD, ROBUST]}, {"region": 8}, {}], ids=str
)
def test_only_a_run_without_overrides_is_as_planned(overrides) -> None:
    assert open_run("08_class_inequality", "smoke", **overrides).as_planned == (not overrides)


def test_verify_measures_again_and_agrees(capsys):
    assert main(["verify", ROBUST, "--images", "100"]) == 0
    output = capsys.readouterr().out
    assert all(f"{ROBUST}  {what}" in output for what in ("clean", *REGISTRY[ROBUST].test_robust, "flags"))
