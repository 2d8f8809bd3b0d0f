"""The inequality phenomenon in l_inf adversarial training, measured again.

Names are imported when first used: the workflow and papermill load this package without needing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._support.profiles import load_profile
    from .attacks import occlude, perturb_with_noise
    from .attribution import attribute
    from .datasets import correct_subset, load_cifar10
    from .inequality import gini, global_gini, lorenz_curve, region_sums, regional_gini, top_share
    from .networks import REGISTRY, build, load_checkpoint
    from .robustness import pgd, robust_accuracy
    from .show.card import inspect_network
    from .statistics import bootstrap_mean, mcnemar, wilson
    from .training.loop import train
    from .verdicts.comparison import compare

_HOMES = {
    "attacks": ("occlude", "perturb_with_noise"),
    "attribution": ("attribute",),
    "verdicts.comparison": ("compare",),
    "datasets": ("correct_subset", "load_cifar10"),
    "inequality": ("gini", "global_gini", "lorenz_curve", "region_sums", "regional_gini", "top_share"),
    "networks": ("REGISTRY", "build", "load_checkpoint"),
    "_support.profiles": ("load_profile",),
    "robustness": ("pgd", "robust_accuracy"),
    "show.card": ("inspect_network",),
    "statistics": ("bootstrap_mean", "mcnemar", "wilson"),
    "training.loop": ("train",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
