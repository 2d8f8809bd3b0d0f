"""The promise: right answers get all points, wrong ones lose exactly their own, in the made-up class of ``sample_class``."""

import asyncio
import re

import jupytext
import nbformat
import pandas as pd
import pytest
import torch
from conftest import recipe
from sample_class import ATTACKS, DOUBT, MEASURING, WRONG, filled, hand_in, solutions

from inequality_phenomenon import gini
from inequality_phenomenon._support import paths
from inequality_phenomenon.classroom.course import Course
from inequality_phenomenon.classroom.sandbox import LOOK, Limits, run_cells
from inequality_phenomenon.classroom.submissions import grade_id
from inequality_phenomenon.classroom.table import COLUMNS
from inequality_phenomenon.cli import main

NAMES = [MEASURING, ATTACKS, DOUBT]
SAYS_NOTHING = {"with torch.no_grad():", "_table = pd.DataFrame("}  # lines that stand in what is shown, too
Rows = list[dict[str, str]]


def read_grades(course: Course) -> Rows:
    return pd.read_csv(course.folder / "grades.csv", dtype=str, keep_default_na=False).to_dict("records")


def of(table: Rows, student: str, assignment: str) -> Rows:
    found = [row for row in table if (row["student"], row["assignment"]) == (student, assignment)]
    assert found
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = Course(tmp_path_factory.mktemp("course"), paths.ASSIGNMENTS)
    assert main(["release", "--course", str(course.folder)]) == 0
    return course


@pytest.fixture(scope="module")
def table(course: Course) -> Rows:
    handed_in = course.folder / "handed_in"
    hand_in(course, handed_in)
    assert main(["grade", "--course", str(course.folder), str(handed_in)]) == 0
    return read_grades(course)


@pytest.mark.parametrize("name", NAMES)
def test_the_student_version_is_worth_twenty_points_and_holds_no_answer_and_no_hidden_test(course, name: str) -> None:
    hidden = re.findall(r"### BEGIN.*?\n(.*?)### END", (paths.ASSIGNMENTS / f"{name}.py").read_text(), re.DOTALL)
    secret = {line.removeprefix("# ").strip() for part in hidden for line in part.splitlines()}
    folder = course.notebook("release", name).parent
    assert [path.name for path in folder.iterdir()] == [f"{name}.ipynb"]
    shown = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    lines = {line.strip() for cell in shown.cells for line in cell.source.splitlines()}
    assert len(secret) > 30 and {line for line in secret & lines if len(line) > 3} <= SAYS_NOTHING
    assert "HIDDEN TESTS" not in str(shown) and "SOLUTION" not in str(shown)
    assert not any(cell.get("outputs") for cell in shown.cells)
    assert sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in shown.cells) == 20


@pytest.mark.parametrize("name", NAMES)
def test_every_question_has_a_row_for_every_student_and_the_untouched_version_gets_nothing(table, name: str) -> None:
    questions = [row["question"] for row in of(table, "reference", name)]
    students = {row["student"] for row in table}
    assert students == {*WRONG, "reference", "untouched", "second_way"}
    assert all([row["question"] for row in of(table, student, name)] == questions for student in students)
    assert tuple(table[0]) == COLUMNS and all(float(row["points"]) == 0 for row in of(table, "untouched", name))


@pytest.mark.parametrize("student", ["reference", "second_way"])
@pytest.mark.parametrize("name", NAMES)
def test_right_answers_get_full_marks(table: Rows, student: str, name: str) -> None:
    for row in of(table, student, name):
        if row["question"] == "judgement":
            assert (row["points"], row["status"]) == ("", "to be graded by a person")
        else:
            assert row["points"] == row["max_points"], row


@pytest.mark.parametrize("student", WRONG)
def test_a_wrong_answer_loses_exactly_its_own_points(table: Rows, student: str) -> None:
    rows = of(table, student, WRONG[student].assignment)
    assert WRONG[student].lost <= {row["question"] for row in rows}
    for row in rows:
        if row["question"] in WRONG[student].lost:
            assert float(row["points"]) == 0 and row["note"], row
        elif row["question"] != "judgement":
            assert row["points"] == row["max_points"], row


def test_the_table_says_why_points_are_missing(table: Rows) -> None:
    notes = {(row["student"], row["question"]): row["note"] for row in table if row["note"]}
    assert notes["endless_loop", "closed-even"].startswith("TimeLimit: no end within 60 s")
    assert "switched off in this assignment: write it by hand" in notes["from_the_library", "gini"]
    assert "a failing check went unnoticed" in notes["disarmed_assert", "gini"]
    assert "the process ended" in notes["leaves_early", "hides"]
    left_out = [row for row in table if (row["student"], row["assignment"]) == ("signed", DOUBT)]
    assert {(row["points"], row["status"], row["note"]) for row in left_out} == {("", "not submitted", "")}


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_that_only_show_something_run_too(course: Course, name: str) -> None:
    answers = solutions(name) | ({"rerun": WRONG["copied_records"].answers["rerun"]} if name == DOUBT else {})
    notebook = filled(nbformat.read(course.notebook("release", name), as_version=4), answers)
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("points")]
    shown = [cell for cell in notebook.cells if LOOK in cell.metadata.get("tags", [])]
    for cell in shown:
        cell.metadata["tags"] = ["slow"]
    assert asyncio.run(run_cells(notebook, Limits())) is None
    assert not [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert any(cell.outputs for cell in shown)


def test_a_notebook_that_someone_works_on_is_never_overwritten(course: Course) -> None:
    file = course.folder / "work" / f"{MEASURING}.ipynb"
    assert file.read_bytes() == course.notebook("release", MEASURING).read_bytes()
    file.write_text("hours of work")
    assert main(["release", "--course", str(course.folder)]) == 0 and file.read_text() == "hours of work"


def test_answers_agree_with_the_library() -> None:
    """The hidden tests bring their own right answers; here is that these are the library's."""
    cells = jupytext.read(paths.ASSIGNMENTS / f"{MEASURING}.py", fmt="py:percent").cells
    source = next(cell.source for cell in cells if grade_id(cell) == "gini")
    names: dict = {"RIGHT": {}}
    exec("import numpy as np\n" + source.partition("### END HIDDEN TESTS")[0], names)
    values = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert names["RIGHT"]["gini"](values) == pytest.approx(float(gini(values)), abs=1e-12)


def test_make_grades_a_folder_or_the_made_up_class() -> None:
    assert 'inequality release --course "classroom"' in recipe("assignments")
    assert 'inequality grade --course "spring" "homework"' in recipe("grade", "SUBMISSIONS=homework", "COURSE=spring")
    made_up = recipe("grade")
    assert "tests/sample_class.py _build/sample_class" in made_up and '"classroom"' not in made_up
