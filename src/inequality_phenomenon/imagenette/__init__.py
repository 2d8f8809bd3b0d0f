"""Imagenette, ten classes of ImageNet at 224, 128 and 64 pixels. pyproject.toml names the three as image sets."""

from .data import fetch_and_say, load_imagenette
from .images import AT_64, AT_128, AT_224, choose_photographs

__all__ = ["AT_64", "AT_128", "AT_224", "choose_photographs", "fetch_and_say", "load_imagenette"]
