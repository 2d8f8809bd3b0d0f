"""Executes chapters: the notebook is written when all of its cells have run, and not before."""

import os
import sys
import time
from collections.abc import Collection
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillException

from .._support import paths
from .._support.files import write_whole
from .._support.profiles import Profile, load_profile


def execute(chapter: str, target: Path, *, show_progress: bool = False, **parameters: Any) -> None:
    """Execute notebooks/``chapter``.py, say how long it took, and write ``target``, which is replaced only on success.

    Raises ``ParameterError`` on a wrong parameter and ``RuntimeError``, with the cell and its traceback, on a failure.
    """
    started = time.perf_counter()
    print(f"{chapter}: executing", file=sys.stderr)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger and its warning are not used
    target = target.resolve()
    bar = {"desc": chapter, "leave": False, "disable": None}  # None: no bar where nobody watches a terminal
    source, bars = f"{paths.NOTEBOOKS.name}/{chapter}.py", sys.stderr if show_progress else None
    try:
        with chdir(paths.ROOT):  # papermill recognises our notebooks by their relative path
            notebook = papermill.execute_notebook(source, None, parameters, progress_bar=bar, stderr_file=bars)
    except (PapermillException, DeadKernelError) as problem:
        failed = f"{chapter} failed after {time.perf_counter() - started:.0f} s; the same command goes on from here"
        raise RuntimeError(f"{failed}\n{problem}") from None
    for cell in notebook.cells:  # the page folds the parameters, as all code
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
    write_whole(target, nbformat.writes(notebook) + "\n")
    print(f"{chapter}: done in {time.perf_counter() - started:.0f} s", file=sys.stderr)


def execute_chapter(chapter: str, profile: str, device: str) -> Path:
    """Into book/_executed/PROFILE/, with the notebook's progress on the terminal."""
    target = paths.EXECUTED / profile / f"{chapter}.ipynb"
    execute(chapter, target, show_progress=True, profile=profile, device=device)
    return target


def chosen_chapters(profile: str, numbers: Collection[str]) -> tuple[Profile, list[str]]:
    """The profile, and its chapters with these numbers, such as 01; all without any. ``ValueError`` for an unknown one."""
    values = load_profile(profile)
    known = [name[:2] for name in values.chapters]
    if unknown := set(numbers) - set(known):
        raise ValueError(f"profile {profile} has no chapter {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    return values, [name for name in values.chapters if not numbers or name[:2] in numbers]
