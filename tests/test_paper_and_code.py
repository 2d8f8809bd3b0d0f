"""The promise: chapter 12 sets the text beside the scripts choice by choice, and the published numbers are recomputed."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD, Given, fails, outcomes
from torch import Tensor

from inequality_phenomenon import REGISTRY, show
from inequality_phenomenon._support import paths
from inequality_phenomenon.attacks import mask_areas, occlude, patch_centres, patch_mask
from inequality_phenomenon.attribution import baseline_of, resolve_options
from inequality_phenomenon.inequality import REDUCES, gini, global_gini, regional_gini
from inequality_phenomenon.measure import measurements, readings
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import Sample
from inequality_phenomenon.show import ledger
from inequality_phenomenon.statistics import holm
from inequality_phenomenon.verdicts import choices
from inequality_phenomenon.verdicts.comparison import compare, contrasted
from inequality_phenomenon.verdicts.published import table1_cells


def given(run: Run, maps: Tensor) -> Given:
    return Given(**vars(run.sample(STANDARD).at(slice(len(maps)))), given=maps)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_relation_holds_for_any_map_and_its_columns_are_what_they_name(run: Run) -> None:
    found = readings.positive_part(given(run, normal(6, 3, 32, 32).exp() - 0.3 * normal(6, 3, 32, 32, seed=1).exp()))
    assert np.allclose(found["identity"], found["positive"], atol=1e-12)
    assert (found["half_rule"] - found["positive"]).abs().max() > 0.01
    half = normal(6, 3, 16, 32)
    found = readings.positive_part(given(run, torch.cat([half, -half], dim=2)))
    assert np.allclose(found["half_rule"], found["positive"], atol=1e-12) and (found["share"] == 0.5).all()
    assert np.allclose(found["among_positive"], found["absolute"], atol=1e-12)
    sample = run.sample(STANDARD)
    maps, found = sample.maps(), readings.positive_part(sample)
    assert np.allclose(found["absolute"], global_gini(maps))
    assert np.allclose(found["share"], measurements.inequality(sample)["positive_fraction"])
    assert np.allclose(found["positive"], regional_gini(maps, 4, "no_blocks_positive"))
    quarter = torch.zeros(2, 3, 32, 32).index_fill(2, torch.arange(8), 1)  # which shares everything: the index is 3/4
    assert np.allclose(readings.positive_part(given(run, quarter))["held_by_top"], 1)
    assert (readings.positive_part(given(run, normal(2, 3, 32, 32)))["held_by_top"] < 0.9).all()


def test_the_published_table_follows_the_half_rule_and_statements_about_it_hold() -> None:
    found = choices.table1_relation()
    assert len(found) == 25 and (found.published_regional > found.published_global).all()
    assert found.residual.abs().mean() == pytest.approx(0.0156)
    standard = found[found.training == "standard"].set_index(["dataset", "architecture"]).residual
    assert standard.drop(("imagenet", "resnet50")).abs().max() <= 0.0051
    assert standard["imagenet", "resnet50"] == pytest.approx(0.03)
    found = choices.checks()
    assert len(found) == 8 and found.holds.all() and "25 of 25 cells" in set(found.numbers)
    assert ledger.checks_table(found, name="x").text.count("yes") == 8


def test_products_of_normal_numbers_have_their_indices_and_maps_of_such_are_not_told_from_the_null(run: Run) -> None:
    product = (normal(1, 400_000) * normal(1, 400_000, seed=1)).double()
    assert float(gini(product.abs())) == pytest.approx(readings.PRODUCT_OF_NORMALS, abs=0.003)
    assert float(gini(product.clamp_min(0))) == pytest.approx(readings.POSITIVE_PRODUCT_OF_NORMALS, abs=0.003)
    assert pytest.approx(0.5708, abs=1e-4) == readings.PRODUCT_OF_NORMALS
    assert pytest.approx((1 + readings.PRODUCT_OF_NORMALS) / 2) == readings.POSITIVE_PRODUCT_OF_NORMALS
    found = readings.product_null(given(run, steps_of(run.sample(STANDARD)) * (0.3 + normal(20, 3, 32, 32))))
    mean = {kind: float(values.mean()) for kind, values in found.items()}
    for sign in ("", "_positive"):
        # Pixels minus a normal baseline are not quite normal: 0.01 on average, and the draws differ between processors.
        assert mean[f"measured{sign}"] == pytest.approx(mean[f"normal{sign}"], abs=0.02)
        assert mean[f"measured{sign}"] == pytest.approx(mean[f"shuffled{sign}"], abs=0.01)


def steps_of(sample: Sample) -> Tensor:
    start = baseline_of(sample.model, sample.images, sample.ids, resolve_options("integrated_gradients"))
    return sample.model.normalise(sample.images) - start


def test_the_null_keeps_means_and_spreads_and_sees_heavy_tails_and_dependence_apart(run: Run) -> None:
    """Where the gradient is constant, its null is too: the products are the normal null of the step alone."""
    step = steps_of(run.sample(STANDARD))
    found = readings.product_null(given(run, 2.5 * step))
    assert np.allclose(found["measured"], global_gini(step), atol=1e-5)
    assert np.allclose(found["shuffled"], found["measured"], atol=1e-5)
    heavy = readings.product_null(given(run, step * normal(20, 3, 32, 32) ** 3))
    assert (heavy["shuffled"] > heavy["normal"] + 0.1).all()
    assert float(heavy["measured"].mean()) == pytest.approx(float(heavy["shuffled"].mean()), abs=0.02)
    linked = readings.product_null(given(run, step * step * normal(20, 3, 32, 32)))
    assert (linked["measured"] > linked["shuffled"] + 0.02).all()
    sample = run.sample(STANDARD)
    sample.images[0, 0, 0, 0] = 0
    fails(ValueError, "a subpixel equals its baseline", readings.product_null, sample, baseline="zero", space="pixel")


def test_all_masks_find_what_the_search_finds(run: Run) -> None:
    sample = run.sample(STANDARD)
    for options in ({}, {"color": "minimum", "positions": "top_pixels"}, {"color": "white"}):
        found = readings.readings_of_algorithm_1(sample, max_count=3, max_radius=4, **options)
        arguments = (sample.model, sample.images, sample.labels, sample.maps(), 3, 4)
        hit = occlude(*arguments, ids=sample.ids, locate=True, **{"color": "black"} | options)
        assert found["fooled"].equal(hit.fooled) and found["fooled"].any()
        assert found["area_count_outer"].equal(torch.where(hit.fooled, hit.area, 0))
        single = occlude(*arguments, ids=sample.ids, search="single", **{"color": "black"} | options)
        assert found["fooled_largest"].equal(single.fooled)


def test_the_readings_of_algorithm_1_by_plain_loops(run: Run) -> None:
    sample = run.sample(ROBUST)
    found = readings.readings_of_algorithm_1(sample, max_count=4, max_radius=4)
    maps = sample.maps()
    centres, areas = patch_centres(maps, 4), mask_areas(maps, 4, 4)
    for i in range(8):
        fooled = {}
        for n, r in itertools.product(range(1, 5), range(1, 5)):
            hidden = sample.images[[i]] * ~patch_mask(centres[[i], :n], r, 32, 32)  # black
            fooled[n, r] = bool(sample.model(hidden).argmax() != sample.labels[i])
        assert found["fooled"][i] == found["fooled_radius_outer"][i] == any(fooled.values())
        last = None
        for n in range(1, 5):  # the printed loops: break leaves the inner one only
            for r in range(1, 5):
                last = fooled[n, r]
                if last:
                    break
        assert found["fooled_as_printed"][i] == last
        assert found["fooled_side_r"][i] == any(fooled[n, r] for n, r in fooled if r <= 2)
        first = next(((n, r) for r in range(1, 5) for n in range(1, 5) if fooled[n, r]), None)
        assert found["area_radius_outer"][i] == (areas[i, first[0] - 1, first[1] - 1] if first else 0)


def test_the_most_that_a_budget_can_hide_by_known_values_and_by_trying_all() -> None:
    known = {(10, 4): 624, (10, 4, 32, 1): 640, (5, 2): 80, (10, 20, 224, 16): 16000}
    assert {budget: readings.most_hidden(*budget) for budget in known} == known
    for count, radius, region in ((2, 2, 4), (3, 3, 2), (2, 3, 1), (3, 4, 4)):
        places = list(itertools.product(range(region // 2, 8, region), repeat=2))
        masks = patch_mask(torch.tensor(list(itertools.combinations(places, count))), radius, 8, 8)
        assert readings.most_hidden(count, radius, 8, region) == masks.flatten(1).sum(1).max()


def effects_of(rows: list[choices.Choice], table: pd.DataFrame | None, resamples: int) -> list[choices.Effect]:
    pair = (STANDARD, ROBUST)
    found = contrasted(choices.choice_contrasts(rows, pair), table, resamples=resamples)
    return choices.choice_effects(rows, pair, found)


def test_every_choice_has_its_records(run: Run) -> None:
    """Conditions and columns exist, and a condition changes what it says: the two sides are never the same numbers."""
    few, conditions = {"n_images": 3}, readings.text_and_scripts()["conditions"]
    methods = {label: options | {"steps": 4, "samples": 4} for label, options in conditions["methods"].items()}
    small = {"max_count": 5, "max_radius": 2}
    noises = {name: {"draws": 2} | options for name, options in conditions["noise"].items()}
    patches = {name: small | options for name, options in conditions["patches"].items()}
    indices = run.measure(measurements.inequality, conditions["inequality"] | methods, **few)
    fooled = run.measure(measurements.noise, noises, budgets=(102,), **few)
    masks = run.measure(readings.readings_of_algorithm_1, patches, **few)
    table = pd.concat([indices, fooled, masks], ignore_index=True)
    for rows in choices.choices(102).values():
        found = effects_of(rows, table, 99)
        assert [effect.choice for effect in found] == rows and all(effect.measured for effect in found)
        for effect in found:
            assert effect.choice.text != effect.choice.scripts
            an_index = effect.choice.text[1].startswith(("global", "regional"))
            assert not an_index or all(item.difference.difference != 0 for item in effect.changes), effect.choice
    text = ledger.differences_table(choices.choices(102), name="x").text
    assert "a square of side 2r" in text and "k + 1" in text and text.count("50 steps from the mean colour") == 1


def test_a_choice_that_turns_the_gap_is_counted() -> None:
    low, high = np.arange(100) < 10, np.arange(100) < 60
    table = pd.concat([outcomes(low, high, "before", "fooled"), outcomes(high, low, "after", "fooled")])
    before, after = ("before", "fooled"), ("after", "fooled")
    rows = [choices.Choice(name, "text", "scripts", before, to) for name, to in (("turned", after), ("same", before))]
    turned, same = found = effects_of(rows, table, 199)
    assert turned.gaps[0] is same.gaps[0] is same.gaps[1]  # one test, not three, for the same two numbers
    every = [item for effect in found for item in (*effect.changes, *effect.gaps)]
    adjusted = {item.contrast.terms: item for item in every}.values()
    assert holm([item.difference.p for item in adjusted]) == pytest.approx([item.adjusted_p for item in adjusted])
    assert [item.verdict for item in turned.gaps] == ["same direction", "contradicted"]
    assert [item.difference.difference for item in turned.changes] == pytest.approx([0.5, -0.5])
    text = show.listed(ledger.changes_sentences({"Table 2": found})).text
    assert "Table 2. Of 2 changes, 1 move a number" in text
    assert "changes in 1: turned (scripts): same direction → contradicted." in text
    shown = ledger.ledger_table(found, name="x", caption="c").text
    assert "10.0 % → 60.0 %" in shown and "no image changes" in shown
    none = effects_of(rows, None, 199)
    assert "Not measured here" in ledger.ledger_table(none, name="x", caption="c").text
    assert ledger.changes_sentences({"Table 2": none}) == ["<strong>Table 2.</strong> Not measured here."]


def test_sets_of_images_are_those_that_all_named_networks_get_right(run: Run) -> None:
    run.options = {"sets": ["pair", "occlusion"]}
    assert readings.script_sets(run) == {"two networks": (STANDARD, ROBUST)}  # the ladder is not registered here
    sample, other = (run.sample(name, 30, own=(STANDARD, ROBUST)) for name in (ROBUST, STANDARD))
    assert sample.ids == other.ids and len(set(sample.ids)) == 30
    assert all((found.model(found.images).argmax(1) == found.labels).all() for found in (sample, other))
    alone = run.sample(STANDARD, 30, own=True)
    assert [i for i in alone.ids if i in set(sample.ids)] == sample.ids[: len(set(alone.ids) & set(sample.ids))]
    run.options = {"sets": ["all"]}
    fails(ValueError, "unknown set of images all; known: pair, occlusion", readings.script_sets, run)


@pytest.mark.parametrize(("cell", "value", "word"), [
    ("section4.3.131", "60.0", "Random noise"), ("table2.080", "99", "same round number"),
    ("table2.066", "45", "abstract"), ("table1.011", "0.5", "exceeds the global one"),
    ("table1.016", "0.82", "to rounding"),
])  # fmt: skip
def test_a_statement_fails_with_another_published_number(cell, value: str, word: str, tmp_path, monkeypatch) -> None:
    table = pd.read_csv(paths.PUBLISHED_VALUES, keep_default_na=False)
    assert (table.id == cell).sum() == 1
    table.loc[table.id == cell, "value"] = value
    table.to_csv(tmp_path / "published.csv", index=False)
    monkeypatch.setattr(paths, "PUBLISHED_VALUES", tmp_path / "published.csv")
    found = choices.checks()
    assert not found[found.statement.str.contains(word)].holds.any()


def test_a_reading_with_the_published_values_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "_entries", {})
    cells = [c for c in table1_cells("regional_gini_sum_of_absolute") if c.label.startswith("ResNet-18")]
    rng, tables = np.random.default_rng(0), []
    for cell in cells:
        means = dict.fromkeys(REDUCES, 0.3) | {"positive_of_sum": cell.paper}
        columns = {f"regional_gini_{reduce}": rng.normal(mean, 0.01, 40) for reduce, mean in means.items()}
        tables.append(pd.DataFrame(columns).assign(checkpoint=cell.checkpoint, image_id=range(40), condition="text"))
    compared = compare(choices.reading_cells(["text", "scripts"]), pd.concat(tables), resamples=199)
    found = ledger.by_reading(compared)
    assert len(found) == 10 and ledger.closeness(found["positive_of_sum", "text"])[0] == 5
    assert ledger.closeness(found["sum_of_absolute", "text"])[::2] == (0, 5)
    assert math.isnan(ledger.closeness(found["positive_of_sum", "scripts"])[1])
    text = ledger.readings_table(compared, name="x").text
    assert "5 of 5" in text and "maps of the scripts" not in text
    closest = "positive of sum on the maps of the text comes closest"
    assert f"Of 5 combinations of a reading and maps, {closest}" in text


def test_readings_of_algorithm_1_stand_beside_the_black_cells_of_a10() -> None:
    cells = choices.algorithm_cells({"any": ("large", "fooled"), "printed": ("large", "fooled_as_printed")})
    assert [cell.paper for cell in cells] == pytest.approx([0.346, 0.604] * 2)
    assert len({cell.id for cell in cells}) == 4 and cells[3].column == "fooled_as_printed"
    low, high = np.arange(100) < 35, np.arange(100) < 60
    table = outcomes(low, high, "large", "fooled").assign(fooled_as_printed=False)
    found = compare(cells, table, resamples=199)
    assert [item.verdict for item in found] == ["reproduced", "reproduced", "differs", "undecided"]
    html = show.comparison_table(found, name="x", caption="c").html
    assert "any, ℓ∞ 8/255</th><td>60.4 %</td><td><strong>60.0 %</strong>" in html
    assert "<td><strong>+25.0 points</strong> <small>" in html


def test_figures_of_real_records(run: Run) -> None:
    indices = run.measure(measurements.inequality, {"text": {}, "scripts": {"preset": "released", "steps": 3}})
    on_text = indices[indices.condition == "text"]
    parts, null = run.measure(readings.positive_part), run.measure(readings.product_null)
    shown = ledger.relation_figure(choices.table1_relation(), parts, on_text, name="x")
    assert "mean absolute error of 0.016 over 25 cells" in shown.text
    assert f"global {parts[parts.checkpoint == ROBUST].absolute.mean():.3f}" in shown.alt
    assert "exceed the map's own index on 0 of 40 maps" in ledger.relation_table(parts, on_text, name="x").text
    shown = ledger.null_figure(null, name="x").text
    gap = null[null.checkpoint == ROBUST].measured.mean() - null[null.checkpoint == STANDARD].measured.mean()
    assert "0.571 and 0.785" in shown and f"is {gap:+.3f}:" in shown
    assert "Published ±" in ledger.spread_table(choices.table1_relation(), indices, name="x").text
    grid = run.measure(readings.readings_of_algorithm_1, {"small": {"max_count": 2, "max_radius": 2}})
    assert "<strong>0.0 %</strong>" in ledger.loops_table(grid, name="x").text
    assert (
        "not measured here" in ledger.loops_table(grid.assign(fooled=False, fooled_radius_outer=False), name="x").text
    )
    assert "60.9 %" in ledger.area_table({"N=10 R=4": (624, 1024)}, name="x").text


@pytest.mark.parametrize("seed", range(5))
def test_block_sums_never_exceed_the_index_of_the_map(seed: int) -> None:
    maps = normal(4, 3, 32, 32, seed=seed) ** (1 + 2 * (seed % 3))
    for region in (1, 2, 4, 8, 16):
        assert (regional_gini(maps, region, "sum_of_absolute") <= global_gini(maps) + 1e-12).all()
    repeated = maps.abs().reshape(4, 3, 8, 4, 8, 4).sum((1, 3, 5)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.allclose(gini(repeated.flatten(1)), regional_gini(maps, 4))  # each pixel given its block's sum
