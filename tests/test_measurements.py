"""The promise: what chapters 02 and 03 measure is what they say, on the images that they name."""

import math
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD, entry, fails
from torch import Tensor

from inequality_phenomenon import REGISTRY, load_checkpoint
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.attacks import mask_areas, noise_outcomes, occlude, perturb_with_noise
from inequality_phenomenon.inequality import REDUCES, regional_gini
from inequality_phenomenon.measure import galleries, measurements
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import Sample, measure
from inequality_phenomenon.robustness import correct
from inequality_phenomenon.show.attacks import occlusion_pictures
from inequality_phenomenon.verdicts.agreement import agreement
from inequality_phenomenon.verdicts.comparison import contrasted, minus
from inequality_phenomenon.verdicts.published import published_values

SECOND = "cifar10-resnet18w16-linf8_pgd3-s0"


def test_noise_is_the_share_of_draws_that_fool_and_a_draw_the_same_whatever_their_number(run: Run) -> None:
    sample = run.sample(ROBUST)
    found = measurements.noise(sample, kind="type_2", budgets=(50, 300), draws=3, seed=4)
    maps = sample.maps(seed=4)
    for budget in (50, 300):
        fooled = torch.zeros(20)
        for draw in range(3):
            own = {"draw": draw, "ids": sample.ids}
            noisy = perturb_with_noise(sample.model, sample.images, maps, budget, "type_2", 4, **own)
            fooled += sample.model(noisy).argmax(1) != sample.labels
        assert np.allclose(found[f"failure_{budget}"], fooled / 3)
    assert found["failure_300"].mean() > found["failure_50"].mean()
    assert found["close_call"].dtype == bool and found["close_call"].shape == (20,)
    sample = run.sample(STANDARD)
    for own in ({}, {"positions": "random"}):
        short, long = (measurements.noise(sample, budgets=(300,), draws=n, seed=4, **own) for n in (2, 5))
        assert (short["draws_300"] >> 2 == 1).all() and (long["draws_300"] >> 5 == 1).all()
        assert (long["draws_300"] & 3 == short["draws_300"] & 3).all()
        bits = long["draws_300"][:, None] >> torch.arange(5) & 1
        assert 0 < bits.sum() < bits.numel() and np.allclose(bits.double().mean(1), long["failure_300"])


def test_maps_of_another_model_choose_the_places(run: Run) -> None:
    sample = run.sample(ROBUST)
    theirs = run.sample(STANDARD).maps(seed=0)
    arguments = (sample.model, sample.images, sample.labels, theirs)
    expected = noise_outcomes(*arguments, (200,), "type_2", 0, draws=2, ids=sample.ids)
    for maps_from in (STANDARD, {ROBUST: STANDARD, STANDARD: ROBUST}):
        found = measurements.noise(sample, kind="type_2", budgets=(200,), draws=2, maps_from=maps_from)
        assert np.allclose(found["failure_200"], expected.fooled[:, 0].double().mean(1))
    hit = occlude(*arguments, 5, 2, "black", ids=sample.ids)
    assert measurements.occlusion(sample, maps_from=STANDARD, max_count=5, max_radius=2)["fooled"].equal(hit.fooled)


def test_the_energy_is_the_root_mean_square_of_the_noise_and_reaches_the_attack(run, monkeypatch) -> None:
    sample = run.sample(STANDARD)
    maps = sample.maps()
    arguments = (sample.model, sample.images, maps, 102)
    noises = [perturb_with_noise(*arguments, positions="random", draw=draw) - sample.images for draw in range(40)]
    squares = torch.cat(noises).square().flatten(1).sum(1)
    assert math.sqrt(float(squares.mean())) == pytest.approx(measurements.noise_energy(sample, 102), rel=0.02)
    assert measurements.noise_energy(sample, 408) == pytest.approx(2 * measurements.noise_energy(sample, 102))
    spy = Mock(wraps=noise_outcomes)
    monkeypatch.setattr(measurements, "noise_outcomes", spy)
    measurements.noise(sample, budgets=(10, 40), draws=1, equal_energy=True)
    spy.assert_called_once()
    energy = spy.call_args.kwargs["energy"]
    assert energy.shape == (20, 2)
    assert energy[7].tolist() == pytest.approx([measurements.noise_energy(sample, budget) for budget in (10, 40)])


def test_occlusion_and_its_first_success_and_masks_of_a_given_area(run: Run) -> None:
    sample = run.sample(STANDARD)
    plain = measurements.occlusion(sample, max_count=10, max_radius=4, color="black")
    located = measurements.occlusion(sample, max_count=10, max_radius=4, color="black", locate=True)
    assert (plain["fooled"] == located["fooled"]).all() and plain["fooled"].any()
    assert (located["area"] > 0).tolist() == located["fooled"].tolist()
    areas = mask_areas(sample.maps(), 10, 4)
    hit = located["fooled"].nonzero()[:, 0]
    assert located["area"][hit].equal(areas[hit, located["count"][hit] - 1, located["radius"][hit] - 1])
    hidden = measurements.occluded_area(sample, max_count=10, max_radius=4)["area"]
    assert (hidden == areas[:, -1, -1]).all() and (located["area"] <= hidden).all()
    # What the chapter says of the primary budget: patches are regions, so they never overlap.
    assert (measurements.occluded_area(sample, max_count=5, max_radius=2)["area"] == 80).all()
    all_black = sample.model(torch.zeros(1, 3, 32, 32)).argmax()
    for positions in ("regional", "random"):
        own = {"positions": positions, "color": "black"}
        assert measurements.area_occlusion(sample, area=256, **own)["fooled"].shape == (20,)
        assert measurements.area_occlusion(sample, area=1024, **own)["fooled"].equal(sample.labels != all_black)


def test_margins_by_hand(run: Run) -> None:
    sample = run.sample(STANDARD)
    found = measurements.margins(sample)
    scores, own = sample.model(sample.images).double(), sample.labels[:, None]
    margin = scores.gather(1, own)[:, 0] - scores.scatter(1, own, -torch.inf).amax(1)
    assert (found["margin"] > 0).all() and found["margin"].numpy() == pytest.approx(margin.numpy(), abs=1e-5)
    assert found["relative_margin"].numpy() == pytest.approx((found["margin"] / scores.std(1)).numpy(), rel=1e-4)


def test_conditions_are_called_as_the_papers_cells() -> None:
    conditions = measurements.occlusion_conditions([(10, 4)], ["black", "white", "gray"])
    assert set(conditions) == set(published_values(table="appendixA10").setting)
    assert conditions["N=10 R=4 gray"] == {"max_count": 10, "max_radius": 4, "color": "gray"}


def test_examples_are_chosen_by_the_rule_and_show_what_they_say(run: Run) -> None:
    found = galleries.occluded_for_all(galleries.shared_images(run, classes=3), 10, 4, "white")
    assert [one.checkpoint for one in found] == [STANDARD, ROBUST] * (len(found) // 2)
    for one in found:
        own, clean = one.after[one.checkpoint], one.before[one.checkpoint]
        assert all(view.image_id == own.image_id and view.image.equal(own.image) for view in one.after.values())
        changed = (clean.image != own.image).any(0)
        assert not clean.fooled and changed.sum() <= own.pixels and (own.image[:, changed] == 1).all()
    shown = occlusion_pictures(found, name="x")
    fooled = sum(one.after[one.checkpoint].fooled for one in found)
    assert f"In {fooled} of {len(found)} cases" in shown.html and found[0].after[STANDARD].label in shown.alt


def test_own_images_are_those_that_this_model_gets_right(run: Run, test_set: tuple[Tensor, Tensor]) -> None:
    found = run.sample(ROBUST, 50, own=True)
    assert len(set(found.ids)) == 50 and (found.model(found.images).argmax(1) == found.labels).all()
    order = np.random.default_rng(0).permutation(10_000)[:600]
    right = correct(found.model, *(part[order] for part in test_set)).numpy()
    assert found.ids == order[right][:50].tolist() and run.sample(ROBUST, 20, own=True).ids == found.ids[:20]
    own = run.measure(measurements.margins, {"clean": {}}, n_images=5, own=True, name="own")
    assert set(own.image_id) != set(run.measure(measurements.margins, {"clean": {}}, n_images=5).image_id)


def test_the_pair_is_the_standard_model_and_the_largest_epsilon(run: Run) -> None:
    assert run.pair == (STANDARD, ROBUST)
    run.models = (STANDARD, "cifar10-resnet18w16-linf2-s0", "cifar10-resnet18w16-linf1-s0", SECOND)
    assert run.pair == (STANDARD, "cifar10-resnet18w16-linf2-s0")
    run.models = (STANDARD,)
    fails(ValueError, "compares a standard and an l_inf model", getattr, run, "pair")


def test_a_changed_donor_is_not_answered_from_the_cache(run: Run, tmp_path: Path) -> None:
    options = {"maps_from": {STANDARD: ROBUST}, "max_count": 2, "max_radius": 2}
    for _ in range(2):
        measure(measurements.occlusion, run.sample(STANDARD), run, **options)
    assert [step["cached"] for step in run.steps] == [False, True]
    model = load_checkpoint(ROBUST)
    next(model.parameters()).mul_(2)
    REGISTRY._entries[ROBUST] = entry(ROBUST, model, tmp_path)
    assert sha256_of(tmp_path / f"{ROBUST}.safetensors") == REGISTRY[ROBUST].sha256
    measure(measurements.occlusion, run.sample(STANDARD), run, **options)
    assert not run.steps[-1]["cached"]


def test_an_image_without_a_region_of_positive_sum_has_no_index_in_that_reading_and_is_left_out(monkeypatch) -> None:
    maps = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps[1] = -maps[1].abs()
    maps[1, 0, 0, 0] = 1e-3  # something is positive, no sum of a region is
    sample = Sample("a", None, maps, torch.zeros(3), [4, 5, 6])
    monkeypatch.setattr(Sample, "maps", lambda self, method: maps)
    found = measurements.inequality(sample)
    undefined = {name for name, values in found.items() if np.isnan(values).any()}
    assert undefined == {"regional_gini_positive_of_sum"}
    assert found["regional_gini_positive_of_sum"].isnan().tolist() == [False, True, False]
    for reduce in REDUCES:
        whole = regional_gini(maps[[0, 2]], 4, reduce)
        assert found[f"regional_gini_{reduce}"][[0, 2]] == pytest.approx(whole.numpy(), abs=1e-12)
    columns = {"condition": "", "image_id": sample.ids} | found
    records = pd.concat([pd.DataFrame({"checkpoint": name} | columns) for name in "ab"])
    gap = [minus("gap", *((name, "", "regional_gini_positive_of_sum") for name in "ab"))]
    assert [term.n for term in contrasted(gap, records, resamples=99)[0].terms] == [2, 2]


def test_runs_with_other_numbers_of_draws_are_compared_on_those_they_share(run: Run) -> None:
    two, five = (run.measure(measurements.noise, {"type I": {}}, budgets=(300,), draws=n) for n in (2, 5))
    found = agreement({"noise": two}, {"noise": five}, same_draws=False)
    assert found.holds and found.values == len(two) and found.skipped == ["noise, failure_300: another number of draws"]
    other = five.assign(draws_300=five.draws_300 ^ 2, close_call=False)  # the second draw went the other way
    found = agreement({"noise": two.assign(close_call=False)}, {"noise": other}, same_draws=False)
    assert len(found.differing) == len(two)
    beyond = five.assign(draws_300=five.draws_300 ^ 4, close_call=False)  # the third is not shared
    assert agreement({"noise": two}, {"noise": beyond}, same_draws=False).holds
