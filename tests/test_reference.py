"""The promise: a record says by what it was measured, and only a run as its profile plans it is compared with the reference."""

import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD

from inequality_phenomenon._support.profiles import load_profile
from inequality_phenomenon.measure import reference
from inequality_phenomenon.measure.measurements import margins
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import named


def test_the_reference_is_left_out_where_the_notebook_was_given_other_settings():
    same, other = ({"region": 4, "seed": 0}, {"region": 8})
    assert len(reference.load_reference("01_inequality_test", same)["inequality"]) > 0
    assert reference.load_reference("01_inequality_test", other) == {}
    assert reference.load_reference("01_inequality_test", {"seed": 1}) == {}


def test_networks_that_differ_in_the_seed_have_names_of_their_own() -> None:
    first, second = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-standard-s1"
    assert (named(first), named(second)) == ("standard", "standard, seed 1")
    assert named("cifar10-resnet18w16-l2_0.5-s12") == "ℓ2 0.5, seed 12"  # of the settings of seed 0
    assert named("imagenet-resnet50-standard-torchvision") == "ResNet-50, standard"


def test_the_manifest_says_by_what_a_table_was_measured(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reference, "reference_folder", lambda profile: tmp_path / "reference")
    run.as_planned, run.profile = True, load_profile("smoke")
    run.chapter, table = "08_class_inequality", pd.DataFrame({"checkpoint": [STANDARD], "value": [1.0]})
    run.record("some", table)
    reference.save_reference("smoke")
    facts = reference.manifest(tmp_path / "reference")[run.chapter]["some"]
    assert facts["device"] == "cpu" and facts["torch"] == torch.__version__ and facts["commit"] == reference.commit()
    saved = pd.read_parquet(tmp_path / "reference" / run.chapter / "some.parquet")
    assert saved.equals(table) and not saved.attrs


def test_a_run_with_other_settings_leaves_no_record(run) -> None:
    """Else the scoreboard would show it as the profile's."""
    run.measure(margins, {"clean": {}})
    assert list(reference.load_run("test")["test"]) == ["margins"]
    run.as_planned = False
    run.measure(margins, {"clean": {}}, models=(ROBUST,), name="other")
    assert list(reference.load_run("test")["test"]) == ["margins"]


@pytest.mark.parametrize(
    "overrides", [{"n_images": 5}, {"seed": 1}, {"models": [STANDARD, ROBUST]}, {"region": 8}, {}], ids=str
)
def test_only_a_run_without_overrides_is_as_planned(overrides) -> None:
    assert open_run("08_class_inequality", "smoke", **overrides).as_planned == (not overrides)
