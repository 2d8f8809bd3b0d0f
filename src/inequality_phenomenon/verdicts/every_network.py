"""The Gini index of every network beside its training and its accuracies: which of these goes with it?"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ..measure.reference import load_whole_reference, stacked
from ..networks import LADDER, REGISTRY, dataset_of, network_of
from ..statistics import Estimate, bootstrap_mean, correlation, linear_regression

PREDICTORS = ("ℓ∞ budget, 1/255", "clean accuracy, %", "accuracy under PGD-20 at 8/255, %")
RECORDS = ("inequality", "trainings_inequality")  # the first on the common subset


def every_network() -> pd.DataFrame:
    """A row for each CIFAR-10 network whose index is among the committed records: ``checkpoint``, ``PREDICTORS``, the mean
    index ``gini`` with its interval over images, and ``fitted``: of the ladder's architecture.

    Accuracies are the registered ones, of all test images. Networks of seeds 1 and 2 have other images than the others.
    """
    found: dict[str, pd.Series] = {}
    for record, tables in product(RECORDS, load_whole_reference().values()):
        if (table := stacked(tables, [record])) is not None:
            for name, values in table[table.condition == ""].groupby("checkpoint").global_gini:
                found.setdefault(str(name), values)
    return pd.DataFrame([_row(name, values) for name, values in found.items() if dataset_of(name) == "cifar10"])


def _row(name: str, values: pd.Series) -> dict[str, Any]:
    entry, mean = REGISTRY[name], bootstrap_mean(values.to_numpy())
    budget = 255 * entry.training["epsilon"] if entry.training["norm"] == "linf" else 0.0
    numbers = budget, 100 * entry.test_clean.rate, 100 * entry.test_robust["linf 8/255"].rate
    row = {"checkpoint": name, "fitted": network_of(name) == network_of(LADDER[0]), "gini": mean}
    return row | dict(zip(PREDICTORS, numbers, strict=True))


def predicted(networks: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
    """How the index goes with each predictor over the ``fitted`` networks: "alone" (Pearson's r), and "together".

    "together": Gini index for one standard deviation of a predictor, the others fixed. "linf": Pearson's r without the ℓ2
    networks, which are robust and have no ℓ∞ budget; "each other": that of budget and robust accuracy there. Intervals are
    over networks.
    """
    fitted = networks[networks.fitted]
    gini, values = _numbers(fitted)
    gini_linf, linf = _numbers(fitted[~fitted.checkpoint.str.contains("-l2_")])
    budget, _, robust = linf.values()
    return {
        "alone": {name: correlation(own, gini) for name, own in values.items()},
        "linf": {name: correlation(own, gini_linf) for name, own in linf.items()},
        "each other": {PREDICTORS[0]: correlation(budget, robust)},
        "together": linear_regression(gini, values),
    }


def _numbers(networks: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The indices, and each predictor."""
    gini = np.array([mean.value for mean in networks.gini])
    return gini, {name: networks[name].to_numpy(float) for name in PREDICTORS}
