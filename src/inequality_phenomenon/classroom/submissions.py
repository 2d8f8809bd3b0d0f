"""What a class hands in: which file is whose answer to which assignment, and the answers in a file."""

import copy
import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.utils import is_locked, is_solution  # type: ignore[import-untyped]

from .._support.files import made_by_a_system
from .course import ClassroomError, Course

MAY_HOLD_ONE = {".ipynb", ".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"}
Refused = dict[tuple[str, str], str]  # (student, assignment, or "" for what belongs to none) -> why not
LOST = "# The cell for this answer is missing. One of the cells above may be the answer."


@dataclass(frozen=True)
class Submission:
    student: str
    assignment: str
    file: Path

    def digest(self, template: NotebookNode) -> str:
        """What decides the points: the submitted file, and the assignment with its tests."""
        cells = [[cell.cell_type, cell.source, cell.metadata.get("nbgrader")] for cell in template.cells]
        return hashlib.sha256(json.dumps(cells, sort_keys=True).encode() + self.file.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Collected:
    """What was found in a folder of submissions, and what in it could not be used."""

    submissions: list[Submission] = field(default_factory=list)
    refused: Refused = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)  # what lies in no student's folder


def collect(course: Course, handed_in: Path) -> Collected:
    """Copy what was handed in, a folder for each student, to where nbgrader expects it. ``ClassroomError`` for none at all.

    A notebook at any depth belongs to the assignment whose name is in its file name; the newest counts.
    """
    collected = Collected()
    for path in sorted(handed_in.iterdir()):
        if made_by_a_system(path.name):
            continue
        if path.is_dir():
            _collect_from(path, course, collected)
        elif path.suffix.casefold() in MAY_HOLD_ONE:
            collected.loose.append(f"{path.name} lies in no student's folder")
    if not collected.submissions:
        known = [f"{', '.join(filter(None, who))}: {why}" for who, why in collected.refused.items()]
        needs = f"{handed_in} needs a folder for each student, with files such as {course.names[0]}.ipynb"
        raise ClassroomError("\n  ".join([needs, *collected.loose, *known]))
    return collected


def _collect_from(folder: Path, course: Course, collected: Collected) -> None:
    student, candidates, others = folder.name, defaultdict[str, list[Path]](list), list[tuple[Path, bool]]()
    try:
        files = list(_files(folder))
    except OSError as problem:
        collected.refused[student, ""] = f"cannot be read: {problem}"
        return
    for file in files:
        name = assignment_of(file.name, course.names)
        if name and file.suffix.casefold() == ".ipynb" and file.is_file():
            candidates[name].append(file)
        else:
            others.append((file, bool(name) or file.suffix.casefold() in MAY_HOLD_ONE))
    for name, found in candidates.items():
        submission = Submission(student, name, course.notebook("submitted", name, student))
        try:
            _copy_newest(found, submission.file)
            collected.submissions.append(submission)
        except (OSError, ClassroomError) as problem:
            collected.refused[student, name] = str(problem)
    unused = [str(file.relative_to(folder)) for file, may_be_one in others if may_be_one or not candidates]
    named = ", ".join(unused[:3]) + (f" and {len(unused) - 3} more" if len(unused) > 3 else "")
    if unused or not files:
        there_is = f"no notebook has the assignment's name; there is {named}"
        collected.refused[student, ""] = there_is if files else "the folder is empty"


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder that somebody made, and folders that look like a notebook. Raises ``OSError``."""

    def refuse(problem: OSError) -> None:
        raise problem

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not made_by_a_system(name))
        odd = [name for name in folders if name.endswith(".ipynb")]
        yield from (Path(place, name) for name in [*odd, *sorted(files)] if not made_by_a_system(name))


def assignment_of(file_name: str, names: list[str]) -> str | None:
    """The assignment whose name is in a file's name, in any case and with any separators; None where that has none or two."""
    text = _words(file_name)
    found = [name for name in names if re.search(rf"(?<!\d){re.escape(_words(name))}(?!\d)", text)]
    longest = max(found, key=len, default=None)
    return longest if all(_words(name) in _words(str(longest)) for name in found) else None


def _words(name: str) -> str:
    return "_".join(re.findall(r"\d+|[^\W\d_]+", unicodedata.normalize("NFKC", name).casefold()))


def _copy_newest(files: list[Path], target: Path) -> None:
    times = {file: file.stat().st_mtime_ns for file in files}
    newest = [file for file in files if times[file] == max(times.values())]
    if len({file.read_bytes() for file in newest}) > 1:
        raise ClassroomError(f"none is the newest of {', '.join(file.name for file in newest)}")
    if newest[0].resolve() != target.resolve():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(newest[0], target)


def grade_id(cell: NotebookNode) -> str:
    """The name of a cell that nbgrader knows; empty for any other."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def has_marks(submitted: NotebookNode, template: NotebookNode) -> bool:
    """Whether a cell of the submission is known as one of the assignment's answers."""
    answers = {grade_id(cell) for cell in template.cells if is_solution(cell)}
    return any(grade_id(cell) in answers for cell in submitted.cells)


def with_answers(template: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """The instructor's notebook, in its order, with the student's answers. Cells that the student added keep their place.

    Of several copies of an answer the last counts, and the others are executed before it. A missing answer is an empty one,
    unless the student has cells of their own: one of them may be the answer, and nothing is put over it.
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
        elif cell.source.strip() and cell.source not in plain and not (name in ours and is_locked(ours[name])):
            new = new_code_cell if cell.cell_type == "code" else new_markdown_cell
            added[place].append(new(cell.source))
    missing = LOST if added else None
    cells = added.pop("", [])
    for cell in copy.deepcopy(template.cells):
        name = grade_id(cell)
        if is_solution(cell):
            cell.source = answers.get(name, missing or cell.source)
        cells += [cell, *added[name]]
    return NotebookNode(copy.deepcopy(template), cells=cells)
