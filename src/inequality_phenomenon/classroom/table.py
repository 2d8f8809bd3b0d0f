"""The table of a class: grades.csv."""

import re

import nbformat
import pandas as pd
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook, SubmittedAssignment  # type: ignore[import-untyped]
from nbgrader.utils import is_grade, is_solution  # type: ignore[import-untyped]

from .._support.files import write_whole
from .course import Course
from .submissions import Refused, grade_id

COLUMNS = ("student", "assignment", "question", "points", "max_points", "status", "note")
TO_DO, BY_PERSON, BY_TEST = "to be graded by a person", "graded by a person", "graded"
NO_ANSWER, NOT_SUBMITTED, NOT_GRADED = "no answer", "not submitted", "not graded"
Result = tuple[float | str, str, str]  # points, status, note


def write_grades(course: Course, templates: dict[str, NotebookNode], refused: Refused) -> pd.DataFrame:
    """Write grades.csv: a row a student and question of every assignment that someone has handed in; returns the table.

    Points are empty where there are none yet.
    """
    rows = []
    with Gradebook(course.database) as gradebook:
        everybody = sorted({*(who for who, _ in refused), *(student.id for student in gradebook.students)})
        for name, template in templates.items():
            recorded = {found.student.id: found for found in gradebook.assignment_submissions(name)}
            if not recorded and not any(assignment == name for _, assignment in refused):
                continue
            for student in everybody:
                reason = refused.get((student, name)) or ("" if student in recorded else refused.get((student, ""), ""))
                nothing = ("", NOT_GRADED if reason else NOT_SUBMITTED, reason)
                results = _results(course, template, recorded[student]) if student in recorded and not reason else {}
                for cell in filter(is_grade, template.cells):
                    points, *why_so = results.get(grade_id(cell), nothing)
                    most = float(cell.metadata.nbgrader["points"])
                    rows.append([student, name, grade_id(cell), points, most, *why_so])
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_whole(course.folder / "grades.csv", table.to_csv(index=False, lineterminator="\r\n"))
    return table


def _results(course: Course, template: NotebookNode, recorded: SubmittedAssignment) -> dict[str, Result]:
    """Points, status and note of each question of a submission that the gradebook has."""
    file = course.notebook("autograded", recorded.name, recorded.student.id)
    cells = nbformat.read(file, as_version=4).cells if file.exists() else []
    notes = {grade_id(cell): why(cell) for cell in cells}
    grades = {grade.name: grade for part in recorded.notebooks for grade in part.grades}
    known = {grade_id(cell): cell for cell in template.cells if grade_id(cell) in grades}
    return {question: _result(cell, grades[question], notes.get(question, "")) for question, cell in known.items()}


def _result(cell: NotebookNode, grade: Grade, note: str) -> Result:
    if grade.needs_manual_grade:
        return "", TO_DO, ""
    if grade.manual_score is not None:
        return grade.score, BY_PERSON, ""
    if grade.auto_score is None:
        return "", NOT_GRADED, "its test has not been run"
    return (grade.score, NO_ANSWER, "") if is_solution(cell) else (grade.score, BY_TEST, note)


def why(cell: NotebookNode) -> str:
    """A cell's last error in one line, or nothing. A check without a message is quoted."""
    errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
    if not errors:
        return ""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(errors[-1].traceback))
    marked = re.findall(r"^-+> \d+ (.*)$", plain, re.MULTILINE)
    return " ".join(f"{errors[-1].ename}: {errors[-1].evalue or ''.join(marked[-1:])}".split())[:200]
