"""Numbers and differences in words: one way to write each, everywhere.

A unit says how: "%" and "points" for rates, "Gini" for the index, "log odds" and others as they are.
"""

import numpy as np
import pandas as pd

from ..statistics import Difference, Estimate, bootstrap_mean
from ..verdicts.comparison import Compared, Contrasted

MISSING = "<span class='missing'>not measured here</span>"
_SCALES = {"%": (100, 1), "points": (100, 1), "Gini": (1, 3), "pixels": (1, 1), "exact": (1, 4)}  # others: (1, 2)


def number(value: float, unit: str = "Gini", *, signed: bool = False) -> str:
    """A value without its unit, such as "0.615" or "41.8"; with its sign if ``signed``, and always for log odds."""
    scale, digits = _SCALES.get(unit, (1, 2))
    return f"{scale * value:{'+' if signed or unit == 'log odds' else ''}.{digits}f}"


def interval(item: Estimate | Difference, unit: str = "Gini", *, signed: bool = False) -> str:
    """The 95 % interval, such as "[0.614, 0.616]"."""
    return f"[{number(item.low, unit, signed=signed)}, {number(item.high, unit, signed=signed)}]"


def percent(value: float) -> str:
    """A rate, such as "41.8 %"."""
    return f"{number(value, '%')} %"


def text_of(estimate: Estimate | None, unit: str = "Gini") -> str:
    """For a table: value, 95 % interval and n; "not measured here" where there is none."""
    if estimate is None:
        return MISSING
    if not np.isfinite(estimate.value):
        return f"<span class='missing'>not determined by these data</span> <small>n = {estimate.n}</small>"
    value = percent(estimate.value) if unit == "%" else number(estimate.value, unit)
    return f"<strong>{value}</strong> <small>{interval(estimate, unit)}<br>n = {estimate.n}</small>"


def plain(estimate: Estimate, unit: str = "Gini", *, signed: bool = False) -> str:
    """In a sentence: value and interval, such as "0.615 [0.614, 0.616]"."""
    if not np.isfinite(estimate.value):
        return "not determined"
    value = percent(estimate.value) if unit == "%" else number(estimate.value, unit, signed=signed)
    return f"{value} {interval(estimate, unit, signed=signed)}"


def rate(estimate: Estimate) -> str:
    """A rate in a sentence, with its interval and n."""
    return f"{plain(estimate, '%')}, n = {estimate.n}"


def points(test: Difference, unit: str = "points") -> str:
    """A difference with its unit and interval, such as "+0.065 Gini [+0.063, +0.067]"."""
    return f"{number(test.difference, unit, signed=True)} {unit} {interval(test, unit, signed=True)}"


def p_value(p: float, at_floor: bool = False) -> str:
    """ "≤" where the number of resamples allows no smaller one."""
    return "p < 0.001" if p < 0.001 else f"p {'≤' if at_floor else '='} {p:.3f}"


def p_text(item: Compared | Contrasted) -> str:
    """The adjusted p-value."""
    if item.adjusted_p is None or item.difference is None:
        return ""
    return p_value(item.adjusted_p, item.difference.at_floor)


def result(item: Compared | Contrasted, unit: str = "points") -> str:
    """A difference in a sentence: its value, interval, p and n."""
    if item.difference is None:
        return "not measured here"
    return f"{points(item.difference, unit)}, {p_text(item)}, n = {item.difference.n}"


def marked_p(item: Compared | Contrasted) -> str:
    """For a table: the same, marked where it is below 0.05; ``tables.table`` explains the mark in the caption."""
    return f"<b class='significant'>{p_text(item)} *</b>" if decided_sign(item) else p_text(item)


def verdict_badge(verdict: str) -> str:
    return f"<span class='verdict {verdict.replace(' ', '-')}'>{verdict}</span>"


def claim_badge(tests: pd.DataFrame) -> str:
    """The verdict on a claim; of a mixed one, how many of its tests are for it and against it. ``tests``: its rows of
    ``verdicts.scoreboard.claims_frame``."""
    verdict = tests.claim_verdict.iloc[0] if len(tests) else "not measured here"
    if verdict != "mixed":
        return verdict_badge(verdict)
    good, bad = tests.verdict.isin(["reproduced", "same direction"]).sum(), (tests.verdict == "contradicted").sum()
    return f"{verdict_badge(verdict)} <small>({good} for, {bad} against, of {len(tests)})</small>"


def side(item: Estimate | Difference) -> int:
    """On which side of 0 an interval lies; 0 if it holds 0."""
    return int(item.low > 0) - int(item.high < 0)


def decided_sign(item: Compared | Contrasted) -> int:
    """The sign of a difference, if its adjusted p-value is below 0.05; else 0."""
    if item.difference is None or item.adjusted_p is None or item.adjusted_p >= 0.05:
        return 0
    return 1 if item.difference.difference > 0 else -1


def decided(item: Compared | Contrasted, more: str, less: str, undecided: str) -> str:
    """The word for ``decided_sign``."""
    return {1: more, -1: less, 0: undecided}[decided_sign(item)]


def by_model(records: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each network, in the order of the records."""
    return [(str(name), records[records.checkpoint == name]) for name in dict.fromkeys(records.checkpoint)]


def means(records: pd.DataFrame, column: str, resamples: int) -> list[tuple[str, Estimate]]:
    """Each network's mean of a column with its interval."""
    return [
        (name, bootstrap_mean(rows[column].to_numpy(float), resamples=resamples)) for name, rows in by_model(records)
    ]


def by_condition(records: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The rows of each condition and network, in the order of the records."""
    return [
        (str(condition), name, rows)
        for condition in dict.fromkeys(records.condition)
        for name, rows in by_model(records[records.condition == condition])
    ]
