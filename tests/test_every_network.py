"""The promise: what goes with the Gini index is asked of every network that the committed records have, and of no other."""

import numpy as np
import pandas as pd
import pytest

from inequality_phenomenon._support import paths
from inequality_phenomenon.networks import REGISTRY
from inequality_phenomenon.statistics import correlation, linear_regression
from inequality_phenomenon.verdicts.every_network import PREDICTORS, every_network, predicted


def test_a_row_has_the_committed_index_and_the_registered_accuracies() -> None:
    found = every_network().set_index("checkpoint")
    for name, record in (
        ("cifar10-resnet18w16-l2_1.0-s0", "06_l2_models/inequality"),
        ("cifar10-resnet18w16-linf8-s2", "13_is_it_inequality/trainings_inequality"),
    ):
        table = pd.read_parquet(paths.REFERENCE / f"{record}.parquet")
        own, row = table[(table.checkpoint == name) & (table.condition == "")].global_gini, found.loc[name]
        assert row.gini.value == pytest.approx(own.mean()) and row.gini.n == len(own)
        assert row[PREDICTORS[1]] == pytest.approx(100 * REGISTRY[name].test_clean.rate)
        assert row[PREDICTORS[2]] == pytest.approx(100 * REGISTRY[name].test_robust["linf 8/255"].rate)
    budgets = {"linf1": 1, "linf8": 8, "l2_0.5": 0, "linf8_cutout": 8, "standard": 0}
    for training, budget in budgets.items():
        assert found.loc[f"cifar10-resnet18w16-{training}-s0", PREDICTORS[0]] == pytest.approx(budget)
    assert found.index.is_unique and found.index[~found.fitted].str.contains("densenet").all()
    assert not found.index.str.contains("imagenette").any()


def test_correlations_and_slopes_are_those_of_the_fitted_networks() -> None:
    networks = every_network()
    fitted, found = networks[networks.fitted], predicted(networks)
    gini = [mean.value for mean in fitted.gini]
    for name in PREDICTORS:
        assert found["alone"][name].value == pytest.approx(np.corrcoef(fitted[name], gini)[0, 1])
        assert found["alone"][name].n == len(fitted) < len(networks)
    without = fitted[~fitted.checkpoint.isin([f"cifar10-resnet18w16-l2_{e}-s0" for e in ("0.5", "1.0")])]
    assert len(fitted) - len(without) == 2 == len(fitted) - found["each other"][PREDICTORS[0]].n
    own = np.corrcoef(without[PREDICTORS[2]], [mean.value for mean in without.gini])[0, 1]
    assert found["linf"][PREDICTORS[2]].value == pytest.approx(own)
    design = np.column_stack([np.ones(len(fitted)), fitted[list(PREDICTORS)]]).astype(float)
    slopes = np.linalg.lstsq(design, gini, rcond=None)[0][1:] * fitted[list(PREDICTORS)].std(ddof=0)
    assert [found["together"][name].value for name in PREDICTORS] == pytest.approx(slopes.tolist())


def test_intervals_hold_what_they_should_in_nineteen_of_twenty_samples() -> None:
    random, inside = np.random.default_rng(3), np.zeros(2)
    for _ in range(400):
        x, other = random.normal(size=(2, 20))
        y = x + random.normal(size=20)
        r, slope = correlation(x, y), linear_regression(y, {"x": x, "other": other})["other"]
        inside += [r.low <= np.sqrt(0.5) <= r.high, slope.low <= 0 <= slope.high]
    assert (np.abs(inside / 400 - 0.95) < 0.035).all()
