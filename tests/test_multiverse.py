"""Every defensible reading: the plan, its universes, and their effects, checked against the attacks themselves."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import fails

from inequality_phenomenon._support import paths
from inequality_phenomenon.attacks import noise_outcomes, occlude
from inequality_phenomenon.inequality import global_gini, regional_gini
from inequality_phenomenon.measure import multiverse as measured
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.verdicts import multiverse as verdicts

PAIR = ("cifar10-resnet18w16-standard_e30-s0", "cifar10-resnet18w16-linf8_pgd3_e30-s0")
N = 6
MAP = {"method": "integrated_gradients", "baseline": "normal", "output": "logit"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("multiverse")
        patched.setattr(paths, "EXECUTED", folder)
        patched.setattr(paths, "CACHE", folder / "cache")
        own = {"occlusion_images": N, "maps": 2, "attacked_maps": 1, "attacked": 2}
        run = open_run("15_every_reading", "smoke", "cpu", n_images=N, **own)
        measured.measure_multiverse(run)
        return run


@pytest.fixture
def changed(tmp_path, monkeypatch):
    def change(edit):
        plan = yaml.safe_load(paths.MULTIVERSE.read_text("utf-8"))
        edit(plan)
        (tmp_path / "multiverse.yaml").write_text(yaml.safe_dump(plan), "utf-8")
        monkeypatch.setattr(paths, "MULTIVERSE", tmp_path / "multiverse.yaml")
        measured.plan.cache_clear()

    yield change
    monkeypatch.undo()
    measured.plan.cache_clear()


@pytest.mark.parametrize("claim", measured.plan()["claims"])
def test_the_plan_says_how_many_universes_there_are(claim):
    found = verdicts.universes(claim)
    assert len(found) == measured.plan()["claims"][claim]["universes"] <= 20_000 and not found.duplicated().any()


def test_universes_that_use_the_same_masks_are_counted_once_and_maps_come_from_the_plan():
    one = {"method": "input_x_gradient", "baseline": "black", "order": "signed", "images": "both", "networks": "pgd3"}
    found = verdicts.universes("black").merge(pd.DataFrame([one]))
    masks = [frozenset(verdicts._masks(row)) for row in found.to_dict("records")]
    assert len(set(masks)) == len(masks) == 52
    attacked, measured_too = (measured.map_conditions(record) for record in ("occlusion", "index"))
    assert (len(attacked), len(measured_too)) == (11, 23) and attacked.keys() < measured_too.keys()
    assert all(name.endswith("|logit") for name in attacked)


@pytest.mark.parametrize(("edit", "message"), [
    (lambda plan: plan["choices"]["kind"]["type_1"].pop("why"), "kind type_1 has no reason"),
    (lambda plan: plan["choices"]["kind"]["type_1"].update({"by hand": None}), "has the unknown key by hand"),
    (lambda plan: plan["claims"]["noise"]["only"].update(images=["mine"]), "noise names mine, which is no option"),
    (lambda plan: plan["claims"]["noise"]["choices"].append("taste"), "noise names taste, which is no option"),
    (lambda plan: plan["choices"]["baseline"]["mean"].update({"with": {"method": ["lime"]}}), "names lime"),
])  # fmt: skip
def test_a_plan_with_a_hole_is_refused(changed, edit, message):
    changed(edit)
    fails(ValueError, message, measured.plan)


def test_records_of_another_plan_are_refused(run, changed):
    before = measured.digest()
    changed(lambda plan: plan["choices"]["kind"]["type_1"].update(why="other words"))
    assert measured.digest() == before
    changed(lambda plan: plan["choices"]["budget"].update({"50": {"title": "50", "why": "more"}}))
    fails(ValueError, f"under the plan {before}, not {measured.digest()}", verdicts.multiverse, "noise", run.records, N)


def _sample(checkpoint, run):
    sample = run.test_images(checkpoint, N)
    right = run.records["right"].query("checkpoint == @checkpoint").right.to_numpy()
    return sample, right, sample.at(np.flatnonzero(right).tolist())


def _one(found, **options):
    rows = found.table.merge(pd.DataFrame([MAP | options]))  # on all choices
    assert len(rows) == 1
    return rows.iloc[0]


def test_an_index_universe_is_the_difference_of_the_indices(run):
    means = []
    for checkpoint in PAIR:
        sample, right, _ = _sample(checkpoint, run)
        maps = sample.maps()[torch.tensor(right)]
        means.append((float(global_gini(maps).mean()), float(regional_gini(maps, 4, "positive_of_sum").mean())))
    own = _one(verdicts.multiverse("index", run.records, N), values="absolute", images="own")
    assert own.effect == pytest.approx(means[1][0] - means[0][0], abs=1e-6)
    own = _one(verdicts.multiverse("regional", run.records, N), sign="positive_of_sum", images="own")
    assert own.effect == pytest.approx(means[1][1] - means[0][1], abs=1e-6)


@pytest.mark.parametrize(("count", "radius"), [(1, 4), (5, 2), (10, 3)])
def test_a_patch_universe_is_what_algorithm_1_finds(run, count, radius):
    fooled = []
    for checkpoint in PAIR:
        _, _, sample = _sample(checkpoint, run)
        hit = occlude(sample.model, sample.images, sample.labels, sample.maps(), count, radius, "gray", ids=sample.ids)
        fooled.append(hit.fooled.double().mean().item())
    chosen = {"order": "signed", "patch": "2r", "search": "best", "count": str(count), "radius": str(radius)}
    own = _one(verdicts.multiverse("gray", run.records, N), images="own", **chosen)
    assert (own.other, own.robust) == pytest.approx(fooled)


def test_a_noise_universe_is_what_the_attack_does_and_accuracy_counts_wrong_images_too(run):
    rates = []
    for checkpoint in PAIR:
        _, right, sample = _sample(checkpoint, run)
        noise = {"draws": 1, "ids": sample.ids, "space": "pixel", "clamp": True}
        arguments = (sample.model, sample.images, sample.labels, sample.maps().abs())
        found = noise_outcomes(*arguments, [204], "type_2", 0, **noise)
        fooled = found.fooled.sum().item()
        rates.append((fooled / right.sum(), (fooled + (~right).sum()) / N))
    chosen = {"pixel_order": "absolute", "kind": "type_2", "noise": "pixel_clamped", "budget": "204"}
    own = _one(verdicts.multiverse("noise", run.records, N), images="own", **chosen)
    assert (own.other, own.robust) == pytest.approx([rates[0][0], rates[1][0]])
    own = _one(verdicts.multiverse("noise_accuracy", run.records, N), images="all", **chosen)
    assert (own.other, own.robust) == pytest.approx([rates[0][1], rates[1][1]])


def test_intervals_are_those_of_paired_and_of_separate_images_and_undefined_values_are_left_out() -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(1, 1, (400, 1)), random.normal(0, 2, (400, 1))
    every = np.ones(400, bool)
    paired = verdicts.effects(one, two, every, every)
    assert paired["effect"][0] == pytest.approx((one - two).mean())
    assert paired["high"][0] - paired["effect"][0] == pytest.approx(1.96 * (one - two).std() / 20)
    first, second = np.arange(400) < 300, np.arange(400) >= 300
    apart = verdicts.effects(one, two, first, second)
    error = np.sqrt(one[first].var() / 300 + two[second].var() / 100)
    assert apart["high"][0] - apart["effect"][0] == pytest.approx(1.96 * error)
    one, two = np.array([[1.0], [2.0], [np.nan], [5.0]]), np.array([[0.0], [0.0], [3.0], [0.0]])
    found = verdicts.effects(one, two, np.ones(4, bool), np.array([True, True, True, False]))
    assert found["robust"][0] == pytest.approx(8 / 3) and (found["other"][0], found["undefined"][0]) == (0, 0.25)


def _made(effects, differences=()):
    """A multiverse of the given effects, with intervals of ±1."""
    images = ["own", "both"] * (len(effects) // 2)
    table = pd.DataFrame({"method": "m", "baseline": "b", "effect": effects, "images": images})
    return verdicts.Multiverse("index", table.assign(low=table.effect - 1, high=table.effect + 1), differences)


def test_shares_count_universes_the_deciding_choice_explains_variance_and_the_joint_test_swaps_images():
    found = verdicts.shares(_made([2.0, 3.0, -2.0, 0.5])).iloc[0]
    assert (found["for"], found.against, found.undecided, found.positive) == (0.5, 0.25, 0.25, 0.75)
    by_images = verdicts.shares(_made([2.0, 3.0, -2.0, 0.5]), "images")
    assert by_images.loc["own", "against"] == 0.5 and by_images.loc["both", "for"] == 0.5
    outputs = ["logit"] * 10 + ["probability"] * 10
    table = _made([1.0, 5.0] * 10).table.assign(output=outputs, values="absolute", networks="pgd3")
    table["effect"] += np.linspace(0, 0.1, 20)
    found = verdicts.explained_variance(verdicts.Multiverse("index", table, ()))
    assert found["images"] > 0.99 > 0.01 > found["output"]
    strong = np.tile(np.ones((30, 1)), (1, 50))
    assert verdicts.permutation(_made([1.0, 1.0], (strong,))) < 0.001
    assert verdicts.permutation(_made([0.0, 0.0], (strong * np.where(np.arange(30) % 2, 1, -1)[:, None],))) == 1
    # fifty copies of one universe say no more than the one
    few = np.random.default_rng(1).normal(0.3, 1, (20, 1))
    once, often = (verdicts.permutation(_made([1.0, 1.0], (own,))) for own in (few, np.tile(few, (1, 50))))
    assert once == often


@pytest.mark.parametrize("search", [verdicts.closest_to_table1, verdicts.closest_to_a10])
def test_the_nearest_universe_is_chosen_on_one_half_and_judged_on_the_other(run, search):
    found = search(run.records, N)
    for name, (paper, ours) in found.values.items():
        role, what = name.split()
        assert 0 < paper < 1
        options = {key: option for key, option in found.options.items() if "reading" not in key}
        if what in ("global", "regional"):
            reading = found.options[f"reading {what}"]
            claim = "index" if reading in measured.plan()["choices"]["values"] else "regional"
            options["values" if claim == "index" else "sign"] = reading
        else:
            claim, options = what, options | {"count": "10", "radius": "4"}
        other_half = _one(verdicts.multiverse(claim, run.records, N, half=1), **options)
        assert ours == pytest.approx(other_half[role], nan_ok=True)
    assert found.among > 20


def test_the_committed_records_give_every_universe_of_the_networks_that_were_measured():
    from inequality_phenomenon.measure.reference import load_reference

    records = load_reference("15_every_reading")
    for claim, facts in measured.plan()["claims"].items():
        found = verdicts.multiverse(claim, records)
        group = "trios" if "trios" in facts["choices"] else "networks"
        there = set(found.table.get(group, ()))
        assert len(found.table) * len(measured.plan()[group]) == facts["universes"] * len(there)
        assert (there or group == "trios") and np.isfinite(found.table.effect.to_numpy(float)).all()
        assert set(found.verdicts) <= {"for", "against", "undecided"}
