"""A course in nbgrader's own folder structure, so that its other tools work on it as well, and its student notebooks."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbgrader.apps.api import NbGraderAPI  # type: ignore[import-untyped]
from nbgrader.coursedir import CourseDirectory  # type: ignore[import-untyped]
from nbgrader.preprocessors import ClearOutput, ClearSolutions, ComputeChecksums, LockCells  # type: ignore[import-untyped]
from traitlets.config import Config

from .._support import paths
from .._support.files import write_whole
from ..datasets import load_cifar10


class ClassroomError(RuntimeError):
    """Assignments cannot be made or graded. The message says why."""


@dataclass(frozen=True)
class Course:
    """A folder with nbgrader's structure: source, release, submitted, autograded and the gradebook."""

    folder: Path
    sources: Path

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.sources.glob("*.py"))

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder.resolve() / 'gradebook.db'}"

    def notebook(self, step: str, assignment: str, student: str = ".") -> Path:
        """Where nbgrader keeps a notebook. ``step``: source, release, submitted or autograded."""
        return self.folder / step / student / assignment / f"{assignment}.ipynb"


def course_in(folder: str | Path, sources: Path | None) -> Course:
    """The course in ``folder``, which may begin with ``~``. An empty name is the usual folder."""
    return Course(user_folder(folder) if folder else paths.CLASSROOM, sources or paths.ASSIGNMENTS)


def user_folder(name: str | Path) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as problem:
        raise ClassroomError(f"{name}: {problem}") from None


def release(course: str | Path = "", sources: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Make the student files in the folder ``course``: those to hand out, and copies to work on, which are never overwritten.

    Raises ``ClassroomError`` where questions were added or removed after grading, ``DataError`` without CIFAR-10.
    """
    load_cifar10("test")
    here = course_in(course, sources)
    handed_out = make_student_files(here)
    copies = [here.folder / "work" / file.name for file in handed_out]
    for file, copy in zip(handed_out, copies, strict=True):
        if not copy.exists():
            write_whole(copy, file.read_bytes())
    return handed_out, copies


def make_student_files(course: Course) -> list[Path]:
    """Have nbgrader make the student files and enter the assignments into its gradebook. Returns the files."""
    tools, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if tools not in path.split(os.pathsep):  # nbgrader runs the command alembic, which lies beside this Python
        os.environ["PATH"] = os.pathsep.join([tools, path])
    settings = course.folder / "nbgrader_config.py"
    write_whole(settings, '"""nbgrader knows a course by this file."""\n')
    config = Config()
    config.CourseDirectory.root = str(course.folder.resolve())
    config.CourseDirectory.db_url = course.database
    config.GenerateAssignment.permissions = int(f"{settings.stat().st_mode & 0o777:o}")  # as the umask has it
    nbgrader = NbGraderAPI(CourseDirectory(config=config), config=config)
    for name in course.names:
        notebook = jupytext.read(course.sources / f"{name}.py", fmt="py:percent")
        notebook.metadata.pop("jupytext", None)  # or Jupyter would look for the source
        for number, cell in enumerate(notebook.cells):
            cell.id = f"{name}-{number}"  # not at random: a release made again is the same file
        write(notebook, course.notebook("source", name))
        made = nbgrader.generate_assignment(name)
        if not made["success"]:
            hint = "start another course folder (COURSE=...)" if "Cannot add or remove cells" in made["log"] else ""
            raise ClassroomError(f"nbgrader could not make {name}:\n{made['log'].strip()}\n{hint}".strip())
    return [course.notebook("release", name) for name in course.names]


def write(notebook: NotebookNode, file: Path) -> None:
    write_whole(file, nbformat.writes(notebook) + "\n")


def template(course: Course, name: str) -> NotebookNode:
    """The student version with its hidden tests: what is graded, once a student's answers are in it."""
    notebook: NotebookNode = nbformat.read(course.notebook("source", name), as_version=4)
    resources: dict[str, str] = {}
    for step in (LockCells(), ClearSolutions(), ClearOutput(), ComputeChecksums()):
        notebook, resources = step.preprocess(notebook, resources)
    return notebook
