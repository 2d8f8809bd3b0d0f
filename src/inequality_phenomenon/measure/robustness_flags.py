"""Signs that a measured robustness is an artefact of its evaluation (Carlini et al. 2019; Croce and Hein 2020).

``evaluate`` attacks a model and keeps, image by image, what the flags read; ``FLAGS`` are rules on that evidence.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ..robustness import Threat, ascend, correct, input_gradient, pgd, restart_generators, restarted

Evidence = Mapping[str, np.ndarray]  # columns of one value an image
Attack = Callable[..., Tensor]  # takes the arguments of ``pgd``

PASSES = 5  # over the same images, to see whether the outputs repeat
DEVIATION = 1e-4  # between two outputs for one image, relative: the rounding of a GPU stays below
SLACK = 0.01  # share of the images that may differ by chance
OVERSHOOT = 1e-4  # of epsilon, or of a pixel's range: float32 rounding stays below
SQUARE_GAIN = 0.002  # share of the images; AutoAttack's own limit


@dataclass(frozen=True)
class Flag:
    """Raised if ``value`` of the evidence, which needs ``columns``, is above ``limit``."""

    name: str
    columns: tuple[str, ...]
    value: Callable[[Evidence], float]
    limit: float = 0.0
    percent: bool = True  # the value is a share of the images


# What each means, and what to do, is on the page book/robustness_flags.md.
FLAGS = (
    Flag("Training mode", ("training_mode",), lambda e: e["training_mode"].mean()),
    Flag("Probabilities instead of logits", ("probabilities",), lambda e: float(e["probabilities"].all())),
    Flag("Randomised model", ("deviation",), lambda e: e["deviation"].max(), DEVIATION, percent=False),
    Flag("Gradients at inference", ("takes_gradients",), lambda e: e["takes_gradients"].mean()),
    Flag("Zero gradients", ("zero_gradient",), lambda e: e["zero_gradient"].mean()),
    Flag("One step beats many", ("robust", "one_step"), lambda e: e["robust"].mean() - e["one_step"].mean(), SLACK),
    Flag(
        "Budget exceeded",
        ("relative_distance", "outside"),
        lambda e: max(e["relative_distance"].max() - 1, e["outside"].max()),
        OVERSHOOT,
        percent=False,
    ),
    Flag("An unlimited attack fails", ("unlimited",), lambda e: e["unlimited"].mean(), SLACK),
    Flag("Black box beats gradients", ("fooled_by",), lambda e: (e["fooled_by"] == "square").mean(), SQUARE_GAIN),
)


@dataclass(frozen=True)
class Finding:
    """What the evidence says on one flag."""

    flag: Flag
    value: float

    @property
    def raised(self) -> bool:
        return not self.value <= self.flag.limit  # so that NaN raises


def check(evidence: Evidence) -> list[Finding]:
    """A finding for every flag that the evidence has the columns for, in the order of ``FLAGS``."""
    return [Finding(flag, float(flag.value(evidence))) for flag in FLAGS if all(c in evidence for c in flag.columns)]


def evaluate(
    model: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    threat: Threat,
    *,
    attack: Attack = pgd,
    steps: int = 20,
    restarts: int = 2,
    seed: int = 0,
    batch: int = 250,
) -> dict[str, np.ndarray]:
    """Attack ``model`` as ``robust_correct`` does; the outcome and the evidence for the flags, one value an image.

    The outcome: ``clean`` and ``robust``, correct as it is and under all restarts. Unlike ``robust_correct`` it accepts
    a model in training mode, for the flag to say so. ``model`` itself is left as it was.
    """
    model = copy.deepcopy(model)  # in training mode, batch norm learns from the images that it sees
    parts = []
    for index, (x, y) in enumerate(zip(images.split(batch), labels.split(batch), strict=True)):
        columns = _outputs(model, x) | _one_step(model, x, y, threat)
        *generators, last = restart_generators(x.device, seed, index, restarts + 1)
        columns |= restarted(model, x, y, threat, generators, steps=steps, attack=attack)
        unlimited = Threat(threat.norm, 0.5 if threat.norm == "linf" else 0.5 * math.sqrt(x[0].numel()))
        columns["unlimited"] = restarted(model, x, y, unlimited, [last], steps=steps, attack=attack)["robust"]
        parts.append({name: values.cpu().numpy() for name, values in columns.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def _outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What repeated passes over the images show."""
    first, *others = (model(images) for _ in range(PASSES))
    size = first.norm(dim=1).clamp_min(1e-12)
    deviation = torch.stack([(other - first).norm(dim=1) / size for other in others]).amax(0)
    inside = ((first >= -1e-5) & (first <= 1 + 1e-5)).all(1)
    everywhere = torch.ones(len(images), dtype=torch.bool)
    return {
        "training_mode": everywhere & any(part.training for part in model.modules()),
        "takes_gradients": everywhere & _takes_gradients(model, images),
        "probabilities": inside & ((first.sum(1) - 1).abs() < 1e-5),
        "deviation": deviation,
    }


def _takes_gradients(model: nn.Module, images: Tensor) -> bool:
    """Whether the forward pass fails without automatic differentiation, although it works with it."""
    try:
        with torch.inference_mode():
            model(images)
    except RuntimeError:
        return True
    return False


def _one_step(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat) -> dict[str, Bool[Tensor, " n"]]:
    """Clean outcome, and that of one steepest step of length epsilon from the image itself (FGSM for l_inf)."""
    gradient, logits = input_gradient(model, images, labels)
    clean = logits.argmax(1) == labels
    moved = (images + ascend(torch.zeros_like(images), gradient, threat, threat.epsilon)).clamp_(0, 1)
    flat = gradient.flatten(1)
    return {
        "clean": clean,
        "zero_gradient": (flat == 0).all(1) | ~flat.isfinite().all(1),
        "one_step": clean & correct(model, moved, labels),
    }
