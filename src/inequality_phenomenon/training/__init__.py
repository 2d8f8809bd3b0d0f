"""Training: settings, the loop, pruning, registration. Names are imported when first used: the package alone needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import TrainingImages, held_out_ids, held_out_images
    from .loop import craft, gradient_distance, train, train_epoch, training_step
    from .pruning import keep_zeros, prune_filters, prune_weights, sparsity
    from .registration import train_and_register, write_log
    from .settings import TrainingSettings, learning_rate, load_settings
    from .state import State, TrainingError, fresh_state

_HOMES = {
    "data": ("TrainingImages", "held_out_ids", "held_out_images"),
    "loop": ("craft", "gradient_distance", "train", "train_epoch", "training_step"),
    "pruning": ("keep_zeros", "prune_filters", "prune_weights", "sparsity"),
    "registration": ("train_and_register", "write_log"),
    "settings": ("TrainingSettings", "learning_rate", "load_settings"),
    "state": ("State", "TrainingError", "fresh_state"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "State", "TrainingError", "TrainingImages", "TrainingSettings", "craft", "fresh_state", "gradient_distance",
    "held_out_ids", "held_out_images", "keep_zeros", "learning_rate", "load_settings", "prune_filters", "prune_weights",
    "sparsity", "train", "train_and_register", "train_epoch", "training_step", "write_log",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
