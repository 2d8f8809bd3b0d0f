"""The promise: sentences word every outcome, both signs alike; tables mark what is significant, and speak of one run."""

import math

import numpy as np
import pandas as pd
import pytest
from conftest import ROBUST, STANDARD, outcomes
from test_comparison import COVARIATES, SECOND, both_subsets, fragile_by_margin, rates, share

from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.reference import load_whole_reference, stacked
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.networks import REGISTRY, named
from inequality_phenomenon.show.foot import foot
from inequality_phenomenon.statistics import Estimate
from inequality_phenomenon.verdicts import comparison
from inequality_phenomenon.verdicts.comparison import against_standard, compare, contrasted, place_contrasts
from inequality_phenomenon.verdicts.published import noise_cells, table2_cells


@pytest.mark.parametrize(("own", "words"), [
    ((60, 30), "subsets disagree in 1 (above 0, below 0, or not told from 0). black, ℓ∞ 8/255: +20.0 points"),
    ((30, 31), "disagree in 1"), ((30, 60), "disagree in 0"),
])  # fmt: skip
def test_the_subsets_disagree_where_their_signs_do(run: Run, own: tuple[int, int], words: str) -> None:
    common, run.records["own_images"] = both_subsets((20, 40), own)
    asked = (run, [STANDARD, ROBUST], {"black": ("black", "fooled")}, common)
    assert words in show.subsets(*asked, name="s", what="Images fooled").text
    del run.records["own_images"]
    missing = "Images fooled on each model's own images: not measured here."
    assert show.subsets(*asked, name="s", what="Images fooled").text == missing


def findings(table: pd.DataFrame | None) -> str:
    primary = compare(noise_cells(102, STANDARD, (ROBUST,)), table, resamples=199)
    where = contrasted(place_contrasts((STANDARD, ROBUST), {"type I": "random"}, "failure_102"), table, resamples=199)
    controls = against_standard(STANDARD, [ROBUST], {kind: (kind, "failure_102") for kind in ("random", "type I")})
    more = [item for item in primary if item.cell.baseline]
    shown = show.conclusions({"Fails more": more, "Where": where, "None": []})
    return (shown + show.tally({"Variants": contrasted(controls, table, resamples=199)})).text


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty registry: sentences must do without titles of trained models."""
    monkeypatch.setattr(REGISTRY, "_entries", {})


@pytest.mark.parametrize(("standard", "robust", "words"), [
    (0.2, 0.7, ["3 confirmed (adj", "2 more", "same direction"]),
    (0.7, 0.2, ["3 contradicted", "2 less", "contradicted"]), (0.5, 0.5, ["3 undecided", "2 undecided", ""]),
])  # fmt: skip
def test_every_sign_is_worded(titles: None, standard: float, robust: float, words: list[str]) -> None:
    draw = np.random.default_rng(0).binomial
    tables = [
        outcomes(draw(5, standard, 200) / 5, draw(5, robust, 200) / 5, kind, "failure_102")
        for kind in ("random", "type I", "type II")
    ]
    text = findings(pd.concat(tables, ignore_index=True))
    assert f"Fails more: of 3 comparisons {words[0]}" in text, text
    assert f"Variants: of 2 comparisons {words[1]}" in text and words[2] in text, text
    assert "Where: of 3 comparisons" in text and "None" not in text
    assert "random, ℓ∞ 8/255: " in text and " % = " in text and "The paper on ImageNet: +54.6." in text


def test_nothing_measured_is_said_to_be_so_and_names_need_no_registry(titles: None) -> None:
    text = findings(None)
    assert "Fails more: of 3 comparisons 3 not measured" in text and "nan" not in text
    assert "random, ℓ∞ 8/255: not measured here." in text
    assert [named(name) for name in (STANDARD, ROBUST, SECOND)] == ["standard", "ℓ∞ 8/255", "ℓ∞ 8/255, PGD-3"]
    assert named("cifar10-resnet18w16-linf3_new-s0") == "ℓ∞ 3/255, new"  # neither registered nor planned


AREA = outcomes(np.full(600, 80), np.full(600, 80), "N=5 R=2", "area")


def mechanism(records: dict[str, pd.DataFrame], top: tuple[int, int], at_random: tuple[int, int]) -> str:
    """The verdict for chosen and random places that fool (standard, robust) so many of 600 images."""
    primary = "N=5 R=2 black"
    records = records | {"controls": rates(*at_random, "random places", 600), "occluded_area": AREA}
    if top != (0, 0):
        records["pair"] = rates(*top, primary, 600)
    table = stacked(records, ["pair", "controls", "occluded_area", "margins"])
    (cell,) = [c for c in table2_cells({"N=5 R=10": (5, 2)}) if c.condition == primary and c.checkpoint == ROBUST]
    gap = compare([cell], table, resamples=199)
    where = contrasted(place_contrasts((STANDARD, ROBUST), {primary: "random places"}, "fooled"), table, resamples=199)
    asked = {
        "size": ("N=5 R=2", "area"), "larger": ("N=10 R=4", "area"), "single": ("one", "fooled"), "equal": ("same", "fooled"),
        "margin": ("clean", "relative_margin"), "random": ("random places", "fooled"),
    }  # fmt: skip
    others = contrasted(against_standard(STANDARD, [ROBUST], asked), table, resamples=199)
    fits = comparison.explained((STANDARD, ROBUST), primary, records, "pair", COVARIATES)
    found = dict(zip(asked, others, strict=True))
    return show.mechanism_findings(gap[0], where[2], found, fits, robust=ROBUST).text


def test_only_margins_explain_and_one_mask_needs_no_large_budget(titles: None) -> None:
    records = fragile_by_margin()
    fooled = [int(k) for k in records["pair"].groupby("checkpoint", sort=False).fooled.sum()]
    text = mechanism(records, (0, 0), (fooled[0] - 100, fooled[1] - 100))
    assert "is more fragile than the standard model at the primary budget, and only its smaller margins account" in text
    assert "the same for all images" in text and "Not measured here" in text
    table = pd.concat([AREA, rates(200, 400, "one", 600), rates(100, 300, "random", 600)])
    places = {name: (name, "fooled") for name in ("one", "random")}
    places |= {"size": ("N=5 R=2", "area"), "margin": ("no", "x")}
    gap, *others = contrasted(against_standard(STANDARD, [ROBUST], places), table, resamples=199)
    where = contrasted(place_contrasts((STANDARD, ROBUST), {"one": "random"}, "fooled"), table, resamples=199)[2]
    found = dict(zip(list(places)[1:], others, strict=True))
    text = show.mechanism_findings(gap, where, found, {}, robust=ROBUST, attack="under one mask only").text
    assert "Under one mask only ℓ∞ 8/255 is fooled more often" in text
    assert "more fragile than the standard model under one mask only" in text and "at random places, too" in text
    assert "the same for all images" in text and "large budget" not in text


ELSEWHERE = "is there at random places, too, and the map is not shown to add to it."
NEITHER = "Neither where the patches are nor how large they are nor the margins"


@pytest.mark.parametrize(("top", "at_random", "words", "not_words"), [
    ((200, 400), (150, 150), ["is more fragile", "It goes with where the patches are"], "at random places, too"),
    ((200, 400), (100, 300), ["is more fragile", ELSEWHERE], "where the patches are."),
    ((400, 200), (150, 150), ["is less fragile", "where the patches are"], "Neither where"),
    ((400, 200), (400, 200), ["is less fragile", NEITHER], "It goes with"),
    ((300, 300), (100, 100), ["no established difference to explain"], "fragile than"),
])  # fmt: skip
def test_what_goes_with_the_difference(titles: None, top, at_random, words: list[str], not_words: str) -> None:
    text = mechanism(fragile_by_margin(), top, at_random)
    assert all(word in text for word in words)
    assert not_words not in text.partition("Verdict.")[2].partition("Neither where the patches are nor")[0]


def test_the_regression_table_says_what_is_not_determined() -> None:
    fits = {"model": {"(intercept)": Estimate(0, -1, 1, 9), "model": Estimate(math.nan, -math.inf, math.inf, 9)}}
    html = show.regression_table(fits, name="x", caption="c").html
    assert "not determined by these data" in html and "intercept" not in html
    assert "not measured here" in show.regression_table({}, name="x", caption="c").html


def test_close_calls_are_counted_and_named(run: Run) -> None:
    table = rates(3, 4, "a")
    marked = table.assign(close_call=share(1, 200))
    run.records = {"x": marked, "y": marked, "z": table}
    assert "1 of 400 outcomes: a, standard, test image 0." in foot(run, None).html


WEAK = "cifar10-resnet18w16-linf1-s0"


def test_the_claims_of_a_chapter_come_from_one_run() -> None:
    reference = load_whole_reference()["09_cutout"]
    few = {name: table[table.image_id.isin(table.image_id.unique()[:60])] for name, table in reference.items()}
    planned, nothing = (chapter.open("09_cutout", {"profile": "smoke"}) for _ in range(2))
    own = chapter.open("09_cutout", {"profile": "smoke", "n_images": 60})
    planned.records = own.records = few
    assert planned.claims().html == nothing.claims().html != own.claims().html


def test_the_readings_are_counted_by_the_sign_of_what_is_decided() -> None:
    shifts, noise = {"up": 0.1, "down": -0.1, "even": 0.0}, np.random.default_rng(0).normal(0, 0.05, (3, 60, 3))
    tables = [
        pd.DataFrame(own + (name == ROBUST) * np.array([*shifts.values()]), columns=[*shifts]).assign(checkpoint=name)
        for name, own in zip((STANDARD, WEAK, ROBUST), noise, strict=True)
    ]
    table = pd.concat(tables).assign(condition="").rename_axis("image_id").reset_index()
    asked = against_standard(STANDARD, [WEAK, ROBUST], {label: ("", label) for label in shifts})
    found = contrasted(asked, table, resamples=999)
    own = [item for item in found if item.contrast.terms[0][0] == ROBUST]
    assert "Readings: of 3 comparisons 1 more, 1 less, 1 undecided (" in show.tally({"Readings": own}).text
    assert "6 not measured" in show.tally({"Readings": contrasted(asked, None)}).text


def test_significant_differences_are_marked_and_the_mark_is_explained():
    noise, values = np.random.default_rng(0).normal(0, 0.1, (3, 60)), {"high": 0.6, "low": 0.2, "alike": 0.2}
    table = pd.concat([outcomes([], mean + own, name) for (name, mean), own in zip(values.items(), noise, strict=True)])
    pairs = {"differs": ("high", "low"), "does not": ("alike", "low")}
    asked = [comparison.minus(label, *((ROBUST, name, "fooled") for name in pair)) for label, pair in pairs.items()]
    found = contrasted(asked, table, resamples=999)
    html = show.contrast_table(found, name="t", caption="Caption.").html
    assert [item.adjusted_p < 0.05 for item in found] == [True, False]
    assert html.count("class='significant'") == 1 and html.index("differs") < html.index("significant")
    assert "An asterisk marks p below 0.05" in html
    plain = show.contrast_table(found[1:], name="t", caption="Caption.").html
    assert "significant" not in plain and "asterisk" not in plain and "<th scope='col'></th>" not in html


def test_full_size_networks_are_rows_below_the_others() -> None:
    ours = chapter.open("02_noise_attack", {"profile": "smoke"}).ours
    found = ours.contrast(against_standard(STANDARD, [ROBUST], {"type I": ("type I", "failure_102")}), "noise")
    assert found[0].full_size is not None and found[0].full_size.difference.difference != found[0].difference.difference
    html = show.contrast_table(found, name="t", caption="c").html
    assert html.count("<th scope='row'>") == 2 and html.index("type I</th>") < html.index("type I <small>(full size: ")
