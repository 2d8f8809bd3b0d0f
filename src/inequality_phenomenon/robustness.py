"""How robust a classifier is: the accuracy that projected gradient descent or AutoAttack leaves."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ._support import checks
from .networks import fold_batch_norm, logits

Norm = Literal["linf", "l2"]


def parse_fraction(text: str) -> float:
    """A number or a quotient of two, as in "8/255", "0.5/255" or "0.25"; ``ValueError`` for anything else."""
    numerator, _, denominator = text.partition("/")
    try:
        return float(Fraction(numerator) / Fraction(denominator or 1))
    except ZeroDivisionError:
        raise ValueError(f"{text} divides by zero") from None
    except ValueError:
        raise ValueError(f"{text!r} is no number; write it like 8/255 or 0.25") from None


@dataclass(frozen=True)
class Threat:
    """All perturbations of norm at most ``epsilon``, in pixel units of [0, 1]."""

    norm: Norm
    epsilon: float

    def __post_init__(self) -> None:
        checks.one_of("norm", self.norm, get_args(Norm))
        checks.real("epsilon", self.epsilon, 0)

    def __str__(self) -> str:
        return f"linf {self.epsilon * 255:.6g}/255" if self.norm == "linf" else f"l2 {self.epsilon:g}"

    @classmethod
    def parse(cls, text: str) -> "Threat":
        """The threat that ``str`` writes as "linf 8/255" or "l2 0.5"."""
        norm, _, epsilon = text.partition(" ")
        if norm not in ("linf", "l2"):
            raise ValueError(f"unknown threat {text!r}; write it like 'linf 8/255' or 'l2 0.5'")
        return cls(norm, parse_fraction(epsilon))  # type: ignore[arg-type]


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def distances(delta: Float[Tensor, "n 3 h w"], threat: Threat) -> Float[Tensor, " n"]:
    """The norm of each perturbation that the threat limits, in pixel units."""
    return delta.flatten(1).norm(dim=1, p=torch.inf if threat.norm == "linf" else 2)


def random_start(images: Tensor, threat: Threat, generator: Generator) -> Tensor:
    """A perturbation drawn uniformly from the threat's ball."""
    if threat.norm == "linf":
        return torch.empty_like(images).uniform_(-threat.epsilon, threat.epsilon, generator=generator)
    direction = torch.empty_like(images).normal_(generator=generator)
    radius = torch.rand(len(images), generator=generator, device=images.device) ** (1 / images[0].numel())
    return direction * _per_image(threat.epsilon * radius / direction.flatten(1).norm(dim=1))


def ascend(delta: Tensor, gradient: Tensor, threat: Threat, step: float) -> Tensor:
    """One steepest-ascent step of length ``step`` in the threat's norm, projected back onto its ball."""
    if threat.norm == "linf":
        return (delta + step * gradient.sign()).clamp_(-threat.epsilon, threat.epsilon)
    length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    delta = delta + step * gradient / _per_image(length)
    norm = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
    return delta * _per_image((threat.epsilon / norm).clamp_max(1))


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the summed cross-entropy with respect to the images, and the logits."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        scores = model(images)
        (gradient,) = torch.autograd.grad(F.cross_entropy(scores.float(), labels, reduction="sum"), images)
    return gradient, scores.detach()


def pgd(
    model: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    threat: Threat,
    *,
    steps: int,
    generator: Generator,
    step: float | None = None,
) -> Float[Tensor, "n 3 h w"]:
    """Adversarial images by projected gradient ascent on the cross-entropy (Madry et al. 2018).

    Random start in the ball; ``step`` defaults to 2.5 epsilon / steps; the result stays in [0, 1].
    An image that is already misclassified is not moved further, so "misclassified once" is kept.
    """
    _check(model, images, labels, threat)
    _check_classes(model, images, labels)
    checks.whole("steps", steps, 1)
    if step is not None:
        checks.real("step", step, 0)
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a torch.Generator, which decides the random start; got {generator!r}")
    step = 2.5 * threat.epsilon / steps if step is None else step
    adversarial = (images + random_start(images, threat, generator)).clamp_(0, 1)
    active = torch.arange(len(images), device=images.device)  # not yet misclassified
    for _ in range(steps):
        gradient, scores = input_gradient(model, adversarial[active], labels[active])
        still = scores.argmax(1) == labels[active]
        active, gradient = active[still], gradient[still]
        if not len(active):
            break
        clean = images[active]
        delta = ascend(adversarial[active] - clean, gradient, threat, step)
        adversarial[active] = (clean + delta).clamp_(0, 1)
    return adversarial


def _check(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat) -> None:
    checks.pictures(images)
    checks.labels_of(images, labels)
    checks.module(model, images)
    if not isinstance(threat, Threat):
        raise TypeError(f"threat must be a Threat, such as Threat('linf', 8 / 255); got {threat!r}")


def _check_classes(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    with torch.no_grad():
        checks.classes_known(labels, model(images[:1]).shape[1])


def correct(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 500) -> Bool[Tensor, " n"]:
    """Which images the model classifies as their label."""
    return logits(model, images, batch).argmax(1) == labels


def robust_correct(
    model: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    threat: Threat,
    *,
    steps: int = 20,
    restarts: int = 2,
    seed: int = 0,
    batch: int = 250,
    progress: bool = False,
) -> Bool[Tensor, " n"]:
    """Which images stay correctly classified, clean and under ``restarts`` runs of PGD with ``steps`` steps.

    ``model`` must be in eval mode. The random starts depend on ``seed``, the batch and the restart alone.
    """
    _check(model, images, labels, threat)
    for name, value, least in (("steps", steps, 1), ("restarts", restarts, 1), ("batch", batch, 1), ("seed", seed, 0)):
        checks.whole(name, value, least)
    _refuse_training(model)  # before it is asked anything: batch norm would remember
    _check_classes(model, images, labels)
    fast, parts = fold_batch_norm(model), list(zip(images.split(batch), labels.split(batch), strict=True))
    found = [
        restarted(fast, x, y, threat, restart_generators(x.device, seed, index, restarts), steps=steps)["robust"]
        for index, (x, y) in enumerate(tqdm(parts, desc=f"PGD-{steps} {threat}", disable=not progress))
    ]
    return torch.cat(found)


def _refuse_training(model: nn.Module) -> None:
    if model.training:
        raise ValueError("the model is in training mode: call model.eval() before measuring its robustness")


def restart_generators(device: torch.device, seed: int, batch: int, restarts: int) -> list[Generator]:
    """What the random starts of all restarts on one batch, by its index, are drawn from."""
    return [Generator(device).manual_seed(seed * 1_000_003 + batch * 101 + restart) for restart in range(restarts)]


def restarted(
    model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, generators: list[Generator], *,
    steps: int, attack: Callable[..., Tensor] = pgd,
) -> dict[str, Tensor]:  # fmt: skip
    """One restart of ``attack`` a generator, on the images of a batch that are still correct.

    ``robust``: correct to the end; ``relative_distance`` (of epsilon) and ``outside`` (of [0, 1]): the largest over the restarts.
    """
    robust = correct(model, images, labels)
    distance, outside = torch.zeros(2, len(images), device=images.device)
    for generator in generators:
        left = robust.nonzero().flatten()
        if not len(left):
            break
        adversarial = attack(model, images[left], labels[left], threat, steps=steps, generator=generator)
        robust[left] = correct(model, adversarial, labels[left])
        moved = distances(adversarial - images[left], threat) / threat.epsilon
        beyond = (adversarial - adversarial.clamp(0, 1)).abs().flatten(1).amax(1)
        distance[left], outside[left] = distance[left].maximum(moved), outside[left].maximum(beyond)
    return {"robust": robust, "relative_distance": distance, "outside": outside}


def robust_accuracy(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, **options) -> float:  # type: ignore[no-untyped-def]
    """Fraction of images that survive ``robust_correct`` with the same arguments."""
    return robust_correct(model, images, labels, threat, **options).double().mean().item()


# AutoAttack's standard version, in order; the last is the black box.
ENSEMBLE = ("apgd-ce", "apgd-t", "fab-t", "square")


@dataclass(frozen=True)
class AutoAttackOutcome:
    """Per image: what fooled the model first, and how far that adversarial image is from the original."""

    fooled_by: list[str]  # "clean": misclassified as it is; one of ``ENSEMBLE``; "nothing"
    distance: Float[Tensor, " n"]  # in the threat's norm, pixel units; 0 where the image was not changed


def auto_attack(
    model: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    threat: Threat,
    *,
    seed: int = 0,
    progress: bool = False,
) -> AutoAttackOutcome:
    """The standard version of AutoAttack (Croce and Hein 2020), one attack after the other.

    APGD on the cross-entropy, APGD on the targeted DLR loss, targeted FAB (9 classes each) and Square (5000 queries);
    each gets the images that the ones before it left. All images form one batch: the draws depend on it and on
    ``seed``. About 12 seconds of one CPU core for an image that nothing fools (ResNet-18, width 16). ``model`` must be
    in eval mode and have at least 10 classes. The global random state is left as it was.
    """
    from pyautoattack import AutoAttack  # slow import

    _refuse_training(model)
    images = images.contiguous()  # the package reshapes by view, which channels-last images refuse
    fast = fold_batch_norm(model)
    right = correct(fast, images, labels)
    found = ["nothing" if still else "clean" for still in right.tolist()]
    distance = torch.zeros(len(images))
    left = right.nonzero().flatten()
    norm = {"linf": "Linf", "l2": "L2"}[threat.norm]
    ensemble = AutoAttack(fast, norm=norm, eps=threat.epsilon, seed=seed, version="standard", device=images.device)
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        for name in tqdm(ENSEMBLE, desc=f"AutoAttack {threat}", disable=not progress):
            if not len(left):
                break
            ensemble.attacks_to_run = [name]
            adversarial, predicted = ensemble.run_standard_evaluation(images[left], labels[left], batch_size=len(left))
            fooled = predicted != labels[left]
            moved = distances(adversarial[fooled] - images[left[fooled]], threat).cpu()
            for place, length in zip(left[fooled].tolist(), moved.tolist(), strict=True):
                found[place], distance[place] = name, length
            left = left[~fooled]
    return AutoAttackOutcome(found, distance)
