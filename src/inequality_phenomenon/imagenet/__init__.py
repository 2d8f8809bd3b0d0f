"""ImageNet and the public networks on it. pyproject.toml names this module as the image set ``imagenet`` (see ``_support.plugins``)."""

from .data import class_names as class_names
from .images import ImageNetSet as evaluation_set
from .public import public_networks as public_networks

__all__ = ["class_names", "evaluation_set", "public_networks"]
