"""Checkpoints as Salman et al. publish them, written by the tests: names, copies, training state, dill, both file formats."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import dill
import torch
from torch import Tensor, nn

from inequality_phenomenon.networks import IMAGENET_MEAN, IMAGENET_STD


def attacker_state(network: nn.Module) -> "OrderedDict[str, Tensor]":
    """The state of their wrapper in data parallel: normaliser, network, and the attacker's copies of both."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    state: OrderedDict[str, Tensor] = OrderedDict()
    for normaliser, model in (("normalizer", "model"), ("attacker.normalize", "attacker.model")):
        state |= {f"module.{normaliser}.new_mean": mean, f"module.{normaliser}.new_std": std}
        state |= {f"module.{model}.{key}": value for key, value in network.state_dict().items()}
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


def training_state(network: nn.Module) -> dict[str, Any]:
    """An optimiser with momentum, and a schedule whose closure and class dill writes by value."""
    optimiser = torch.optim.SGD(network.parameters(), 0.0, momentum=0.9)  # a step at rate 0 leaves the weights alone
    for weights in network.parameters():
        weights.grad = torch.ones_like(weights)
    optimiser.step()
    optimiser.param_groups[0]["lr"] = 0.1
    milestones = [50, 100]

    class Schedule:
        rate = 0.1

    def multiplier(epoch: int) -> float:
        return Schedule.rate ** sum(epoch >= milestone for milestone in milestones)

    schedule = {"lr_lambdas": [multiplier], "made_by": Schedule(), "base_lrs": [0.1], "best": torch.tensor(0.5).numpy()}
    return {"optimizer": optimiser.state_dict(), "schedule": schedule, "epoch": 90, "amp": "N/A"}


def write_public(network: nn.Module, file: Path, *, archive: bool = False, **more: Any) -> Path:
    """``file`` in the older format, as published, or as the archive that torch.save writes today."""
    content = {"model": attacker_state(network)} | training_state(network) | more
    torch.save(content, file, pickle_module=dill, _use_new_zipfile_serialization=archive)
    return file
