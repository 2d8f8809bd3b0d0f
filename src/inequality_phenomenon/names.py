"""The names of checkpoints: DATASET-NETWORK-TRAINING-sSEED, and the paper's networks that they stand for."""

import yaml

from ._support import paths
from .networks import REGISTRY

SHIPPED = {"resnet18": "resnet18w16", "densenet": "densenetbc40"}  # the paper's network -> the one that ships
# Our networks of the paper's size, and those that stand for them where no large weights ship.
FULL_SIZE = {"resnet18w64": "resnet18w16", "densenet121": "densenetbc40"}


def checkpoint_of(
    architecture: str, training: str, epsilon_255: int | str, seed: int = 0, dataset: str = "cifar10"
) -> str:
    """The name of our checkpoint for the paper's network and training, or of the public one on ImageNet; it need not exist."""
    kind = training if training == "standard" else f"{training}{epsilon_255}"
    if dataset == "imagenet":
        return f"imagenet-{architecture}-{kind}-{'torchvision' if kind == 'standard' else 'public'}"
    return f"cifar10-{SHIPPED[architecture]}-{kind}-s{seed}"


def dataset_of(checkpoint: str) -> str:
    """The data set in a checkpoint's name: cifar10 or imagenet."""
    return checkpoint.split("-")[0]


def network_of(checkpoint: str) -> str:
    """The paper's name of the network in a checkpoint's name: resnet18, densenet, resnet50, ..."""
    ours = {shipped: paper for paper, shipped in SHIPPED.items()}
    network = network_name(checkpoint)
    return ours.get(FULL_SIZE.get(network, network), network)


def network_name(checkpoint: str) -> str:
    """The network in a checkpoint's name, such as resnet18w16."""
    return checkpoint.split("-")[1]


def training_of(checkpoint: str) -> str:
    """The training in a checkpoint's name: standard, linf8, linf8_pgd3, ..."""
    return checkpoint.split("-")[2]


def named(checkpoint: str) -> str:
    """The title of a checkpoint: registered, or from its settings; one without either is called by its training.

    Networks that differ in the seed alone share a title, so one of another seed than 0 has it added.
    """
    seed = checkpoint.rpartition("-s")[2]
    if dataset_of(checkpoint) == "cifar10" and seed.isdecimal() and seed != "0":
        return f"{named(checkpoint.removesuffix(seed) + '0')}, seed {seed}"
    if checkpoint in REGISTRY:
        return REGISTRY[checkpoint].title
    settings = paths.CHECKPOINTS / f"{checkpoint}.yaml"
    if settings.exists():
        return str(yaml.safe_load(settings.read_text("utf-8"))["title"])
    training, _, variant = training_of(checkpoint).partition("_")
    name = training if training == "standard" else f"ℓ∞ {training.removeprefix('linf')}/255"
    return f"{name}, {variant}" if variant else name
