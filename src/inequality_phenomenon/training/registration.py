"""A checkpoint trained by its settings file, measured on the test set, and registered."""

import csv
import platform
from pathlib import Path

import torch
from torch import Tensor, nn

from .._support import paths
from .._support.files import atomic_path, sha256_of
from ..networks import (
    Accuracy,
    RegistryEntry,
    fold_batch_norm,
    half_precision,
    register,
    robust_evaluation,
    save_checkpoint,
)
from ..robustness import Threat, correct, robust_correct
from .data import test_images
from .loop import train
from .settings import TrainingSettings, load_settings
from .state import State

SHIPPABLE = 3_000_000  # parameters: the weights of a larger model are not committed, only how to make them


def write_log(state: State, file: Path) -> None:
    """The line-an-epoch log as CSV."""
    with atomic_path(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(state.log[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in state.log)


def robust_as_registered(
    name: str, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, progress: bool
) -> Tensor:
    """Which of the test images that ``robust_evaluation`` takes survive its PGD-20, for the checkpoint ``name``."""
    restarts, count = robust_evaluation(name)
    return robust_correct(model, images[:count], labels[:count], threat, restarts=restarts, progress=progress)


def train_and_register(name: str, *, device: str | torch.device = "cpu", progress: bool = True) -> RegistryEntry:
    """Train checkpoint ``name`` by its settings file, measure it on the full test set, and register it."""
    settings = load_settings(name)
    state = train(settings, paths.TRAINING / name, device=device, progress=progress)
    model = state.average.module.eval()
    model.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in half_precision(model.state_dict()).items()}
    )
    images, labels = (part.to(device) for part in test_images(settings.dataset))
    threats = {str(threat): threat for threat in (settings.threat, Threat("linf", 8 / 255)) if threat}
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on every device
        robust = {
            text: robust_as_registered(name, model, images, labels, threat, progress)
            for text, threat in threats.items()
        }
        clean = correct(fold_batch_norm(model), images, labels)
    parameters = sum(p.numel() for p in model.parameters())
    entry = RegistryEntry(
        name=name,
        title=settings.title,
        architecture=settings.architecture,
        arguments=settings.arguments,
        parameters=parameters,
        training=settings.model_dump(mode="json", exclude={"title", "architecture", "arguments"}),
        sha256="",
        test_clean=Accuracy(correct=int(clean.sum()), n=len(clean)),
        test_robust={text: Accuracy(correct=int(found.sum()), n=len(found)) for text, found in robust.items()},
        training_seconds=round(state.seconds),
        machine=f"{_processor(images.device, settings)}, torch {torch.__version__}",
        remake=f"inequality train {name} --device {device}" if parameters > SHIPPABLE or not settings.shipped else None,
    )
    write_log(state, entry.log)
    entry = entry.model_copy(update={"sha256": save_checkpoint(model, entry.file)})
    assert sha256_of(entry.file) == entry.sha256
    register(entry)
    return entry


def _processor(device: torch.device, settings: TrainingSettings) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device}, {settings.threads} thread(s)"
