"""What the assignments import: comparison with tolerance, follow-through marks, and answers that are switched off."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NoReturn

import numpy as np

from ._support import paths

ROOT, EXECUTED = paths.ROOT, paths.EXECUTED  # the project's folder, and where executed chapters and their records lie


def close(found: Any, expected: Any, tolerance: float = 1e-6) -> bool:
    """Same shape, finite, and |found - expected| <= tolerance (1 + |expected|) everywhere; tensors, arrays or numbers."""
    found, expected = _array(found), _array(expected)
    if found.shape != expected.shape or not np.isfinite(found).all():
        return False
    return bool((np.abs(found - expected) <= tolerance * (1 + np.abs(expected))).all())


def _array(values: Any) -> np.ndarray:
    is_tensor = hasattr(values, "detach")  # asked so, because importing torch takes seconds
    return np.asarray(values.detach().cpu() if is_tensor else values, float)


def follow_through(check: Callable[[], None], namespace: dict[str, Any], right: dict[str, Any]) -> None:
    """Run ``check``; if it fails, run it again with right answers in place of the student's earlier functions.

    So an error is paid for once. ``namespace``: the notebook's ``globals()``; ``right``: name -> function, by the hidden tests.
    """
    try:
        check()
    except Exception:
        if not right:
            raise
        before = {name: namespace[name] for name in right if name in namespace}
        namespace.update(right)
        try:
            check()
        finally:
            namespace.update(before)


def by_hand(*modules: str) -> None:
    """Switch off what an assignment asks to be written by hand, in this process: no short cut for honest students.

    Public functions of this package's ``modules`` then raise ``NotImplementedError``; another package cannot be imported.
    """
    for name in modules:
        if find_spec(f"{__package__}.{name}") is None:
            for forbidden in [name, *(loaded for loaded in sys.modules if loaded.startswith(f"{name}."))]:
                sys.modules[forbidden] = None  # type: ignore[assignment]  # Python's way to say: it cannot be imported
            continue
        package = importlib.import_module(f"{__package__}.{name}")
        inside = [info.name for info in pkgutil.iter_modules(getattr(package, "__path__", []), f"{package.__name__}.")]
        for module in [package, *map(importlib.import_module, inside)]:
            for key, function in inspect.getmembers(module, inspect.isfunction):
                if f"{function.__module__}.".startswith(f"{package.__name__}.") and not key.startswith("_"):
                    setattr(module, key, partial(_refuse, key))


def _refuse(name: str, /, *_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError(f"{name} is switched off in this assignment: write it by hand")
