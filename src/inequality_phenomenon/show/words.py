"""Numbers and differences in words: one way to write each, everywhere.

A unit says how: "%" and "points" for rates, "Gini" for the index, "log odds" and others as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ..statistics import Difference, Estimate, mean_or_rate
from ..verdicts.comparison import Compared, Contrast, Contrasted

MISSING = "<span class='missing'>not measured here</span>"
_SCALES = {"%": (100, 1), "points": (100, 1), "Gini": (1, 3), "pixels": (1, 1), "exact": (1, 4)}  # others: (1, 2)
NAMES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("names.yaml").read_text("utf-8"))


def unit_for(contrast: Contrast) -> str:
    """In which unit a difference is shown, by the column that it is about: most are rates."""
    column = contrast.terms[0][2]
    return "Gini" if "gini" in column else NAMES["units"].get(column, "points")


def number(value: float, unit: str = "Gini", *, signed: bool = False) -> str:
    """A value without its unit, such as "0.615" or "41.8"; with its sign if ``signed``, and always for log odds."""
    scale, digits = _SCALES.get(unit, (1, 2))
    return f"{scale * value:{'+' if signed or unit == 'log odds' else ''}.{digits}f}"


def interval(item: Estimate | Difference, unit: str = "Gini", *, signed: bool = False) -> str:
    """The 95 % interval, such as "[0.614, 0.616]"."""
    return f"[{number(item.low, unit, signed=signed)}, {number(item.high, unit, signed=signed)}]"


def threat_text(threat: str) -> str:
    """A threat as readers write it: ℓ∞ 8/255."""
    return threat.replace("linf ", "ℓ∞ ").replace("l2 ", "ℓ2 ")


def percent(value: float) -> str:
    """A rate, such as "41.8 %"."""
    return f"{number(value, '%')} %"


def in_unit(value: float, unit: str = "Gini", *, signed: bool = False) -> str:
    """A value, with the sign of per cent behind a rate."""
    return percent(value) if unit in ("%", "points") else number(value, unit, signed=signed)


def text_of(estimate: Estimate | None, unit: str = "Gini") -> str:
    """For a table: value, 95 % interval and n; "not measured here" where there is none."""
    if estimate is None:
        return MISSING
    if not np.isfinite(estimate.value):
        return f"<span class='missing'>not determined by these data</span> <small>n = {estimate.n}</small>"
    return f"<strong>{in_unit(estimate.value, unit)}</strong> <small>{interval(estimate, unit)}<br>n = {estimate.n}</small>"


def plain(estimate: Estimate, unit: str = "Gini", *, signed: bool = False) -> str:
    """In a sentence: value and interval, such as "0.615 [0.614, 0.616]"."""
    if not np.isfinite(estimate.value):
        return "not determined"
    return f"{in_unit(estimate.value, unit, signed=signed)} {interval(estimate, unit, signed=signed)}"


def rate(estimate: Estimate) -> str:
    """A rate in a sentence, with its interval and n."""
    return f"{plain(estimate, '%')}, n = {estimate.n}"


def points(test: Difference, unit: str = "points") -> str:
    """A difference with its unit and interval, such as "+0.065 Gini [+0.063, +0.067]"."""
    return f"{number(test.difference, unit, signed=True)} {unit} {interval(test, unit, signed=True)}"


def p_value(p: float, at_floor: bool = False) -> str:
    """ "≤" where the number of resamples allows no smaller one."""
    return "p < 0.001" if p < 0.001 else f"p {'≤' if at_floor else '='} {p:.3f}"


def _evidence(item: Contrasted) -> tuple[str, str]:
    """The adjusted p-value, and n."""
    assert item.difference is not None and item.adjusted_p is not None
    images = f" networks, {item.terms[0].n} images" if item.contrast.trainings else ""
    return p_value(item.adjusted_p, item.difference.at_floor), f"n = {item.difference.n}{images}"


def result(item: Contrasted) -> str:
    """A difference in a sentence: its value, interval, p and n."""
    if item.difference is None:
        return "not measured here"
    return ", ".join((points(item.difference, unit_for(item.contrast)), *_evidence(item)))


def difference_cell(item: Contrasted) -> str:
    """For a table: the same, with a mark where p is below 0.05, which ``style.table`` explains in the caption."""
    if item.difference is None:
        return MISSING
    value, _, bounds = points(item.difference, unit_for(item.contrast)).partition(" [")
    p, n = _evidence(item)
    p = f"<b class='significant'>{p} *</b>" if decided_sign(item) else p
    return f"<strong>{value}</strong> <small>[{bounds}<br>{p}, {n}</small>"


def sums(item: Contrasted) -> str:
    """How the means make the difference, such as "20.0 % − 0.5 × 60.0 %"."""
    unit, weights = unit_for(item.contrast), item.contrast.weights
    means = [in_unit(term.value, unit) for term in item.terms]
    if item.contrast.trainings:
        half = len(means) // 2
        return f"({', '.join(means[:half])}) − ({', '.join(means[half:])})"
    if not weights:
        return " − ".join(means) if len(means) == 2 else f"({means[0]} − {means[1]}) − ({means[2]} − {means[3]})"
    factors = ["" if abs(weight) == 1 else f"{abs(weight):g} × " for weight in weights]
    signs = ["" if i == 0 and w > 0 else "− " if w < 0 else "+ " for i, w in enumerate(weights)]
    return " ".join(f"{sign}{factor}{mean}" for sign, factor, mean in zip(signs, factors, means, strict=True))


def stated(item: Contrasted) -> str:
    """One comparison with the means behind it; with a verdict where a sign is expected, and what the paper publishes."""
    lead = f"<strong>{item.contrast.label}</strong>"
    if item.difference is None:
        return f"{lead}: not measured here."
    words = f"{lead}: {sums(item)} = {result(item)}."
    if isinstance(item, Compared) and item.cell.baseline:
        published = number(item.cell.paper - item.cell.baseline[1], unit_for(item.contrast), signed=True)
        words += f" The paper{' on ImageNet' if item.cell.dataset == 'imagenet' else ''}: {published}."
    return words if item.contrast.expected is None else f"{words} {verdict_badge(item.verdict)}"


def counted(items: Sequence[Contrasted]) -> str:
    """How many of the comparisons have the expected sign, the opposite one, or neither; adjusted p below 0.05 decides.

    Where not all have an expected sign: how many differences are above 0, below, or neither.
    """
    claimed = all(item.contrast.expected for item in items)
    words = ("confirmed", "contradicted") if claimed else ("more", "less")
    signs = [decided_sign(item) * (item.contrast.expected or 1) if item.difference else None for item in items]
    kinds = dict(zip((1, -1, 0, None), (*words, "undecided", "not measured"), strict=True))
    parts = [f"{signs.count(sign)} {word}" for sign, word in kinds.items() if sign in signs]
    return f"of {len(items)} comparisons {', '.join(parts) or 'none'}"


def verdict_badge(verdict: str) -> str:
    return f"<span class='verdict {verdict.replace(' ', '-')}'>{verdict}</span>"


def for_and_against(tests: pd.DataFrame) -> tuple[int, int]:
    """How many of a claim's tests are for it, and how many against it."""
    return tests.verdict.isin(["reproduced", "same direction"]).sum(), (tests.verdict == "contradicted").sum()


def claim_badge(tests: pd.DataFrame) -> str:
    """The verdict on a claim; of a mixed one, how many of its tests are for it and against it. ``tests``: its rows of
    ``verdicts.scoreboard.claims_frame``."""
    verdict = tests.claim_verdict.iloc[0] if len(tests) else "not measured here"
    if verdict != "mixed":
        return verdict_badge(verdict)
    good, bad = for_and_against(tests)
    return f"{verdict_badge(verdict)} <small>({good} for, {bad} against, of {len(tests)})</small>"


def side(item: Estimate | Difference) -> int:
    """On which side of 0 an interval lies; 0 if it holds 0."""
    return int(item.low > 0) - int(item.high < 0)


def decided_sign(item: Contrasted) -> int:
    """The sign of a difference, if its adjusted p-value is below 0.05; else 0."""
    if item.difference is None or item.adjusted_p is None or item.adjusted_p >= 0.05:
        return 0
    return 1 if item.difference.difference > 0 else -1


def decided(item: Contrasted, more: str, less: str, undecided: str) -> str:
    """The word for ``decided_sign``."""
    return {1: more, -1: less, 0: undecided}[decided_sign(item)]


def by_model(records: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each network, in the order of the records."""
    return [(str(name), rows) for name, rows in records.groupby("checkpoint", sort=False)]


def mean(rows: pd.DataFrame, column: str, resamples: int = 9999) -> Estimate:
    """A column's mean over images with its interval; images without a value are left out."""
    return mean_or_rate(rows[column].dropna().to_numpy(float), resamples=resamples)


def means(records: pd.DataFrame, column: str) -> list[tuple[str, Estimate]]:
    """Each network's mean of a column."""
    return [(name, mean(rows, column)) for name, rows in by_model(records)]
