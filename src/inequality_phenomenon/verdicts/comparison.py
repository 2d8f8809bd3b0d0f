"""Comparisons of records: with the paper's published values, and between networks, conditions and subsets.

Pure functions: whoever calls them brings the records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from .. import statistics
from ..measure.image_sets import classes_of
from ..measure.reference import as_shipped
from ..networks import dataset_of, named
from ..statistics import Difference, Estimate, holm
from .published import Cell, a10_cells, table1_cells

Verdict = Literal["reproduced", "same direction", "contradicted", "mixed", "undecided", "differs", "not measured here"]
Term = tuple[str, str, str]  # checkpoint, condition, column
Sign = Literal[-1, 1]


class Contrast(BaseModel):
    """A difference between measured means on the same images.

    ``terms``: two, for a - b, or four, for (a - b) - (c - d), or any number with as many ``weights``; one is a mean alone.
    ``margin`` is subtracted: "less than 0.03 above" is a - b - 0.03 with ``expected`` -1, the sign that the paper's claim
    implies. ``trainings``: the first half of the terms are networks trained in one way, the second half in another; the
    difference is that of the two ways, tested over the networks' means (``statistics.mean_difference``) instead of over images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: str
    terms: tuple[Term, ...]
    expected: Sign | None = None
    weights: tuple[float, ...] | None = None
    margin: float = 0.0
    trainings: bool = False

    @model_validator(mode="after")
    def _enough_trainings(self) -> "Contrast":
        if self.trainings and (len(self.terms) < 6 or len(self.terms) % 2):
            raise ValueError(f"{self.label}: a test over trainings needs at least three networks of each kind")
        return self


@dataclass(frozen=True, kw_only=True)
class Contrasted:
    """A contrast with its terms' means and the paired test, on the images that all terms share.

    ``full_size``: the same by records of full-size networks, where there are any.
    """

    contrast: Contrast
    terms: tuple[Estimate, ...]
    difference: Difference | None
    adjusted_p: float | None
    verdict: Verdict
    full_size: "Contrasted | None" = None


@dataclass(frozen=True, kw_only=True)
class Compared(Contrasted):
    """A published cell beside our value, on all images that the network has; its contrast is with the standard network."""

    cell: Cell
    ours: Estimate | None


def compare(cells: Sequence[Cell], records: pd.DataFrame | None, *, resamples: int = 9999) -> list[Compared]:
    """Each cell beside our records, tests adjusted by Holm over the given cells (one table).

    The verdicts were fixed before any value was seen: *reproduced*: our 95 % interval meets the paper's value
    +- 0.03 (Gini) or +- 5 points (rates); *same direction*: the paper's sign against the standard model, adjusted
    p < 0.05; *contradicted*: the opposite sign, adjusted p < 0.05; *undecided*: neither; *differs*: a value
    without an implied sign that is not reproduced; else *not measured here*.
    """
    records = _readable(records, {cell.checkpoint for cell in cells})
    found = []
    for cell, item in zip(cells, contrasted(list(map(_of_cell, cells)), records, resamples=resamples), strict=True):
        ours = estimate(_values(records, (cell.checkpoint, cell.condition, cell.column)), resamples)
        verdict = direction(item.difference, item.adjusted_p, item.contrast.expected) if cell.baseline else "differs"
        if ours is None:
            verdict = "not measured here"
        elif cell.same_setting and meets(ours, cell):
            verdict = "reproduced"
        found.append(Compared(**vars(item) | {"cell": cell, "ours": ours, "verdict": verdict}))
    return found


def _of_cell(cell: Cell) -> Contrast:
    """The difference behind a cell's verdict: its network minus the standard one; of that the mean alone."""
    names = (cell.checkpoint,) if cell.baseline is None else (cell.checkpoint, cell.baseline[0])
    sign = None if cell.baseline is None else 1 if cell.paper > cell.baseline[1] else -1
    terms = tuple((name, cell.condition, cell.column) for name in names)
    return Contrast(label=cell.label, terms=terms, expected=sign)


def _readable(records: pd.DataFrame | None, names: set[str]) -> pd.DataFrame:
    """Records with a condition in each row, and under the shipped networks' names where none of ``names`` is in them."""
    records = pd.DataFrame({"checkpoint": []}) if records is None else records
    records = records if "condition" in records else records.assign(condition="")
    return records if names & set(records.checkpoint) else as_shipped(records)


def estimate(values: pd.Series, resamples: int = 9999) -> Estimate | None:
    """Mean or rate of one network's values with its 95 % interval; ``None`` of fewer than two."""
    if len(values) < 2:
        return None
    if values.dtype == bool:
        return statistics.wilson(int(values.sum()), len(values))
    return statistics.mean_or_rate(values.to_numpy(), resamples=resamples)


def meets(ours: Estimate, cell: Cell) -> bool:
    """Whether our 95 % interval meets the published value within its tolerance."""
    return ours.low <= cell.paper + cell.tolerance and ours.high >= cell.paper - cell.tolerance


def direction(test: Difference | None, p: float | None, expected: float | None) -> Verdict:
    """The verdict on a difference whose sign the paper states."""
    if test is None or p is None or p >= 0.05 or expected is None:
        return "undecided"
    same = np.sign(test.difference) == np.sign(expected)
    return "same direction" if same else "contradicted"


def published_tables() -> list[tuple[str, tuple[str, ...], list[Cell]]]:
    """Published cells that a chapter measures on the paper's own data set, table by table: chapter, its records, cells.

    A chapter that compares its values with published ones adds its cells here: the scoreboard takes them from this list.
    """
    return [
        ("01_inequality_test", ("inequality",), table1_cells("global_gini")),
        ("01_inequality_test", ("inequality",), table1_cells("regional_gini_sum_of_absolute")),
        ("03_occlusion_attack", ("pair", "ladder"), a10_cells()),
    ]


def minus(label: str, first: Term, second: Term, expected: Sign | None = None) -> Contrast:
    """The contrast first - second."""
    return Contrast(label=label, terms=(first, second), expected=expected)


def against_standard(
    standard: str, others: Sequence[str], cells: dict[str, tuple[str, str]], expected: Sign | None = None
) -> list[Contrast]:
    """Every other model minus the standard one, for each label -> (condition, column)."""
    one = len(others) == 1
    return [
        minus(label if one else f"{label}, {named(other)}", (other, *place), (standard, *place), expected)
        for label, place in cells.items()
        for other in others
    ]


def place_contrasts(pair: tuple[str, str], places: dict[str, str], column: str) -> list[Contrast]:
    """Does the *where* matter: for each condition and its control at random places, within each model and between both.

    ``pair``: the standard model and the other; ``places``: condition -> control. Three contrasts each.
    """
    found = []
    for chosen, control in places.items():
        label = f"{chosen}, chosen − random places"
        first, second = [((name, chosen, column), (name, control, column)) for name in pair]
        found += [minus(f"{label}, {named(terms[0][0])}", *terms) for terms in (first, second)]
        both = f"{label}, {named(pair[1])} − {named(pair[0])}"
        found.append(Contrast(label=both, terms=second + first, expected=1))
    return found


def contrasted(
    contrasts: Sequence[Contrast], records: pd.DataFrame | None, *, resamples: int = 9999
) -> list[Contrasted]:
    """The contrasts tested on our records, p-values adjusted by Holm over all of them (one table).

    McNemar's test for two outcomes, Welch's over trainings, else a sign-flip test. What was not measured has no terms.
    """
    records = _readable(records, {name for contrast in contrasts for name, *_ in contrast.terms})
    columns = [_shared(contrast, records) for contrast in contrasts]
    tests = [_test(contrast, own, resamples) for contrast, own in zip(contrasts, columns, strict=True)]
    found = []
    for contrast, own, test, p in zip(contrasts, columns, tests, adjusted(tests), strict=True):
        terms = tuple(term for column in own if (term := estimate(column, resamples)))
        verdict = direction(test, p, contrast.expected) if test else "not measured here"
        found.append(Contrasted(contrast=contrast, terms=terms, difference=test, adjusted_p=p, verdict=verdict))
    return found


def adjusted(tests: Sequence[object]) -> list[float | None]:
    """The p-value of each difference among the tests, adjusted by Holm over all of them; ``None`` for anything else."""
    found = iter(holm([test.p for test in tests if isinstance(test, Difference)]))
    return [next(found) if isinstance(test, Difference) else None for test in tests]


def ratios(
    contrasts: Sequence[Contrast], records: pd.DataFrame | None, *, resamples: int = 9999
) -> dict[str, Estimate]:
    """(a / b) / (c / d) of each measured contrast of four terms, by label; one with a mean of 0 is left out."""
    found = {}
    for contrast in contrasts:
        columns = _shared(contrast, records) if records is not None and len(contrast.terms) == 4 else []
        values = [column.to_numpy(float) for column in columns]
        if values and all(value.mean() > 0 for value in values):
            a, b, c, d = values
            found[contrast.label] = statistics.ratio_of_ratios(a, b, c, d, resamples=resamples)
    return found


def paired(contrast: Contrast, records: pd.DataFrame, resamples: int) -> tuple[Difference, tuple[float, ...]] | None:
    """One contrast's test, its p-value not adjusted, and the means of its terms, of its two ways of training with
    ``trainings``; ``None`` where it was not measured."""
    columns = _shared(contrast, records)
    if (test := _test(contrast, columns, resamples)) is None:
        return None
    means = np.array([column.mean() for column in columns], float)
    if contrast.trainings:
        means = np.array([half.mean() for half in np.split(means, 2)])
    return test, tuple(map(float, means))


def by_class(records: pd.DataFrame, checkpoint: str, column: str) -> dict[str, np.ndarray]:
    """A column's values for each class of which there are at least two images, in the order of the labels; needs ``label``."""
    rows = records[records.checkpoint == checkpoint]
    names = classes_of(dataset_of(checkpoint))
    classes = {name: rows[column][rows.label == label].to_numpy() for label, name in enumerate(names)}
    return {name: values for name, values in classes.items() if len(values) > 1}


@dataclass(frozen=True)
class BySubset:
    """One mean, and its difference from the standard model's, on the common subset and on each model's own images.

    Each pair: common subset, own images; ``None`` where not measured. The differences are paired on the common subset only.
    """

    contrast: Contrast
    means: tuple[Estimate | None, Estimate | None]
    differences: tuple[Difference | None, Difference | None]


def by_subset(
    standard: str,
    others: Sequence[str],
    places: dict[str, tuple[str, str]],
    common: pd.DataFrame,
    own: pd.DataFrame,
    *,
    resamples: int = 9999,
) -> list[BySubset]:
    """The standard model and the others on both subsets, for each label -> (condition, column)."""
    found = []
    for label, (condition, column) in places.items():
        for name in (standard, *others):
            contrast = minus(f"{label}, {named(name)}", (name, condition, column), (standard, condition, column))
            theirs, other = (_values(own, term) for term in contrast.terms)
            means = (estimate(_values(common, contrast.terms[0]), resamples), estimate(theirs, resamples))
            differences: tuple[Difference | None, Difference | None] = (None, None)
            if name != standard:
                pairs = _test(contrast, _shared(contrast, common), resamples)
                differences = (pairs, _unpaired(theirs, other))
            found.append(BySubset(contrast, means, differences))
    return found


def _unpaired(a: pd.Series, b: pd.Series) -> Difference | None:
    if min(len(a), len(b)) < 2:
        return None
    return (statistics.rate_difference if a.dtype == bool else statistics.mean_difference)(a.to_numpy(), b.to_numpy())


def _values(records: pd.DataFrame, term: Term) -> pd.Series:
    """A term's values by image id; without images that have none."""
    checkpoint, condition, column = term
    rows = records[(records.checkpoint == checkpoint) & (records.condition == condition)]
    if not len(rows) or column not in rows:
        return pd.Series(dtype=float)
    return rows.set_index("image_id")[column].dropna().infer_objects()  # stacking makes objects of truth values


def _shared(contrast: Contrast, records: pd.DataFrame) -> list[pd.Series]:
    """Each term's values on the images that all terms have; nothing if fewer than two."""
    columns = [_values(records, term) for term in contrast.terms]
    both = pd.concat(columns, axis=1, join="inner")
    return [both.iloc[:, i] for i in range(len(columns))] if len(both) > 1 else []


def _test(contrast: Contrast, columns: list[pd.Series], resamples: int) -> Difference | None:
    """The test of two terms or more, its p-value not adjusted; one term has nothing to test."""
    if len(columns) < 2:
        return None
    values = [column.to_numpy() for column in columns]
    if contrast.trainings:
        means = np.array([value.mean() for value in values])
        return statistics.mean_difference(*np.split(means, 2))
    plain = contrast.weights is None and contrast.margin == 0
    if plain and len(values) == 2 and all(value.dtype == bool for value in values):
        return statistics.mcnemar(values[0], values[1], resamples=resamples)
    weights = contrast.weights or (1, -1, -1, 1)[: len(values)]
    total = np.sum([weight * value.astype(float) for weight, value in zip(weights, values, strict=True)], axis=0)
    return statistics.paired_difference(total, np.full(len(total), contrast.margin), resamples=resamples)


def explained(
    models: Sequence[str],
    condition: str,
    records: dict[str, pd.DataFrame],
    outcome: str,
    covariates: dict[str, tuple[str, str]],
    column: str = "fooled",
) -> dict[str, dict[str, Estimate]]:
    """Logistic regressions of ``column`` on the model alone, then with one covariate more each time.

    ``models``: the standard model (0) and the other (1), or one, of which there is no first regression; ``records``:
    tables by name; ``outcome``: the name of the one that has ``column``; ``covariates``: label -> (table, column). Empty
    where one of the tables or models is missing.
    """
    if not {outcome, *(table for table, _ in covariates.values())} <= records.keys():
        return {}
    table = records[outcome]
    keys = ["checkpoint", "image_id"]
    rows = table[(table.condition == condition) & table.checkpoint.isin(models)][[*keys, column]]
    for label, (name, covariate) in covariates.items():
        rows = rows.merge(records[name][[*keys, covariate]].rename(columns={covariate: label}), on=keys)
    if rows.checkpoint.nunique() < len(models):
        return {}
    steps = ["model", *covariates] if len(models) == 2 else list(covariates)
    values = rows.assign(model=rows.checkpoint == models[-1])[steps].astype(float)
    outcomes, groups, found = rows[column].to_numpy(float), rows.image_id.to_numpy(), {}
    for count in range(1, len(steps) + 1):
        predictors = {name: values[name].to_numpy() for name in steps[:count]}
        found[" + ".join(predictors)] = statistics.logistic_regression(outcomes, predictors, groups)
    return found
