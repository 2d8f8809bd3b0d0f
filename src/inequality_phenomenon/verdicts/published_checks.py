"""What the paper's published numbers say by themselves."""

import operator
from typing import Any

import pandas as pd
import torch

from ..inequality import gini
from ..measure.readings import text_and_scripts
from .published import published_values

_RELATIONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt}


def table1_relation() -> pd.DataFrame:
    """The 25 pairs of Table 1: published global and regional index, and (1 + global) / 2 as a prediction of the latter."""
    rows = published_values(table="table1")
    keys = ["dataset", "architecture", "training", "epsilon_255"]
    rows = rows.assign(value=rows.value.astype(float), sd=rows.sd.astype(float))
    both = rows[rows.metric == "global_gini"].merge(
        rows[rows.metric == "regional_gini"], on=keys, suffixes=("_global", "_regional")
    )
    found = both[[*keys, "value_global", "value_regional", "sd_global"]].rename(
        columns={"value_global": "published_global", "value_regional": "published_regional", "sd_global": "spread"}
    )
    found["predicted"] = (1 + found.published_global) / 2
    found["residual"] = found.published_regional - found.predicted
    return found


def checks() -> pd.DataFrame:
    """Statements about the published numbers that need no measurement: ``statement``, ``numbers``, ``holds``."""
    published = published_values().set_index("id").value
    relation = table1_relation()
    above = int((relation.published_regional > relation.published_global).sum())
    standard = relation[(relation.dataset == "cifar10") & (relation.training == "standard")]
    residuals = [
        f"{row['architecture']}: {row['published_regional']:g} against {row['predicted']:.3f}"
        for row in standard.to_dict("records")
    ]
    rows = [_checked(check, published) for check in text_and_scripts()["checks"]]
    rows += [
        (
            "The published regional index exceeds the global one. Sums over equal blocks of |a| cannot.",
            f"{above} of {len(relation)} cells",
            above == len(relation),
        ),
        (
            "The regional index is (1 + global) / 2 to rounding in the standard networks of CIFAR-10.",
            "; ".join(residuals),
            bool((standard.residual.abs() < 0.0051).all()),
        ),
    ]
    return pd.DataFrame(rows, columns=["statement", "numbers", "holds"])


def _checked(check: dict[str, Any], published: pd.Series) -> tuple[str, str, bool]:
    values = {name: _number(value, published) for name, value in check["values"].items()}
    quantifier, comparisons = (all, check["all"]) if "all" in check else (any, check["any"])
    holds = quantifier(_RELATIONS[relation](values[a], values[b]) for a, relation, b in comparisons)
    return check["statement"], check["numbers"].format(**values), holds


def _number(value: str | float | list[float], published: pd.Series) -> float:
    """A published value by its id, a number as it is, or a vector's Gini index."""
    if isinstance(value, list):
        return float(gini(torch.tensor(value, dtype=torch.float64)))
    return float(published[value]) if isinstance(value, str) else value
