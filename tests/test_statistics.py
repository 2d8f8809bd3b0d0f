"""Promise: intervals and p-values are those of the named methods, checked against hand computations and SciPy."""

import math

import numpy as np
import pytest
from conftest import fails
from scipy import stats

from inequality_phenomenon import statistics


def test_wilson_gives_published_intervals_and_stays_between_0_and_1_at_the_ends() -> None:
    """Newcombe 1998, Statistics in Medicine 17, Table I, method 3 (score without continuity correction)."""
    intervals = [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]
    for (successes, n), interval in zip([(81, 263), (15, 148), (0, 20), (1, 29)], intervals, strict=True):
        found = statistics.wilson(successes, n)
        assert (found.value, found.n) == (successes / n, n)
        assert (found.low, found.high) == pytest.approx(interval, abs=5e-5)
    for n in (1, 3, 300, 10_000):
        none, all_ = statistics.wilson(0, n), statistics.wilson(n, n)
        assert none.low == pytest.approx(0, abs=1e-12) and 0 < none.high < 1
        assert all_.high == pytest.approx(1, abs=1e-12) and 0 < all_.low < 1


def test_what_is_no_rate_no_sample_and_no_pair_is_refused() -> None:
    for successes, n in ((0, 0), (-1, 5), (6, 5)):
        fails(ValueError, f"{successes} successes out of {n}", statistics.wilson, successes, n)
    for values in ([], [1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0], [3.0, 4.0]]):
        fails(ValueError, "at least two finite values", statistics.bootstrap_mean, np.array(values))
    for a, b in (([1, 0], [1]), ([], []), ([[1, 0]], [[1, 0]])):
        fails(ValueError, "two outcomes for the same images", statistics.mcnemar, np.array(a), np.array(b))


def test_bootstrap_interval_is_the_normal_one_and_a_function_of_the_seed() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 4000)
    half = stats.norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(len(values))
    found = statistics.bootstrap_mean(values)
    assert found.value == pytest.approx(values.mean()) and found.n == 4000
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    first, again, other = (statistics.bootstrap_mean(values[:50], seed=seed) for seed in (3, 3, 4))
    assert first == again != other
    equal = statistics.bootstrap_mean(np.full(5, 0.3))
    assert (equal.value, equal.low, equal.high) == (0.3, 0.3, 0.3)


@pytest.mark.parametrize("distinct", [3, 11, 500])
def test_intervals_and_p_values_are_scipys_whether_values_repeat_or_not(distinct: int) -> None:
    """Few distinct values are resampled as counts, many one by one: both are SciPy's bootstrap and permutation test."""
    rng = np.random.default_rng(1)
    a, b = rng.choice(np.linspace(0, 1, distinct), (2, 400)) if distinct < 500 else rng.random((2, 400))
    difference = a - b - (a - b).mean() + 0.02
    found = statistics.paired_difference(difference, np.zeros(400), resamples=9999)
    theirs = stats.bootstrap((difference,), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert [found.low, found.high] == pytest.approx(list(theirs.confidence_interval), abs=0.003)
    test = stats.permutation_test((difference,), np.mean, permutation_type="samples", rng=np.random.default_rng(3))
    assert found.p == pytest.approx(test.pvalue, abs=0.02) and 0.01 < test.pvalue < 0.9


def test_paired_p_value_is_exact_where_it_can_be_counted_says_so_at_its_floor_and_has_no_scale() -> None:
    four = statistics.paired_difference(np.ones(4), np.zeros(4), resamples=50_000)
    assert four.p == pytest.approx(2 / 16, abs=0.006)  # |mean| is as large as observed in 2 of the 16 flips
    b = np.random.default_rng(0).normal(size=100)
    clear = statistics.paired_difference(b + 1, b, resamples=999)
    assert clear.p == pytest.approx(2 / 1000, abs=1.1e-3) and clear.at_floor
    assert not statistics.paired_difference(b, np.zeros(100), resamples=99).at_floor
    assert statistics.paired_difference(b, b).p == 1
    a, b = np.random.default_rng(3).normal([[0.2], [0]], 1, (2, 60))
    for scale in (1e-15, 1e15):
        scaled = statistics.paired_difference(a * scale, b * scale)
        assert scaled.p == pytest.approx(statistics.paired_difference(a, b).p, abs=1e-12)


def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs_and_holm_is_by_hand() -> None:
    a, b = np.repeat([[True, True], [True, False], [False, True], [False, False]], [30, 9, 2, 20], axis=0).T
    by_hand = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11  # 9 against 2
    found = statistics.mcnemar(a, b)
    assert found.p == pytest.approx(by_hand) and found.difference == pytest.approx(7 / 61) and found.n == 61
    assert found.low < 7 / 61 < found.high and statistics.mcnemar(a, a) == statistics.Difference(0, 0, 0, 1, 61)
    assert statistics.mcnemar(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1])).p == 1
    for value in (0.0, 1.0):
        found, known = statistics.mean_or_rate(np.full(300, value)), statistics.wilson(int(300 * value), 300)
        assert found == known and found.high - found.low > 0.01
    some = np.array([0.0, 0.5, 1.0])
    assert statistics.mean_or_rate(some) == statistics.bootstrap_mean(some)
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04 -> never falling
    assert statistics.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.6, 0.9]) == [1, 1] and statistics.holm([0.2]) == [0.2] and statistics.holm([]) == []


def test_differences_of_means_and_rates_of_two_sets_by_hand() -> None:
    a, b = np.array([1.0, 2, 3, 4]), np.array([0.0, 0, 3])
    found = statistics.mean_difference(a, b)
    errors = [part.var(ddof=1) / len(part) for part in (a, b)]
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 3 + errors[1] ** 2 / 2)  # Welch and Satterthwaite
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(errors))
    assert (found.difference, found.low, found.high, found.n) == pytest.approx((1.5, 1.5 - half, 1.5 + half, 7))
    assert found.p == pytest.approx(2 * stats.t.sf(1.5 / math.sqrt(sum(errors)), freedom))
    ones, zeros = np.ones(3), np.zeros(2)
    assert statistics.mean_difference(ones, zeros) == statistics.Difference(1.0, 1.0, 1.0, 0.0, 5)
    assert statistics.mean_difference(zeros, zeros).p == 1
    fails(ValueError, "at least two finite values", statistics.mean_difference, ones, zeros[:1])
    a, b = np.arange(70) < 56, np.arange(80) < 48
    found = statistics.rate_difference(a, b)
    assert found.difference == pytest.approx(0.2) and found.n == 150
    assert found.low == pytest.approx(0.0524, abs=1e-4) and found.high == pytest.approx(0.3339, abs=1e-4)
    assert 0.001 < found.p < 0.02
    opposite = statistics.rate_difference(b, a)
    assert (opposite.difference, opposite.low, opposite.high) == pytest.approx((-0.2, -found.high, -found.low))
    fails(ValueError, "two sets of outcomes", statistics.rate_difference, a, a[:0])


def test_ratio_of_ratios_ignores_a_common_factor_and_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    low, high = rng.uniform(0.1, 0.2, 300), rng.uniform(0.3, 0.4, 300)
    assert statistics.ratio_of_ratios(high, low, 3 * high, 3 * low).value == pytest.approx(1)
    a, b, c, d = (rng.binomial(1, p, 2000).astype(float) for p in (0.6, 0.2, 0.4, 0.2))
    found = statistics.ratio_of_ratios(a, b, c, d, resamples=499)
    assert found.low < 1.5 < found.high and found.n == 2000
    assert found.value == pytest.approx(a.mean() / b.mean() / (c.mean() / d.mean()))
    fails(ValueError, "a mean of 0", statistics.ratio_of_ratios, a, 0 * b, c, d)


def test_a_rate_over_draws_is_regressed_as_its_draws_would_be_and_copies_do_not_narrow_the_interval() -> None:
    """A rate over four draws has the coefficients of four true or false rows, and their clustered errors."""
    rng = np.random.default_rng(0)
    margin = rng.normal(size=300)
    draws = rng.random((300, 4)) < 1 / (1 + np.exp(margin))[:, None]
    images = np.arange(300)
    rate = statistics.logistic_regression(draws.mean(1), {"margin": margin}, images)["margin"]
    rows = statistics.logistic_regression(draws.flatten(), {"margin": margin.repeat(4)}, images.repeat(4))["margin"]
    assert rate.value == pytest.approx(rows.value, abs=1e-6) and rate.high < 0
    assert rate.high - rate.low == pytest.approx(rows.high - rows.low, rel=0.01)
    fails(ValueError, "between 0 and 1", statistics.logistic_regression, draws.sum(1), {"margin": margin}, images)
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    outcome = rng.random(200) < 1 / (1 + np.exp(-x))
    once = statistics.logistic_regression(outcome, {"x": x}, np.arange(200))["x"]
    four = statistics.logistic_regression(np.tile(outcome, 4), {"x": np.tile(x, 4)}, np.tile(np.arange(200), 4))["x"]
    assert four.value == pytest.approx(once.value)
    assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.02)


def test_coefficients_are_recovered_a_binary_one_is_the_log_odds_ratio_and_a_constant_one_refused() -> None:
    outcome = np.repeat([True, False, True, False], [30, 10, 15, 25])
    found = statistics.logistic_regression(outcome, {"model": np.repeat([1.0, 0.0], 40)}, np.arange(80))["model"]
    assert found.value == pytest.approx(math.log(30 * 25 / (10 * 15)), abs=1e-6)
    assert found.high - found.value == pytest.approx(1.96 * math.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25), rel=0.03)
    assert found.n == 80
    with pytest.raises(ValueError, match="predictor x is the same"):
        statistics.logistic_regression(np.arange(100) < 20, {"x": np.full(100, 3.0)}, np.arange(100))
    rng = np.random.default_rng(0)
    margin, gini = rng.normal(3, 2, 20_000), rng.normal(0.6, 0.1, 20_000)
    odds = -0.8 * (margin - 3) / 2 + 0.3 * (gini - 0.6) / 0.1
    outcome = rng.random(20_000) < 1 / (1 + np.exp(-odds))
    found = statistics.logistic_regression(outcome, {"margin": margin, "gini": gini}, np.arange(20_000))
    assert found["margin"].value == pytest.approx(-0.8, abs=0.06) and found["margin"].high < 0
    assert found["gini"].value == pytest.approx(0.3, abs=0.06)
    assert found["(intercept)"].value == pytest.approx(0, abs=0.06)
    for outcome in (np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 20):  # what the data do not determine
        found = statistics.logistic_regression(outcome, {"x": np.arange(40.0)}, np.arange(40))
        assert all((e.low, e.high) == (-math.inf, math.inf) and math.isnan(e.value) for e in found.values())


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.3])
def test_paired_p_value_agrees_with_the_t_test_and_wilcoxon_on_normal_differences(shift: float) -> None:
    b, noise = np.random.default_rng(7).normal(size=(2, 200))
    a = b + shift + (noise - noise.mean()) / noise.std()
    found = statistics.paired_difference(a, b)
    assert found.difference == pytest.approx(shift)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.015)
    assert found.p == pytest.approx(stats.wilcoxon(a, b).pvalue, abs=0.2)
    assert (found.low <= 0 <= found.high) == (found.p > 0.05)
