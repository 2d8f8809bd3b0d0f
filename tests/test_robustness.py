"""Promise: PGD searches the ball that it names, the whole of it, and finds robust accuracies that are known."""

from functools import cache

import numpy as np
import pytest
import torch
from conftest import fails
from scipy import stats
from torch import Generator, Tensor, nn

from inequality_phenomenon import pgd, robust_accuracy
from inequality_phenomenon.datasets import load_cifar10_bytes
from inequality_phenomenon.networks import fold_batch_norm
from inequality_phenomenon.robustness import Threat, ascend, correct, input_gradient, random_start, robust_correct

THREATS = [Threat("linf", 2 / 255), Threat("linf", 8 / 255), Threat("l2", 0.25), Threat("l2", 1.0)]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def norms(delta: Tensor, threat: Threat) -> Tensor:
    return delta.flatten(1).norm(dim=1, p=float("inf") if threat.norm == "linf" else 2)


@cache
def linear_classifier(classes: int) -> nn.Module:
    """Ridge regression on 4,000 real training images: a linear classifier that really separates them."""
    images, labels = (part[:4000] for part in load_cifar10_bytes("train"))
    x = torch.cat([images.permute(0, 3, 1, 2).flatten(1).double() / 255, torch.ones(4000, 1)], dim=1)
    y = nn.functional.one_hot(labels.long() % classes, classes).double() * 2 - 1
    weights = torch.linalg.solve(x.T @ x + 30 * torch.eye(x.shape[1]), x.T @ y).float()
    layer = nn.Linear(3072, classes)
    layer.weight.data, layer.bias.data = weights[:-1].T.contiguous(), weights[-1]
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


def exact_linf_survivors(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Where the smallest margin over the box is positive for every other class; a linear one is smallest in a corner."""
    weight, bias = model[1].weight.double(), model[1].bias.double()
    x = images.flatten(1).double()
    low, high = (x - epsilon).clamp_min(0), (x + epsilon).clamp_max(1)
    margins = []
    for other in range(len(bias)):
        direction = weight[labels] - weight[other]
        margins.append((direction * torch.where(direction > 0, low, high)).sum(1) + bias[labels] - bias[other])
    return (torch.stack(margins, dim=1).scatter(1, labels[:, None], 1) > 0).all(1)


@pytest.mark.parametrize("epsilon", [0.5 / 255, 1 / 255, 2 / 255])
def test_pgd_finds_the_exact_linf_robust_accuracy_of_a_two_class_linear_classifier(test_set, epsilon: float) -> None:
    images, labels, threat = test_set[0][:500], test_set[1][:500] % 2, Threat("linf", epsilon)
    exact = exact_linf_survivors(linear_classifier(2), images, labels, epsilon)
    found = robust_correct(linear_classifier(2), images, labels, threat, steps=10, restarts=1)
    assert 0.02 < exact.double().mean() < 0.98  # neither all nor none: the comparison says something
    assert (found != exact).sum() <= 1  # one image may lie on the boundary


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2])
def test_pgd_finds_the_exact_l2_robust_accuracy_of_a_two_class_linear_classifier(test_set, epsilon: float) -> None:
    """Contrast is halved so that no pixel is nearer than epsilon to 0 or 1: the distance to the plane is then exact."""
    images, labels = 0.25 + test_set[0][:500] / 2, test_set[1][:500] % 2
    model = linear_classifier(classes=2)
    direction = model[1].weight[1] - model[1].weight[0]
    exact = (2 * labels - 1) * model(images).diff(dim=1)[:, 0] > epsilon * direction.norm()
    found = robust_correct(model, images, labels, Threat("l2", epsilon), steps=20, restarts=1)
    assert 0.02 < exact.double().mean() < 0.98
    assert not (exact & ~found).any()  # no attack inside the ball can do better
    assert (found & ~exact).sum() <= 5


def test_pgd_never_beats_and_nearly_reaches_the_exact_accuracy_with_ten_classes(test_set) -> None:
    images, labels = test_set[0][:500], test_set[1][:500]
    model = linear_classifier(classes=10)
    exact = exact_linf_survivors(model, images, labels, 1 / 255)
    found = robust_correct(model, images, labels, Threat("linf", 1 / 255), steps=20, restarts=2)
    assert not (exact & ~found).any()
    assert exact.sum() > 5 and (found & ~exact).sum() <= 20  # 4 points of 500


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_adversarial_images_and_steps_of_any_length_stay_in_the_ball(trained, images, labels, threat) -> None:
    adversarial = pgd(trained, images, labels, threat, steps=5, generator=seeded())
    assert adversarial.min() >= 0 and adversarial.max() <= 1
    distance = norms(adversarial - images, threat)
    assert (distance <= threat.epsilon * (1 + 1e-5)).all()
    assert distance.max() > 0.5 * threat.epsilon  # and use it
    gradient = torch.randn(images.shape, generator=seeded(1))
    delta = random_start(images, threat, seeded())
    for step in (0.1 * threat.epsilon, threat.epsilon, 100.0):
        assert (norms(ascend(delta, gradient, threat, step), threat) <= threat.epsilon * (1 + 1e-5)).all()
    small = ascend(torch.zeros_like(images), gradient, threat, threat.epsilon / 2)
    torch.testing.assert_close(norms(small, threat), torch.full((len(images),), threat.epsilon / 2))
    zero = torch.zeros_like(images)
    assert torch.equal(ascend(zero, zero, threat, 0.1), zero)  # along no gradient there is no step


def test_starts_are_uniform_in_the_cube_or_in_the_ball() -> None:
    delta = random_start(torch.zeros(20, 3, 32, 32), Threat("linf", 0.1), seeded())
    assert stats.kstest(delta.flatten().numpy(), stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3
    delta = random_start(torch.zeros(20_000, 3, 2, 2), Threat("l2", 0.5), seeded()).flatten(1)
    volume = (delta.norm(dim=1) / 0.5) ** 12  # in d dimensions the volume within radius r grows as r^d
    assert stats.kstest(volume.numpy(), stats.uniform.cdf).pvalue > 1e-3
    first = delta[:, 0] / delta.norm(dim=1)  # one coordinate of a uniform direction: (x + 1) / 2 ~ Beta(11/2, 11/2)
    assert stats.kstest(((first + 1) / 2).numpy(), stats.beta(5.5, 5.5).cdf).pvalue > 1e-3


def test_misclassified_starts_are_kept_and_more_restarts_only_remove_survivors(trained, test_set) -> None:
    images, labels = test_set[0][:100], test_set[1][:100]
    threat = Threat("linf", 4 / 255)
    start = (images + random_start(images, threat, seeded(3))).clamp(0, 1)
    wrong = ~correct(trained, start, labels)
    adversarial = pgd(trained, images, labels, threat, steps=3, generator=seeded(3))
    assert wrong.any() and not wrong.all() and torch.equal(adversarial[wrong], start[wrong])
    assert not torch.equal(adversarial[~wrong], start[~wrong])
    one, three = (robust_correct(trained, images, labels, THREATS[0], steps=2, restarts=n) for n in (1, 3))
    assert not (three & ~one).any()


def test_input_gradient_is_the_derivative_of_the_summed_cross_entropy(trained, images: Tensor, labels: Tensor) -> None:
    model, images = trained.double(), images[:2].double()
    gradient, logits = input_gradient(model, images, labels[:2])
    direction = torch.randn(images.shape, generator=seeded(), dtype=torch.float64)
    scores = [model(images + h * direction) for h in (1e-6, -1e-6)]
    loss = [nn.functional.cross_entropy(own, labels[:2], reduction="sum") for own in scores]
    assert (gradient * direction).sum().item() == pytest.approx(((loss[0] - loss[1]) / 2e-6).item(), rel=1e-4)
    torch.testing.assert_close(logits, model(images))


@pytest.mark.parametrize(("norm", "radii"), [("linf", [1 / 255, 4 / 255, 16 / 255]), ("l2", [0.1, 0.5, 2.0])])
def test_robust_accuracy_falls_as_the_ball_grows(trained, test_set, norm: str, radii: list[float]) -> None:
    images, labels = test_set[0][:200], test_set[1][:200]
    clean = correct(fold_batch_norm(trained), images, labels)
    threats = [Threat(norm, radius) for radius in radii]
    survivors = [robust_correct(trained, images, labels, threat, steps=10, restarts=1) for threat in threats]
    counts = [int(part.sum()) for part in (clean, *survivors)]
    assert counts == sorted(counts, reverse=True) and counts[-1] < 0.5 * counts[0]
    assert all(not (part & ~clean).any() for part in survivors)  # a misclassified image is never robust


def test_result_belongs_to_the_seed_inputs_stay_and_training_mode_is_refused(trained, images, labels) -> None:
    torch.manual_seed(0)
    first = robust_correct(trained, images, labels, THREATS[0], steps=2, seed=1)
    torch.manual_seed(1)
    assert torch.equal(first, robust_correct(trained, images, labels, THREATS[0], steps=2, seed=1))
    starts = [pgd(trained, images, labels, THREATS[0], steps=1, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    assert robust_accuracy(trained, images, labels, THREATS[0], steps=2, seed=1) == np.mean(first.numpy())
    before = images.clone()
    pgd(trained, images, labels, THREATS[1], steps=2, generator=seeded())
    robust_correct(trained, images, labels, THREATS[1], steps=2, restarts=2)
    assert torch.equal(images, before) and not images.requires_grad
    state = {key: value.clone() for key, value in trained.train().state_dict().items()}
    with pytest.raises(ValueError, match=r"training mode: call model\.eval\(\)"):
        robust_correct(trained, images, labels, THREATS[0])
    torch.testing.assert_close(trained.state_dict(), state, rtol=0, atol=0)  # its batch norm saw nothing


def test_threat_is_written_as_papers_do_and_read_back_and_other_text_is_refused() -> None:
    threats = [*THREATS, Threat("linf", 0.5 / 255)]
    written = ["linf 2/255", "linf 8/255", "l2 0.25", "l2 1", "linf 0.5/255"]
    assert [str(threat) for threat in threats] == written and [Threat.parse(text) for text in written] == threats
    for text in ("", "linf", "l1 0.5", "linf eight", "linf 8/0", "8/255"):
        fails(ValueError, r"unknown threat|is no number|divides by zero", Threat.parse, text)
