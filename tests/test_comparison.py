"""The promise: our records are compared with the paper's cells by the rules fixed in advance, on the images that both have."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROBUST, STANDARD, outcomes

from inequality_phenomenon.measure.reference import stacked
from inequality_phenomenon.networks import checkpoint_of
from inequality_phenomenon.verdicts import comparison, published
from inequality_phenomenon.verdicts.comparison import against_standard, compare, contrasted, explained, place_contrasts

SECOND = "cifar10-resnet18w16-linf8_pgd3-s0"


def near(standard: float, robust: float, n: int = 200) -> pd.DataFrame:
    """Indices of n images whose means are about these."""
    noise = np.random.default_rng(0).normal(0, 0.02, (2, n))
    return outcomes(standard + noise[0], robust + noise[1], column="global_gini")


CELL = published.Cell("c", "ResNet-18, 8/255", 0.73, ROBUST, "global_gini", baseline=(STANDARD, 0.58))


@pytest.mark.parametrize(("standard", "robust", "verdict"), [
    (0.58, 0.73, "reproduced"),
    (0.58, 0.704, "reproduced"),  # within 0.03
    (0.50, 0.60, "same direction"), (0.60, 0.50, "contradicted"), (0.60, 0.60, "undecided"),
])  # fmt: skip
def test_verdicts_follow_the_rules_fixed_in_advance(standard, robust, verdict):
    (found,) = compare([CELL], near(standard, robust), resamples=499)
    assert found.verdict == verdict and found.difference.difference == pytest.approx(robust - standard, abs=0.01)


def test_only_images_that_both_models_have_enter_the_paired_test_and_no_records_are_no_measurement():
    standard, robust = np.linspace(0.5, 0.6, 20), np.linspace(0.6, 0.7, 10)
    (found,) = compare([CELL], outcomes(standard, robust, column="global_gini"), resamples=99)
    assert found.ours.n == 10 and found.difference.n == 10
    assert found.difference.difference == pytest.approx(0.65 - standard[:10].mean())
    assert [item.verdict for item in compare([CELL], None)] == ["not measured here"]
    only_standard = outcomes(np.full(5, 0.5), np.array([]), column="global_gini")
    assert compare([CELL], only_standard, resamples=99)[0].verdict == "not measured here"


def test_rates_are_compared_by_wilson_and_mcnemar_and_p_values_adjusted_over_the_table():
    cell = replace(CELL, column="fooled", paper=0.604, baseline=(STANDARD, 0.346))
    (found,) = compare([cell], rates(0, 30, "", 40), resamples=99)
    assert found.difference.p == pytest.approx(2 * 0.5**30)
    assert found.ours.value == 0.75 and found.verdict == "reproduced"  # Wilson reaches down to 0.60
    alone, pair = (compare(cells, near(0.5, 0.6), resamples=499) for cells in ([CELL], [CELL, CELL]))
    assert pair[0].adjusted_p == pytest.approx(2 * alone[0].adjusted_p)


def test_the_papers_tables_are_complete_keep_their_directions_and_name_our_checkpoints() -> None:
    cells = [*published.table1_cells("global_gini"), *published.table1_cells("regional_gini_sum_of_absolute")]
    assert len(cells) == 20 and {c.paper for c in cells if c.checkpoint == ROBUST} == {0.73, 0.88}
    assert [c.paper for c in cells if c.baseline is None] == [0.58, 0.57, 0.79, 0.79]
    assert len(published.published_values()) == 155 and checkpoint_of("resnet18", "linf", 8) == ROBUST
    cells = {(c.condition, c.checkpoint): c for c in published.a10_cells()}
    assert len(cells) == 6 and cells["N=10 R=4 black", ROBUST].paper == pytest.approx(0.604)
    assert cells["N=10 R=4 gray", ROBUST].baseline == (STANDARD, pytest.approx(0.241))
    assert all(cell.dataset == "cifar10" and cell.column == "fooled" for cell in cells.values())
    cells = published.table2_cells({"N=5 R=10": (5, 2), "N=10 R=20": (10, 4)})
    assert len(cells) == 30 and {c.dataset for c in cells} == {"imagenet"}
    (cell,) = [c for c in cells if c.condition == "N=5 R=2 white" and c.checkpoint == ROBUST]
    assert (cell.paper, cell.baseline) == (pytest.approx(0.717), (STANDARD, pytest.approx(0.283)))
    assert len(published.table2_cells({"N=5 R=10": (5, 2)})) == 15
    cells = published.noise_cells(102, STANDARD, (ROBUST, SECOND))
    assert [c.condition for c in cells] == ["random"] * 3 + ["type I"] * 3 + ["type II"] * 3
    assert [c.paper for c in cells[:3]] == pytest.approx([0.188, 0.734, 0.734])
    assert [c.paper for c in cells[6:]] == pytest.approx([0.555, 0.955, 0.955])
    assert all(c.baseline is None or c.paper > c.baseline[1] for c in cells)


def share(k: int, n: int = 100) -> np.ndarray:
    return np.arange(n) < k


def rates(standard: int, robust: int, condition: str, n: int = 100) -> pd.DataFrame:
    """Records in which so many of n images fool the two networks."""
    return outcomes(share(standard, n), share(robust, n), condition)


def test_a_value_of_another_data_set_is_never_reproduced_and_what_was_not_measured_has_no_test() -> None:
    cells = [c for c in published.table2_cells({"N=5 R=10": (5, 2)}) if c.condition == "N=5 R=2 black"]
    found, reverse = (
        {c.cell.checkpoint: c.verdict for c in compare(cells, rates(*pair, "N=5 R=2 black"), resamples=99)}
        for pair in ((32, 65), (65, 32))  # the paper's rates, and the other way round
    )
    assert (found[ROBUST], found[STANDARD], reverse[ROBUST]) == ("same direction", "differs", "contradicted")
    assert all(c.verdict == "not measured here" for c in compare(cells, None))
    rows = [comparison.minus("x", (ROBUST, "a", "fooled"), (STANDARD, "a", "fooled"), 1)]
    for records in (None, rates(1, 2, "b"), rates(1, 2, "a").iloc[:100]):
        (found,) = contrasted(rows, records)
        assert found.terms == () and found.difference is None and found.verdict == "not measured here"


def test_two_truth_values_are_compared_by_mcnemar_and_four_terms_are_a_difference_of_differences() -> None:
    table = pd.concat([rates(20, 50, "a"), rates(50, 20, "b")])
    rows = against_standard(STANDARD, [ROBUST], {"first": ("a", "fooled"), "second": ("b", "fooled")}, expected=1)
    first, second = contrasted(rows, table, resamples=99)
    assert first.difference.difference == pytest.approx(0.3) and first.difference.p == pytest.approx(2 * 0.5**30)
    assert first.adjusted_p == pytest.approx(2 * first.difference.p) and [e.value for e in first.terms] == [0.5, 0.2]
    assert (first.verdict, second.verdict) == ("same direction", "contradicted")
    table = pd.concat([rates(30, 60, "top"), rates(20, 10, "random")])
    table = table[~((table.checkpoint == ROBUST) & (table.condition == "random") & (table.image_id >= 80))]
    asked = place_contrasts((STANDARD, ROBUST), {"top": "random"}, "fooled")
    within, robust, between = contrasted(asked, table, resamples=99)
    assert within.difference.difference == pytest.approx(0.1) and within.verdict == "undecided"
    assert robust.difference.n == between.difference.n == 80
    assert between.difference.difference == pytest.approx((60 - 10 - (30 - 20)) / 80)


def test_stacking_keeps_truth_values_and_drops_what_was_measured_twice() -> None:
    tables = {
        "one": rates(3, 4, "a"), "two": pd.concat([rates(3, 4, "a"), rates(5, 6, "b")]),
        "three": outcomes(share(1) * 7.5, share(1) * 2.5, "clean", "relative_margin"),
    }  # fmt: skip
    table = stacked(tables, ["one", "two", "three", "four"])
    assert len(table) == 600
    (found,) = contrasted(against_standard(STANDARD, [ROBUST], {"x": ("b", "fooled")}), table, resamples=99)
    alone = contrasted([found.contrast], tables["two"], resamples=99)[0]
    assert found.terms[0] == alone.terms[0]  # Wilson, so truth values
    assert stacked({}, ["one"]) is None


def both_subsets(common: tuple[int, int], own: tuple[int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How many of 100 images fool (standard, robust) on the common subset; and on own images, which the two do not share."""
    theirs = rates(*own, "black")
    theirs.loc[theirs.checkpoint == ROBUST, "image_id"] += 1000
    return rates(*common, "black"), theirs


def test_means_and_differences_of_both_subsets() -> None:
    common, own = both_subsets((20, 40), (60, 30))
    asked = (STANDARD, [ROBUST], {"black": ("black", "fooled")}, common)
    first, second = comparison.by_subset(*asked, own, resamples=99)
    assert [mean.value for mean in (*first.means, *second.means)] == [0.2, 0.6, 0.4, 0.3]
    assert first.differences == (None, None)
    paired, unpaired = second.differences
    assert paired.difference == pytest.approx(0.2) and paired.n == 100
    assert unpaired.difference == pytest.approx(-0.3) and unpaired.n == 200 and unpaired.high < 0
    (_, missing) = comparison.by_subset(*asked, own[:100], resamples=99)
    assert missing.means[1] is None and missing.differences[1] is None


def fragile_by_margin(n: int = 600) -> dict[str, pd.DataFrame]:
    """Both models fail with the same odds at equal margin; the robust one has smaller margins."""
    rng = np.random.default_rng(0)
    both = [rng.normal(2.5, 1, n), rng.normal(1.0, 1, n)]
    fooled = [rng.random(n) < 1 / (1 + np.exp(2 * (margin - 1.7))) for margin in both]
    gini = outcomes(rng.normal(0.6, 0.1, n), rng.normal(0.7, 0.1, n), "clean", "global_gini")
    margins = outcomes(*both, "clean", "relative_margin")
    return {"pair": outcomes(*fooled, "N=5 R=2 black"), "margins": margins, "inequality": gini}


COVARIATES = {"relative margin": ("margins", "relative_margin"), "Gini index": ("inequality", "global_gini")}


def test_the_regressions_separate_the_model_from_its_margins() -> None:
    def fitted(names: tuple[str, ...], records: dict[str, pd.DataFrame]) -> dict:
        return explained(names, "N=5 R=2 black", records, "pair", COVARIATES)

    fits, alone = (fitted(names, fragile_by_margin()) for names in ((STANDARD, ROBUST), (ROBUST,)))
    assert list(fits) == ["model", "model + relative margin", "model + relative margin + Gini index"]
    assert fits["model"]["model"].low > 0
    adjusted = fits["model + relative margin"]
    assert adjusted["model"].low < 0 < adjusted["model"].high and adjusted["relative margin"].high < 0
    assert list(alone) == ["relative margin", "relative margin + Gini index"]
    assert alone["relative margin"]["relative margin"].high < 0
    assert fitted((STANDARD, ROBUST), {}) == fitted((ROBUST, "another"), fragile_by_margin()) == {}
