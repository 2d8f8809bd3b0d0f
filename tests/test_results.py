"""The promise: a cached measurement is the one that was asked for, damage is named, and verdicts follow the fixed rules."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from damage import single_bit_flips

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import DamagedFile
from inequality_phenomenon.measure import results
from inequality_phenomenon.measure.cache import cached
from inequality_phenomenon.networks import checkpoint_of, named
from inequality_phenomenon.verdicts.comparison import Cell, compare, published_values, table1_cells

STANDARD, ROBUST = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-linf8-s0"


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    return tmp_path


def test_the_cache_computes_once_and_again_for_another_key(cache_folder):
    calls = []

    def compute() -> bytes:
        calls.append(1)
        return bytes(len(calls))

    first = cached("x", {"a": 1}, compute)
    assert cached("x", {"a": 1}, compute)[0] == first[0] and len(calls) == 1
    assert cached("x", {"a": 2}, compute)[0] != first[0] and len(calls) == 2


def test_every_single_bit_flip_in_a_cache_entry_is_found(cache_folder):
    content = bytes(range(200))
    cached("x", {"a": 1}, lambda: content)
    (file,) = cache_folder.glob("x/*.bin")
    whole = file.read_bytes()
    for _ in single_bit_flips(file, 200):
        with pytest.raises(DamagedFile, match=str(file)):
            cached("x", {"a": 1}, lambda: content)
    file.write_bytes(whole[:-1])
    with pytest.raises(DamagedFile):
        cached("x", {"a": 1}, lambda: content)


def records(standard: np.ndarray, robust: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "checkpoint": [STANDARD] * len(standard) + [ROBUST] * len(robust),
            "image_id": [*range(len(standard)), *range(len(robust))],
            "global_gini": np.concatenate([standard, robust]),
        }
    )


CELL = Cell("c", "ResNet-18, 8/255", 0.73, ROBUST, "global_gini", baseline=(STANDARD, 0.58))


@pytest.mark.parametrize(
    ("standard", "robust", "verdict"),
    [
        (0.58, 0.73, "reproduced"),
        (0.58, 0.704, "reproduced"),  # within 0.03
        (0.50, 0.60, "same direction"),
        (0.60, 0.50, "contradicted"),
        (0.60, 0.60, "not reproduced"),
    ],
)
def test_verdicts_follow_the_rules_fixed_in_advance(standard, robust, verdict):
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 100))
    (found,) = compare([CELL], records(standard + noise[0], robust + noise[1]), resamples=499)
    assert found.verdict == verdict
    assert found.difference.difference == pytest.approx(robust - standard, abs=0.01)


def test_a_cell_without_records_is_not_measured_here():
    assert [item.verdict for item in compare([CELL], None)] == ["not measured here"]
    only_standard = records(np.full(5, 0.5), np.array([]))
    assert compare([CELL], only_standard, resamples=99)[0].verdict == "not measured here"


def test_only_images_that_both_models_have_enter_the_paired_test():
    table = records(np.linspace(0.5, 0.6, 20), np.linspace(0.6, 0.7, 10))
    (found,) = compare([CELL], table, resamples=99)
    assert found.ours.n == 10 and found.difference.n == 10
    assert found.difference.difference == pytest.approx(
        np.linspace(0.6, 0.7, 10).mean() - np.linspace(0.5, 0.6, 20)[:10].mean()
    )


def test_rates_are_compared_by_wilson_and_mcnemar():
    table = records(np.zeros(40), np.zeros(40)).assign(fooled=[False] * 40 + [True] * 30 + [False] * 10)
    cell = replace(CELL, column="fooled", paper=0.604, baseline=(STANDARD, 0.346))
    (found,) = compare([cell], table, resamples=99)
    assert found.difference.p == pytest.approx(2 * 0.5**30)
    assert found.ours.value == 0.75 and found.verdict == "reproduced"  # Wilson reaches down to 0.60


def test_p_values_are_adjusted_over_the_table():
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 100))
    table = records(0.5 + noise[0], 0.6 + noise[1])
    alone, pair = compare([CELL], table, resamples=499), compare([CELL, CELL], table, resamples=499)
    assert pair[0].adjusted_p == pytest.approx(2 * alone[0].adjusted_p)


def test_the_papers_table_1_is_complete_and_names_our_checkpoints():
    cells = table1_cells("global_gini") + table1_cells("regional_gini_sum_of_absolute")
    assert len(cells) == 20
    assert {c.paper for c in cells if c.checkpoint == ROBUST} == {0.73, 0.88}
    assert [c.paper for c in cells if c.baseline is None] == [0.58, 0.57, 0.79, 0.79]
    assert len(published_values()) == 155
    assert checkpoint_of("resnet18", "linf", 8) == ROBUST


def test_the_reference_is_left_out_where_the_notebook_was_given_other_settings():
    same, other = ({"region": 4, "seed": 0}, {"region": 8})
    assert len(results.load_reference("01_inequality_test", same)["inequality"]) > 0
    assert results.load_reference("01_inequality_test", other) == {}
    assert results.load_reference("01_inequality_test", {"seed": 1}) == {}


def test_networks_that_differ_in_the_seed_have_names_of_their_own() -> None:
    first, second = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-standard-s1"
    assert (named(first), named(second)) == ("standard", "standard, seed 1")
    assert named("cifar10-resnet18w16-l2_0.5-s12") == "ℓ2 0.5, seed 12"  # of the settings of seed 0
    assert named("imagenet-resnet50-standard-torchvision") == "ResNet-50, standard"
