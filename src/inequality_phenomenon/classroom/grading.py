"""Grading: nought points are for work that ran and failed; what did not run has no points, but a reason."""

import asyncio
import math
import os
import secrets
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.preprocessors import SaveAutoGrades  # type: ignore[import-untyped]
from nbgrader.utils import is_grade, is_locked, is_solution  # type: ignore[import-untyped]
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from tqdm import tqdm

from ..datasets import load_cifar10
from .course import ClassroomError, Course, course_in, make_student_files, template, user_folder, write
from .sandbox import CannotRun, Limits, error, isolation, run_cells
from .submissions import Collected, Refused, Submission, collect, grade_id, has_marks, with_answers
from .table import NOT_GRADED, TO_DO, why, write_grades

PROBE = 'from inequality_phenomenon.coursework import close\nassert close(0.25, 0.75), "{}"'


@dataclass(frozen=True)
class ClassReport:
    table: Path  # grades.csv
    rows: pd.DataFrame
    graded: int  # notebooks
    before: int  # notebooks that had been graded before, and have not changed
    seconds: float
    not_graded: list[str]  # who, what and why; where this is not empty, a person has to look

    def __str__(self) -> str:
        waiting = (self.rows.status == TO_DO).sum()
        done = f"{self.graded} notebooks graded in {self.seconds:.0f} s, {self.before} had been graded before"
        return f"{done}\n{self.table}: {len(self.rows)} rows, {waiting} answers {TO_DO}"


def grade(
    course: str | Path,
    submissions: str | Path,
    *,
    jobs: int | None = None,
    sources: Path | None = None,
    **limits: float,
) -> ClassReport:
    """Grade ``submissions``, which has a folder for each student, and write grades.csv in the folder ``course``.

    ``jobs``: notebooks at a time, by default one for each core; ``limits``: those of ``sandbox.Limits``.
    What was graded without trouble and has not changed is not executed again. Raises ``ClassroomError`` where nothing can be
    graded here, and then no grade is written.
    """
    started = time.perf_counter()
    jobs = os.cpu_count() or 1 if jobs is None else jobs
    for name, value in ({"jobs": jobs} | limits).items():
        if not 0 < value < math.inf:
            raise ClassroomError(f"{name.replace('_', '-')} must be above 0, not {value}")
    here = course_in(course, sources)
    collected = collect(here, user_folder(submissions))
    load_cifar10("test")  # the sandbox could not fetch it
    make_student_files(here)  # the gradebook must know the assignments as they are
    templates = {name: template(here, name) for name in here.names}
    waiting = [s for s in collected.submissions if not is_graded(here, s, s.digest(templates[s.assignment]))]
    failed = asyncio.run(grade_all(here, waiting, templates, Limits(**limits), jobs)) if waiting else {}
    rows = write_grades(here, templates, collected.refused | failed)
    before = len(collected.submissions) - len(waiting)
    seconds, table = time.perf_counter() - started, here.folder / "grades.csv"
    return ClassReport(table, rows, len(waiting) - len(failed), before, seconds, _not_graded(rows, collected))


def _not_graded(rows: pd.DataFrame, collected: Collected) -> list[str]:
    """Who, what and why: a line for each notebook without marks, and one for a student who handed in nothing of use."""
    useful = {one.student for one in collected.submissions} | {who for who, what in collected.refused if what}
    nothing = {who: why for (who, what), why in collected.refused.items() if not what and who not in useful}
    notebooks = {(row.student, row.assignment, row.note) for row in rows[rows.status == NOT_GRADED].itertuples()}
    lines = [f"{who}, {what}: {reason}" for who, what, reason in sorted(notebooks) if who not in nothing]
    return [*lines, *(f"{who}: {reason}" for who, reason in nothing.items()), *collected.loose]


async def grade_all(
    course: Course, submissions: Sequence[Submission], templates: dict[str, NotebookNode], limits: Limits, jobs: int
) -> Refused:
    """Examine and record submissions, ``jobs`` at a time. Returns why some could not be graded; errors as ``grade``."""
    if not isolation():
        print("warning: this system cannot take the network away; submissions run with it", file=sys.stderr)
    if sys.platform != "linux":
        print("warning: this system may not enforce the limit of memory", file=sys.stderr)
    await _try_the_sandbox(limits)
    free, refused = asyncio.Semaphore(jobs), {}
    with tqdm(total=len(submissions), desc="grading", unit="notebook", disable=None) as bar:

        async def one(submission: Submission) -> None:
            own = templates[submission.assignment]
            try:
                async with free:
                    notebook, trouble = await marked(submission, own, limits)
                record(course, submission, notebook, None if trouble else submission.digest(own))
                if trouble:
                    bar.write(f"{submission.student}, {submission.assignment}: {trouble}", file=sys.stderr)
            except ClassroomError as problem:
                refused[submission.student, submission.assignment] = str(problem)
            bar.update()

        await asyncio.gather(*map(one, submissions))
    return refused


async def _try_the_sandbox(limits: Limits) -> None:
    """Raise ``ClassroomError`` unless a check that must fail is executed here, and fails."""
    probe, nonce = new_code_cell(PROBE.format("tried")), ("AssertionError", "tried")
    try:
        trouble = await run_cells(new_notebook(cells=[probe]), Limits(memory=limits.memory))
    except (CannotRun, OSError) as problem:
        raise ClassroomError(f"nothing can be graded here: {problem}") from None
    if trouble or _errors(probe) != [nonce]:
        raise ClassroomError(f"nothing can be graded here: {trouble or _errors(probe) or 'a failing check passes'}")


def _errors(cell: NotebookNode) -> list[tuple[str, str]]:
    return [(output.ename, output.evalue) for output in cell.get("outputs", []) if output.output_type == "error"]


async def marked(submission: Submission, template: NotebookNode, limits: Limits) -> tuple[NotebookNode, str | None]:
    """Execute a submission. Returns its notebook, and why not every test could give its answer, or None.

    A probe after each test must fail: code that ends the process or disarms ``assert`` gains nothing. Raises ``ClassroomError``.
    """
    try:
        submitted = nbformat.reads(submission.file.read_text("utf-8-sig"), as_version=4)
        notebook = with_answers(template, submitted)
    except Exception as problem:  # whatever may have been uploaded under this name
        raise ClassroomError(f"not a notebook: {' '.join(str(problem).split())[:200]}") from None
    if not has_marks(submitted, template):
        raise ClassroomError("no cell carries the assignment's marks")
    nonce = secrets.token_hex(8)
    tests = [cell for cell in notebook.cells if is_grade(cell) and not is_solution(cell)]
    probes = {id(cell): new_code_cell(PROBE.format(nonce)) for cell in tests}
    cells = [one for cell in notebook.cells for one in (cell, probes.get(id(cell))) if one is not None]
    try:
        trouble = await run_cells(NotebookNode(notebook, cells=cells), limits)
    except Exception as problem:
        raise ClassroomError(f"could not be executed: {problem}") from None
    for cell in notebook.cells:
        if is_locked(cell) and not is_grade(cell) and _errors(cell):
            raise ClassroomError(f"the assignment's own set-up cell failed: {why(cell)}")
    for cell in tests:
        if not _errors(cell) and _errors(probes[id(cell)]) != [("AssertionError", nonce)]:
            cell.outputs = [error("NoPoints", trouble or "after this cell a failing check went unnoticed")]
        if any(name == "TimeLimit" for name, _ in _errors(cell)):
            trouble = trouble or f"{grade_id(cell)}: time limit"
        for output in cell.outputs:  # nbgrader reads a warning on stderr as a failure, and a result as partial points
            if output.output_type == "stream":
                output.name = "stdout"
        cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]
    return notebook, trouble


def record(course: Course, submission: Submission, notebook: NotebookNode, digest: str | None) -> None:
    """Put the points into the gradebook, keeping a person's, and the notebook into autograded/; no ``digest``: to do again."""
    student, name = submission.student, submission.assignment
    place = {"student": student, "assignment": name, "notebook": name}
    try:
        with Gradebook(course.database) as gradebook, warnings.catch_warnings(action="ignore", category=SAWarning):
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(name, student)
        SaveAutoGrades().preprocess(notebook, {"nbgrader": place | {"db_url": course.database}})
    except SQLAlchemyError as problem:
        raise ClassroomError(f"the gradebook could not be written: {problem}") from None
    notebook.metadata["graded"] = digest
    write(notebook, course.notebook("autograded", name, student))


def is_graded(course: Course, submission: Submission, digest: str) -> bool:
    """Whether this very file was graded by these very tests, without trouble."""
    file = course.notebook("autograded", submission.assignment, submission.student)
    return file.exists() and nbformat.read(file, as_version=4).metadata.get("graded") == digest
