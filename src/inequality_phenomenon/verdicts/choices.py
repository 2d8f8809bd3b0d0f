"""The paper's text beside its authors' released scripts: what each difference does to our numbers; and its numbers alone.

The differences are data: ``results/text_and_scripts.yaml``.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from ..inequality import REDUCES, gini
from ..measure.readings import text_and_scripts
from ..networks import named
from .comparison import Contrast, Contrasted, minus
from .published import Cell, a10_cells, published_values, table1_cells


@dataclass(frozen=True)
class Choice:
    """One difference between the paper's text and the scripts, and where our records have both.

    ``text``, ``scripts``: (condition, column), the first under the paper's text, the second with this one choice changed.
    """

    topic: str
    in_text: str
    in_scripts: str
    text: tuple[str, str]
    scripts: tuple[str, str]


def choices(budget: int) -> dict[str, list[Choice]]:
    """Every difference, by the table of the paper that it bears on. ``budget``: noisy subpixels."""

    def place(condition: str, column: str) -> tuple[str, str]:
        return condition, column.format(budget=budget)

    return {
        title: [Choice(topic, a, b, place(*text), place(*scripts)) for topic, a, b, text, scripts in rows]
        for title, rows in text_and_scripts()["choices"].items()
    }


@dataclass(frozen=True)
class Effect:
    """What a choice does: scripts minus text for both networks, then their gap under the text and under the choice.

    The gap is the second, ℓ∞ network minus the first; the paper's claims are that it is positive.
    """

    choice: Choice
    changes: tuple[Contrasted, Contrasted]
    gaps: tuple[Contrasted, Contrasted]

    @property
    def measured(self) -> bool:
        return all(item.difference for item in (*self.changes, *self.gaps))


def _asked(row: Choice, pair: tuple[str, str]) -> list[Contrast]:
    first, second = pair
    changes = [minus(row.topic, (name, *row.scripts), (name, *row.text)) for name in pair]
    return changes + [minus(row.topic, (second, *place), (first, *place), 1) for place in (row.text, row.scripts)]


def choice_contrasts(rows: Sequence[Choice], pair: tuple[str, str]) -> list[Contrast]:
    """The contrasts behind ``effects``, each once: rows that share a number are tested on it together."""
    return list({contrast.terms: contrast for row in rows for contrast in _asked(row, pair)}.values())


def choice_effects(rows: Sequence[Choice], pair: tuple[str, str], found: Sequence[Contrasted]) -> list[Effect]:
    """What each choice does. ``found``: ``choice_contrasts`` of the same rows, tested."""
    by_terms = {item.contrast.terms: item for item in found}
    fours = [[by_terms[contrast.terms] for contrast in _asked(row, pair)] for row in rows]
    return [Effect(row, (a, b), (c, d)) for row, (a, b, c, d) in zip(rows, fours, strict=True)]


def reading_cells(maps: Sequence[str]) -> list[Cell]:
    """Table 1's regional column (CIFAR-10, ResNet-18) for each reading of it and each condition of ``inequality``."""
    return [
        replace(cell, id=f"{cell.id} {reduce} {condition}", condition=condition)
        for reduce in REDUCES
        for condition in maps
        for cell in table1_cells(f"regional_gini_{reduce}")
        if cell.label.startswith("ResNet-18")
    ]


def algorithm_cells(readings: dict[str, tuple[str, str]]) -> list[Cell]:
    """Appendix A.10's black patches under each reading of Algorithm 1 -> (condition, column)."""
    black = [cell for cell in a10_cells() if cell.condition.endswith("black")]
    names = {cell.id: named(cell.checkpoint) for cell in black}
    return [
        replace(cell, id=f"{cell.id} {label}", label=f"{label}, {names[cell.id]}", condition=condition, column=column)
        for label, (condition, column) in readings.items()
        for cell in black
    ]


_RELATIONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt}


def table1_relation() -> pd.DataFrame:
    """The 25 pairs of Table 1: published global and regional index, and (1 + global) / 2 as a prediction of the latter."""
    rows = published_values(table="table1").astype({"value": float, "sd": float})
    keys = ["dataset", "architecture", "training", "epsilon_255"]
    regional = rows[rows.metric == "regional_gini"].set_index(keys).value.rename("published_regional")
    found = rows[rows.metric == "global_gini"].rename(columns={"value": "published_global", "sd": "spread"})
    found = found.join(regional, on=keys)[[*keys, "published_global", "published_regional", "spread"]]
    found = found.reset_index(drop=True)
    found["predicted"] = (1 + found.published_global) / 2
    found["residual"] = found.published_regional - found.predicted
    return found


def checks() -> pd.DataFrame:
    """Statements about the published numbers that need no measurement: ``statement``, ``numbers``, ``holds``."""
    published = published_values().set_index("id").value
    relation = table1_relation()
    above = int((relation.published_regional > relation.published_global).sum())
    standard = relation[(relation.dataset == "cifar10") & (relation.training == "standard")]
    numbers = zip(standard.architecture, standard.published_regional, standard.predicted, strict=True)
    residuals = [f"{network}: {regional:g} against {predicted:.3f}" for network, regional, predicted in numbers]
    rows = [_checked(check, published) for check in text_and_scripts()["checks"]]
    exceeds = "The published regional index exceeds the global one. Sums over equal blocks of |a| cannot."
    rows.append((exceeds, f"{above} of {len(relation)} cells", above == len(relation)))
    half = "The regional index is (1 + global) / 2 to rounding in the standard networks of CIFAR-10."
    rows.append((half, "; ".join(residuals), bool((standard.residual.abs() < 0.0051).all())))
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
