"""The promise: the chapters on l2 training, pruning, Cutout and distillation show the same panel, each against what it names."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROBUST, STANDARD
from scipy.stats import ttest_ind

from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure import panel
from inequality_phenomenon.measure.accuracy import PGD, measure_attack, pgd_evaluation
from inequality_phenomenon.measure.measurements import centre_share
from inequality_phenomenon.measure.panel import TRAINING_RECORDS, panel_columns, repeated, subjects
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.show import report
from inequality_phenomenon.verdicts.comparison import Contrasted, contrasted

SUBJECT = "cifar10-resnet18w16-linf4-s0"
N = 8


def opened(name: str, n_images: int, **parameters) -> chapter.Chapter:
    return chapter.open(name, {"profile": "smoke", "n_images": n_images} | parameters)


@pytest.fixture(scope="module")
def run() -> chapter.Chapter:
    """Chapter 9 with a network that is registered in the place of the one it is about."""
    run = opened("09_cutout", N, models=[STANDARD, ROBUST, SUBJECT], attack_images=N)
    panel.measure_panel(run)
    measure_attack(run, pgd_evaluation, PGD, [ROBUST, *subjects(run)], run.options["attack_images"])
    return run


def test_every_quantity_of_the_panel_and_its_price_is_measured_and_contrasted(run: Run) -> None:
    assert run.pair == (STANDARD, ROBUST) and subjects(run) == [SUBJECT]  # what is not compared with
    ginis, rates = report.panel_contrasts(run, ROBUST)
    assert {c.label for c in ginis} | {c.label for c in rates} == set(panel_columns(run))
    for contrasts, records in ((ginis, run.records["inequality"]), (rates[:1], run.records["occlusion"])):
        for item in contrasted(contrasts, records, resamples=99):
            (name, condition, column), _ = item.contrast.terms
            own = records[records.condition == condition].groupby("checkpoint")[column].mean()
            assert name == SUBJECT and item.difference.n == N
            assert item.difference.difference == pytest.approx(own[name] - own[ROBUST], abs=1e-9)
    records = run.records["pgd_evaluation"]
    clean, robust = contrasted(report.price_contrasts(run, ROBUST), records, resamples=99)
    rows = records[records.condition == f"{PGD}, linf 8/255"].set_index(["checkpoint", "image_id"])
    expected = rows.loc[SUBJECT].robust.mean() - rows.loc[ROBUST].robust.mean()
    assert robust.difference.difference == pytest.approx(expected)
    assert clean.difference.n == robust.difference.n == N  # right or wrong, not only the common subset
    priced = run.ours.contrast(report.price_contrasts(run.ours, ROBUST), "pgd_evaluation")
    assert "under PGD-20" in show.contrast_table(priced, name="p", caption="c").html


def test_the_page_shows_every_model_both_kinds_of_difference_and_networks_of_the_usual_width(run) -> None:
    table = report.panel_table(run.ours, name="t").html
    assert all(title in table for title in ("standard", "ℓ∞ 8/255", "ℓ∞ 4/255", "noise type II"))
    assert table.count("n = 8<") == 3 * len(panel_columns(run))
    assert report.panel_figure(run.ours, name="f").alt.count("ℓ∞ 4/255") == len(panel_columns(run))
    found = run.ours.panel(ROBUST)
    html = report.differences(found, ROBUST, name="d").html
    assert "tab-d-gini" in html and "tab-d-points" in html and html.count("n = 8</small>") == len(panel_columns(run))
    short = report.remedies_in_short(run.ours, found).text
    assert "ℓ∞ 4/255 changes the global Gini index of ℓ∞ 8/255 by" in short and "n = 8" in short
    large = {name: run.records[name].query("checkpoint == @ROBUST") for name in panel.RECORDS}
    large = {name: table.assign(checkpoint=ROBUST.replace("w16", "w64")) for name, table in large.items()}
    html = report.panel_table(run.ours, large, name="t").html
    assert html.count("(full size:") == 1 and html.count("n = 8<") == 4 * len(panel_columns(run))


def test_without_a_trained_subject_nothing_is_claimed() -> None:
    run = opened("11_gradient_distillation", 2, models=[STANDARD, ROBUST])
    found = run.ours.panel(ROBUST)
    assert "no network for it is trained" in report.differences(found, name="d", caption="").html
    assert "Not measured here" in report.remedies_in_short(run.ours, found).text


def test_the_share_in_the_middle_is_that_of_a_quarter_of_the_pixels(run: Run) -> None:
    sample = run.sample(STANDARD)
    maps = np.abs(sample.maps().numpy().astype(float))
    expected = maps[:, :, 8:24, 8:24].sum((1, 2, 3)) / maps.sum((1, 2, 3))
    assert centre_share(sample)["centre_share"] == pytest.approx(expected, rel=1e-5)


def records_of(cells: dict[tuple[str, str, str], np.ndarray]) -> list[pd.DataFrame]:
    """The three records of the panel: (network, condition, column) -> a value an image."""
    keys, kinds = ["checkpoint", "condition", "column", "image_id"], ("gini", "fooled", "failure")
    parts = [{key: pd.Series(values) for key, values in cells.items() if kind in key[2]} for kind in kinds]
    return [pd.concat(part, names=keys).unstack("column").reset_index() for part in parts]


def repeated_records(run: Run, gap: float) -> dict[str, pd.DataFrame]:
    """Made-up records of six networks on the same images: the l_inf ones lie ``gap`` above the standard ones."""
    rng, cells = np.random.default_rng(0), {}
    for kind, checkpoints in enumerate(map(repeated, run.pair)):
        for seed, checkpoint in enumerate(checkpoints):
            centre = 0.3 + gap * kind + 0.01 * seed
            for condition, column in panel_columns(run).values():
                values = rng.random(400) < centre if column == "fooled" else rng.normal(centre, 0.01, 400)
                cells[checkpoint, condition, column] = values
    return dict(zip(TRAINING_RECORDS, records_of(cells), strict=True))


def trainings(run: chapter.Chapter) -> list[list[Contrasted]]:
    return [run.ours.contrast(group, *TRAINING_RECORDS) for group in report.training_contrasts(run.ours)]


def test_trainings_are_compared_over_networks_and_fewer_than_three_are_too_few() -> None:
    run = opened("13_is_it_inequality", 2)
    names = [*repeated(run.pair[1]), *repeated(run.pair[0])]
    assert all(name.endswith(f"-s{i % 3}") for i, name in enumerate(names))
    run.records = repeated_records(run, gap=0.2)
    found = trainings(run)
    for group in found:
        for item in group:
            assert [term[0] for term in item.contrast.terms] == names
            means = [term.value for term in item.terms]
            expected = ttest_ind(means[:3], means[3:], equal_var=False)
            assert item.difference.p == pytest.approx(expected.pvalue)
            assert item.verdict == "same direction" and item.difference.n == 6
    html = report.differences(found, name="t", caption="").html
    assert html.count("n = 6 networks, 400 images") == len(panel_columns(run))
    every = len(panel_columns(run))
    assert f"In {every} of {every} quantities" in report.trainings_figure(found, name="f").html
    run.records = repeated_records(run, gap=0.0)
    found = trainings(run)
    assert {item.verdict for part in found for item in part} == {"undecided"}
    assert f"In 0 of {every} quantities" in report.trainings_figure(found, name="f").html
    run.records = repeated_records(run, gap=0.2)
    run.records = {name: table[~table.checkpoint.str.endswith("-s2")] for name, table in run.records.items()}
    found = trainings(run)
    assert "fewer than three networks" in report.trainings_figure(found, name="f").html
    assert "networks, " not in report.differences(found, name="t", caption="").html


def test_slopes_are_shown_for_every_rate_and_group() -> None:
    """Made-up outcomes: the higher the index, the more is fooled in one network; in the other it is the other way round."""
    run = opened("13_is_it_inequality", 2)
    rng, cells = np.random.default_rng(0), {}
    for checkpoint, sign in zip(run.pair, (1, -1), strict=True):
        gini = rng.normal(0.6, 0.05, 500)
        chance = 1 / (1 + np.exp(-sign * 40 * (gini - 0.6)))
        cells |= {(checkpoint, *place): rng.random(500) < chance for place in panel_columns(run).values()}
        cells |= {(checkpoint, "", name): gini for name in ("global_gini", "regional_gini_sum_of_absolute")}
    run.records = dict(zip(panel.RECORDS, records_of(cells), strict=True))
    run.records["margins"] = run.records["inequality"].assign(relative_margin=rng.normal(size=1000))
    covariates = {"relative margin": ("margins", "relative_margin"), "Gini index": ("inequality", "global_gini")}
    standard, robust = run.pair
    groups = [(standard,), (robust,), ("cifar10-resnet18w16-linf3-s0",)]
    shown = report.slopes_table(run.ours, groups, covariates, name="s").html
    rates = [label for label in panel_columns(run) if "Gini" not in label]
    assert f"standard: raises {len(rates)}, lowers 0 of {len(rates)}" in shown
    assert f"8/255: raises 0, lowers {len(rates)} of {len(rates)}" in shown
    assert f"3/255: raises 0, lowers 0 of {len(rates)}" in shown and "n = 500" in shown
