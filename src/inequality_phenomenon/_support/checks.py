"""Checks of arguments that public functions share: a wrong one is answered here, in words, not from inside torch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

T = TypeVar("T")


def whole(name: str, value: object, least: int | None = None, most: int | None = None) -> None:
    """``TypeError`` unless ``value`` is a whole number, ``ValueError`` unless it lies between ``least`` and ``most``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    real(name, value, least, most)


def real(name: str, value: object, least: float | None = None, most: float | None = None) -> None:
    """``TypeError`` unless ``value`` is a number, ``ValueError`` unless it is finite and lies in the range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    found = float(value)
    if not math.isfinite(found) or (least is not None and found < least) or (most is not None and found > most):
        limits = [f"at least {least}"] if least is not None else []
        limits += [f"at most {most}"] if most is not None else []
        raise ValueError(f"{name} must be {' and '.join(limits) or 'finite'}, got {value}")


def one_of(name: str, value: object, known: tuple[Any, ...]) -> None:
    """``ValueError`` with the known values unless ``value`` is one of them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")


def options(presets: Mapping[str, T], preset: str, changes: Mapping[str, Any]) -> T:
    """The options, a dataclass, of a preset with some fields changed. What a field may be, its type says.

    A literal is one of its values, ``seed`` at least 0, another whole number at least 1, a real one at least 0.
    """
    one_of("preset", preset, tuple(presets))
    kinds = get_type_hints(type(presets[preset]))
    if unknown := set(changes) - set(kinds):
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}; known: {', '.join(sorted(kinds))}")
    for name, value in changes.items():
        if get_origin(kinds[name]) is Literal:
            one_of(name, value, get_args(kinds[name]))
        elif kinds[name] is int:
            whole(name, value, 0 if name == "seed" else 1)
        elif kinds[name] is float:
            real(name, value, 0)
    return replace(presets[preset], **changes)  # type: ignore[type-var]


def real_tensor(name: str, value: object) -> None:
    """``TypeError`` unless ``value`` is a tensor of real numbers."""
    if not isinstance(value, Tensor) or value.is_complex():
        kind = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of real numbers, got {kind}")


def pictures(images: Tensor) -> None:
    """``TypeError`` or ``ValueError`` unless ``images`` are floats (N, 3, height, width) in [0, 1], at least one."""
    real_tensor("images", images)
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape (N, 3, height, width), got {tuple(images.shape)}")
    if images.numel() == 0:
        raise ValueError("there are no images: the subset is empty")
    if not images.is_floating_point():
        raise TypeError(f"images are floats in [0, 1], got {images.dtype}; divide bytes by 255")
    if not (images.amin() >= 0 and images.amax() <= 1):
        raise ValueError(f"pixels must lie in [0, 1], got {images.amin():.3g} to {images.amax():.3g}")


def classes_known(labels: Tensor, classes: int) -> None:
    """``ValueError`` where a label is none of the classes 0, ..., ``classes`` - 1."""
    if not (labels.amin() >= 0 and labels.amax() < classes):
        raise ValueError(f"labels must lie in 0..{classes - 1}, got {int(labels.amin())} to {int(labels.amax())}")


def labels_of(images: Tensor, labels: Tensor) -> None:
    """``TypeError`` or ``ValueError`` unless there is one int64 label an image."""
    real_tensor("labels", labels)
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels are {len(images)} int64 values, got {tuple(labels.shape)} of {labels.dtype}")


def module(model: object, images: Tensor) -> None:
    """``TypeError`` unless ``model`` is a torch module of the images' precision."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch module, got {type(model).__name__}")
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if kinds and images.dtype not in kinds:
        raise TypeError(f"images are {images.dtype}, the model's weights {', '.join(map(str, kinds))}")


def classifier(model: object, images: Tensor) -> None:
    """``TypeError`` unless ``model`` is a classifier with its normalisation inside, of the images' precision."""
    module(model, images)
    if not hasattr(model, "normalise"):
        raise TypeError("model must have its normalisation inside: take one from build or load_checkpoint")


def image_ids(ids: Any, count: int) -> list[int]:
    """The ids as a list, 0, 1, ... for ``None``; ``ValueError`` unless they are as many as the images."""
    if ids is None:
        return list(range(count))
    found = list(ids) if isinstance(ids, (list, tuple, range)) or hasattr(ids, "tolist") else [ids]
    for value in found:
        whole("an image id", value.item() if isinstance(value, Tensor) else value, 0)
    if len(found) != count:
        raise ValueError(f"{count} images need as many ids, got {len(found)}")
    return [int(value) for value in found]


def device_of(device: object) -> torch.device:
    """The device of this name; ``ValueError`` where there is none."""
    try:
        found = torch.device(device)  # type: ignore[call-overload]
        one_of("device", found.type, ("cpu", "cuda"))
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(f"unknown device {device!r}; known: cpu, cuda") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {found} was asked for, but torch sees {torch.cuda.device_count()} GPUs")
    return found
