"""The least accuracy that a trained network must have. A floor that is missed is not lowered.

Those of the first five entered the code after seed 0 of these was trained; all others before their networks were measured.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """The least accuracy that a checkpoint may have on the full test set."""

    clean: float
    robust: float | None = None  # PGD-20 with 2 restarts, at the model's own budget


# By the training in the checkpoint's name: for ResNet-18 of width 16, or with the network or the data set before it.
FLOORS = {
    "standard": Floor(0.88), "linf1": Floor(0.84, 0.74), "linf2": Floor(0.80, 0.64), "linf4": Floor(0.72, 0.50),
    "linf8": Floor(0.65, 0.39), "l2_0.5": Floor(0.75, 0.55), "standard_e30": Floor(0.90),
    "linf1_pgd3_e30": Floor(0.86, 0.77), "linf2_pgd3_e30": Floor(0.84, 0.70),
    "linf4_pgd3_e30": Floor(0.78, 0.58), "linf8_pgd3_e30": Floor(0.70, 0.44),
    "resnet18w64 linf8": Floor(0.78, 0.47), "imagenette standard": Floor(0.84), "imagenette linf8": Floor(0.66, 0.42),
}  # fmt: skip

# Networks that are registered although they miss their floor: `inequality verify` says so, and does not fail for it.
KNOWN_MISSES = frozenset({"cifar10-resnet18w64-linf8-s0", "cifar10-resnet18w16-standard_e30-s0"})


def floor_of(checkpoint: str) -> Floor | None:
    """The floor of a checkpoint by its name, ``DATASET-NETWORK-TRAINING-sSEED``; ``None`` where none was set."""
    dataset, network, training, _ = checkpoint.split("-")
    if dataset != "cifar10":
        return FLOORS.get(f"{dataset} {training}")
    return FLOORS.get(training if network == "resnet18w16" else f"{network} {training}")
