"""The promise: chapters 02 and 03 measure what they say, compare the same images, and word both signs alike."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import register
from torch import Tensor

from inequality_phenomenon import datasets, networks, show
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.attacks import mask_areas, noise_outcomes, occlude, perturb_with_noise
from inequality_phenomenon.inequality import REDUCES, regional_gini
from inequality_phenomenon.measure import measurements
from inequality_phenomenon.measure.measurements import (
    area_occlusion,
    margins,
    noise,
    noise_energy,
    occluded_area,
    occlusion,
    occlusion_conditions,
    occlusion_examples,
)
from inequality_phenomenon.measure.results import Run, stacked
from inequality_phenomenon.measure.sample import Sample, measure
from inequality_phenomenon.networks import REGISTRY, named
from inequality_phenomenon.robustness import correct
from inequality_phenomenon.statistics import Estimate, logistic_regression
from inequality_phenomenon.verdicts.comparison import (
    Contrast,
    a10_cells,
    against_standard,
    by_subset,
    compare,
    contrasted,
    explained,
    noise_cells,
    place_contrasts,
    published_values,
    table2_cells,
)

STANDARD, ROBUST = "cifar10-resnet18w16-standard-s0", "cifar10-resnet18w16-linf8-s0"
SECOND = "cifar10-resnet18w16-linf8_pgd3-s0"


# what is measured


def test_noise_is_the_share_of_draws_that_fool(run: Run) -> None:
    sample = run.sample(ROBUST)
    found = noise(sample, kind="type_2", budgets=(50, 300), draws=3, seed=4)
    maps = sample.maps(seed=4)
    for column, budget in enumerate((50, 300)):
        fooled = torch.zeros(20)
        for draw in range(3):
            noisy = perturb_with_noise(
                sample.model, sample.images, maps, budget, "type_2", 4, draw=draw, ids=sample.ids
            )
            fooled += sample.model(noisy).argmax(1) != sample.labels
        assert np.allclose(found[f"failure_{budget}"], fooled / 3)
        assert column == 0 or found["failure_300"].mean() > found["failure_50"].mean()
    assert found["close_call"].dtype == bool and found["close_call"].shape == (20,)


def test_maps_of_another_model_choose_the_places(run: Run) -> None:
    sample = run.sample(ROBUST)
    theirs = run.sample(STANDARD).maps(seed=0)
    expected = noise_outcomes(
        sample.model, sample.images, sample.labels, theirs, (200,), "type_2", 0, draws=2, ids=sample.ids
    )
    for maps_from in (STANDARD, {ROBUST: STANDARD, STANDARD: ROBUST}):
        found = noise(sample, kind="type_2", budgets=(200,), draws=2, maps_from=maps_from)
        assert np.allclose(found["failure_200"], expected.fooled[:, 0].double().mean(1))
    hit = occlude(sample.model, sample.images, sample.labels, theirs, 5, 2, "black", ids=sample.ids)
    assert (occlusion(sample, maps_from=STANDARD, max_count=5, max_radius=2)["fooled"] == hit.fooled.numpy()).all()


def test_the_energy_is_the_root_mean_square_of_the_noise(run: Run) -> None:
    sample = run.sample(STANDARD)
    maps = sample.maps()
    squares = [
        (perturb_with_noise(sample.model, sample.images, maps, 102, positions="random", draw=draw) - sample.images)
        .square()
        .flatten(1)
        .sum(1)
        for draw in range(40)
    ]
    assert math.sqrt(float(torch.cat(squares).mean())) == pytest.approx(noise_energy(sample, 102), rel=0.02)
    assert noise_energy(sample, 408) == pytest.approx(2 * noise_energy(sample, 102))


def test_equal_energy_reaches_the_attack(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, seen = run.sample(STANDARD), []
    monkeypatch.setattr(
        measurements,
        "noise_outcomes",
        lambda *args, **options: seen.append(options) or noise_outcomes(*args, **options),
    )
    noise(sample, budgets=(10, 40), draws=1, equal_energy=True)
    (options,) = seen
    assert options["energy"].shape == (20, 2)
    assert options["energy"][7].tolist() == pytest.approx([noise_energy(sample, 10), noise_energy(sample, 40)])


def test_occlusion_and_its_first_success(run: Run) -> None:
    sample = run.sample(STANDARD)
    plain = occlusion(sample, max_count=10, max_radius=4, color="black")
    located = occlusion(sample, max_count=10, max_radius=4, color="black", locate=True)
    assert (plain["fooled"] == located["fooled"]).all() and plain["fooled"].any()
    assert (located["area"] > 0).tolist() == located["fooled"].tolist()
    areas = mask_areas(sample.maps(), 10, 4).numpy()
    for i in located["fooled"].nonzero()[0]:
        assert located["area"][i] == areas[i, located["count"][i] - 1, located["radius"][i] - 1]
    hidden = occluded_area(sample, max_count=10, max_radius=4)["area"]
    assert (hidden == areas[:, -1, -1]).all() and (located["area"] <= hidden).all()


def test_all_masks_at_count_5_radius_2_hide_80_pixels(run: Run) -> None:
    """What the chapter says of the primary budget: patches are regions, so they never overlap."""
    assert (occluded_area(run.sample(STANDARD), max_count=5, max_radius=2)["area"] == 80).all()


@pytest.mark.parametrize("positions", ["regional", "random"])
def test_a_mask_of_a_given_area(run: Run, positions: str) -> None:
    sample = run.sample(STANDARD)
    found = area_occlusion(sample, area=256, positions=positions, color="black")
    assert found["fooled"].shape == (20,)
    everything = area_occlusion(sample, area=1024, positions=positions, color="black")["fooled"]
    black = sample.model(torch.zeros(1, 3, 32, 32)).argmax()
    assert (everything == (sample.labels != black).numpy()).all()


def test_margins_by_hand(run: Run) -> None:
    sample = run.sample(STANDARD)
    found = margins(sample)
    for i, (row, label) in enumerate(zip(sample.model(sample.images).double(), sample.labels, strict=True)):
        others = torch.cat([row[:label], row[label + 1 :]])
        assert (
            found["margin"][i] == pytest.approx(float(row[label] - others.max()), abs=1e-5) and found["margin"][i] > 0
        )
        assert found["relative_margin"][i] == pytest.approx(found["margin"][i] / float(row.std()), rel=1e-4)


def test_conditions_are_called_as_the_papers_cells() -> None:
    conditions = occlusion_conditions([(10, 4)], ["black", "white", "gray"])
    assert set(conditions) == set(published_values(table="appendixA10").setting)
    assert conditions["N=10 R=4 gray"] == {"max_count": 10, "max_radius": 4, "color": "gray"}


def test_examples_are_chosen_by_the_rule_and_show_what_they_say(run: Run) -> None:
    samples = {name: run.sample(name) for name in run.models}
    examples = occlusion_examples(samples, 3, max_count=10, max_radius=4, color="white")
    assert [e.checkpoint for e in examples] == [STANDARD, ROBUST] * 3
    ids = samples[STANDARD].ids
    classes = [datasets.CIFAR10_CLASSES[label] for label in samples[STANDARD].labels.tolist()]
    assert len({e.label for e in examples}) == 3
    for example in examples:
        assert ids.index(example.image_id) == classes.index(example.label)  # the first of its class
        assert example.before[example.checkpoint][0] == example.label
        assert (example.after[example.checkpoint][0] != example.label) == example.fooled
        changed = (example.image != example.occluded).any(0)
        assert changed.sum() <= example.pixels and (example.occluded[:, changed] == 1).all()
    shown = show.occlusion_pictures(examples, name="x")
    assert f"In {sum(e.fooled for e in examples)} of 6 cases" in shown.html and examples[0].label in shown.alt


# which images, and what the cache knows


def test_own_images_are_those_that_this_model_gets_right(run: Run, test_set: tuple[Tensor, Tensor]) -> None:
    found = run.sample(ROBUST, 50, own=True)
    assert len(set(found.ids)) == 50
    assert (found.model(found.images).argmax(1) == found.labels).all()
    order = np.random.default_rng(0).permutation(10_000)[:600]
    right = correct(found.model, *(part[order] for part in test_set)).numpy()
    assert found.ids == order[right][:50].tolist()
    assert run.sample(ROBUST, 20, own=True).ids == found.ids[:20]
    own = run.measure(margins, {"clean": {}}, n_images=5, own=True, name="own")
    assert set(own.image_id) != set(run.measure(margins, {"clean": {}}, n_images=5).image_id)


def test_the_pair_is_the_standard_model_and_the_largest_epsilon(run: Run) -> None:
    assert run.pair == (STANDARD, ROBUST)
    run.models = (STANDARD, "cifar10-resnet18w16-linf2-s0", "cifar10-resnet18w16-linf1-s0", SECOND)
    assert run.pair == (STANDARD, "cifar10-resnet18w16-linf2-s0")
    run.models = (STANDARD,)
    with pytest.raises(ValueError, match="compares a standard and an l_inf model"):
        _ = run.pair


def test_a_changed_donor_is_not_answered_from_the_cache(run: Run, tmp_path: Path) -> None:
    options = {"maps_from": {STANDARD: ROBUST}, "max_count": 2, "max_radius": 2}
    for _ in range(2):
        measure(occlusion, run.sample(STANDARD), run, **options)
    assert [step["cached"] for step in run.steps] == [False, True]
    model = networks.load_checkpoint(ROBUST)
    next(model.parameters()).mul_(2)
    REGISTRY._entries[ROBUST] = register(ROBUST, model, tmp_path)
    assert sha256_of(tmp_path / f"{ROBUST}.safetensors") == REGISTRY[ROBUST].sha256
    measure(occlusion, run.sample(STANDARD), run, **options)
    assert not run.steps[-1]["cached"]


# cells of the paper


def test_a10_is_complete_and_in_rates() -> None:
    cells = {(c.where["condition"], c.checkpoint): c for c in a10_cells()}
    assert len(cells) == 6
    assert cells["N=10 R=4 black", ROBUST].paper == pytest.approx(0.604)
    assert cells["N=10 R=4 gray", ROBUST].baseline == (STANDARD, pytest.approx(0.241))
    assert all(cell.dataset == "cifar10" and cell.column == "fooled" for cell in cells.values())


def test_table_2_maps_budgets_and_keeps_its_directions() -> None:
    cells = table2_cells({"N=5 R=10": (5, 2), "N=10 R=20": (10, 4)})
    assert len(cells) == 30 and {c.dataset for c in cells} == {"imagenet"}
    (cell,) = [c for c in cells if c.where["condition"] == "N=5 R=2 white" and c.checkpoint == ROBUST]
    assert (cell.paper, cell.baseline) == (pytest.approx(0.717), (STANDARD, pytest.approx(0.283)))
    assert len(table2_cells({"N=5 R=10": (5, 2)})) == 15


def test_noise_cells_have_the_papers_direction_for_both_robust_models() -> None:
    cells = noise_cells(102, STANDARD, (ROBUST, SECOND))
    assert [c.where["condition"] for c in cells] == ["random"] * 3 + ["type I"] * 3 + ["type II"] * 3
    assert [c.paper for c in cells[:3]] == pytest.approx([0.188, 0.734, 0.734])
    assert [c.paper for c in cells[6:]] == pytest.approx([0.555, 0.955, 0.955])
    assert all(c.baseline is None or c.paper > c.baseline[1] for c in cells)


def outcomes(standard: np.ndarray, robust: np.ndarray, condition: str, column: str = "fooled") -> pd.DataFrame:
    n = len(standard)
    return pd.DataFrame(
        {
            "checkpoint": [STANDARD] * n + [ROBUST] * n,
            "image_id": [*range(n), *range(n)],
            "condition": condition,
            column: np.concatenate([standard, robust]),
        }
    )


def share(k: int, n: int = 100) -> np.ndarray:
    return np.arange(n) < k


def test_a_value_of_another_data_set_is_never_reproduced() -> None:
    cells = [c for c in table2_cells({"N=5 R=10": (5, 2)}) if c.where["condition"] == "N=5 R=2 black"]
    table = outcomes(share(32), share(65), "N=5 R=2 black")  # the paper's rates
    found = {c.cell.checkpoint: c.verdict for c in compare(cells, table, resamples=99)}
    assert found[ROBUST] == "same direction" and found[STANDARD] == "not reproduced"
    reversed_ = outcomes(share(65), share(32), "N=5 R=2 black")
    assert {c.cell.checkpoint: c.verdict for c in compare(cells, reversed_, resamples=99)}[ROBUST] == "contradicted"
    assert all(c.verdict == "not measured here" for c in compare(cells, None))


# contrasts


def test_two_truth_values_are_compared_by_mcnemar_and_adjusted_over_the_list() -> None:
    table = pd.concat([outcomes(share(20), share(50), "a"), outcomes(share(50), share(20), "b")])
    rows = against_standard(STANDARD, [ROBUST], {"first": ("a", "fooled"), "second": ("b", "fooled")}, expected=1)
    first, second = contrasted(rows, table, resamples=99)
    assert first.difference.difference == pytest.approx(0.3) and first.difference.p == pytest.approx(2 * 0.5**30)
    assert first.adjusted_p == pytest.approx(2 * first.difference.p)
    assert [e.value for e in first.terms] == [0.5, 0.2]
    assert (first.verdict, second.verdict) == ("same direction", "contradicted")


def test_four_terms_are_a_difference_of_differences_on_shared_images() -> None:
    table = pd.concat([outcomes(share(30), share(60), "top"), outcomes(share(20), share(10), "random")])
    table = table[~((table.checkpoint == ROBUST) & (table.condition == "random") & (table.image_id >= 80))]
    within, robust, between = contrasted(
        place_contrasts((STANDARD, ROBUST), {"top": "random"}, "fooled"), table, resamples=99
    )
    assert within.difference.difference == pytest.approx(0.1) and within.verdict == "not reproduced"
    assert robust.difference.n == between.difference.n == 80
    assert between.difference.difference == pytest.approx((60 - 10 - (30 - 20)) / 80)


def test_what_was_not_measured_has_no_test() -> None:
    rows = [Contrast("x", ((ROBUST, "a", "fooled"), (STANDARD, "a", "fooled")), 1)]
    for records in (None, outcomes(share(1), share(2), "b"), outcomes(share(1), share(2), "a").iloc[:100]):
        (found,) = contrasted(rows, records)
        assert found.terms == () and found.difference is None and found.verdict == "not measured here"


def test_stacking_keeps_truth_values_and_drops_what_was_measured_twice() -> None:
    tables = {
        "one": outcomes(share(3), share(4), "a"),
        "two": pd.concat([outcomes(share(3), share(4), "a"), outcomes(share(5), share(6), "b")]),
        "three": outcomes(share(1) * 7.5, share(1) * 2.5, "clean", "relative_margin"),
    }
    table = stacked(tables, ["one", "two", "three", "four"])
    assert len(table) == 600
    (found,) = contrasted(against_standard(STANDARD, [ROBUST], {"x": ("b", "fooled")}), table, resamples=99)
    assert (
        found.terms[0] == contrasted([found.contrast], tables["two"], resamples=99)[0].terms[0]
    )  # Wilson, so truth values
    assert stacked({}, ["one"]) is None


def both_subsets(common: tuple[int, int], own: tuple[int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How many of 100 images fool (standard, robust) on the common subset; and on own images, which the two do not share."""
    theirs = outcomes(share(own[0]), share(own[1]), "black")
    theirs.loc[theirs.checkpoint == ROBUST, "image_id"] += 1000
    return outcomes(share(common[0]), share(common[1]), "black"), theirs


def test_means_and_differences_of_both_subsets() -> None:
    common, own = both_subsets((20, 40), (60, 30))
    first, second = by_subset(STANDARD, [ROBUST], {"black": ("black", "fooled")}, common, own, resamples=99)
    assert [mean.value for mean in (*first.means, *second.means)] == [0.2, 0.6, 0.4, 0.3]
    assert first.differences == (None, None)
    paired, unpaired = second.differences
    assert paired.difference == pytest.approx(0.2) and paired.n == 100
    assert unpaired.difference == pytest.approx(-0.3) and unpaired.n == 200 and unpaired.high < 0
    (_, missing) = by_subset(STANDARD, [ROBUST], {"black": ("black", "fooled")}, common, own[:100], resamples=99)
    assert missing.means[1] is None and missing.differences[1] is None


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            (60, 30),
            "the two subsets disagree in 1 (above 0, below 0, or not told from 0). black, ℓ∞ 8/255: +20.0 points",
        ),
        ((30, 31), "disagree in 1"),
        ((30, 60), "disagree in 0"),
    ],
)
def test_the_subsets_disagree_where_their_signs_do(run: Run, own: tuple[int, int], words: str) -> None:
    common, run.records["own_images"] = both_subsets((20, 40), own)
    places = {"black": ("black", "fooled")}
    shown = show.subsets(run, [STANDARD, ROBUST], places, None, common, name="s", what="Images fooled").text
    assert words in shown and "(this run)" in shown
    del run.records["own_images"]
    shown = show.subsets(run, [STANDARD, ROBUST], places, None, common, name="s", what="Images fooled").text
    assert shown == "Images fooled on each model's own images: not measured here."


# the regression


def test_a_binary_predictor_gives_the_log_odds_ratio() -> None:
    outcome = np.repeat([True, False, True, False], [30, 10, 15, 25])
    model = np.repeat([1.0, 0.0], 40)
    found = logistic_regression(outcome, {"model": model}, np.arange(80))["model"]
    assert found.value == pytest.approx(math.log(30 * 25 / (10 * 15)), abs=1e-6)
    assert found.high - found.value == pytest.approx(1.96 * math.sqrt(1 / 30 + 1 / 10 + 1 / 15 + 1 / 25), rel=0.03)
    assert found.n == 80


def test_coefficients_are_for_one_standard_deviation_and_recovered() -> None:
    rng = np.random.default_rng(0)
    margin, gini = rng.normal(3, 2, 20_000), rng.normal(0.6, 0.1, 20_000)
    odds = -0.8 * (margin - 3) / 2 + 0.3 * (gini - 0.6) / 0.1
    outcome = rng.random(20_000) < 1 / (1 + np.exp(-odds))
    found = logistic_regression(outcome, {"margin": margin, "gini": gini}, np.arange(20_000))
    assert found["margin"].value == pytest.approx(-0.8, abs=0.06) and found["margin"].high < 0
    assert found["gini"].value == pytest.approx(0.3, abs=0.06) and found["(intercept)"].value == pytest.approx(
        0, abs=0.06
    )


def test_copies_of_an_image_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    outcome = rng.random(200) < 1 / (1 + np.exp(-x))
    once = logistic_regression(outcome, {"x": x}, np.arange(200))["x"]
    four = logistic_regression(np.tile(outcome, 4), {"x": np.tile(x, 4)}, np.tile(np.arange(200), 4))["x"]
    assert four.value == pytest.approx(once.value)
    assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.02)


@pytest.mark.parametrize("outcome", [np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 20])
def test_what_the_data_do_not_determine_is_said(outcome: np.ndarray) -> None:
    found = logistic_regression(outcome, {"x": np.arange(40.0)}, np.arange(40))
    assert all((e.low, e.high) == (-math.inf, math.inf) and math.isnan(e.value) for e in found.values())


def test_a_constant_predictor_is_refused() -> None:
    with pytest.raises(ValueError, match="predictor x is the same"):
        logistic_regression(share(20), {"x": np.full(100, 3.0)}, np.arange(100))


def fragile_by_margin(n: int = 600) -> dict[str, pd.DataFrame]:
    """Both models fail with the same odds at equal margin; the robust one has smaller margins."""
    rng = np.random.default_rng(0)
    both = [rng.normal(2.5, 1, n), rng.normal(1.0, 1, n)]
    fooled = [rng.random(n) < 1 / (1 + np.exp(2 * (margin - 1.7))) for margin in both]
    gini = outcomes(rng.normal(0.6, 0.1, n), rng.normal(0.7, 0.1, n), "clean", "global_gini")
    return {
        "pair": outcomes(*fooled, "N=5 R=2 black"),
        "margins": outcomes(*both, "clean", "relative_margin"),
        "inequality": gini,
    }


COVARIATES = {"relative margin": ("margins", "relative_margin"), "Gini index": ("inequality", "global_gini")}


def test_the_regressions_separate_the_model_from_its_margins() -> None:
    fits = explained((STANDARD, ROBUST), "N=5 R=2 black", fragile_by_margin(), "pair", COVARIATES)
    assert list(fits) == ["model", "model + relative margin", "model + relative margin + Gini index"]
    assert fits["model"]["model"].low > 0
    adjusted = fits["model + relative margin"]
    assert adjusted["model"].low < 0 < adjusted["model"].high and adjusted["relative margin"].high < 0
    assert explained((STANDARD, ROBUST), "N=5 R=2 black", {}, "pair", COVARIATES) == {}
    alone = explained((ROBUST,), "N=5 R=2 black", fragile_by_margin(), "pair", COVARIATES)
    assert list(alone) == ["relative margin", "relative margin + Gini index"]
    assert alone["relative margin"]["relative margin"].high < 0
    assert explained((ROBUST, "another"), "N=5 R=2 black", fragile_by_margin(), "pair", COVARIATES) == {}


# sentences for every outcome


def findings(table: pd.DataFrame | None) -> str:
    cells = noise_cells(102, STANDARD, (ROBUST, SECOND))
    where = contrasted(place_contrasts((STANDARD, ROBUST), {"type I": "random"}, "failure_102"), table, resamples=199)
    controls = contrasted(
        against_standard(STANDARD, [ROBUST], {kind: (kind, "failure_102") for kind in ("random", "type I")}),
        table,
        resamples=199,
    )
    primary = compare(cells, table, resamples=199)
    shown = show.noise_findings(
        show.best(primary, compare(cells, None)), show.best(where, where), show.best(controls, controls),
        robust=ROBUST, second=SECOND, placebos=["random"],
    )  # fmt: skip
    return shown.text


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty registry: sentences must do without titles of trained models."""
    monkeypatch.setattr(REGISTRY, "_entries", {})


def failing(standard: float, robust: float, kinds: tuple[str, ...] = ("random", "type I", "type II")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    tables = [
        outcomes(rng.binomial(5, standard, 200) / 5, rng.binomial(5, robust, 200) / 5, k, "failure_102") for k in kinds
    ]
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("standard", "robust", "words"),
    [
        (
            0.2,
            0.7,
            ["direction is confirmed: of 3, confirmed in 3", "the ℓ∞ model fails more in 1, less in 0", "random: +"],
        ),
        (
            0.7,
            0.2,
            [
                "direction is contradicted: of 3, confirmed in 0, contradicted in 3",
                "fails more in 0, less in 1",
                "Placebos",
            ],
        ),
        (0.5, 0.5, ["direction is undecided: of 3", "undecided are 1"]),
    ],
)
def test_noise_findings_word_every_sign(titles: None, standard: float, robust: float, words: list[str]) -> None:
    text = findings(failing(standard, robust))
    assert all(word in text for word in words), text
    assert "not trained yet" in text and "uniform noise" in text


def test_noise_findings_without_any_measurement(titles: None) -> None:
    text = findings(None)
    assert "The paper's direction: of 3" in text and "not measured in 3" in text and "nan" not in text


def test_a_second_robust_model_gets_its_own_verdict(titles: None) -> None:
    table = failing(0.7, 0.2)
    again = table[table.checkpoint == ROBUST].assign(checkpoint=SECOND, failure_102=0.95)
    text = findings(pd.concat([table, again]))
    assert "The verdict is the same as for ℓ∞ 8/255 in 0 of 3 kinds" in text


def mechanism(records: dict[str, pd.DataFrame], top: tuple[int, int], at_random: tuple[int, int]) -> str:
    """The verdict for chosen and random places that fool (standard, robust) so many of 600 images."""
    primary = "N=5 R=2 black"
    if top != (0, 0):
        records = records | {"pair": outcomes(share(top[0], 600), share(top[1], 600), primary)}
    records = records | {"controls": outcomes(share(at_random[0], 600), share(at_random[1], 600), "random places")}
    records |= {"occluded_area": outcomes(np.full(600, 80), np.full(600, 80), "N=5 R=2", "area")}
    table = stacked(records, ["pair", "controls", "occluded_area", "margins"])
    (cell,) = [
        c for c in table2_cells({"N=5 R=10": (5, 2)}) if c.where["condition"] == primary and c.checkpoint == ROBUST
    ]
    gap = compare([cell], table, resamples=199)
    where = contrasted(place_contrasts((STANDARD, ROBUST), {primary: "random places"}, "fooled"), table, resamples=199)
    asked = {
        "size": ("N=5 R=2", "area"), "larger": ("N=10 R=4", "area"), "single": ("one", "fooled"), "equal": ("same", "fooled"),
        "margin": ("clean", "relative_margin"),
    }  # fmt: skip
    others = contrasted(against_standard(STANDARD, [ROBUST], asked), table, resamples=199)
    fits = explained((STANDARD, ROBUST), primary, records, "pair", COVARIATES)
    found = {name: (item, "") for name, item in zip(asked, others, strict=True)}
    (elsewhere,) = contrasted(
        against_standard(STANDARD, [ROBUST], {"random": ("random places", "fooled")}), table, resamples=199
    )
    found["random"] = (elsewhere, "")
    return show.mechanism_findings((gap[0], ""), (where[2], ""), found, fits, robust=ROBUST).text


def test_only_margins(titles: None) -> None:
    records = fragile_by_margin()
    fooled = [int(k) for k in records["pair"].groupby("checkpoint", sort=False).fooled.sum()]
    text = mechanism(records, (0, 0), (fooled[0] - 100, fooled[1] - 100))
    assert (
        "is more fragile than the standard model at the primary budget, and only its smaller margins account for it"
        in text
    )
    assert "the same for all images" in text and "Not measured here" in text


def test_because_of_where(titles: None) -> None:
    text = mechanism(fragile_by_margin(), (200, 400), (150, 150))
    assert "is more fragile" in text and "It goes with where the patches are" in text
    assert "at random places, too" not in text


def test_fragile_everywhere(titles: None) -> None:
    text = mechanism(fragile_by_margin(), (200, 400), (100, 300))
    assert (
        "is more fragile" in text
        and "The difference is there at random places, too, and the map is not shown to add to it." in text
    )
    assert "where the patches are." not in text.partition("Verdict.")[2].partition("Neither")[0]


def test_less_fragile_because_of_where(titles: None) -> None:
    text = mechanism(fragile_by_margin(), (400, 200), (150, 150))
    assert "is less fragile" in text and "where the patches are" in text


def test_less_fragile_in_spite_of_smaller_margins(titles: None) -> None:
    text = mechanism(fragile_by_margin(), (400, 200), (400, 200))
    assert "is less fragile" in text and "Neither where the patches are nor how large they are nor the margins" in text


def test_one_mask_is_explained_without_the_large_budget(titles: None) -> None:
    table = pd.concat(
        [
            outcomes(share(200, 600), share(400, 600), "one"),
            outcomes(share(100, 600), share(300, 600), "random"),
            outcomes(np.full(600, 80), np.full(600, 80), "N=5 R=2", "area"),
        ]
    )
    places = {name: (name, "fooled") for name in ("one", "random")} | {
        "size": ("N=5 R=2", "area"),
        "margin": ("no", "x"),
    }
    gap, *others = contrasted(against_standard(STANDARD, [ROBUST], places), table, resamples=199)
    where = contrasted(place_contrasts((STANDARD, ROBUST), {"one": "random"}, "fooled"), table, resamples=199)[2]
    found = {name: (item, "") for name, item in zip(list(places)[1:], others, strict=True)}
    text = show.mechanism_findings((gap, ""), (where, ""), found, {}, robust=ROBUST, attack="under one mask only").text
    assert "Under one mask only ℓ∞ 8/255 is fooled more often" in text
    assert "more fragile than the standard model under one mask only" in text and "at random places, too" in text
    assert "the same for all images" in text and "large budget" not in text


def test_no_difference_to_explain(titles: None) -> None:
    assert "no established difference to explain" in mechanism(fragile_by_margin(), (300, 300), (100, 100))


def test_the_regression_table_says_what_is_not_determined() -> None:
    fits = {"model": {"(intercept)": Estimate(0, -1, 1, 9), "model": Estimate(math.nan, -math.inf, math.inf, 9)}}
    html = show.regression_table({}, fits, name="x", caption="c").html
    assert "not determined by these data" in html and "not measured here" in html and "intercept" not in html


def test_close_calls_are_counted_and_named(run: Run) -> None:
    table = outcomes(share(3), share(4), "a").assign(close_call=share(1, 200))
    shown = show.close_calls({"x": table, "y": table, "z": outcomes(share(3), share(4), "a")})
    assert "1 of 400 outcomes: a, standard, test image 0." in shown.text


def test_names_without_a_registry(titles: None) -> None:
    assert [named(name) for name in (STANDARD, ROBUST, SECOND)] == ["standard", "ℓ∞ 8/255", "ℓ∞ 8/255, PGD-3"]
    assert named("cifar10-resnet18w16-linf3_new-s0") == "ℓ∞ 3/255, new"  # neither registered nor planned


def test_an_image_without_a_region_of_positive_sum_has_no_index_in_that_reading_and_is_left_out(monkeypatch) -> None:
    maps = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps[1] = -maps[1].abs()
    maps[1, 0, 0, 0] = 1e-3  # something is positive, no sum of a region is
    sample = Sample("a", None, maps, torch.zeros(3), [4, 5, 6])
    monkeypatch.setattr(Sample, "maps", lambda self, method: maps)
    found = measurements.inequality(sample)
    undefined = {name for name, values in found.items() if np.isnan(values).any()}
    assert undefined == {"regional_gini_positive_of_sum"}
    assert np.isnan(found["regional_gini_positive_of_sum"]).tolist() == [False, True, False]
    for reduce in REDUCES:
        whole = regional_gini(maps[[0, 2]], 4, reduce)
        assert found[f"regional_gini_{reduce}"][[0, 2]] == pytest.approx(whole.numpy(), abs=1e-12)
    records = pd.concat(
        [pd.DataFrame({"checkpoint": c, "condition": "", "image_id": sample.ids} | found) for c in "ab"]
    )
    gap = [Contrast("gap", (("a", "", "regional_gini_positive_of_sum"), ("b", "", "regional_gini_positive_of_sum")))]
    assert [term.n for term in contrasted(gap, records, resamples=99)[0].terms] == [2, 2]
