"""Promise: chapter 10 shows the registry, the measurements and what is missing as they are, and words every outcome."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import entry, run_of

from inequality_phenomenon import show
from inequality_phenomenon._support import paths, profiles
from inequality_phenomenon.measure.accuracy import findings, planned_models
from inequality_phenomenon.measure.reference import stacked
from inequality_phenomenon.measure.robustness_flags import FLAGS
from inequality_phenomenon.networks import REGISTRY, Accuracy, RegistryEntry, build
from inequality_phenomenon.show import models as chapter
from inequality_phenomenon.verdicts.comparison import contrasted

STANDARD, LINF8, SEEDED = (f"cifar10-resnet18w16-{end}" for end in ("standard-s0", "linf8-s0", "linf8-s1"))
L2 = "cifar10-resnet18w16-l2_0.5-s0"
N = 40


def registered(name: str, folder: Path, clean: int, robust: dict[str, int]) -> RegistryEntry:
    norm, epsilon = {"standard": ("none", 0.0), "linf8": ("linf", 8 / 255), "l2_0.5": ("l2", 0.5)}[name.split("-")[2]]
    return entry(
        name, build("resnet18", width=4), folder, title={STANDARD: "standard", L2: "ℓ2 0.5"}.get(name, "ℓ∞ 8/255"),
        parameters=12345, training={"norm": norm, "epsilon": epsilon, "cutout": 0, "seed": 0},
        test_clean=Accuracy(correct=clean, n=10_000), training_seconds=90, machine="a <small> one",
        test_robust={threat: Accuracy(correct=k, n=10_000) for threat, k in robust.items()},
    )  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move) -> dict[str, RegistryEntry]:
    move(CHECKPOINTS=tmp_path)
    accuracies = {
        L2: (8000, {"l2 0.5": 6000, "linf 8/255": 1500}), LINF8: (7000, {"linf 8/255": 4200}),
        SEEDED: (6000, {"linf 8/255": 4300}), STANDARD: (9000, {"linf 8/255": 0}),
    }  # fmt: skip
    entries = {name: registered(name, tmp_path, *correct) for name, correct in accuracies.items()}
    for name in entries:
        log = pd.DataFrame({"epoch": [1, 2, 3], "loss": 1.0, "clean": [0.3, 0.6, 0.7]})
        (log if name == STANDARD else log.assign(pgd10=[0.2, 0.4, 0.3])).to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.setattr(REGISTRY, "_entries", entries)
    return entries


def evidence(name: str, threat: str, robust: int, **changes) -> pd.DataFrame:
    """A record as ``pgd_evaluation`` makes them: ``robust`` of N images survive, 35 are right as they are."""
    columns = {
        "training_mode": False, "takes_gradients": False, "probabilities": False, "deviation": 0.0, "zero_gradient": False,
        "one_step": np.arange(N) < robust + 2, "robust": np.arange(N) < robust, "clean": np.arange(N) < 35,
        "relative_distance": 1.0, "outside": 0.0, "unlimited": False,
    }  # fmt: skip
    table = pd.DataFrame({"checkpoint": name, "image_id": range(N), "condition": f"PGD-20, {threat}"})
    return table.assign(**columns | changes)


def attacked(name: str, robust: int, square: int = 0, n: int = N) -> pd.DataFrame:
    fooled = ["nothing"] * robust + ["square"] * square + ["apgd-ce"] * (35 - robust - square) + ["clean"] * (N - 35)
    table = pd.DataFrame({"checkpoint": name, "image_id": range(N), "fooled_by": fooled, "distance": 0.0})
    return table.assign(condition="AutoAttack, linf 8/255", robust=table.fooled_by == "nothing")[:n]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    pgd = [evidence(LINF8, "linf 8/255", 17), evidence(STANDARD, "linf 8/255", 0), evidence(L2, "l2 0.5", 24)]
    return {"pgd_evaluation": pd.concat(pgd, ignore_index=True), "auto_attack_evaluation": attacked(LINF8, 12)}


def text(shown) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown.html))


def row_of(shown, start: str) -> str:
    (row,) = [row for row in re.findall(r"<tr>.*?</tr>", shown.html) if re.sub(r"<[^>]+>", "", row).startswith(start)]
    return re.sub(r"<[^>]+>", " ", row)


def test_the_accuracy_table_and_the_trade_off_have_the_registry_and_the_record(registry, tables) -> None:
    shown = chapter.accuracy_table(tables["pgd_evaluation"], name="t")
    for value in ("70.0 %", "42.0 %", "87.5 %", "42.5 %", "n = 10000", f"first {N}"):
        assert value in row_of(shown, "ℓ∞ 8/25570.0 %")
    assert "first" not in row_of(shown, "ℓ∞ 8/255, seed 1")
    assert row_of(shown, "standard").count("—") == 1  # it has no budget of its own
    l2 = row_of(shown, "ℓ2 0.5")
    assert "60.0 %" in l2 and "15.0 %" in l2 and l2.count(f"first {N}") == 1
    assert "In 5 of 6 cells the value of all images lies in the 95 % interval of the first ones" in text(shown)
    shown = chapter.trade_off_figure(chapter.registered(), tables["auto_attack_evaluation"], name="t")
    assert "standard: 90.0 % clean, 0.0 % robust" in shown.alt
    assert "ℓ∞ 8/255: 70.0 % clean, 42.0 % robust, 30.0 % under AutoAttack (n = 40)" in shown.alt
    words = "(standard) to the most robust one (ℓ∞ 8/255, seed 1): 30.0 points of clean accuracy less, 43.0"
    assert words in shown.text
    assert "AutoAttack" not in chapter.trade_off_figure(chapter.registered(), None, name="t").alt


def test_auto_attack_is_compared_with_pgd_on_the_same_images(registry, tables) -> None:
    tables["auto_attack_evaluation"] = attacked(LINF8, 12, n=30)
    rows = chapter.attack_contrasts([STANDARD, LINF8])
    stronger = contrasted(rows, stacked(tables, ["pgd_evaluation", "auto_attack_evaluation"]), resamples=199)
    shown = chapter.auto_attack_table(stronger, tables["auto_attack_evaluation"], name="t")
    found = row_of(shown, "ℓ∞ 8/255, attacked at ℓ∞ 8/255")
    assert "40.0 %" in found and "-16.7 points" in found and "n = 30" in found and "40.0 % − 56.7 %" in found
    assert "APGD-CE 18, APGD-T 0, FAB-T 0, Square 0" in found
    assert row_of(shown, "standard, attacked").count("not measured here") == 2
    words = text(chapter.models_in_short(stronger, tables))
    assert "ℓ∞ 8/255, attacked at ℓ∞ 8/255 : 40.0 % [24.6, 57.7] under AutoAttack, 56.7 % under PGD-20, n = 30" in words
    assert "standard, attacked at ℓ∞ 8/255 : AutoAttack is not measured here" in words


@pytest.mark.parametrize(
    ("square", "outcome"), [(0, "0 raised"), (3, "1 raised: Black box beats gradients, ℓ∞ 8/255, AutoAttack")]
)
def test_flags_are_shown_where_they_are_raised(registry, tables, square: int, outcome: str) -> None:
    tables["auto_attack_evaluation"] = attacked(LINF8, 12, square)
    assert len(findings(tables)) == 3 * (len(FLAGS) - 1) + 1
    last = row_of(chapter.flags_table(tables, name="t"), FLAGS[-1].name)
    assert ("not raised" in last) == (square == 0)
    assert "not measured here" in row_of(chapter.flags_table({}, name="t"), FLAGS[-1].name)
    assert ("7.5 %" in last and "ℓ∞ 8/255 (AutoAttack, ℓ∞ 8/255)" in last) == (square > 0)
    assert outcome in text(chapter.models_in_short([], tables))
    assert ("Black box beats gradients (AutoAttack, ℓ∞ 8/255)" in text(chapter.model_cards(tables))) == (square > 0)


def test_every_registered_model_has_a_card_with_its_facts(registry, tables) -> None:
    html = chapter.model_cards(tables).html
    cards = dict(re.findall(r"<details class='model-card' id='card-(.+?)'>(.*?)</details>", html))
    assert list(cards) == [STANDARD, LINF8, L2, SEEDED]  # the ladder first
    for name, card in cards.items():
        plain = re.sub(r"<[^>]+>", "", card)
        facts = registry[name]
        own = (name, facts.sha256, f"inequality verify {name}", f"{100 * facts.test_clean.rate:.1f} %")
        for fact in (*own, "12,345 parameters", "a &lt;small&gt; one", "2 minutes"):
            assert fact in plain, fact
    assert "floor 65 %: met" in cards[LINF8] and "floor 39 %: met" in cards[LINF8]
    assert "floor 65 %: missed" in cards[SEEDED] and "not checked here" in cards[SEEDED]
    assert "none: standard training" in cards[STANDARD] and "8 of 9 checked" in cards[STANDARD]
    assert "Trained against</th><td>ℓ2 0.5" in cards[L2] and "cutout" not in cards[L2]


def test_findings_name_a_missed_floor_a_broken_ladder_and_the_deepest_fall_of_a_training(registry) -> None:
    words = text(chapter.models_in_short([], {}))
    assert "Met by 3 of 4; missed by ℓ∞ 8/255, seed 1" in words
    assert "clean accuracy falls and robust accuracy rises at every step" in words
    registry[STANDARD] = registry[STANDARD].model_copy(update={"test_clean": Accuracy(correct=6000, n=10_000)})
    assert "clean accuracy does not fall and robust" in text(chapter.models_in_short([], {}))
    shown = chapter.training_curves([STANDARD, LINF8], name="t")
    assert "standard: clean 70.0 %; ℓ∞ 8/255: clean 70.0 %, PGD-10 at its own ε 30.0 %" in shown.alt
    assert "leaves 75.0 % of the best epoch so far (ℓ∞ 8/255)" in shown.text
    assert "deepest" not in chapter.training_curves([STANDARD], name="t").text
    assert "No such model" in chapter.training_curves([], name="t").text


def test_planned_models_are_those_that_somebody_asks_for_and_the_registry_lacks() -> None:
    planned = planned_models()
    asked = {path.stem for path in paths.CHECKPOINTS.glob("*-s[0-9].yaml")}
    for profile in profiles.profile_names():
        for number, values in profiles.load_profile(profile).chapters.items():
            asked |= {name for name in values.models if name.startswith("cifar10-")}
            assert all(number[:2] in planned[name] for name in values.models if name in planned)
    assert set(planned) == {name for name in asked if name not in REGISTRY}


def test_a_planned_model_is_listed_without_a_number_and_no_plan_gives_no_table(registry, tmp_path, move) -> None:
    planned = "cifar10-resnet18w16-linf4-s0"
    assert planned not in registry
    assert row_of(chapter.planned_table(name="t"), planned).split()[1:4] == ["settings", "not", "written"]
    (tmp_path / f"{planned}.yaml").write_text("title: planned\n")
    assert f"inequality train {planned}" in row_of(chapter.planned_table(name="t"), planned)
    assert planned not in chapter.model_cards({}).html
    (tmp_path / f"{planned}.yaml").unlink()
    move(PROFILES=tmp_path)
    assert "Every planned model is trained" in chapter.planned_table(name="t").text


def test_the_note_says_what_this_run_measures(registry, tables) -> None:
    run = run_of((STANDARD,), N)
    assert "Nothing was measured in this run" in text(show.models_note(run, run, "The first ones."))
    run.records = tables
    words = text(show.models_note(run, run, "The first ones."))
    assert "Measured in this run: standard." in words and "The first ones." in words and "subset" not in words
