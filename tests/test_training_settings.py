"""Promise: a settings file says what is trained, and one that cannot be meant is refused by name."""

import pytest
from pydantic import ValidationError
from test_training import STANDARD, standard, tiny

from inequality_phenomenon._support import paths
from inequality_phenomenon.networks import build
from inequality_phenomenon.robustness import Threat
from inequality_phenomenon.training.settings import learning_rate, load_settings


def test_epsilon_is_read_as_a_fraction() -> None:
    assert tiny(epsilon="8/255").epsilon == 8 / 255
    assert tiny(epsilon="0.5/255").epsilon == 0.5 / 255
    assert tiny(epsilon=0.25).epsilon == tiny(epsilon="0.25").epsilon == 0.25
    assert tiny(epsilon="8/255").threat == Threat("linf", 8 / 255)
    assert standard().threat is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate"), ({"epsilon": "8/0"}, "divides by zero"),
        ({"epsilon": "eight"}, "epsilon"), ({"epsilon": 0}, "norm linf does not go with epsilon 0"),
        ({"norm": "l1"}, "'none', 'linf' or 'l2'"), ({"norm": "l2"}, "norm l2 goes with attack pgd, not nfgsm"),
        ({"attack": "none"}, "norm linf goes with attack nfgsm or pgd, not none"),
        ({"norm": "none"}, "norm none goes with attack none, not nfgsm"),
        ({"norm": "none", "attack": "none"}, "norm none does not go with epsilon"), ({"epochs": 0}, "epochs"),
        ({"train_images": 0}, "train_images"), ({"precision": "float64"}, "precision"),
        ({"distillation": 1}, "teacher"), ({"teacher": STANDARD}, "teacher"),
        ({"teacher": STANDARD, "distillation": 1, "compile": True}, "compile does not go with a teacher"),
        ({"pruning": "weights", "start_from": STANDARD}, "pruning weights does not go with pruned 0"),
        ({"pruned": 0.5}, "pruning none does not go with pruned 0.5"),
        ({"pruning": "filters", "pruned": 0.5}, "start_from"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny(**change)


@pytest.mark.parametrize("name", sorted(path.stem for path in paths.CHECKPOINTS.glob("cifar10-*.yaml")))
def test_every_committed_settings_file_is_valid(name: str) -> None:
    settings = load_settings(name)
    build(settings.architecture, **settings.arguments)
    assert ("linf" in name) == (settings.norm == "linf") and ("l2_" in name) == (settings.norm == "l2")
    assert name.endswith(f"-s{settings.seed}")


def test_unknown_checkpoint_is_answered_with_the_known_names() -> None:
    with pytest.raises(ValueError, match=r"'cifar10-vgg'; known: .*cifar10-resnet18w16-standard-s0"):
        load_settings("cifar10-vgg")


def test_learning_rate_is_one_triangle() -> None:
    settings = standard(peak_rate=0.2, warm_up=0.25)
    rates = [learning_rate(settings, progress) for progress in (0, 0.125, 0.25, 0.625, 1)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])
