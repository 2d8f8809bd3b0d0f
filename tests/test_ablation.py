"""The promise: chapter 04 attributes with the settings that it names, makes the paper's comparisons, and tests what is faithful."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD, Given, fails, outcomes
from scipy.stats import binomtest
from torch import Tensor, nn

from inequality_phenomenon._support import paths
from inequality_phenomenon.attacks import noise_outcomes, occlude
from inequality_phenomenon.attribution import attribute, resolve_options
from inequality_phenomenon.inequality import global_gini
from inequality_phenomenon.measure import ablation, measurements
from inequality_phenomenon.measure.ablation import PAPER_SETTINGS, SHARES, completeness, deletion_insertion
from inequality_phenomenon.measure.measurements import crossed, inequality, occlusion, occlusion_conditions
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import Sample
from inequality_phenomenon.networks import Classifier
from inequality_phenomenon.show import methods
from inequality_phenomenon.verdicts.comparison import compare, contrasted
from inequality_phenomenon.verdicts.contrasts import faithfulness_contrasts, method_contrasts
from inequality_phenomenon.verdicts.published import published_leaders, table3_cells


@pytest.fixture
def linear(images: Tensor) -> Given:
    """One class has a linear logit, all others 0; the maps are the exact contributions against the mean colour."""
    layer = nn.Linear(3072, 10, bias=False)
    layer.weight.data.zero_()
    layer.weight.data[3] = 0.02 * torch.randn(3072, generator=torch.Generator().manual_seed(0))
    model = Classifier(nn.Sequential(nn.Flatten(), layer)).eval().requires_grad_(False)
    exact = model.normalise(images) * layer.weight[3].view(3, 32, 32)
    return Given("linear", model, images, torch.full((len(images),), 3), list(range(len(images))), given=exact)


def test_completeness_compares_with_the_change_of_the_logit_and_its_error_falls_with_the_steps(run: Run) -> None:
    sample = run.sample(STANDARD)
    errors = [completeness(sample, steps=steps)["completeness_error"].mean() for steps in (2, 10, 50)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.3 * errors[0]
    sample = run.sample(ROBUST)
    logits = sample.model(sample.images) - sample.model(torch.zeros_like(sample.images))
    change = logits.gather(1, sample.labels[:, None])[:, 0]
    for options in ({"baseline": "black"}, {"baseline": "zero", "space": "pixel"}):
        found, total = completeness(sample, steps=3, **options), sample.maps(steps=3, **options).sum((1, 2, 3))
        assert np.allclose(found["change"], change, atol=1e-4)
        assert np.allclose(found["completeness_error"], (total - change).abs(), atol=1e-3)


@pytest.mark.parametrize("fill", ["mean", "black", "blur"])
def test_curves_begin_and_end_at_the_image_and_the_fill(run: Run, fill: str) -> None:
    sample = run.sample(STANDARD)
    found = deletion_insertion(sample, fill=fill)
    clean = sample.model(sample.images).softmax(1).gather(1, sample.labels[:, None])[:, 0].numpy()
    assert np.allclose(found["deletion_0"], clean, atol=1e-4) and np.allclose(found["insertion_100"], clean, atol=1e-4)
    assert np.allclose(found["deletion_100"], found["insertion_0"])
    blank = {"mean": sample.model.normalise.mean.expand(1, 3, 32, 32), "black": torch.zeros(1, 3, 32, 32)}
    if fill in blank:
        expected = sample.model(blank[fill]).softmax(1)[0, sample.labels]
        assert np.allclose(found["deletion_100"], expected, atol=1e-4)


def test_a_share_deletes_the_largest_signed_values_and_no_order_deletes_faster_than_the_exact_one(linear) -> None:
    found = deletion_insertion(linear, shares=(10,))
    exact = linear.given.flatten(1)
    rest = exact.sum(1) - exact.topk(307).values.sum(1)
    assert np.allclose(found["deletion_10"], rest.exp() / (rest.exp() + 9), atol=1e-4)
    best, random = (deletion_insertion(linear, order=order) for order in ("top", "random"))
    for share in SHARES:
        assert (best[f"deletion_{share}"] < random[f"deletion_{share}"]).all()
        assert (best[f"insertion_{share}"] > random[f"insertion_{share}"]).all()
    assert (best["deletion_area"] < random["deletion_area"] / 2).all()
    assert (best["insertion_area"] > random["insertion_area"] + 0.1).all()
    linear.given = -linear.given
    assert (deletion_insertion(linear)["deletion_area"] > random["deletion_area"]).all()


def test_every_variant_is_a_valid_setting_and_unknown_names_are_refused(linear: Given) -> None:
    for options in (PAPER_SETTINGS | ablation.VARIANTS).values():
        resolve_options(**{"method": "integrated_gradients"} | options)
    with pytest.raises(ValueError, match="unknown variant 'Saliency'; known: Gradient; SmoothGrad squared"):
        ablation.chosen_variants(["Gradient", "Saliency"])
    fails(ValueError, "unknown order 'lowest'; known: top, random", deletion_insertion, linear, order="lowest")
    fails(ValueError, "unknown baseline 'white'", deletion_insertion, linear, fill="white")


def test_attribution_reaches_the_attacks_and_squares_are_more_unequal(run: Run) -> None:
    sample = run.sample(STANDARD)
    assert (global_gini(sample.maps().square()) > global_gini(sample.maps())).all()
    maps = attribute(sample.model, sample.images, sample.labels, "gradient", ids=sample.ids)
    arguments = (sample.model, sample.images, sample.labels, maps)
    fooled = noise_outcomes(*arguments, (200,), "type_2", 0, draws=2, ids=sample.ids).fooled
    found = measurements.noise(sample, kind="type_2", budgets=(200,), draws=2, attribution={"method": "gradient"})
    assert np.allclose(found["failure_200"], fooled[:, 0].double().mean(1))
    hit = occlude(*arguments, 5, 2, "black", ids=sample.ids)
    own = occlusion(sample, attribution={"method": "gradient"}, max_count=5, max_radius=2)
    assert own["fooled"].equal(hit.fooled)
    assert (own["fooled"] != occlusion(sample, max_count=5, max_radius=2)["fooled"]).any()


def test_table_3_is_carried_over_cell_by_cell_and_names_its_leaders() -> None:
    cells = table3_cells(102, (5, 2))
    published = pd.read_csv(paths.PUBLISHED_VALUES)
    assert {cell.id for cell in cells} == set(published[published.table == "table3"].id) and len(cells) == 48
    patches = occlusion_conditions([(5, 2)], ["black", "gray", "white"])
    measured = {*PAPER_SETTINGS, *crossed(PAPER_SETTINGS, measurements.NOISE_KINDS), *crossed(PAPER_SETTINGS, patches)}
    assert {cell.condition for cell in cells} == measured
    found = {(cell.condition, cell.checkpoint): cell for cell in cells}
    assert found["SmoothGrad", ROBUST].paper == 0.98 and found["SmoothGrad", ROBUST].baseline == (STANDARD, 0.75)
    assert found["GradientShap, type II", STANDARD].paper == pytest.approx(0.547)
    assert found["Input X Gradient, N=5 R=2 white", ROBUST].paper == pytest.approx(0.632)
    assert all(cell.baseline is None or cell.paper > cell.baseline[1] for cell in cells)
    found = published_leaders().set_index("")
    assert len(found) == 12 and found.Largest["Gini index, standard"] == "SmoothGrad"
    assert found.Largest["type II, standard"] == "Integrated Gradients"  # 55.5 against 45.0
    assert found.Largest["N=5 R=10 black, standard"] == "SmoothGrad"  # 32.3 against 31.6
    assert "in 7 of 12 columns" in methods.leaders_table(name="x").text


def test_stacked_records_of_table_3_keep_their_tests(run: Run) -> None:
    settings = {"Input X Gradient": PAPER_SETTINGS["Input X Gradient"]}
    run.measure(inequality, settings)
    run.measure(occlusion, crossed(ablation.attributed(settings), occlusion_conditions([(5, 2)], ["black"])))
    table = pd.concat([run.records["inequality"], run.records["occlusion"]], ignore_index=True)
    found = {c.cell.id: c for c in compare(table3_cells(102, (5, 2)), table, resamples=199) if c.ours and c.difference}
    assert set(found) == {"table3.087", "table3.090"}
    fooled = run.records["occlusion"].pivot(index="image_id", columns="checkpoint", values="fooled")
    only = [(fooled[a] & ~fooled[b]).sum() for a, b in ((ROBUST, STANDARD), (STANDARD, ROBUST))]
    expected = binomtest(int(only[0]), int(sum(only))).pvalue if sum(only) else 1.0
    assert found["table3.090"].difference.p == pytest.approx(expected)


def test_contrasts_have_the_sign_of_the_statement() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(0.2, 0.01, 50), rng.normal(0.4, 0.01, 50)
    areas = [outcomes(low, low, "A", "deletion_area"), outcomes(high, high, "random order", "deletion_area")]
    failures = [outcomes(high, low, "A, type I", "failure"), outcomes(low, high, "C, type I", "failure")]
    table, titles = pd.concat([*areas, *failures]), {STANDARD: "standard", ROBUST: "robust"}
    rows = faithfulness_contrasts(["A"], titles)
    assert [row.label for row in rows][:2] == ["deletion: A, standard", "deletion: A, robust"]
    assert {item.verdict for item in contrasted(rows[:2], table, resamples=199)} == {"same direction"}
    stronger = method_contrasts("A", ["C"], titles, {", type I": "failure"})
    assert [row.label for row in stronger] == ["type I: A − C, standard", "type I: A − C, robust"]
    assert [item.verdict for item in contrasted(stronger, table, resamples=199)] == ["same direction", "contradicted"]


def test_figures_tables_and_maps_of_real_records(run: Run) -> None:
    settings = {name: PAPER_SETTINGS[name] for name in ("Input X Gradient", "Integrated Gradients")}
    records = run.measure(inequality, settings)
    shown = methods.methods_figure(records, list(settings), {"Gini index": ("", "global_gini", "Gini")}, name="x")
    means = records.groupby(["condition", "checkpoint"]).global_gini.mean()
    assert all(f"{name}, ℓ∞ 8/255: {means[name, ROBUST]:.3f} [" in shown.alt for name in settings)
    higher = sum(means[name, ROBUST] > means[name, STANDARD] for name in settings)
    assert f"the higher one in {higher} of 2 pairs" in shown.text
    orders = {name: {"attribution": options} for name, options in settings.items()}
    curves = run.measure(deletion_insertion, orders | {"random order": {"order": "random"}})
    shown = methods.faithfulness_figure(curves, [0, *SHARES, 100], name="x")
    assert "deletion, random order: area" in shown.alt and "Best area: standard, deletion:" in shown.text
    grid = {f"black, {steps} steps": {"baseline": "black", "steps": steps} for steps in (2, 8)}
    errors, indices = run.measure(completeness, grid), run.measure(inequality, grid, name="grid")
    text = methods.completeness_table(errors, indices, name="x").text
    own = errors[(errors.checkpoint == STANDARD) & (errors.condition == "black, 2 steps")]
    relative = own.completeness_error.mean() / own.change.abs().mean()
    assert text.count("black, 2 steps") == 2 and "n = 20" in text and f"<strong>{100 * relative:.1f} %" in text
    sample = run.sample(STANDARD)
    few = Sample(STANDARD, sample.model, sample.images[:2], sample.labels[:2], sample.ids[:2])
    settings = {"Gradient": {"method": "gradient"}, "Input X Gradient": {"method": "input_x_gradient"}}
    shown = methods.maps_by_method({STANDARD: few}, settings, seed=0, name="x")
    names = ", ".join(few.classes[int(label)] for label in few.labels)
    assert f"Grid of 2 images ({names}) and their maps by Gradient, Input X Gradient" in shown.alt and shown.png
