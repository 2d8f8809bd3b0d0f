"""Promise: `inequality verify` notices a checkpoint that is not what was registered, too weak, or not honestly evaluated."""

from pathlib import Path

import pytest
from conftest import entry
from torch import Tensor

from inequality_phenomenon import networks
from inequality_phenomenon.cli import main
from inequality_phenomenon.measure import verification
from inequality_phenomenon.measure.verification import folder_size, own_threat, verify_checkpoint
from inequality_phenomenon.networks import LADDER, REGISTRY, Accuracy, Classifier, RegistryEntry
from inequality_phenomenon.robustness import Threat, correct, robust_correct
from inequality_phenomenon.training import floors
from inequality_phenomenon.training.floors import FLOORS, KNOWN_MISSES, Floor, floor_of

FIRST, SECOND = "cifar10-resnet18w16-linf2-s0", "cifar10-resnet18w16-standard-s0"
N = 80  # the intervals are wide: a wrong registered value has to be far off
OWN, COMMON = "linf 2/255", "linf 8/255"


def registered(name: str, model: Classifier, folder: Path, counts: dict[str, int]) -> RegistryEntry:
    rates = {threat: Accuracy(correct=k, n=N) for threat, k in counts.items()}
    training = {"norm": "none", "epsilon": 0.0} if "standard" in name else {"norm": "linf", "epsilon": 2 / 255}
    return entry(name, model, folder, training=training, test_clean=rates.pop("clean"), test_robust=rates)


@pytest.fixture
def counts(trained: Classifier, test_set: tuple[Tensor, Tensor]) -> dict[str, int]:
    images, labels = (part[:N] for part in test_set)
    found = {threat: robust_correct(trained, images, labels, Threat.parse(threat)) for threat in (OWN, COMMON)}
    return {name: int(left.sum()) for name, left in ({"clean": correct(trained, images, labels)} | found).items()}


@pytest.fixture
def registry(trained, counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move) -> dict[str, RegistryEntry]:
    move(CHECKPOINTS=tmp_path)
    monkeypatch.setattr(verification, "FLAG_IMAGES", 40)
    monkeypatch.setattr(floors, "FLOORS", {"linf2": Floor(0.2, 0.1), "standard": Floor(0.2)})
    entries = {name: registered(name, trained, tmp_path, counts) for name in (FIRST, SECOND)}
    monkeypatch.setattr(REGISTRY, "_entries", entries)
    return entries


def verified(capsys: pytest.CaptureFixture[str], name: str, status: int) -> list[str]:
    assert main(["verify", name, "--images", str(N)]) == status
    return capsys.readouterr().out.splitlines()


def failures(lines: list[str]) -> list[str]:
    return [line for line in lines if line.endswith("FAILED")]


def test_an_honest_checkpoint_passes_and_one_below_its_registered_rate_fails(registry, capsys, counts) -> None:
    lines = verified(capsys, FIRST, status=0)
    assert [line.split()[1] for line in lines[:-2]] == ["clean", "linf", "linf", "clean", "linf", "flags"]
    assert all(line.endswith("ok") for line in [*lines[:-2], lines[-1]]) and lines[-2] == "1 of 1 checkpoints verified"
    better = Accuracy(correct=counts[OWN] + 40, n=N)
    registry[FIRST] = registry[FIRST].model_copy(update={"test_robust": {OWN: better}})
    lines = verified(capsys, FIRST, status=1)
    assert len(failures(lines)) == 1 and f"registered {better.rate:.2%}" in failures(lines)[0]
    assert f"0 of 1 checkpoints verified: not {FIRST}" in lines


@pytest.mark.parametrize("floor", [Floor(0.99, 0.1), Floor(0.2, 0.99)], ids=["clean", "robust"])
def test_a_checkpoint_below_its_floor(registry, monkeypatch: pytest.MonkeyPatch, capsys, floor: Floor) -> None:
    monkeypatch.setattr(floors, "FLOORS", {"linf2": floor})
    (failure,) = failures(verified(capsys, FIRST, status=1))
    assert "floor 99%" in failure and ("clean" in failure) == (floor.clean == 0.99)


def test_a_known_miss_is_told_and_does_not_fail_but_everything_else_does(registry, monkeypatch, capsys) -> None:
    monkeypatch.setattr(floors, "FLOORS", {"linf2": Floor(0.99, 0.1)})
    monkeypatch.setattr(verification, "KNOWN_MISSES", {FIRST})
    lines = verified(capsys, FIRST, status=0)
    (miss,) = [line for line in lines if line.endswith("below its floor")]
    assert "floor 99%" in miss and not failures(lines) and "1 of 1 checkpoints verified" in lines
    registry[FIRST] = registry[FIRST].model_copy(update={"test_clean": Accuracy(correct=0, n=N)})
    assert any("registered 0.00%" in line for line in failures(verified(capsys, FIRST, status=1)))


def test_an_evaluation_that_raises_a_flag(registry, test_set, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits so large that the loss of a confident image rounds to zero: the weights of the last layer, times 10,000."""
    name, (images, labels) = FIRST, (part[:60] for part in test_set)
    model = networks.load_checkpoint(name)
    model.network[-1].weight.data *= 1e4
    monkeypatch.setattr(verification, "load_checkpoint", lambda _: model)
    *_, flags = verify_checkpoint(name, images, labels, progress=False)
    assert not flags.passed and "Zero gradients (linf 2/255)" in flags.text


def test_all_are_tried_although_one_is_altered(registry, tmp_path: Path, capsys) -> None:
    file = tmp_path / f"{FIRST}.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    lines = verified(capsys, "--all", status=1)
    assert "was altered" in failures(lines)[0] and len(failures(lines)) == 1
    assert f"{SECOND}  flags" in "\n".join(lines) and f"1 of 2 checkpoints verified: not {FIRST}" in lines


def test_a_folder_that_is_too_large(registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "log.csv").write_bytes(bytes(5000))
    assert folder_size() == sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file()) + 5000
    monkeypatch.setattr(verification, "FOLDER_LIMIT", folder_size() - 1)
    told = f"checkpoints/ {folder_size() / 1e6:.1f} MB of 0 MB  FAILED"
    assert failures(verified(capsys, SECOND, status=1)) == [told]


@pytest.mark.parametrize("name", list(REGISTRY))
def test_a_shipped_checkpoint_meets_its_floor(name: str) -> None:
    floor, shipped = floor_of(name), REGISTRY[name]
    if floor is None or name in KNOWN_MISSES:
        assert name not in LADDER
        return
    own = [(shipped.test_clean, floor.clean)]
    own += [] if floor.robust is None else [(shipped.test_robust[own_threat(shipped) or ""], floor.robust)]
    assert all(accuracy.rate >= least and accuracy.n == 10_000 for accuracy, least in own)


def test_the_ladder_and_every_seed_of_it_has_a_floor_and_a_known_miss_misses_it() -> None:
    assert all(floor_of(name) for name in LADDER) and floor_of("cifar10-resnet18w16-linf8-s2") == FLOORS["linf8"]
    assert floor_of("cifar10-resnet18w16-linf8_cutout-s0") is None and floor_of("cifar10-densenetbc40-linf8-s0") is None
    standard = {name for name, floor in FLOORS.items() if floor.robust is None}
    assert standard == {"standard", "standard_e30", "imagenette standard"}
    assert floor_of("cifar10-resnet18w16-linf8_pgd3_e30-s1") == Floor(0.70, 0.44)
    assert all(verification.meets_floor(name) is False for name in KNOWN_MISSES)


def test_intervals_are_wider_than_those_of_the_book() -> None:
    """At 95 %, one of the two dozen intervals of `verify --all` would miss by chance in most runs."""
    count, n = 400, 1000
    text = verification._rate("clean", count, n, Accuracy(correct=4400, n=10_000))
    assert text.passed and "[35." in text.text
    assert not verification._rate("clean", count, n, Accuracy(correct=4600, n=10_000)).passed
    for n in (16, 80, 100, 300, 1000):  # none and all lie in their own intervals
        assert all(verification._rate("robust", k, n, Accuracy(correct=k, n=n)).passed for k in (0, n))
