"""The promise: every claim is data with a decision, verdicts follow the fixed rules, and a reason stands where there is none."""

import copy

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import yaml
from conftest import ROBUST, STANDARD
from scipy import stats
from test_comparison import near, rates

from inequality_phenomenon._support import paths
from inequality_phenomenon.measure.reference import load_reference, load_whole_reference
from inequality_phenomenon.networks import REGISTRY
from inequality_phenomenon.show.tables import claims_note
from inequality_phenomenon.statistics import Difference
from inequality_phenomenon.verdicts import claims as module
from inequality_phenomenon.verdicts.claims import Claim, ClassTest, ContrastTest, combined, examine, judge, load_claims
from inequality_phenomenon.verdicts.scoreboard import reference_frames

RAW = yaml.safe_load(paths.CLAIMS.read_text("utf-8"))
ALL = load_claims()


def test_the_claims_cover_the_papers_sections_and_use_its_kinds_of_classes() -> None:
    sections = " ".join(claim.section for claim in ALL)
    for section in ("4.2", "4.3", "4.4", "4.5", "A.3", "A.4", "A.5", "A.6", "A.7", "A.9", "A.10"):
        assert section in sections
    assert len({claim.id for claim in ALL}) == len(ALL) >= 20
    for claim in ALL:
        assert claim.quote and claim.form and claim.title
        assert pd.Series([test.label for test in claim.tests]).is_unique, claim.id  # they name the scoreboard's rows
    (animals,) = [claim for claim in ALL if claim.id == "animals"]
    (test,) = animals.tests
    assert isinstance(test, ClassTest) and (len(test.above), len(test.below)) == (6, 4)


@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_claim_names_known_networks_and_is_measurable_as_soon_as_its_chapter_has_a_reference(claim: Claim) -> None:
    for test in claim.tests:
        for name in getattr(test, "checkpoints", ()):
            assert name in RAW["networks"].values()
            assert name in REGISTRY or (paths.CHECKPOINTS / f"{name}.yaml").exists(), name
    tables = load_whole_reference().get(claim.chapter)
    for outcome in examine(claim.tests, tables, resamples=99) if tables else ():
        names = getattr(outcome.test, "checkpoints", ())
        record = tables.get(getattr(outcome.test, "record", ""), {"checkpoint": ()})
        missing = [name for name in names if name not in REGISTRY or name not in set(record["checkpoint"])]
        assert outcome.found is not None or missing, outcome.reason


@pytest.mark.parametrize(("change", "message"), [
    (lambda raw: raw["claims"][0].update(colour="red"), "claims.0.colour: Extra inputs are not permitted"),
    (lambda raw: raw["claims"][0]["tests"][0].update(sign=1), "sign: Extra inputs are not permitted"),
    (lambda raw: raw["claims"][0]["tests"][0].update(expected=0), "expected"),
    (lambda raw: raw["claims"][0]["tests"][0].update(kind="magic"), "magic"),
    (lambda raw: raw["claims"][0].pop("quote"), "claims.0.quote: Field required"),
    (lambda raw: raw["claims"][0].update(tests=[]), "give tests, or say in untestable why there are none"),
    (lambda raw: raw["claims"][0].update(untestable="because"), "give tests, or say in untestable"),
])  # fmt: skip
def test_a_wrong_file_is_refused_by_name(change, message: str) -> None:
    raw = copy.deepcopy(RAW)
    change(raw)
    with pytest.raises(ValueError, match=r"claims\.yaml: ") as problem:
        module._parsed(raw)
    assert message in str(problem.value)


def paired(**more: object) -> ContrastTest:
    terms = ((ROBUST, "", "global_gini"), (STANDARD, "", "global_gini"))
    return ContrastTest.model_validate({"label": "x", "record": "r", "terms": terms, "expected": 1} | more)


def between(condition: str, column: str, other: str = STANDARD, **more: object) -> ContrastTest:
    return paired(terms=((ROBUST, condition, column), (other, condition, column)), **more)


def claim(*tests: ContrastTest, name: str = "c", chapter: str = "01_inequality_test") -> Claim:
    words = {"id": name, "title": "t", "section": "1", "quote": "q", "data": "both", "form": "f", "chapter": chapter}
    return Claim.model_validate(words | {"tests": [test.model_dump() for test in tests]})


@pytest.mark.parametrize(("standard", "robust", "more", "verdict"), [
    (0.50, 0.60, {}, "same direction"), (0.60, 0.50, {}, "contradicted"), (0.60, 0.60, {}, "undecided"),
    (0.60, 0.50, {"expected": -1}, "same direction"), (0.58, 0.72, {"paper": 0.15}, "reproduced"),
    (0.58, 0.64, {"paper": 0.15}, "same direction"),
    (0.60, 0.60, {"paper": 0.01}, "undecided"),  # the size fits, but there is no direction
    (0.61, 0.60, {"paper": 0.01}, "contradicted"),
    (0.60, 0.61, {"margin": 0.03, "expected": -1}, "same direction"),  # less than 0.03 above
    (0.60, 0.65, {"margin": 0.03, "expected": -1}, "contradicted"),
    (0.60, 0.63, {"margin": 0.03, "expected": -1}, "undecided"),
    (0.60, 0.20, {"weights": (1, -0.5), "expected": -1}, "same direction"),  # less than half
    (0.60, 0.45, {"weights": (1, -0.5), "expected": -1}, "contradicted"),
])  # fmt: skip
def test_the_verdict_on_a_test(standard: float, robust: float, more: dict, verdict: str) -> None:
    (found,) = examine([paired(**more)], {"r": near(standard, robust)}, resamples=999)
    assert found.verdict == verdict and found.reason == ""
    assert found.means == pytest.approx((robust, standard), abs=0.01)


SIX = sorted(REGISTRY)[:6]  # any networks: three of one kind, three of another


@pytest.mark.parametrize(("means", "verdict"), [
    ((0.67, 0.68, 0.69, 0.60, 0.61, 0.62), "same direction"), ((0.60, 0.61, 0.62, 0.67, 0.68, 0.69), "contradicted"),
    ((0.60, 0.70, 0.80, 0.58, 0.68, 0.78), "undecided"),  # each pair differs alike, the trainings differ more
])  # fmt: skip
def test_a_claim_about_trainings_is_decided_over_networks(means: tuple[float, ...], verdict: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 1000)
    wide = pd.DataFrame({name: mean + noise - noise.mean() for name, mean in zip(SIX, means, strict=True)})
    table = wide.melt(var_name="checkpoint", value_name="global_gini").assign(image_id=[*range(1000)] * 6)
    test = paired(terms=tuple((name, "", "global_gini") for name in SIX), trainings=True)
    (found,) = examine([test], {"r": table}, resamples=99)
    expected = stats.ttest_ind(means[:3], means[3:], equal_var=False)
    assert found.verdict == verdict and isinstance(found.found, Difference)
    assert found.found.p == pytest.approx(expected.pvalue) and found.found.n == 6
    assert (found.found.low, found.found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.means == pytest.approx((np.mean(means[:3]), np.mean(means[3:])))


def test_the_verdict_on_a_claim_needs_all_its_tests_and_rates_are_compared_by_mcnemar() -> None:
    same, against, none, full = "same direction", "contradicted", "undecided", "reproduced"
    assert combined([same, same]) == same and combined([full, full]) == full and combined([full, same]) == same
    assert combined([against, against]) == against and combined([none, none]) == none
    assert combined([same, against]) == combined([same, none]) == combined([against, none]) == "mixed"
    assert combined([same, "not measured here"]) == combined([]) == "not measured here"
    rows = {"r": rates(0, 30, "black", 40)}
    (found,) = examine([between("black", "fooled", paper=0.70)], rows, resamples=99)
    assert found.found.p == pytest.approx(2 * 0.5**30) and found.verdict == "reproduced"


def test_tests_of_one_chapter_and_family_are_adjusted_together_and_others_are_not() -> None:
    def adjusted(*claims: Claim) -> list[float]:
        tables = {chapter: {"r": near(0.5, 0.6)} for chapter in ("01_inequality_test", "02_noise_attack")}
        return [item.outcomes[0].adjusted_p for item in judge(claims, tables, resamples=499)]

    (alone,), first = adjusted(claim(paired())), claim(paired(), name="a")
    assert adjusted(first, claim(paired(), name="b")) == pytest.approx([2 * alone, 2 * alone])
    assert adjusted(first, claim(paired(), name="b", chapter="02_noise_attack")) == pytest.approx([alone, alone])
    families = [claim(paired(), name=name).model_copy(update={"family": name[0]}) for name in ("ax", "ay", "b")]
    assert adjusted(*families) == pytest.approx([2 * alone, 2 * alone, alone])


@pytest.mark.parametrize(("test", "reason"), [
    (paired(record="other"), "this run has no record “other”"),
    (between("black", "fooled"), "no fooled of ℓ∞ 8/255 under “black”"),
    (between("", "x"), "the record has no x of ℓ∞ 8/255"),
    (between("", "global_gini", "cifar10-resnet18w16-never-s0"), "not trained yet: "),
])  # fmt: skip
def test_what_is_missing_is_named(test: ContrastTest, reason: str) -> None:
    (found,) = examine([test], {"r": near(0.5, 0.6)}, resamples=99)
    assert found.found is None and found.verdict == "not measured here" and reason in found.reason
    (judged,) = judge([claim(test)], {"01_inequality_test": {"r": near(0.5, 0.6)}}, resamples=99)
    assert judged.verdict == "not measured here" and judged.reason == found.reason


def test_a_slope_is_over_trainings_on_the_images_that_all_share() -> None:
    claims_test = next(claim for claim in ALL if claim.id == "gini-rises").tests[0]
    reference = load_reference("01_inequality_test")
    (found,) = examine([claims_test], reference, resamples=99)
    table = reference["inequality"].pivot(index="image_id", columns="checkpoint", values="global_gini")
    means = table[list(claims_test.budgets)].dropna().mean()
    by_hand = sm.OLS(means.to_numpy(), sm.add_constant(np.array([0, 1, 2, 4, 8]) / 8)).fit()
    assert (found.found.difference, found.found.p) == pytest.approx((by_hand.params[1], by_hand.pvalues[1]))
    assert (found.found.low, found.found.high) == pytest.approx(tuple(by_hand.conf_int()[1])) and found.found.n == 5
    (missing,) = examine([claims_test], {"inequality": near(0.5, 0.6)}, resamples=99)
    assert "the record has no global_gini of" in missing.reason


def test_a_claim_without_a_test_says_why_and_the_worked_example_is_computed_not_copied() -> None:
    background = next(claim for claim in ALL if claim.untestable)
    (judged,) = judge([background], {})
    assert judged.verdict == "not measured here" and judged.reason == background.untestable
    committed = reference_frames()[0]  # without the reason, which the claim gives
    assert background.untestable in claims_note([background], committed).text
    (example,) = [claim for claim in ALL if claim.id == "l0"]
    (judged,) = judge([example], {})
    values = [outcome.found.value for outcome in judged.outcomes]
    assert values == pytest.approx([0.4, 0.4, 0.6, (5 + 1 - 2 * (2 * 1 + 1000) / 1001) / 5])  # Equation 4 by hand
    assert judged.verdict == "reproduced"
    assert examine([example.tests[2].model_copy(update={"paper": 0.7})], {})[0].verdict == "differs"
