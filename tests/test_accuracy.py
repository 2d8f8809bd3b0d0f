"""Promise: AutoAttack is the standard ensemble, inside its budget, a function of its seed, and goes on after a kill."""

from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROBUST, entry, fails, run_of
from pyautoattack import AutoAttack
from test_robustness import exact_linf_survivors, linear_classifier
from torch import Tensor, nn

from inequality_phenomenon.measure import accuracy
from inequality_phenomenon.measure.accuracy import auto_attack_evaluation, measure_attack, pgd_evaluation
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import measure
from inequality_phenomenon.networks import REGISTRY, Accuracy, Classifier
from inequality_phenomenon.robustness import ENSEMBLE, AutoAttackOutcome, Threat, auto_attack, correct, robust_correct

EPSILON = 1 / 255


@pytest.fixture(scope="module")
def batch(test_set: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return test_set[0][:40], test_set[1][:40]


def survivors(outcome: AutoAttackOutcome) -> Tensor:
    return torch.tensor([name == "nothing" for name in outcome.fooled_by])


def test_it_finds_the_exact_robust_accuracy_as_the_packages_own_does_and_names_the_first_attack(batch) -> None:
    model, (images, labels) = linear_classifier(10), batch
    outcome = auto_attack(model, *batch, Threat("linf", EPSILON), seed=0)
    exact, right = exact_linf_survivors(model, *batch, EPSILON), correct(model, *batch)
    assert 0 < exact.sum() < len(exact) and torch.equal(survivors(outcome), exact)
    assert [name != "clean" for name in outcome.fooled_by] == right.tolist()
    assert set(outcome.fooled_by) <= {"clean", "nothing", *ENSEMBLE}
    attacked = torch.tensor([name in ENSEMBLE for name in outcome.fooled_by])
    assert attacked.any() and (outcome.distance[~attacked] == 0).all() and (outcome.distance[attacked] > 0).all()
    assert (outcome.distance <= EPSILON * (1 + 1e-4)).all()
    images, labels = images[right].contiguous(), labels[right]
    ensemble = AutoAttack(model, norm="Linf", eps=EPSILON, seed=0, version="standard")
    assert tuple(ensemble.attacks_to_run) == ENSEMBLE
    _, predicted = ensemble.run_standard_evaluation(images, labels, batch_size=len(images))
    assert torch.equal(predicted == labels, survivors(outcome)[right])


def test_l2_budgets_are_kept_and_a_model_in_training_mode_is_refused(batch) -> None:
    images, labels = batch[0][:10], batch[1][:10]
    threat = Threat("l2", 0.3)
    found = auto_attack(linear_classifier(10), images, labels, threat)
    assert 0 < found.distance.max() <= 0.3 * (1 + 1e-4)
    assert not (survivors(found) & ~robust_correct(linear_classifier(10), images, labels, threat)).any()
    with pytest.raises(ValueError, match=r"training mode: call model\.eval\(\)"):
        auto_attack(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), *batch, Threat("linf", EPSILON))


def test_images_in_channels_last_memory_are_taken(trained: Classifier, images: Tensor, labels: Tensor) -> None:
    images = images[:6].to(memory_format=torch.channels_last)
    found = auto_attack(trained, images, labels[:6], Threat("linf", 32 / 255))
    assert set(found.fooled_by) <= {"clean", *ENSEMBLE}  # nothing survives so much


def test_the_outcome_is_a_function_of_the_seed_and_touches_no_global_state(batch) -> None:
    images, labels = batch[0][:6], batch[1][:6]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    runs = [auto_attack(linear_classifier(10), images, labels, Threat("linf", 4 / 255), seed=s) for s in (0, 0)]
    assert torch.equal(torch.get_rng_state(), state)
    assert runs[0].fooled_by == runs[1].fooled_by and torch.equal(runs[0].distance, runs[1].distance)


@pytest.fixture
def run(trained: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move) -> Run:
    move(CHECKPOINTS=tmp_path, CACHE=tmp_path / "cache", EXECUTED=tmp_path / "executed")
    robust = dict.fromkeys(("linf 32/255", "linf 8/255"), Accuracy(correct=1, n=2))
    monkeypatch.setattr(REGISTRY, "_entries", {ROBUST: entry(ROBUST, trained, tmp_path, test_robust=robust)})
    return run_of((ROBUST,), 12)


def test_every_model_is_measured_at_its_registered_threats_and_no_model_has_no_record(run: Run) -> None:
    measure_attack(run, auto_attack_evaluation, "AutoAttack", [])
    assert run.records == {}
    fails(ValueError, "at most 10000", run.test_images, ROBUST, 10_001)
    measure_attack(run, pgd_evaluation, "PGD-20", [ROBUST])
    record, sample = run.records["pgd_evaluation"], run.test_images(ROBUST)
    assert list(record.condition) == [f"PGD-20, linf {epsilon}/255" for epsilon in (32, 8) for _ in range(12)]
    assert record.image_id.tolist() == [*range(12)] * 2
    left = robust_correct(sample.model, sample.images, sample.labels, Threat("linf", 8 / 255)).numpy()
    assert (record[record.condition.str.endswith(" 8/255")].robust.to_numpy() == left).all()
    assert not record.clean.all() and record.clean.any()  # accuracies are of all images, right or wrong


def test_a_killed_auto_attack_goes_on_with_the_part_that_it_was_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def killed_once(model, images, labels, threat, **options):
        sizes.append(len(images))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return auto_attack(model, images, labels, threat, **options)

    monkeypatch.setattr(accuracy, "auto_attack", killed_once)
    measured = partial(measure, auto_attack_evaluation, run.test_images(ROBUST), at_once=5, threat="linf 32/255")
    with pytest.raises(KeyboardInterrupt):
        measured()
    resumed = measured()
    assert sizes == [5, 5, 5, 2]  # the first part is not attacked again
    assert len(resumed) == 12 and (resumed.robust == (resumed.fooled_by == "nothing")).all()
    assert measured().equals(resumed) and len(sizes) == 4
