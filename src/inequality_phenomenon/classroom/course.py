"""Assignments for a class: ``python -m inequality_phenomenon.classroom release`` and ``grade`` (make assignments, make grade).

nbgrader makes the student files and keeps the gradebook, in its own folder structure, so that its tools work on it. Between the
two, ``sandbox`` executes each submission in a process of its own.
"""

import argparse
import asyncio
import copy
import csv
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Grade, Gradebook  # type: ignore[import-untyped]
from nbgrader.apps.api import NbGraderAPI  # type: ignore[import-untyped]
from nbgrader.coursedir import CourseDirectory  # type: ignore[import-untyped]
from nbgrader.preprocessors import ClearOutput, ClearSolutions, ComputeChecksums, LockCells, SaveAutoGrades  # type: ignore[import-untyped]
from nbgrader.utils import is_grade, is_locked, is_solution  # type: ignore[import-untyped]
from sqlalchemy.exc import SAWarning
from tqdm import tqdm
from traitlets.config import Config

from .._support import paths
from .._support.files import atomic_path
from ..datasets import DataError, load_cifar10
from .sandbox import Limits, error, execute, isolation

COLUMNS = ("student", "assignment", "question", "points", "max_points", "status", "note")
TO_DO, BY_PERSON, BY_TEST = "to be graded by a person", "graded by a person", "graded"
NO_ANSWER, NOT_SUBMITTED, SET_UP_FAILED = "no answer", "not submitted", "set-up failed"


class ClassroomError(RuntimeError):
    """Assignments cannot be made or graded; the message says why."""


# --- the course ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """A folder with nbgrader's structure: source, release, submitted, autograded and the gradebook."""

    folder: Path
    sources: Path = paths.ASSIGNMENTS

    @property
    def names(self) -> list[str]:
        """The assignments."""
        return sorted(path.stem for path in self.sources.glob("*.py"))

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder.resolve() / 'gradebook.db'}"

    @property
    def grades(self) -> Path:
        return self.folder / "grades.csv"

    def notebook(self, step: str, assignment: str, student: str = ".") -> Path:
        """Where nbgrader keeps a notebook; ``step``: source, release, submitted or autograded."""
        return self.folder / step / student / assignment / f"{assignment}.ipynb"


def release(course: Course) -> list[Path]:
    """Have nbgrader make the student files, without solutions and hidden tests; their paths.

    Raises ``ClassroomError`` where questions were added or removed after submissions had been graded.
    """
    _put_own_tools_on_the_path()
    config = Config()
    config.CourseDirectory.root = str(course.folder.resolve())
    config.CourseDirectory.db_url = course.database
    with atomic_path(course.folder / "nbgrader_config.py") as temporary:
        temporary.write_text('"""nbgrader knows a course by this file."""\n')
    nbgrader = NbGraderAPI(CourseDirectory(config=config), config=config)
    for name in course.names:
        notebook = jupytext.reads((course.sources / f"{name}.py").read_text("utf-8"), fmt="py:percent")
        notebook.metadata.pop("jupytext", None)  # or Jupyter would look for the source
        for number, cell in enumerate(notebook.cells):
            cell.id = f"{name}-{number}"  # not at random: a release made again is the same file
        _write(notebook, course.notebook("source", name))
        made = nbgrader.generate_assignment(name)
        if not made["success"]:
            hint = "start another course folder (COURSE=...)" if "Cannot add or remove cells" in made["log"] else ""
            raise ClassroomError(f"nbgrader could not make {name}:\n{made['log'].strip()}\n{hint}".strip())
    return [course.notebook("release", name) for name in course.names]


def copies_to_work_on(course: Course) -> list[Path]:
    """A copy of each student file in ``work``, where it is missing: what is there may be somebody's work."""
    copies = [course.folder / "work" / f"{name}.ipynb" for name in course.names]
    for name, file in zip(course.names, copies, strict=True):
        if not file.exists():
            with atomic_path(file) as temporary:
                shutil.copyfile(course.notebook("release", name), temporary)
    return copies


def _put_own_tools_on_the_path() -> None:
    """nbgrader runs the command alembic, which lies beside this Python, whether or not the environment is active."""
    tools, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if tools not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([tools, path])


def _write(notebook: NotebookNode, file: Path) -> None:
    with atomic_path(file) as temporary:
        nbformat.write(notebook, temporary)


@cache
def template(course: Course, name: str) -> NotebookNode:
    """The student version with its hidden tests: what is graded, once a student's answers are in it."""
    notebook: NotebookNode = nbformat.read(course.notebook("source", name), as_version=4)
    resources: dict[str, str] = {}
    for step in (LockCells(), ClearSolutions(), ClearOutput(), ComputeChecksums()):
        notebook, resources = step.preprocess(notebook, resources)
    return notebook


# --- submissions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """One notebook of one student."""

    student: str
    assignment: str
    file: Path

    def digest(self, template: NotebookNode) -> str:
        """What decides the points: the submitted file, and the assignment with its tests."""
        cells = [[cell.cell_type, cell.source, cell.metadata.get("nbgrader")] for cell in template.cells]
        return hashlib.sha256(json.dumps(cells, sort_keys=True).encode() + self.file.read_bytes()).hexdigest()


def collect(course: Course, handed_in: Path) -> list[Submission]:
    """Copy what was handed in to where nbgrader expects it. ``handed_in`` has a folder for each student, named by the student.

    A notebook at any depth belongs to the assignment whose name its file name contains; the newest counts.
    """
    found = []
    for folder in sorted(path for path in handed_in.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for name in course.names:
            found_here = (path for path in folder.rglob(f"*{name}*.ipynb") if path.is_file())
            files = [path for path in found_here if ".ipynb_checkpoints" not in path.parts]
            if files:
                newest = max(files, key=lambda path: path.stat().st_mtime)
                submission = Submission(folder.name, name, course.notebook("submitted", name, folder.name))
                if newest.resolve() != submission.file.resolve():
                    submission.file.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(newest, submission.file)
                found.append(submission)
    if not found:
        raise ClassroomError(f"{handed_in} needs a folder for each student, with files such as {course.names[0]}.ipynb")
    return found


def grade_id(cell: NotebookNode) -> str:
    """The name of a cell that nbgrader knows; empty for any other."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def with_answers(template: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """The instructor's notebook, in its order, with the student's answers; cells that the student added keep their place.

    So a cell of ours that was changed, moved or deleted is what it was. An answer that is missing is an empty one. Of several
    copies of an answer the last counts, and the others are executed before it.
    """
    ours = {grade_id(cell): cell for cell in template.cells if grade_id(cell)}
    plain = {cell.source for cell in template.cells if not grade_id(cell)}
    last = {grade_id(cell): index for index, cell in enumerate(submitted.cells) if grade_id(cell) in ours}
    answers: dict[str, str] = {}
    added: dict[str, list[NotebookNode]] = defaultdict(list)
    place = ""  # the last cell of ours that was passed
    for index, cell in enumerate(submitted.cells):
        name = grade_id(cell)
        if name in ours and index == last[name]:
            place, answers[name] = name, cell.source
        elif cell.source not in plain and not (name in ours and is_locked(ours[name])):
            added[place].append(
                new_code_cell(cell.source) if cell.cell_type == "code" else new_markdown_cell(cell.source)
            )
    cells = added.pop("", [])
    for cell in copy.deepcopy(template.cells):
        name = grade_id(cell)
        if is_solution(cell):
            cell.source = answers.get(name, cell.source)
        cells += [cell, *added[name]]
    return NotebookNode(copy.deepcopy(template), cells=cells)


# --- grading ---------------------------------------------------------------------------------------------------


@dataclass
class Examined:
    """A submission after its execution: test cells with an error get no points."""

    submission: Submission
    notebook: NotebookNode
    trouble: str | None = None  # why not every test could give its answer


def _is_test(cell: NotebookNode) -> bool:
    return is_grade(cell) and not is_solution(cell)


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


async def examine(submission: Submission, template: NotebookNode, limits: Limits) -> Examined:
    """Execute a submission. A test's cell then has no error, or one that says why there are no points; nothing raises.

    A probe after each test must fail. It shows that the process outlived the test, and that a failing check is still
    noticed: code that ends the process or disarms ``assert`` gains nothing.
    """
    try:
        notebook = with_answers(template, nbformat.read(submission.file, as_version=4))
    except Exception as problem:  # whatever may have been uploaded under this name
        return _ungraded(submission, template, f"not a notebook: {problem}")
    nonce = secrets.token_hex(8)
    probes, cells = [], []
    for cell in notebook.cells:
        cells.append(cell)
        if _is_test(cell):
            probes.append((cell, new_code_cell(PROBE.format(nonce))))
            cells.append(probes[-1][1])
    try:
        trouble = await execute(NotebookNode(notebook, cells=cells), limits)
    except Exception as problem:
        return _ungraded(submission, template, f"could not be executed: {problem!r}")
    for cell, probe in probes:
        if not _errors(cell) and [(e.ename, e.evalue) for e in _errors(probe)] != [("AssertionError", nonce)]:
            cell.outputs = [error("NotGraded", trouble or "after this cell a failing check went unnoticed")]
        if any(e.ename == "TimeLimit" for e in _errors(cell)):
            trouble = trouble or f"{grade_id(cell)}: time limit"
        _keep_only_what_counts(cell)
    return Examined(submission, notebook, trouble)


PROBE = 'from inequality_phenomenon.coursework import close\nassert close(0.25, 0.75), "{}"'


def _ungraded(submission: Submission, template: NotebookNode, trouble: str) -> Examined:
    notebook = copy.deepcopy(template)
    for cell in filter(_is_test, notebook.cells):
        cell.outputs = [error("NotGraded", trouble)]
    return Examined(submission, notebook, trouble)


def _keep_only_what_counts(cell: NotebookNode) -> None:
    """nbgrader reads a warning on stderr as a failure and a result as partial points; both may come from an answer."""
    for output in cell.outputs:
        if output.output_type == "stream":
            output.name = "stdout"
    cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]


def record(course: Course, examined: Examined, digest: str) -> None:
    """Put the points into the gradebook and the executed notebook into autograded/; points by a person are kept."""
    submission, notebook = examined.submission, examined.notebook
    with Gradebook(course.database) as gradebook, warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of nbgrader's order of work
        gradebook.update_or_create_student(submission.student)
        gradebook.update_or_create_submission(submission.assignment, submission.student)
    place = {"student": submission.student, "assignment": submission.assignment, "notebook": submission.assignment}
    SaveAutoGrades().preprocess(notebook, {"nbgrader": place | {"db_url": course.database}})
    notebook.metadata["graded"] = None if examined.trouble else digest  # trouble may be gone the next time
    _write(notebook, course.notebook("autograded", submission.assignment, submission.student))


def is_graded(course: Course, submission: Submission, digest: str) -> bool:
    """Whether this very file was graded by these very tests, without trouble."""
    file = course.notebook("autograded", submission.assignment, submission.student)
    return file.exists() and nbformat.read(file, as_version=4).metadata.get("graded") == digest


async def grade(course: Course, submissions: Sequence[Submission], limits: Limits, jobs: int) -> list[Examined]:
    """Examine and record all submissions, ``jobs`` at a time, with a progress bar."""
    free = asyncio.Semaphore(jobs)
    with tqdm(total=len(submissions), desc="grading", unit="notebook", disable=None) as bar:

        async def one(submission: Submission) -> Examined:
            own = template(course, submission.assignment)
            async with free:
                examined = await examine(submission, own, limits)
            record(course, examined, submission.digest(own))
            if examined.trouble:
                bar.write(f"{submission.student}, {submission.assignment}: {examined.trouble}", file=sys.stderr)
            bar.update()
            return examined

        return await asyncio.gather(*map(one, submissions))


# --- the table -------------------------------------------------------------------------------------------------


def rows(course: Course) -> Iterator[dict[str, str | float]]:
    """One row a student and question of every assignment that someone has handed in; keys: ``COLUMNS``."""
    with Gradebook(course.database) as gradebook:
        for name in course.names:
            submitted = {found.student.id: found for found in gradebook.assignment_submissions(name)}
            for student in sorted(student.id for student in gradebook.students) if submitted else []:
                parts = submitted[student].notebooks if student in submitted else []
                grades = {grade.name: grade for part in parts for grade in part.grades}
                for question, points, most, status, note in _results(course, name, student, grades):
                    yield dict(zip(COLUMNS, (student, name, question, points, most, status, note), strict=True))


def _results(
    course: Course, name: str, student: str, grades: dict[str, Grade]
) -> Iterator[tuple[str, float | str, float, str, str]]:
    """Question, points (nothing before a person has graded it), most points, status, and what the test said."""
    executed = nbformat.read(course.notebook("autograded", name, student), as_version=4).cells if grades else []
    notes = {grade_id(cell): _why(failure) for cell in executed for failure in _errors(cell)}
    failed = any(_errors(cell) for cell in executed if is_locked(cell) and not is_grade(cell))
    for cell in filter(is_grade, template(course, name).cells):
        question, most = grade_id(cell), float(cell.metadata.nbgrader["points"])
        grade = grades.get(question)
        if grade is None:
            yield question, 0.0, most, NOT_SUBMITTED, ""
        elif grade.needs_manual_grade:
            yield question, "", most, TO_DO, ""
        elif grade.manual_score is not None:
            yield question, grade.score, most, BY_PERSON, ""
        elif is_solution(cell):
            yield question, grade.score, most, NO_ANSWER, ""
        else:
            yield question, grade.score, most, SET_UP_FAILED if failed else BY_TEST, notes.get(question, "")


def _why(failure: NotebookNode) -> str:
    """The error in one line; a check without a message is quoted."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(failure.traceback))
    marked = re.findall(r"^-+> \d+ (.*)$", plain, re.MULTILINE)
    return " ".join(f"{failure.ename}: {failure.evalue or ''.join(marked[-1:])}".split())[:200]


def write_grades(course: Course) -> list[dict[str, str | float]]:
    """Write ``rows`` to grades.csv and return them."""
    table = list(rows(course))
    with atomic_path(course.grades) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return table


# --- the command -----------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``release`` or ``grade``; expected failures print one message and return 1."""
    options = _parser().parse_args(arguments)
    course = Course(options.course)
    try:
        if options.command == "release":
            load_cifar10("test")
            print("To hand out:", *release(course), sep="\n  ")
            print("To work on, never overwritten:", *copies_to_work_on(course), sep="\n  ")
            return 0
        limits = Limits(options.cell_seconds, options.notebook_seconds, int(options.memory * 2**30))
        return _grade(course, options.submissions, limits, options.jobs)
    except (ClassroomError, DataError, OSError) as problem:
        print(f"classroom: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("classroom: stopped; the next run goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="classroom", description=__doc__)
    parser.add_argument("--course", type=Path, default=paths.CLASSROOM, help="the course folder (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release", help="make the student files")
    grading = commands.add_parser("grade", help="grade submissions and write grades.csv")
    grading.add_argument("submissions", type=Path, help="a folder that has a folder for each student")

    def limit(name: str, kind: type[int] | type[float], default: float, text: str) -> None:
        grading.add_argument(name, type=_above_zero(kind), default=default, help=f"{text} (%(default)s)")

    limit("--jobs", int, os.cpu_count() or 1, "notebooks at a time")
    limit("--cell-seconds", float, Limits.cell_seconds, "for one cell")
    limit("--notebook-seconds", float, Limits.notebook_seconds, "for one notebook")
    limit("--memory", float, Limits.memory / 2**30, "GiB a process")
    return parser


def _above_zero(kind: type[int] | type[float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not 0 < (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
        return value

    return number


def _grade(course: Course, handed_in: Path, limits: Limits, jobs: int) -> int:
    started = time.perf_counter()
    if not isolation():
        print("warning: this system cannot take the network away; submissions run with it", file=sys.stderr)
    if sys.platform != "linux":
        print("warning: this system may not enforce the limit of memory", file=sys.stderr)
    submissions = collect(course, handed_in)
    load_cifar10("test")  # the sandbox could not fetch it
    release(course)  # the gradebook must know the assignments as they are
    waiting = [s for s in submissions if not is_graded(course, s, s.digest(template(course, s.assignment)))]
    asyncio.run(grade(course, waiting, limits, jobs))
    table = write_grades(course)
    print(
        f"{len(waiting)} notebooks graded in {time.perf_counter() - started:.0f} s, "
        f"{len(submissions) - len(waiting)} had been graded before"
    )
    print(f"{course.grades}: {len(table)} rows, {sum(row['status'] == TO_DO for row in table)} answers {TO_DO}")
    if broken := sorted({f"{row['student']}, {row['assignment']}" for row in table if row["status"] == SET_UP_FAILED}):
        print(
            "The assignment's own set-up cell failed, these points do not count:", *broken, sep="\n  ", file=sys.stderr
        )
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
