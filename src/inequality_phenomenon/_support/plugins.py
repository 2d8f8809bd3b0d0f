"""Image sets beside CIFAR-10: each registers itself by an entry point in pyproject.toml, and is imported when asked for."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

GROUP = "inequality_phenomenon.image_sets"
NO_IMAGE_SETS = ". No image set beside CIFAR-10 is installed: run `make setup`"
PublicNetwork = Any  # name, title, architecture, arguments, sha256, file and load(), as of ``networks.RegistryEntry``


class ImageSetModule(Protocol):
    """What a module offers that an entry point names. The entry point's own name is the data set's in profiles and checkpoints."""

    def evaluation_set(self, judges: tuple[str, ...], skip_unreadable: bool) -> Any:
        """A ``measure.image_sets.EvaluationSet``."""

    def class_names(self) -> Sequence[str]: ...
    def public_networks(self) -> Mapping[str, PublicNetwork]:
        """Those of ``checkpoints/NAME.yaml`` that this project did not train, by name, which begins with that of the set."""

    def training_data(self, batch_size: int, device: Any) -> Any:
        """A ``training.data.TrainingData``; only of a set that networks are trained on."""

    def test_images(self) -> Any:
        """All test images in [0, 1] and their labels, in an order drawn once; only of such a set."""


@cache
def image_sets() -> tuple[str, ...]:
    """The names of those that are installed; none is imported."""
    return tuple(sorted(entry_points(group=GROUP).names))


@cache
def image_set(name: str) -> ImageSetModule:
    """The module that registered itself as ``name``; ``ValueError`` lists those that are known."""
    if name not in image_sets():
        others = f", {', '.join(image_sets())}" if image_sets() else NO_IMAGE_SETS
        raise ValueError(f"unknown image set {name!r}; known: cifar10{others}")
    return entry_points(group=GROUP)[name].load()
