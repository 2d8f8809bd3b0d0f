"""A checkpoint trained by its settings file, measured on the test set, and registered."""

import platform
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from .. import networks
from .._support import paths
from .._support.files import sha256_of, write_whole
from ..robustness import Threat, correct, robust_correct
from .data import test_images
from .loop import train
from .settings import load_settings
from .state import State

SHIPPABLE = 3_000_000  # parameters: the weights of a larger model are not committed, only how to make them


def write_log(state: State, file: Path) -> None:
    write_whole(file, pd.DataFrame(state.log).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def robust_as_registered(
    name: str, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, progress: bool
) -> Tensor:
    """Which of the test images that ``robust_evaluation`` takes survive its PGD-20, for the checkpoint ``name``."""
    restarts, count = networks.robust_evaluation(name)
    return robust_correct(model, images[:count], labels[:count], threat, restarts=restarts, progress=progress)


def train_and_register(
    name: str, *, device: str | torch.device = "cpu", progress: bool = True
) -> networks.RegistryEntry:
    """Train checkpoint ``name`` by its settings file, measure it on the full test set, and register it."""
    settings = load_settings(name)
    state = train(settings, paths.TRAINING / name, device=device, progress=progress)
    model = state.average.module.eval()
    kept = networks.half_precision(model.state_dict())  # as the file has them
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in kept.items()})
    images, labels = (part.to(device) for part in test_images(settings.dataset))
    threats = {str(threat): threat for threat in (settings.threat, Threat("linf", 8 / 255)) if threat}
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 on every device
        right = {"clean": correct(networks.fold_batch_norm(model), images, labels)}
        for text, threat in threats.items():
            right[text] = robust_as_registered(name, model, images, labels, threat, progress)
    rates = {text: networks.Accuracy(correct=int(found.sum()), n=len(found)) for text, found in right.items()}
    own = settings.model_dump(mode="json")
    network = {key: own.pop(key) for key in ("title", "architecture", "arguments")}
    parameters, on_gpu = sum(p.numel() for p in model.parameters()), images.device.type == "cuda"
    processor = f"{platform.machine()} {images.device}, {settings.threads} thread(s)"
    processor = torch.cuda.get_device_name(images.device) if on_gpu else processor
    entry = networks.RegistryEntry(
        name=name, **network, parameters=parameters, training=own, sha256="",
        test_clean=rates.pop("clean"), test_robust=rates, training_seconds=round(state.seconds),
        machine=f"{processor}, torch {torch.__version__}",
        remake=f"inequality train {name} --device {device}" if parameters > SHIPPABLE or not settings.shipped else None,
    )  # fmt: skip
    write_log(state, entry.log)
    entry = entry.model_copy(update={"sha256": networks.save_checkpoint(model, entry.file)})
    assert sha256_of(entry.file) == entry.sha256
    networks.register(entry)
    return entry
