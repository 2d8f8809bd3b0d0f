"""What a training hands from one epoch to the next, and the file that keeps it."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .._support.files import atomic_path
from ..networks import Classifier, build, load_checkpoint
from .pruning import prune_filters, prune_weights
from .settings import TrainingSettings

FACTS = "epoch", "stopped", "seconds", "log"  # of a state, beside its tensors


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do. The last good state is kept."""


@dataclass
class State:
    """Everything that an epoch hands to the next one."""

    model: Classifier
    average: AveragedModel
    optimizer: torch.optim.SGD
    epoch: int = 0
    stopped: bool = False  # ``stop_at`` was reached
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        named = dict(self.model.named_parameters())
        momenta = {name: self.optimizer.state[p].get("momentum_buffer") for name, p in named.items()}
        parts = {"model": self.model.state_dict(), "average": self.average.state_dict(), "momentum": momenta}
        found = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items() if v is not None}
        return {k: v.detach().cpu().contiguous().clone() for k, v in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        parameters = dict(self.model.named_parameters())
        for name, momentum in part("momentum.").items():
            own = parameters[name]
            self.optimizer.state[own]["momentum_buffer"] = torch.empty_like(own).copy_(momentum)


def fresh_state(settings: TrainingSettings, device: torch.device) -> State:
    model = build(settings.architecture, seed=settings.seed, **settings.arguments)
    if settings.start_from:
        start = load_checkpoint(settings.start_from)
        if settings.pruning != "none":
            {"weights": prune_weights, "filters": prune_filters}[settings.pruning](start, settings.pruned)
        model.load_state_dict(start.state_dict())
    model = model.to(device).to(memory_format=torch.channels_last)
    on_gpu = device.type == "cuda"  # there the rate is a tensor: a recorded step reads it anew
    rate, fused = (torch.tensor(settings.peak_rate, device=device), True) if on_gpu else (settings.peak_rate, None)
    optimizer = torch.optim.SGD(
        model.parameters(), rate, settings.momentum, weight_decay=settings.weight_decay, nesterov=True, fused=fused
    )
    if on_gpu:  # a recorded step cannot make them, and from zero the first step is the same
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return State(model, AveragedModel(model), optimizer)


def _recipe(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide the weights: all but the title."""
    return settings.model_dump(mode="json", exclude={"title"})


def save_state(state: State, settings: TrainingSettings, file: Path) -> None:
    facts = json.dumps({name: getattr(state, name) for name in FACTS} | {"settings": _recipe(settings)})
    tensors = state.tensors()
    try:
        with atomic_path(file) as temporary:
            save_file(tensors, temporary, metadata={"facts": facts, "sha256": state_digest(facts, tensors)})
    except OSError as problem:
        again = f"Free some space and run again: epoch {state.epoch} is repeated"
        raise TrainingError(f"could not save {file}: {problem}. {again}") from None


def state_digest(facts: str, tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def restore_state(state: State, settings: TrainingSettings, file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        if state_digest(metadata["facts"], tensors) != metadata["sha256"]:
            raise ValueError("its content does not match its checksum")
        facts = json.loads(metadata["facts"])
    except (SafetensorError, KeyError, ValueError) as problem:
        raise TrainingError(f"{file} is damaged ({problem}); delete it to start this training again") from None
    defaults = _recipe(TrainingSettings(title=""))  # of the settings that did not exist when the state was written
    if defaults | facts["settings"] != _recipe(settings):
        raise TrainingError(f"{file} belongs to other settings; delete {file.parent} to start again")
    state.load(tensors)
    for name in FACTS:
        setattr(state, name, facts[name])
