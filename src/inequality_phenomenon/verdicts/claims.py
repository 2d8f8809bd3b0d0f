"""The paper's claims as data (``results/claims.yaml``), and what our records say about each.

A claim has one or more tests. Each test gets a verdict by the rules of ``comparison.compare``: *same direction* or
*contradicted* by the sign of a difference at p < 0.05, adjusted by Holm over all tests of a chapter's claims, or of
those of one ``family`` where the chapter announces several tables;
*reproduced* where the sign is the paper's and the interval also meets the paper's value +- 0.03 (Gini) or +- 5 points
(rates). A claim holds if all its tests do, is contradicted if all of them are, undecided if none decides, else mixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .._support import paths
from .._support.profiles import problems_of
from ..inequality import gini
from ..measure.reference import as_shipped
from ..networks import REGISTRY, named
from ..statistics import Difference, Estimate, class_difference, rank_agreement, slope
from .comparison import Contrast, Sign, Verdict, adjusted, by_class, direction, paired

Tables = dict[str, pd.DataFrame]  # a chapter's records, by name
Finding = tuple[Difference | Estimate, tuple[float, ...]]  # what a test found, and the means behind it


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RecordTest(_Strict):
    """A difference found in one of the chapter's records, whose sign the claim implies."""

    label: str
    record: str
    expected: Sign = 1
    paper: float | None = None  # its published size on CIFAR-10


class ContrastTest(_RecordTest, Contrast):
    """A contrast of the chapter's records: a difference of means on the same images, or over trainings."""

    kind: Literal["paired"] = "paired"
    expected: Sign = 1

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for term in self.terms for name in (term[0], term[2]) if name.count("-") == 3))

    def find(self, table: pd.DataFrame, resamples: int) -> Finding | str:
        table = table if "condition" in table else table.assign(condition="")
        for checkpoint, condition, column in self.terms:
            rows = table[(table.checkpoint == checkpoint) & (table.condition == condition)]
            if not len(rows) or column not in rows:
                place = f" under “{condition}”" if condition else ""
                return f"the record has no {column} of {named(checkpoint)}{place}"
        return paired(self, table, resamples) or "fewer than two images are shared"


class _ModelTest(_RecordTest):
    model: str

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return (self.model,)


class ClassTest(_ModelTest):
    """Mean over some classes of an index's class mean, minus that over others (``statistics.class_difference``)."""

    kind: Literal["classes"] = "classes"
    column: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    measured_only: bool = False  # pass over classes of fewer than two images, instead of giving up

    def find(self, table: pd.DataFrame, resamples: int) -> Finding | str:
        classes = by_class(table, self.model, self.column)
        few = [name for name in (*self.above, *self.below) if name not in classes]
        if few and not self.measured_only:
            return f"fewer than two images of {', '.join(few)}"
        groups = [{name: classes[name] for name in names if name in classes} for names in (self.above, self.below)]
        if not all(groups):
            return "no class on one side has two images"
        means = tuple(float(pd.Series({n: v.mean() for n, v in group.items()}).mean()) for group in groups)
        return class_difference(*groups, resamples=resamples), means


class AgreementTest(_ModelTest):
    """Do two indices order the classes alike (``statistics.rank_agreement``)?"""

    kind: Literal["agreement"] = "agreement"
    columns: tuple[str, str]

    def find(self, table: pd.DataFrame, resamples: int) -> Finding | str:
        first, second = (by_class(table, self.model, column) for column in self.columns)
        if len(first) < 3:
            return "fewer than three classes have two images"
        return rank_agreement(first, second, resamples=resamples), ()


class SlopeTest(_RecordTest):
    """Does a column's mean rise with the budget of training, over networks on the images that they share? Per 8/255."""

    kind: Literal["slope"] = "slope"
    column: str
    budgets: dict[str, float]  # network -> epsilon in 255ths; 0: standard training

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return tuple(self.budgets)

    def find(self, table: pd.DataFrame, resamples: int) -> Finding | str:
        values = table.pivot_table(self.column, "image_id", "checkpoint").reindex(columns=list(self.budgets))
        if missing := [named(name) for name in values.columns[values.isna().all()]]:
            return f"the record has no {self.column} of {', '.join(missing)}"
        budgets = np.array(list(self.budgets.values())) / 8
        return slope(budgets, values.dropna().mean().to_numpy()), ()


class ExampleTest(_Strict):
    """A worked example of the paper, computed again: the Gini index or the share of non-zero entries of a vector."""

    kind: Literal["example"] = "example"
    label: str
    values: tuple[float, ...]
    measure: Literal["gini", "nonzero"]
    paper: float

    def compute(self) -> Estimate:
        vector = torch.tensor(self.values, dtype=torch.float64)
        value = float(gini(vector)) if self.measure == "gini" else float((vector != 0).double().mean())
        return Estimate(value, value, value, len(vector))


Test = ContrastTest | ClassTest | AgreementTest | SlopeTest | ExampleTest
_ReadTest = Annotated[
    Test,
    Field(discriminator="kind"),
    BeforeValidator(lambda raw: {"kind": "paired"} | raw if isinstance(raw, dict) else raw),
]


class Claim(_Strict):
    """One claim of the paper and how it is decided here."""

    id: str
    title: str
    section: str
    quote: str
    data: Literal["CIFAR-10", "ImageNet", "both", "none"]  # on which the paper makes it
    form: str  # the form that is tested here, in words
    chapter: str
    family: str = ""  # which of the chapter's claims are adjusted together: those with the same
    tests: tuple[_ReadTest, ...] = ()
    untestable: str = ""  # why there is no test

    @model_validator(mode="after")
    def _tested_or_not(self) -> "Claim":
        if bool(self.tests) == bool(self.untestable):
            raise ValueError(f"{self.id}: give tests, or say in untestable why there are none")
        return self


class Claims(_Strict):
    """The file's content; ``networks`` holds the anchors of the checkpoints' names."""

    networks: dict[str, str]
    claims: tuple[Claim, ...]


@cache
def load_claims() -> tuple[Claim, ...]:
    """All claims of ``results/claims.yaml``; unknown keys and ill-typed values raise ``ValueError`` naming them."""
    return _parsed(yaml.safe_load(paths.CLAIMS.read_text("utf-8")))


def _parsed(content: Any) -> tuple[Claim, ...]:
    try:
        return Claims.model_validate(content).claims
    except ValidationError as problem:
        raise ValueError(f"{paths.CLAIMS.name}: {problems_of(problem)}") from None


def unit_of_test(test: Test) -> str:
    """What a test's value is: "points" (a difference of rates), "Gini", "correlation" or "exact"."""
    if isinstance(test, ContrastTest):
        return "Gini" if "gini" in test.terms[0][2] else "points"
    return {"agreement": "correlation", "example": "exact"}.get(test.kind, "Gini")


@dataclass(frozen=True)
class Outcome:
    """What one test found, or the reason why there is nothing."""

    test: Test
    found: Difference | Estimate | None
    means: tuple[float, ...]  # of the terms, or of the two groups
    adjusted_p: float | None
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim with its tests' outcomes and the verdict."""

    claim: Claim
    outcomes: tuple[Outcome, ...]
    verdict: Verdict

    @property
    def reason(self) -> str:
        """Why it was not measured; empty where it was."""
        return self.claim.untestable or "; ".join(dict.fromkeys(o.reason for o in self.outcomes if o.reason))


def examine(tests: Sequence[Test], tables: Tables, *, resamples: int = 9999) -> list[Outcome]:
    """Each test on one chapter's records, p-values adjusted by Holm over all of them."""
    findings = [_find(test, tables, resamples) for test in tests]
    adjusted_p = adjusted([None if isinstance(finding, str) else finding[0] for finding in findings])
    outcomes = []
    for test, finding, p in zip(tests, findings, adjusted_p, strict=True):
        if isinstance(finding, str):
            outcomes.append(Outcome(test, None, (), None, "not measured here", finding))
        else:
            outcomes.append(Outcome(test, *finding, p, _verdict(test, finding[0], p)))
    return outcomes


def judge(claims: Sequence[Claim], records: dict[str, Tables], *, resamples: int = 9999) -> list[Judged]:
    """Each claim by the ``records`` (chapter -> name -> table) of one run; tests of one chapter and family are adjusted together."""
    found: dict[str, Judged] = {}
    for chapter, family in dict.fromkeys((claim.chapter, claim.family) for claim in claims):
        own = [claim for claim in claims if (claim.chapter, claim.family) == (chapter, family)]
        tests = [test for claim in own for test in claim.tests]
        outcomes = iter(examine(tests, records.get(chapter, {}), resamples=resamples))
        for claim in own:
            decided = tuple(islice(outcomes, len(claim.tests)))
            found[claim.id] = Judged(claim, decided, combined([outcome.verdict for outcome in decided]))
    return [found[claim.id] for claim in claims]


def _find(test: Test, tables: Tables, resamples: int) -> Finding | str:
    """What the test finds in the records, or why it finds nothing."""
    if isinstance(test, ExampleTest):
        return test.compute(), ()
    if untrained := [name for name in test.checkpoints if name not in REGISTRY]:
        return f"not trained yet: {', '.join(map(named, untrained))}"
    if test.record not in tables:
        return f"this run has no record “{test.record}”"
    return test.find(as_shipped(tables[test.record]), resamples)


def _verdict(test: Test, found: Difference | Estimate, p: float | None) -> Verdict:
    tolerance = 0.05 if unit_of_test(test) == "points" else 0.03
    meets = test.paper is not None and found.low - tolerance <= test.paper <= found.high + tolerance
    if isinstance(test, ExampleTest) or isinstance(found, Estimate):
        return "reproduced" if meets else "differs"
    sign = direction(found, p, test.expected)
    return "reproduced" if meets and sign == "same direction" else sign


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim from those on its tests."""
    if not verdicts or "not measured here" in verdicts:
        return "not measured here"
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return "same direction" if set(verdicts) == {"same direction", "reproduced"} else "mixed"
