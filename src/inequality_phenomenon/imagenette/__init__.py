"""Imagenette, ten classes of ImageNet at 224, 128 and 64 pixels. pyproject.toml names the three as image sets."""

from .data import load_imagenette as load_imagenette
from .images import AT_64, AT_128, AT_224

__all__ = ["AT_64", "AT_128", "AT_224", "load_imagenette"]
