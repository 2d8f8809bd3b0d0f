"""Intervals and paired tests: thin, named uses of SciPy and statsmodels."""

import gc
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, test_proportions_2indep

from ._support.checks import real, whole

EXACT = 100_000  # splits of classes up to which all of them are tried

Values = Float[np.ndarray, " n"]
Classes = Mapping[str, Values]  # the values of each class's images


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval and the number of images behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """A difference, its 95 % interval, a two-sided p-value and the number of images behind it.

    ``at_floor``: no resample was as extreme, so *p* is the smallest that their number allows: an upper bound.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    at_floor: bool = False


P = ParamSpec("P")
T = TypeVar("T")


def _remembered(function: Callable[P, T]) -> Callable[P, T]:
    """What was found for the same arrays: a chapter asks it for a table, a figure and its words."""
    known: dict[Any, T] = {}

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        arrays = [arg for arg in args if isinstance(arg, np.ndarray) and arg.dtype.kind == "f"]
        if len(arrays) < len(args) or not all(type(value) is int for value in kwargs.values()):
            return function(*args, **kwargs)
        key = (*((array.dtype, array.shape, array.tobytes()) for array in arrays), *sorted(kwargs.items()))
        if key not in known:
            known[key] = function(*args, **kwargs)
        return known[key]

    return inner


FEW = 64  # distinct values up to which a resample is drawn as counts of them
BLOCK = 1000  # resamples drawn or summed at once


@lru_cache(maxsize=16)  # a chapter's samples have few sizes: all of one size share their draws
def _resampled(n: int, resamples: int, seed: int) -> Integer[np.ndarray, "resamples n"]:
    """How often each of ``n`` values is in each resample, from the draws of ``scipy.stats.bootstrap`` with this seed."""
    rng = np.random.default_rng(seed)

    def counted(size: int) -> Integer[np.ndarray, "size n"]:
        places = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        return np.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(np.uint16)

    return np.concatenate(list(map(counted, _blocks(resamples))))


@lru_cache(maxsize=16)
def _signs(n: int, resamples: int, seed: int) -> Integer[np.ndarray, "resamples n"]:
    """-1 or 1 for each of ``n`` differences in each permutation."""
    rng = np.random.default_rng(seed)
    return np.concatenate([2 * rng.integers(2, size=(size, n), dtype=np.int8) - 1 for size in _blocks(resamples)])


def _blocks(resamples: int) -> Iterator[int]:
    return (min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK))


def _sums(weights: Integer[np.ndarray, "resamples n"], values: Values) -> Float[np.ndarray, " resamples"]:
    """``weights @ values`` in blocks, which stay in the cache as floating point numbers."""
    parts = (weights[start : start + BLOCK].astype(float) @ values for start in range(0, len(weights), BLOCK))
    return np.concatenate(list(parts))


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Rate with Wilson's score interval (Wilson 1927). ``ValueError`` where ``n`` is 0 or ``successes`` exceeds it."""
    whole("successes", successes)
    whole("n", n)
    real("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, both excluded; got {confidence}")
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes out of {n} is not a rate")
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # In theory the interval of none begins at 0 and that of all ends at 1; rounding may move either.
    return Estimate(successes / n, float(low) if successes else 0.0, float(high) if successes < n else 1.0, n)


@_remembered
def bootstrap_mean(values: Values, *, resamples: int = 9999, seed: int = 0) -> Estimate:
    """Mean over images with a percentile bootstrap interval, resampling images (Efron 1979)."""
    values = _checked(values)
    whole("resamples", resamples, 2)
    whole("seed", seed, 0)
    if np.ptp(values) == 0:  # the bootstrap distribution is one point
        return Estimate(float(values[0]), float(values[0]), float(values[0]), len(values))
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= FEW:  # how often each value is drawn is multinomial: the same distribution, without the draws
        drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), size=resamples)
        low, high = np.percentile(drawn @ distinct / len(values), [2.5, 97.5])
    else:
        low, high = np.percentile(_sums(_resampled(len(values), resamples, seed), values) / len(values), [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def mean_or_rate(values: Values, *, resamples: int = 9999) -> Estimate:
    """``bootstrap_mean``; of values that are all 0, or all 1, Wilson's interval, as resampling would claim certainty."""
    values = _checked(values)
    if (values == 0).all() or (values == 1).all():
        return wilson(int(values.sum()), len(values))
    return bootstrap_mean(values, resamples=resamples)


@_remembered
def paired_difference(a: Values, b: Values, *, resamples: int = 9999, seed: int = 0) -> Difference:
    """Mean of a - b over the same images: bootstrap interval, p of a sign-flip permutation test, at least 1 / (resamples + 1)."""
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ValueError(f"a paired difference needs values of the same images, got {len(a)} and {len(b)}")
    difference = a - b
    interval = bootstrap_mean(difference, resamples=resamples, seed=seed)
    sizes, counts = np.unique(np.abs(difference), return_counts=True)
    if len(sizes) <= FEW:  # of the differences of one size, a binomial number keeps its sign
        rng = np.random.default_rng(seed)
        kept = np.concatenate([rng.binomial(counts, 0.5, size=(size, len(sizes))) for size in _blocks(resamples)])
        sums = (2 * kept - counts) @ sizes
    else:
        sums = _sums(_signs(len(difference), resamples, seed), difference)
    bound = abs(interval.value) * len(difference) - 1e-12 * np.abs(difference).sum()
    extreme = int(np.sum(np.abs(sums) >= bound))
    p = float(extreme + 1) / (resamples + 1)
    return Difference(interval.value, interval.low, interval.high, p, len(difference), at_floor=extreme == 0)


def mcnemar(a: np.ndarray, b: np.ndarray, *, resamples: int = 9999, seed: int = 0) -> Difference:
    """Two outcomes (true, false) on the same images: McNemar's exact test, bootstrap interval of the rate difference."""
    a, b = _outcomes(a), _outcomes(b)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"McNemar's test needs two outcomes for the same images, got {a.shape} and {b.shape}")
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    interval = bootstrap_mean(a.astype(float) - b, resamples=resamples, seed=seed)
    return Difference(interval.value, interval.low, interval.high, float(_mcnemar(table, exact=True).pvalue), len(a))


def rate_difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Rate of one set of images minus that of another, none paired: Newcombe's interval (1998, method 10), score test."""
    counts = (int(np.sum(a)), len(a), int(np.sum(b)), len(b))
    if not (len(a) and len(b)):
        raise ValueError(f"two sets of outcomes are needed, got {len(a)} and {len(b)}")
    low, high = confint_proportions_2indep(*counts, method="newcomb")
    p = test_proportions_2indep(*counts, method="score").pvalue
    return Difference(float(np.mean(a) - np.mean(b)), float(low), float(high), float(p), len(a) + len(b))


def mean_difference(a: Values, b: Values) -> Difference:
    """Mean of one sample minus that of another, none paired: Welch's t-test and its 95 % interval (Welch 1947).

    The samples are images, or trainings: then the test is about ways of training. *n* counts both samples.
    """
    a, b = _checked(a), _checked(b)
    gap, n = float(a.mean() - b.mean()), len(a) + len(b)
    if np.ptp(a) == np.ptp(b) == 0:  # no spread, no test
        return Difference(gap, gap, gap, float(gap == 0), n)
    found = stats.ttest_ind(a, b, equal_var=False)
    low, high = found.confidence_interval()
    return Difference(gap, float(low), float(high), float(found.pvalue), n)


def slope(x: Values, y: Values) -> Difference:
    """By how much ``y`` rises for 1 of ``x``: least squares, Student's interval and p; n counts the points, three or more."""
    x, y = _checked(x), _checked(y)
    found = stats.linregress(x, y)
    rise, half = float(found.slope), float(stats.t.ppf(0.975, len(x) - 2) * found.stderr)
    return Difference(rise, rise - half, rise + half, float(found.pvalue), len(x))


def ratio_of_ratios(a: Values, b: Values, c: Values, d: Values, *, resamples: int = 9999, seed: int = 0) -> Estimate:
    """(mean a / mean b) / (mean c / mean d) on the same images, percentile bootstrap over them; ``ValueError`` if a mean is 0."""
    values = [_checked(np.asarray(part, float)) for part in (a, b, c, d)]
    if any(part.mean() == 0 for part in values):
        raise ValueError("a mean of 0 has no ratio")

    def ratio(*parts: np.ndarray, axis: int = -1) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample may have none
            first, second, third, fourth = (part.mean(axis) for part in parts)
            return first / second / (third / fourth)

    found = stats.bootstrap(
        values, ratio, n_resamples=resamples, batch=500, paired=True, vectorized=True, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = map(float, found.confidence_interval)
    return Estimate(float(ratio(*values)), low, high, len(values[0]))


def bootstrap_classes(
    classes: Classes, *, resamples: int = 9999, seed: int = 0
) -> Float[np.ndarray, "classes resamples"]:
    """Resampled means of each class; images are drawn within their class. The draws depend on seed and sizes alone."""
    rng = np.random.default_rng(seed)
    checked = [_checked(values) for values in classes.values()]
    return np.array([values[rng.integers(len(values), size=(resamples, len(values)))].mean(1) for values in checked])


def class_ranks(classes: Classes, *, resamples: int = 9999, seed: int = 0) -> dict[str, Estimate]:
    """Rank of each class by its mean, 1 for the largest, with the 95 % interval of the resampled ranks."""
    ranks = stats.rankdata([-np.mean(values) for values in classes.values()])
    resampled = stats.rankdata(-bootstrap_classes(classes, resamples=resamples, seed=seed), axis=0)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=1)
    return {
        name: Estimate(float(ranks[i]), float(low[i]), float(high[i]), len(values))
        for i, (name, values) in enumerate(classes.items())
    }


def class_difference(above: Classes, below: Classes, *, resamples: int = 9999, seed: int = 0) -> Difference:
    """Mean of the class means of one group of classes minus that of another.

    The interval is a bootstrap over images within each class: it is about these classes. *p* is two-sided, from the
    permutation test of the class means, exact up to ``EXACT`` splits: it asks how many other splits would do as well.
    """
    resampled = bootstrap_classes({**above, **below}, resamples=resamples, seed=seed)
    low, high = np.percentile(resampled[: len(above)].mean(0) - resampled[len(above) :].mean(0), [2.5, 97.5])
    means = [[np.mean(values) for values in group.values()] for group in (above, below)]
    few = math.comb(len(above) + len(below), len(above)) <= EXACT
    found = stats.permutation_test(
        means,
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        n_resamples=np.inf if few else resamples,
        vectorized=True,
        random_state=np.random.default_rng(seed),
    )
    n = sum(len(values) for values in (*above.values(), *below.values()))
    return Difference(float(found.statistic), float(low), float(high), float(found.pvalue), n)


def rank_agreement(first: Classes, second: Classes, *, resamples: int = 9999, seed: int = 0) -> Difference:
    """Spearman's correlation of two columns' class means: its difference from 0, which is no agreement.

    Both columns hold the same classes and images. Interval: bootstrap over images within each class, both columns
    together. *p* is two-sided, from permutations of the classes.
    """
    resampled = [bootstrap_classes(column, resamples=resamples, seed=seed) for column in (first, second)]
    low, high = np.percentile(_rank_correlations(*resampled), [2.5, 97.5])
    means = [np.array([[np.mean(values)] for values in column.values()]) for column in (first, second)]
    found = float(_rank_correlations(*means)[0])
    shuffled = np.random.default_rng(seed).permuted(np.repeat(means[0], resamples, axis=1), axis=0)
    extreme = int(np.sum(np.abs(_rank_correlations(shuffled, means[1])) >= abs(found) - 1e-12))
    n = sum(map(len, first.values()))
    return Difference(found, float(low), float(high), (extreme + 1) / (resamples + 1), n, at_floor=extreme == 0)


def _rank_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each column of ``a`` with that of ``b``."""
    first, second = (stats.zscore(stats.rankdata(values, axis=0), axis=0) for values in (a, b))
    return (first * second).mean(0)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), for the tests of one table."""
    gc.freeze()  # the function collects garbage: half a second for the objects of a chapter
    try:
        return list(map(float, multipletests(p_values, method="holm")[1])) if p_values else []
    finally:
        gc.unfreeze()


def logistic_regression(outcome: np.ndarray, predictors: dict[str, Values], groups: np.ndarray) -> dict[str, Estimate]:
    """Log odds ratios of ``outcome`` with 95 % (Wald) intervals, "(intercept)" included.

    ``outcome``: true or false, or a rate between 0 and 1 over several draws (Papke and Wooldridge 1996).
    For one standard deviation of a predictor; for 1 against 0 where it has no other values. Rows of the same group (an
    image seen by two models) are not independent: the standard errors are clustered. Where the data do not determine
    the coefficients (the outcome is constant or separated by the predictors), all intervals are (-inf, inf).
    """
    from statsmodels.discrete.discrete_model import Logit  # slow import

    outcome = np.asarray(outcome, float)
    if not ((outcome >= 0) & (outcome <= 1)).all():
        raise ValueError("an outcome is true or false, or a rate between 0 and 1")
    columns = {"(intercept)": np.ones(len(outcome))} | {n: _standardised(n, v) for n, v in predictors.items()}
    design = np.column_stack(list(columns.values()))
    unknown = {name: Estimate(np.nan, -np.inf, np.inf, len(outcome)) for name in columns}
    if np.ptp(outcome) == 0 or np.linalg.matrix_rank(design) < len(columns):
        return unknown
    model = Logit(outcome, design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation and of iterations: both show in what follows
        try:
            plain = model.fit(disp=0, maxiter=100)
        except np.linalg.LinAlgError:
            return unknown
        if not plain.mle_retvals["converged"] or not (plain.bse < 10).all():  # separated: the likelihood is flat
            return unknown
        found = model.fit(disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": pd.factorize(groups)[0]})
    return _coefficients(list(columns), found)


def _coefficients(names: list[str], found: Any) -> dict[str, Estimate]:
    """A regression's coefficients by name, with their 95 % intervals."""
    rows = zip(names, found.params, *found.conf_int().T, strict=True)
    return {name: Estimate(float(value), float(low), float(high), int(found.nobs)) for name, value, low, high in rows}


def correlation(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Pearson's r with its 95 % interval (Fisher's z)."""
    found = stats.pearsonr(_checked(first), _checked(second))
    low, high = found.confidence_interval()
    return Estimate(float(found.statistic), float(low), float(high), len(first))


def linear_regression(outcome: np.ndarray, predictors: dict[str, Values]) -> dict[str, Estimate]:
    """Least squares: ``outcome`` for one standard deviation of each predictor, the others fixed, with 95 % (t) intervals."""
    from statsmodels.regression.linear_model import OLS  # slow import

    design = np.column_stack([np.ones(len(outcome)), *(_standardised(n, v) for n, v in predictors.items())])
    found = _coefficients(["(intercept)", *predictors], OLS(_checked(outcome), design).fit())
    return {name: found[name] for name in predictors}


def _standardised(name: str, values: Values) -> Values:
    """Mean 0 and standard deviation 1; zeros and ones stay as they are."""
    values = _checked(values)
    if np.isin(values, (0, 1)).all():
        return values
    if np.ptp(values) == 0:
        raise ValueError(f"the predictor {name} is the same for all images")
    return (values - values.mean()) / values.std()


def _outcomes(values: np.ndarray) -> np.ndarray:
    """True and false, also as ones and zeros; anything else is no outcome."""
    values = np.asarray(values)
    if values.dtype != bool and not (values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all()):
        raise ValueError(f"outcomes are true or false (or 1 and 0), got values of {values.dtype}")
    return values.astype(bool)


def _checked(values: Values) -> Values:
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError):
        raise TypeError(f"need at least two finite values, one an image; got {type(values).__name__}") from None
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"need at least two finite values, one an image, got shape {values.shape}")
    return values
