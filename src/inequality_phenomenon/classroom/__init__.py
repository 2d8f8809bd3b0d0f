"""A class: student notebooks without solutions, and submissions graded in a sandbox. ``release`` and ``grade`` are its door.

Names are imported when first used: whoever reads the command line's help need not wait for nbgrader.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .course import ClassroomError, release
    from .grading import Report, grade

__all__ = ["ClassroomError", "Report", "grade", "release"]

_HOME = {"ClassroomError": ".course", "release": ".course", "Report": ".grading", "grade": ".grading"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
