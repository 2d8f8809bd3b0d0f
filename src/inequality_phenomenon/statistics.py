"""Intervals and paired tests: thin, named uses of SciPy and statsmodels."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats
from statsmodels.discrete.discrete_model import Logit
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Values = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % interval and the number of images behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedTest:
    """A difference a - b on the same images, its 95 % interval and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float
    n: int


def wilson(successes: int, n: int) -> Estimate:
    """Rate with Wilson's score interval (Wilson 1927). ``ValueError`` where ``n`` is 0 or ``successes`` exceeds it."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes out of {n} is not a rate")
    low, high = proportion_confint(successes, n, method="wilson")
    return Estimate(successes / n, float(low), float(high), n)


def bootstrap_mean(values: Values, *, resamples: int = 9999, seed: int = 0) -> Estimate:
    """Mean over images with a percentile bootstrap interval, resampling images (Efron 1979)."""
    values = _checked(values)
    if np.ptp(values) == 0:  # the bootstrap distribution is one point
        return Estimate(float(values[0]), float(values[0]), float(values[0]), len(values))
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, batch=1000, method="percentile", rng=np.random.default_rng(seed)
    )
    low, high = map(float, found.confidence_interval)
    return Estimate(float(values.mean()), low, high, len(values))


def paired_difference(a: Values, b: Values, *, resamples: int = 9999, seed: int = 0) -> PairedTest:
    """Mean of a - b over the same images: bootstrap interval, and the p-value of a sign-flip permutation test.

    The smallest p-value it can give is 1 / (resamples + 1).
    """
    difference = _checked(np.asarray(a, float) - np.asarray(b, float))
    interval = bootstrap_mean(difference, resamples=resamples, seed=seed)
    rng = np.random.default_rng(seed)
    rounding = 1e-12 * np.abs(difference).mean()
    extreme = 0
    for start in range(0, resamples, 1000):  # all at once would need resamples * n numbers
        signs = rng.choice([-1.0, 1.0], size=(min(1000, resamples - start), len(difference)))
        extreme += int(np.sum(np.abs(signs @ difference) / len(difference) >= abs(interval.value) - rounding))
    return PairedTest(
        interval.value, interval.low, interval.high, float(extreme + 1) / (resamples + 1), len(difference)
    )


def mcnemar(a: np.ndarray, b: np.ndarray, *, resamples: int = 9999, seed: int = 0) -> PairedTest:
    """Two outcomes (true, false) on the same images: McNemar's exact test, bootstrap interval of the rate difference."""
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"McNemar's test needs two outcomes for the same images, got {a.shape} and {b.shape}")
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    interval = bootstrap_mean(a.astype(float) - b, resamples=resamples, seed=seed)
    return PairedTest(interval.value, interval.low, interval.high, float(_mcnemar(table, exact=True).pvalue), len(a))


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979), for the tests of one table."""
    return list(map(float, multipletests(p_values, method="holm")[1])) if p_values else []


def logistic_regression(outcome: np.ndarray, predictors: dict[str, Values], groups: np.ndarray) -> dict[str, Estimate]:
    """Log odds ratios of ``outcome`` with 95 % (Wald) intervals, "(intercept)" included.

    For one standard deviation of a predictor; for 1 against 0 where it has no other values. Rows of the same group (an
    image seen by two models) are not independent: the standard errors are clustered. Where the data do not determine
    the coefficients (the outcome is constant or separated by the predictors), all intervals are (-inf, inf).
    """
    outcome = np.asarray(outcome, bool)
    columns = {"(intercept)": np.ones(len(outcome))} | {n: _standardised(n, v) for n, v in predictors.items()}
    design = np.column_stack(list(columns.values()))
    unknown = {name: Estimate(np.nan, -np.inf, np.inf, len(outcome)) for name in columns}
    if outcome.all() or not outcome.any() or np.linalg.matrix_rank(design) < len(columns):
        return unknown
    model = Logit(outcome.astype(float), design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation and of iterations: both show in what follows
        try:
            plain = model.fit(disp=0, maxiter=100)
        except np.linalg.LinAlgError:
            return unknown
        if not plain.mle_retvals["converged"] or not (plain.bse < 10).all():  # separated: the likelihood is flat
            return unknown
        found = model.fit(disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": pd.factorize(groups)[0]})
    low, high = found.conf_int().T
    return {
        name: Estimate(float(found.params[i]), float(low[i]), float(high[i]), len(outcome))
        for i, name in enumerate(columns)
    }


def _standardised(name: str, values: Values) -> Values:
    """Mean 0 and standard deviation 1; zeros and ones stay as they are."""
    values = _checked(values)
    if np.isin(values, (0, 1)).all():
        return values
    if np.ptp(values) == 0:
        raise ValueError(f"the predictor {name} is the same for all images")
    return (values - values.mean()) / values.std()


def _checked(values: Values) -> Values:
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"need at least two finite values, one an image, got shape {values.shape}")
    return values
