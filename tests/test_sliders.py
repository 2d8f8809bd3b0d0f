"""The promise: a slider's figure holds every state with its own picture and numbers, and shows the first one without a script."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fails

from inequality_phenomenon import global_gini, occlude, perturb_with_noise
from inequality_phenomenon.measure import galleries, measurements
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.show import attacks, sliders
from inequality_phenomenon.verdicts.comparison import against_standard, contrasted


@pytest.fixture(scope="module")
def run():
    return open_run("14_gallery", "smoke")


@pytest.fixture(scope="module")
def few(run):
    return galleries.shared_images(run, run.pair, classes=4)


def test_every_place_has_one_part_only_the_start_is_shown_and_an_unknown_place_is_refused() -> None:
    axes = {"a": sliders.Axis("First", ["x", "y"], 1), "b": sliders.Axis("Second", ["p", "q", "r"])}
    parts = [sliders.Part(f"{a}{b}", {"a": a, "b": b}) for a in range(2) for b in range(3)]
    panels = {"both": parts, "one": [sliders.Part("left", {"a": 0}), sliders.Part("right", {"a": 1})]}
    html = sliders.slider(axes, panels, pd.DataFrame({"": ["x"], "value": ["1"]}), name="n", caption="c").html
    assert re.findall(r"<div data-when='([^']*)'>", html) == ["a=1 b=0", "a=1"]
    assert html.count("data-when") == 8 and html.count("type='range'") == 2
    assert "aria-valuetext='y'" in html and "<label for='n-a'>" in html and "First y, Second p" in html
    panels = {"p": [sliders.Part("", {"a": 2, "b": 0})]}
    fails(ValueError, "no such place: a 2", sliders.slider, axes, panels, pd.DataFrame(), name="n", caption="c")


def test_pictures_are_the_first_of_each_class_that_all_networks_get_right(run, few):
    first = next(iter(few.values()))
    labels = first.labels.tolist()
    assert labels == sorted(set(labels)) and set(labels) <= set(range(4))
    for sample in few.values():
        assert sample.ids == first.ids and torch.equal(sample.images, first.images)
        assert not any(view.fooled for view in galleries.views(sample, sample.images))
    whole = [run.sample(name) for name in run.pair]
    both = [i for i in whole[0].ids if i in whole[1].ids]
    for label, chosen in zip(labels, first.ids, strict=True):
        assert chosen == next(i for i in both if whole[0].labels[whole[0].ids.index(i)] == label)


def test_a_mask_noise_and_first_success_are_the_attacks_own(few):
    for sample in few.values():
        arguments = (sample.model, sample.images, sample.labels, sample.maps())
        alone = occlude(*arguments, 3, 2, "gray", search="single", locate=True, ids=sample.ids)
        seen = galleries.hidden(sample, 3, 2, "gray")
        assert torch.equal(torch.stack([view.image for view in seen]), alone.images)
        assert [(view.pixels, view.fooled) for view in seen] == [*zip(alone.area, alone.fooled, strict=True)]
        grid = galleries.occluded_views(sample, 3, 2, "gray")
        assert len(grid) == 1 + 3 * 2 and torch.equal(grid[3, 2][0].image, seen[0].image)
        assert torch.equal(grid[0, 0][0].image, sample.images[0])
    sample = list(few.values())[-1]
    noisy = galleries.noisy_views(sample, [10, 200], kind="type_2")
    expected = perturb_with_noise(sample.model, sample.images, sample.maps(), 200, kind="type_2", ids=sample.ids)
    assert torch.equal(torch.stack([view.image for view in noisy[200]]), expected)
    hit = occlude(sample.model, sample.images, sample.labels, sample.maps(), 4, 3, "white", locate=True, ids=sample.ids)
    found = [(v.fooled, v.count, v.radius, v.pixels) for v in galleries.first_successes(sample, 4, 3, "white")]
    assert found == [*zip(hit.fooled, hit.count, hit.radius, hit.area, strict=True)]


def test_clipping_cuts_at_three_standard_deviations(run):
    assert set(run.pair) <= set(galleries.ladder_of(run)) and all("resnet" in name for name in galleries.ladder_of(run))
    sample = run.sample(run.pair[0], 4)
    maps, found = sample.maps(), galleries.clipping(sample)
    bound = 3 * maps.std((1, 2, 3), keepdim=True)
    assert torch.allclose(galleries.clipped(maps), maps.clamp(-bound, bound))
    assert np.allclose(found["share_clipped"], (maps.abs() > bound).double().mean((1, 2, 3)), rtol=1e-6)
    assert np.allclose(found["largest_kept"], bound.flatten() / maps.abs().amax((1, 2, 3)), rtol=1e-5)
    assert np.allclose(found["global_gini"], global_gini(maps))
    assert (found["global_gini_clipped"] <= found["global_gini"]).all() and (found["share_hidden"] > 0).all()


def test_the_page_says_what_clipping_hides(run, tmp_path, move):
    move(EXECUTED=tmp_path)
    standard, robust = run.pair
    records = run.measure(galleries.clipping, {"clipping": {}}, models=run.pair)
    asked = against_standard(standard, [robust], {"hidden": ("clipping", "share_hidden")}, expected=1)
    (item,) = contrasted(asked, records, resamples=99)
    means = records[records.checkpoint == robust].mean(numeric_only=True)
    text = attacks.clipping_in_short(item, records).text
    assert f" = {100 * item.difference.difference:+.1f} points" in text
    assert f"cuts {100 * means.share_clipped:.1f} % of the subpixels" in text
    assert f"from {means.global_gini:.3f} to {means.global_gini_clipped:.3f}" in text
    assert f"<strong>{means.global_gini:.3f}</strong>" in attacks.clipping_table(records, name="t").text
    (none,) = contrasted(asked, None)
    assert "not measured here" in attacks.clipping_in_short(none, records).text


def test_the_numbers_change_with_the_sliders_and_count_every_mask_up_to_this_one(run, few, tmp_path, move):
    move(EXECUTED=tmp_path)
    clean = {name: galleries.views(sample, sample.images) for name, sample in few.items()}
    maps = {"integrated_gradients": {name: sample.maps() for name, sample in few.items()}}
    html = sliders.maps_slider(clean, maps, name="m", caption="c").html
    for model, found in maps["integrated_gradients"].items():
        for value in global_gini(found).tolist():
            assert f"<dd>{value:.3f}</dd>" in html, model
    budgets = [10, 102]
    records = run.measure(measurements.noise, {"type I": {}}, models=run.pair, budgets=tuple(budgets), draws=1)
    noisy = {"type I": {name: galleries.noisy_views(sample, budgets) for name, sample in few.items()}}
    html = sliders.noise_slider(noisy, records, name="n", caption="c").html
    for model in run.pair:
        rate = 100 * records[records.checkpoint == model].failure_102.mean()
        assert f"{rate:.1f} %" in html
    small = {"max_count": 3, "max_radius": 2}
    located = run.measure(measurements.occlusion, {"x": small}, models=run.pair, locate=True)
    masks = {name: galleries.occluded_views(sample, 3, 2) for name, sample in few.items()}
    sliders.occlusion_slider(masks, located, name="o", caption="c")
    for model in run.pair:
        rows = located[located.checkpoint == model]
        shares = [sliders._fooled_so_far(located, model, n, r).partition(" ")[0] for n in (1, 2, 3) for r in (1, 2)]
        assert [float(s) for s in shares] == sorted(float(s) for s in shares)
        assert float(shares[-1]) == pytest.approx(100 * rows.fooled.mean(), abs=0.051)
