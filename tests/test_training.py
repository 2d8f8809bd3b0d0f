"""Promise: a training is a function of its settings. Whatever makes it go wrong is named, and the last state is kept."""

import json
import math
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import fails, forkserver, no_file_above
from damage import killed_at_random, single_bit_flips
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

from inequality_phenomenon._support import paths
from inequality_phenomenon.networks import Classifier, build, load_checkpoint
from inequality_phenomenon.training import data, loop
from inequality_phenomenon.training.pruning import sparsity
from inequality_phenomenon.training.registration import write_log
from inequality_phenomenon.training.settings import TrainingSettings, load_settings
from inequality_phenomenon.training.state import State, TrainingError, state_digest

CPU = torch.device("cpu")
STANDARD = "cifar10-resnet18w16-standard-s0"
train = partial(loop.train, progress=False)
assert_same_weights = partial(torch.testing.assert_close, rtol=0, atol=0)


def tiny(**changes: object) -> TrainingSettings:
    """Adversarial training of a width-4 network on 256 images: under a second an epoch."""
    values = {
        "title": "tiny", "arguments": {"width": 4}, "norm": "linf", "epsilon": "8/255", "attack": "nfgsm",
        "epochs": 4, "batch_size": 64, "train_images": 256, "peak_rate": 0.05, "precision": "float32",
    }  # fmt: skip
    return TrainingSettings.model_validate(values | changes)


def standard(**changes: object) -> TrainingSettings:
    return tiny(norm="none", epsilon=0, attack="none", **changes)


def from_standard(**changes: object) -> TrainingSettings:
    return standard(arguments={"width": 16}, start_from=STANDARD, train_images=128, epochs=2, **changes)


@pytest.fixture(scope="module", autouse=True)
def few_held_out_images() -> Iterator[None]:
    few = tuple(part[::8] for part in data.held_out_images())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "held_out_images", lambda: few)
        yield


def train_some(settings: TrainingSettings, folder: Path, epochs: int) -> None:
    """A training that is interrupted after so many epochs."""

    def stop(state: State) -> None:
        if state.epoch == epochs:
            raise KeyboardInterrupt

    fails(KeyboardInterrupt, "^$", train, settings, folder, after_epoch=stop)


def facts_of(file: Path) -> dict:
    with safe_open(file, framework="pt") as stored:
        return json.loads(stored.metadata()["facts"])


def rewrite(file: Path, change: Callable[[dict], object]) -> None:
    """The state with other facts and a checksum that fits them."""
    facts, tensors = facts_of(file), load_file(file)
    change(facts)
    text = json.dumps(facts)
    save_file(tensors, file, metadata={"facts": text, "sha256": state_digest(text, tensors)})


def pretend_best(file: Path, best: float) -> None:
    """Give the log of a saved state a PGD accuracy that the real next epoch cannot reach a third of."""
    rewrite(file, lambda facts: facts["log"][0].update(pgd10=best))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The state of a standard training of four epochs after the first one."""
    train_some(standard(), tmp_path, 1)
    return tmp_path / "state.safetensors"


def stops(words: str, settings: TrainingSettings, file: Path) -> None:
    """The training stops with these words, and leaves its state as it was and nothing else."""
    before = file.read_bytes()
    fails(TrainingError, words, train, settings, file.parent)
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize("settings", [
    tiny(epochs=3, cutout=8), tiny(epochs=3, cutout=8, precision="bfloat16"),
    tiny(teacher=STANDARD, distillation=2, epochs=2, train_images=64), from_standard(pruning="weights", pruned=0.9),
], ids=("float32", "bfloat16", "distillation", "pruning"))  # fmt: skip
def test_interrupted_training_ends_with_the_same_bits(tmp_path: Path, settings: TrainingSettings) -> None:
    whole = train(settings, tmp_path / "whole")
    for epoch in range(1, settings.epochs):
        train_some(settings, tmp_path / "parts", epoch)
    torch.manual_seed(12345)  # the global random state has no part in it
    parts = train(settings, tmp_path / "parts")
    assert_same_weights(parts.tensors(), whole.tensors())
    untimed = [[{k: v for k, v in row.items() if k != "seconds"} for row in state.log] for state in (whole, parts)]
    assert untimed[0] == untimed[1] and [row["epoch"] for row in parts.log] == [*range(1, settings.epochs + 1)]
    if settings.pruned:  # the zeros stay through fine-tuning, and the others change
        assert sparsity(parts.average.module) == pytest.approx(0.9, abs=1e-4)
        both = (parts.average.module, load_checkpoint(STANDARD))
        assert not torch.equal(*(model.state_dict()["network.0.weight"] for model in both))


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.faults)])
def test_training_killed_at_random_points_ends_with_the_same_bits(tmp_path: Path, kills: int) -> None:
    settings = tiny(epochs=3, train_images=128)
    context = forkserver("inequality_phenomenon.training.loop")

    def start(folder: Path) -> BaseProcess:
        process = context.Process(target=train, args=(settings, folder))
        process.start()
        return process

    def check(folder: Path) -> None:
        states = [load_file(place / "state.safetensors") for place in (folder, tmp_path / "whole")]
        assert_same_weights(*states)

    start(tmp_path / "warm").join()
    killed_at_random(start, tmp_path, kills, check)


def test_a_state_from_before_a_setting_existed_has_its_default(tmp_path: Path) -> None:
    settings, file = tiny(epochs=2), tmp_path / "state.safetensors"
    train_some(settings, tmp_path, 1)
    assert facts_of(file)["settings"]["compile"] is False
    rewrite(file, lambda facts: facts["settings"].pop("compile"))
    assert train(settings, tmp_path).epoch == 2
    rewrite(file, lambda facts: facts["settings"].update(unknown=1))
    stops("other settings", settings, file)


def test_a_compiled_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced but not translated, which would take minutes here; the state has the names of a plain training."""
    traced = []

    def compiled(model: Classifier, **options: object) -> None:
        traced.append(options)
        model._compiled_call_impl = torch.compile(model._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    settings = tiny(epochs=2, attack="pgd", attack_steps=2, compile=True, train_images=128)
    whole = train(settings, tmp_path / "whole")
    train_some(settings, tmp_path / "parts", 1)
    parts = train(settings, tmp_path / "parts")
    assert traced == [{"options": {"deterministic": True}}] * 3
    assert_same_weights(parts.tensors(), whole.tensors())
    plain = train(settings.model_copy(update={"compile": False}), tmp_path / "plain")
    assert_same_weights(plain.tensors(), whole.tensors())


def test_perturbations_stay_in_single_precision_under_autocast(trained, images: Tensor, labels: Tensor) -> None:
    """In bfloat16 a budget of 1/255 would be rounded away at bright pixels: 0.996 is the number before 1."""
    for settings in (tiny(epsilon="1/255"), tiny(epsilon="1/255", attack="pgd", attack_steps=3),
                     tiny(norm="l2", epsilon=0.1, attack="pgd", attack_steps=3)):  # fmt: skip
        with torch.autocast("cpu", torch.bfloat16):
            found = loop.craft(trained, images, labels, settings, Generator().manual_seed(0))
        assert found.dtype == torch.float32 and (found != found.bfloat16().float()).double().mean() > 0.5


def test_finished_training_is_only_read_again_and_the_seed_decides_the_weights(tmp_path: Path) -> None:
    settings = standard(epochs=1)
    first = train(settings, tmp_path)
    before = (tmp_path / "state.safetensors").stat().st_mtime_ns
    again = train(settings, tmp_path)
    assert_same_weights(again.tensors(), first.tensors())
    assert (again.epoch, again.log) == (1, first.log) and (tmp_path / "state.safetensors").stat().st_mtime_ns == before
    runs = [(tmp_path / str(i), standard(epochs=1, seed=seed)) for i, seed in enumerate((3, 3, 4))]
    states = [train(settings, folder).tensors() for folder, settings in runs]
    assert_same_weights(states[0], states[1])
    assert not torch.equal(states[0]["model.network.0.weight"], states[2]["model.network.0.weight"])


def test_title_may_change_between_runs_but_nothing_else(begun: Path) -> None:
    assert train(standard(title="another title"), begun.parent).epoch == 4
    for change in ({"seed": 1}, {"peak_rate": 0.06}, {"epochs": 5}, {"arguments": {"width": 5}}):
        stops(f"belongs to other settings; delete {begun.parent}", standard(**change), begun)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "no facts"])
def test_damaged_state_is_refused_by_name(begun: Path, damage: str) -> None:
    if damage == "no facts":
        save_file(load_file(begun), begun)
    else:
        content = {"empty": b"", "truncated": begun.read_bytes()[:-1], "text": b"not a state" * 100}
        begun.write_bytes(content[damage])
    stops(f"{begun} is damaged .* delete it", standard(), begun)


@pytest.mark.parametrize("flips", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_any_flipped_bit_of_a_state_is_found(begun: Path, flips: int) -> None:
    for _ in single_bit_flips(begun, flips):
        fails(TrainingError, "is damaged", train, standard(), begun.parent)
    assert train(standard(), begun.parent).epoch == 4


def test_loss_that_is_not_finite_stops_and_keeps_the_last_state(tmp_path: Path) -> None:
    settings = standard(train_images=64, epochs=4, peak_rate=1e30)
    stopped = r"the loss became (nan|inf) in epoch 3; lower peak_rate\. State kept: epoch 2"
    fails(TrainingError, stopped, train, settings, tmp_path)
    facts = facts_of(tmp_path / "state.safetensors")
    assert facts["epoch"] == 2 and all(math.isfinite(row["loss"]) for row in facts["log"])


def test_collapsed_training_stops_and_keeps_the_last_state_but_a_fall_from_chance_level_is_none(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    train_some(tiny(), tmp_path, 1)
    pretend_best(file, 1.0)
    stops(r"catastrophic overfitting: .* from 100\.0% to .* in epoch 2\. .* keeps epoch 1", tiny(), file)
    file.unlink()
    settings = tiny(epsilon=0.5, epochs=2)
    train_some(settings, tmp_path, 1)
    pretend_best(file, 0.16)
    stops("catastrophic overfitting", settings, file)
    pretend_best(file, 0.14)
    assert train(settings, tmp_path).log[-1]["pgd10"] < 0.14 / 3


def test_file_size_limit_stops_with_what_to_do_and_keeps_the_last_state(begun: Path) -> None:
    with no_file_above(begun.stat().st_size // 2):
        stops(r"could not save .*too large.* Free some space and run again: epoch 2 is repeated", standard(), begun)


def test_full_disk_stops_with_what_to_do_and_the_training_goes_on_when_there_is_space(small_disk, tmp_path) -> None:
    settings = standard(epochs=2)
    full = r"could not save .*No space left on device.* epoch 2 is repeated"
    fails(TrainingError, full, train, settings, small_disk)
    assert os.listdir(small_disk) == ["state.safetensors"] and facts_of(small_disk / "state.safetensors")["epoch"] == 1
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    resumed = train(settings, small_disk)
    assert_same_weights(resumed.tensors(), train(settings, tmp_path / "whole").tensors())


def test_pruned_filters_fit_the_narrower_network_of_the_settings(tmp_path: Path) -> None:
    settings = load_settings("cifar10-resnet18w16-pruned_filters-s0")
    settings = settings.model_copy(update={"train_images": 128, "epochs": 1})
    state = train(settings, tmp_path)
    fewer = sum(p.numel() for p in state.model.parameters())
    assert fewer < 0.4 * sum(p.numel() for p in load_checkpoint(STANDARD).parameters())  # 0.6 squared, about
    build(settings.architecture, **settings.arguments).load_state_dict(state.average.module.state_dict())


def test_training_stops_where_the_held_out_accuracy_is_reached(tmp_path: Path) -> None:
    stopped = train(from_standard(stop_at=0.5), tmp_path / "a")
    assert stopped.stopped and stopped.epoch == 1 and stopped.log[-1]["clean"] >= 0.5
    assert_same_weights(stopped.average.module.state_dict(), stopped.model.state_dict())
    again = train(from_standard(stop_at=0.5), tmp_path / "a")
    assert again.stopped and again.epoch == 1
    assert not train(from_standard(stop_at=1.1), tmp_path / "b").stopped
    log = pd.read_csv(paths.CHECKPOINTS / "cifar10-resnet18w16-linf8-s0.csv")
    assert load_settings("cifar10-resnet18w16-standard_early-s0").stop_at == log.clean.iloc[-1]


def test_gradient_distance_is_zero_for_the_teacher_itself_two_for_its_opposite_and_is_learned() -> None:
    teacher = load_checkpoint(STANDARD)
    images, labels = torch.rand(8, 3, 32, 32, generator=Generator().manual_seed(0)), torch.arange(8)
    same = load_checkpoint(STANDARD).requires_grad_(True)
    assert loop.gradient_distance(same, teacher, images, labels).item() == pytest.approx(0, abs=1e-5)
    opposite = load_checkpoint(STANDARD)
    opposite.network[-1].weight.data.neg_()
    distance = loop.gradient_distance(opposite.requires_grad_(True), teacher, images, labels)
    assert distance.item() == pytest.approx(2, abs=1e-5)
    student, distances = build("resnet18", width=4), []
    optimizer = torch.optim.SGD(student.parameters(), lr=0.2)
    for _ in range(12):
        distance = loop.gradient_distance(student, teacher, images, labels)
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(distance.item())
    assert 0.8 < distances[0] < 1.2 and min(distances[-3:]) < distances[0] - 0.05


def test_training_learns(trained: Classifier, test_set: tuple[Tensor, Tensor]) -> None:
    """The averaged model with estimated batch norm, after three epochs on 2,000 images; chance is 10 %."""
    images, labels = test_set[0][:1000], test_set[1][:1000]
    assert (trained(images).argmax(1) == labels).double().mean() > 0.25


def test_averaged_weights_are_the_mean_over_the_last_third(tmp_path: Path) -> None:
    state = train(standard(train_images=64, epochs=3), tmp_path)
    assert_same_weights(*(dict(model.named_parameters()) for model in (state.average.module, state.model)))


def test_log_is_a_line_an_epoch_and_is_written_as_csv(tmp_path: Path) -> None:
    state = train(tiny(epochs=2), tmp_path)
    assert all(0 <= row["pgd10"] <= row["clean"] <= 1 and row["loss"] > 0 for row in state.log)
    write_log(state, tmp_path / "log.csv")
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log) == ["epoch", "loss", "seconds", "clean", "pgd10"] and list(log.epoch) == [1, 2]
