"""The promise: classes are compared as the chapter says, and its examples follow the rule."""

import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import ROBUST, STANDARD
from scipy.stats import permutation_test

from inequality_phenomenon.datasets import CIFAR10_CLASSES
from inequality_phenomenon.inequality import global_gini
from inequality_phenomenon.measure.classes import animals, class_examples, class_inequality, objects
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.show import inequality as figures
from inequality_phenomenon.show import outcome_table
from inequality_phenomenon.statistics import bootstrap_classes, class_difference, class_ranks, rank_agreement
from inequality_phenomenon.verdicts.claims import examine
from inequality_phenomenon.verdicts.comparison import by_class

REGIONAL = "regional_gini_sum_of_absolute"
ANIMALS, OBJECTS = animals("cifar10"), objects("cifar10")


def made_up(shift: float, n: int = 12, noise: float = 0.01) -> pd.DataFrame:
    """Ten classes; animals ``shift`` above objects; the regional index follows the global one."""
    rng = np.random.default_rng(0)
    frames = []
    for checkpoint, label in itertools.product((STANDARD, ROBUST), range(10)):
        level = 0.6 + 0.002 * label + (shift if CIFAR10_CLASSES[label] in ANIMALS else 0)
        values, ids = level + noise * rng.standard_normal(n), range(label * n, label * n + n)
        columns = {"image_id": ids, "global_gini": values, REGIONAL: values - 0.3}
        frames.append(pd.DataFrame(columns).assign(checkpoint=checkpoint, label=label))
    return pd.concat(frames, ignore_index=True)


def test_the_classes_are_those_of_cifar10_and_their_test_the_exact_permutation_test() -> None:
    assert ANIMALS == ("bird", "cat", "deer", "dog", "frog", "horse")
    assert sorted([*ANIMALS, *OBJECTS]) == sorted(CIFAR10_CLASSES)
    table = made_up(0.05)
    values = by_class(table, ROBUST, "global_gini")
    groups = [{name: values[name] for name in values if name in names} for names in (ANIMALS, OBJECTS)]
    found = class_difference(*groups, resamples=999)
    means = [[own.mean() for own in group.values()] for group in groups]
    observed = np.mean(means[0]) - np.mean(means[1])
    assert found.difference == pytest.approx(observed) and found.low < observed < found.high and found.n == 120
    exact = permutation_test(means, lambda a, b: np.mean(a) - np.mean(b))  # all 210 ways to split ten classes
    assert len(exact.null_distribution) == 210 and found.p == pytest.approx(exact.pvalue) == pytest.approx(2 / 210)


def test_resampled_means_have_the_spread_of_a_mean_and_ranks_are_certain_where_classes_are_far_apart() -> None:
    rng = np.random.default_rng(1)
    classes = {"a": rng.normal(0, 1, 400), "b": rng.normal(5, 2, 100)}
    resampled = bootstrap_classes(classes, resamples=4000)
    assert resampled.shape == (2, 4000)
    for row, values in zip(resampled, classes.values(), strict=True):
        assert row.mean() == pytest.approx(values.mean(), abs=0.02)
        assert row.std() == pytest.approx(values.std() / len(values) ** 0.5, rel=0.06)
    rng = np.random.default_rng(2)
    classes = {"low": rng.normal(0, 1, 50), "high": rng.normal(9, 1, 50), "also high": rng.normal(9, 1, 50)}
    ranks = class_ranks(classes, resamples=999)
    assert (ranks["low"].value, ranks["low"].low, ranks["low"].high) == (3, 3, 3)
    assert {ranks["high"].value, ranks["also high"].value} == {1, 2}
    assert (ranks["high"].low, ranks["high"].high) == (1, 2)


def test_rank_agreement_sees_agreement_opposition_and_chance() -> None:
    rng = np.random.default_rng(3)
    first = {str(i): i + rng.normal(0, 0.1, 30) for i in range(8)}
    same = rank_agreement(first, {n: 2 * v for n, v in first.items()}, resamples=999)
    assert (same.difference, same.low, same.high) == pytest.approx((1, 1, 1)) and same.p < 0.01
    opposite = rank_agreement(first, {n: -v for n, v in first.items()}, resamples=999)
    assert opposite.difference == pytest.approx(-1)
    chance = {str(i): place + rng.normal(0, 0.1, 30) for i, place in enumerate([3, 7, 0, 5, 2, 6, 1, 4])}
    assert rank_agreement(first, chance, resamples=999).p > 0.2


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, "same direction"), (-0.05, "contradicted"), (0.0, "undecided")])
def test_animals_and_objects_get_every_verdict(shift: float, verdict: str) -> None:
    tables = {"class_inequality": made_up(shift)}
    primary, secondary = figures.class_tests(STANDARD, ROBUST)
    animals, agreement = examine(primary, tables, resamples=999)
    assert animals.verdict == verdict and agreement.verdict == "same direction"
    assert len(secondary) == 4 and all(o.found for o in examine(secondary, tables, resamples=199))
    shown = outcome_table([animals, agreement], [agreement, *examine(primary, {})], name="o", caption="c").html
    assert verdict in shown and shown.count("(full size:") == 1  # what was not measured has no row there


def test_tables_and_figures_are_in_the_order_of_the_means_and_a_class_without_images_is_named() -> None:
    table = made_up(0.05)
    order = list(figures.ranked(table, ROBUST, "global_gini"))
    means = table[table.checkpoint == ROBUST].groupby("label").global_gini.mean().sort_values(ascending=False)
    assert order == [CIFAR10_CLASSES[label] for label in means.index]
    shown = figures.class_table(table, ROBUST, "global_gini", name="t").html
    places = [shown.index(f"<th scope='row'>{name}</th>") for name in order]
    assert places == sorted(places)
    figure = figures.class_dots(table, [STANDARD, ROBUST], name="d")
    assert f"highest for {order[0]}" in figure.text and f"lowest for {order[-1]}" in figure.text
    assert figure.text.count("highest for") == 4
    table = table[table.label != CIFAR10_CLASSES.index("cat")]
    animals, _ = examine(figures.class_tests(STANDARD, ROBUST)[0], {"class_inequality": table}, resamples=99)
    assert animals.verdict == "not measured here" and animals.reason == "fewer than two images of cat"
    assert "cat" not in figures.class_table(table, ROBUST, "global_gini", name="t").html


def test_the_record_is_that_of_the_maps_and_the_examples_follow_the_rule(run: Run) -> None:
    sample = run.sample(ROBUST)
    table = run.measure(class_inequality, seed=0)
    rows = table[table.checkpoint == ROBUST]
    assert np.allclose(rows.global_gini, global_gini(sample.maps(seed=0)))
    assert rows.label.tolist() == sample.labels.tolist()
    means = rows.groupby("label").global_gini.mean()
    typical, highest, low_typical, lowest = class_examples(sample, table, "global_gini", seed=0)
    assert (highest.value, lowest.value) == (rows.global_gini.max(), rows.global_gini.min())
    for example, label in ((typical, means.idxmax()), (low_typical, means.idxmin())):
        own = sorted(rows[rows.label == label].global_gini)
        assert example.label == CIFAR10_CLASSES[label] and example.value == own[(len(own) - 1) // 2]
    assert (highest.image == sample.images[sample.ids.index(highest.image_id)]).all()
    shown = figures.example_grid({"global_gini": [typical, highest, low_typical, lowest]}, ROBUST, name="g")
    assert f"highest image: {highest.label}, {highest.value:.3f}" in shown.alt
