"""The promise: no submission harms the batch, and work that did not run has no mark; on a tiny assignment without the libraries."""

import copy
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import nbformat
import psutil
import pytest
from conftest import fails, umask
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook
from sqlalchemy.exc import OperationalError
from test_classroom import Rows, of, read_grades

from inequality_phenomenon._support import paths
from inequality_phenomenon.classroom import grading
from inequality_phenomenon.classroom.course import ClassroomError, Course, make_student_files, release, template
from inequality_phenomenon.classroom.grading import ClassReport, grade
from inequality_phenomenon.classroom.sandbox import isolation
from inequality_phenomenon.classroom.submissions import assignment_of, grade_id, with_answers
from inequality_phenomenon.cli import main

HEADER = '# %% nbgrader={{"grade": {}, "grade_id": "{}", "locked": {}, {}"schema_version": 3, "solution": {}, "task": false}}\n'
QUESTIONS = ("one", "two", "three")


def tiny_source() -> str:
    cells = [HEADER.format("false", "setup", "true", "", "false") + "answers = {}"]
    for name in QUESTIONS:
        solution = f"### BEGIN SOLUTION\nanswers['{name}'] = 1\n### END SOLUTION"
        cells.append(HEADER.format("false", f"{name}-answer", "false", "", "true") + solution)
        cells.append(HEADER.format("true", name, "true", '"points": 2, ', "false") + f"assert answers['{name}'] == 1")
    written = HEADER.format("true", "essay", "false", '"points": 3, ', "true").replace("# %%", "# %% [markdown]")
    return "\n\n".join([*cells, written + "# model answer"]) + "\n"


@pytest.fixture(scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "sources").mkdir()
    (folder / "sources" / "tiny.py").write_text(tiny_source())
    make_student_files(Course(folder / "course", folder / "sources"))
    return folder


@pytest.fixture
def tiny(_tiny: Path, tmp_path: Path) -> Course:
    shutil.copytree(_tiny, tmp_path / "tiny")
    return Course(tmp_path / "tiny" / "course", tmp_path / "tiny" / "sources")


def answered(course: Course, given: dict[str, str]) -> NotebookNode:
    """The student version with answers to its questions: {question: code}; what is missing is answered rightly."""
    notebook = nbformat.read(course.notebook("release", "tiny"), as_version=4)
    for cell in notebook.cells:
        question = grade_id(cell).removesuffix("-answer")
        if grade_id(cell).endswith("-answer"):
            cell.source = given.get(question, f"answers['{question}'] = 1")
        elif question == "essay":
            cell.source = given.get(question, "my opinion")
    return notebook


def hand_in_tiny(course: Course, place: str, given: dict[str, str] | None = None, **changes: object) -> Path:
    """Write what a student hands in below the folder of submissions; ``changes``: of the notebook."""
    file = course.folder / "handed_in" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(NotebookNode(answered(course, given or {}), **changes), file)
    return file


def graded(course: Course, **options: object) -> tuple[ClassReport, Rows]:
    report = grade(course.folder, course.folder / "handed_in", sources=course.sources, **options)
    return report, read_grades(course)


def all_graded(course: Course, answers: dict[str, dict[str, str]], **options: float) -> Rows:
    """Grade students' answers to the three questions; every one of them must be graded."""
    for student, given in answers.items():
        hand_in_tiny(course, f"{student}/tiny.ipynb", given)
    report, table = graded(course, **options)
    assert report.not_graded == []
    return table


def points(table: Rows, student: str) -> list[str]:
    return [row["points"] for row in of(table, student, "tiny") if row["question"] != "essay"]


def test_each_submission_stays_within_its_limits_and_not_all_that_it_prints_is_kept(tiny: Course) -> None:
    ignore = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"
    second = {
        "loops": "while True: pass", "prints": "while True: print('x' * 1000)",
        "eats": "hoard = bytearray(3 * 2**30)\nanswers['two'] = 1", "ignores_interrupts": f"{ignore}\nwhile True: pass",
        "says_much": "for _ in range(10**5): print('x' * 100)\nanswers['two'] = 1", "is_right": "answers['two'] = 1",
    }  # fmt: skip
    table = all_graded(tiny, {student: {"two": answer} for student, answer in second.items()}, cell_seconds=6, memory=2)
    for student in ("loops", "prints", "eats"):
        assert points(table, student) == ["2.0", "0.0", "2.0"], student
    assert points(table, "ignores_interrupts") == ["2.0", "0.0", "0.0"]  # nothing after it can be executed
    assert points(table, "is_right") == ["2.0", "2.0", "2.0"]
    assert tiny.notebook("autograded", "tiny", "says_much").stat().st_size < 200_000


def test_a_notebook_ends_when_its_time_is_up(tiny: Course) -> None:
    table = all_graded(tiny, {"sleeps": {"two": "import time\ntime.sleep(600)"}}, notebook_seconds=10)
    last = next(row for row in table if row["question"] == "three")
    assert last["points"] == "0.0" and "the notebook's 10 s were up" in last["note"]


def test_a_submission_has_no_network_where_the_system_allows_it(tiny: Course, capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)\n"
        table = all_graded(tiny, {"calls": {"one": call + "answers['one'] = 1"}})
    warned = "cannot take the network away" in capsys.readouterr().err
    assert points(table, "calls") == ["0.0" if isolation() else "2.0", "2.0", "2.0"] and warned == (not isolation())


@pytest.fixture
def without_isolation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    isolation.cache_clear()
    with monkeypatch.context() as alone:
        alone.setenv("PATH", "")
        yield
    isolation.cache_clear()


def test_without_the_means_of_isolation_a_warning_is_printed(tiny: Course, without_isolation, capsys) -> None:
    assert points(all_graded(tiny, {"is_right": {}}), "is_right") == ["2.0", "2.0", "2.0"]
    assert "warning: this system cannot take the network away" in capsys.readouterr().err


def test_a_submission_learns_no_secret_and_leaves_nothing_running(tiny: Course, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    spy = "import os\nassert 'SECRET_TOKEN' not in os.environ and 'sandbox-' in os.environ['HOME']\nanswers['one'] = 1"
    stay = "import subprocess\nsubprocess.Popen(['sleep', '4242'], start_new_session=True)\nanswers['two'] = 1"
    assert points(all_graded(tiny, {"spies": {"one": spy, "two": stay}}), "spies") == ["2.0", "2.0", "2.0"]
    left = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "4242"]]
    for process in left:
        process.kill()
    assert not left or not isolation()


def test_nothing_is_left_running_when_the_grader_is_killed(tiny: Course) -> None:
    started = tiny.folder / "started"
    wait = f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(600)"
    handed_in = hand_in_tiny(tiny, "waits/tiny.ipynb", {"one": wait}).parents[1]
    script = f"""from pathlib import PosixPath; from inequality_phenomenon.classroom.grading import grade
grade({tiny.folder!r}, {handed_in!r}, jobs=1, sources={tiny.sources!r})"""
    grader = subprocess.Popen([sys.executable, "-c", script])
    while not started.exists():
        assert grader.poll() is None
        time.sleep(0.1)
    running = psutil.Process(grader.pid).children(recursive=True)
    assert running
    grader.kill()
    grader.wait()
    assert not psutil.wait_procs(running, timeout=60)[1]


def test_a_second_run_executes_only_what_changed_and_new_questions_need_a_new_course(tiny: Course) -> None:
    hand_in_tiny(tiny, "a/tiny.ipynb")
    hand_in_tiny(tiny, "b/tiny.ipynb", {"one": "answers['one'] = 2"})
    report, _ = graded(tiny)
    assert (report.graded, report.before) == (2, 0)
    with Gradebook(tiny.database) as gradebook:
        essay = gradebook.find_grade("essay", "tiny", "tiny", "a")
        essay.manual_score, essay.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    hand_in_tiny(tiny, "b/tiny.ipynb")
    report, table = graded(tiny)
    assert "1 notebooks graded" in str(report) and "1 had been graded before" in str(report)
    assert points(table, "b") == ["2.0", "2.0", "2.0"]
    (essay,) = [row for row in of(table, "a", "tiny") if row["question"] == "essay"]
    assert (essay["points"], essay["status"]) == ("2.5", "graded by a person")
    (tiny.sources / "tiny.py").write_text(tiny_source().replace('"three', '"fourth'))
    fails(ClassroomError, "start another course folder", release, tiny.folder, tiny.sources)


@pytest.mark.parametrize("name", ["jobs", "cell_seconds", "notebook_seconds", "memory"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_nothing_could_keep_is_refused(tmp_path: Path, name: str, value: float) -> None:
    words = f"{name.replace('_', '-')} must be above 0, not {value}"
    fails(ClassroomError, words, grade, tmp_path, tmp_path, **{name: value})


def ungraded(table: Rows, student: str) -> str:
    """The note of a student without marks: every question has no points, for one reason."""
    assert {(row["points"], row["status"]) for row in of(table, student, "tiny")} == {("", "not graded")}
    (note,) = {row["note"] for row in of(table, student, "tiny")}
    return note


def test_the_command_names_what_is_not_graded_and_fails(tiny: Course, capsys, monkeypatch) -> None:
    monkeypatch.setattr(paths, "ASSIGNMENTS", tiny.sources)
    handed_in = hand_in_tiny(tiny, "ada/tiny.ipynb").parents[1]
    assert main(["grade", "--course", str(tiny.folder), str(handed_in)]) == 0
    (handed_in / "dee").mkdir()
    assert main(["grade", "--course", str(tiny.folder), str(handed_in)]) == 1
    assert capsys.readouterr().err.endswith("Not graded:\n  dee: the folder is empty\n")
    assert main(["grade", "--course", str(tiny.folder), str(handed_in / "missing")]) == 1
    assert "missing" in (message := capsys.readouterr().err) and "Traceback" not in message


def refused(course: Course, reason: str, **options: float) -> None:
    fails(ClassroomError, f"nothing can be graded here: {reason}", graded, course, **options)
    assert not (course.folder / "grades.csv").exists() and not (course.folder / "autograded").exists()


def test_a_path_too_long_for_a_socket_costs_no_points(tiny: Course, tmp_path: Path, monkeypatch) -> None:
    hand_in_tiny(tiny, "ada/tiny.ipynb")
    long = tmp_path / ("long" * 25) / ("longer" * 20)
    long.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with monkeypatch.context() as nowhere:
        nowhere.delenv("XDG_RUNTIME_DIR", raising=False)
        nowhere.setattr("inequality_phenomenon._support.files.SHORT_FOLDERS", ())
        refused(tiny, "the path of .* is longer than 80 characters")
    report, table = graded(tiny)
    assert report.not_graded == [] and points(table, "ada") == ["2.0", "2.0", "2.0"] and list(long.iterdir()) == []


def test_a_grader_that_cannot_run_refuses(tiny: Course, small_disk: Path, monkeypatch) -> None:
    hand_in_tiny(tiny, "ada/tiny.ipynb")
    with monkeypatch.context() as full:
        full.setattr("tempfile.tempdir", str(small_disk))
        refused(tiny, "there is no space left in ")
    refused(tiny, "the process did not start", memory=0.01)
    monkeypatch.setattr(grading, "PROBE", "'{}'")
    refused(tiny, "a failing check passes")


def test_a_process_that_somebody_kills_costs_no_points(tiny: Course, without_isolation) -> None:
    """Within its own names a process could not kill itself."""
    hand_in_tiny(tiny, "ada/tiny.ipynb", {"two": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"})
    hand_in_tiny(tiny, "bob/tiny.ipynb", {"two": "import os\nos._exit(9)"})
    report, table = graded(tiny)
    why = "could not be executed: the process was killed; did the memory suffice for all at a time?"
    assert ungraded(table, "ada") == why and report.not_graded == [f"ada, tiny: {why}"]
    assert points(table, "bob") == ["2.0", "0.0", "0.0"]


def test_a_broken_set_up_costs_no_points(tiny: Course) -> None:
    hand_in_tiny(tiny, "ada/tiny.ipynb")
    for broken, error in (("answers = missing", "NameError"), ("import os; os._exit(1)", "ProcessEnded")):
        (tiny.sources / "tiny.py").write_text(tiny_source().replace("answers = {}", broken))
        report, table = graded(tiny)
        assert f"set-up cell failed: {error}" in ungraded(table, "ada") and len(report.not_graded) == 1
    (tiny.sources / "tiny.py").write_text(tiny_source())
    assert points(graded(tiny)[1], "ada") == ["2.0", "2.0", "2.0"]


@pytest.fixture(scope="module")
def odd(_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ClassReport, Rows]:
    """A class whose folders hold more than submissions, or other things, graded by one call."""
    folder = tmp_path_factory.mktemp("odd")
    shutil.copytree(_tiny, folder, dirs_exist_ok=True)
    course = Course(folder / "course", folder / "sources")
    handed_in = hand_in_tiny(course, "ada/hw1/tiny.ipynb").parents[2]
    for name, text in ODD_FILES.items():
        (handed_in / name).parent.mkdir(parents=True, exist_ok=True)
        (handed_in / name).write_text(text)
    for place in ("empty", "folder/tiny.ipynb", "dangling", "unreadable"):
        (handed_in / place).mkdir(parents=True)
    (handed_in / "dangling" / "tiny.ipynb").symlink_to("nowhere")
    (handed_in / "unreadable" / "tiny.ipynb").symlink_to("/proc/self/mem")
    hand_in_tiny(course, "upper_case/Final TINY (2).ipynb")
    hand_in_tiny(course, "other_name/hw/homework1.ipynb")
    for place in ("twice/a/tiny.ipynb", "twice/b/tiny.ipynb"):
        os.utime(hand_in_tiny(course, place, {"one": place}), (1, 1))
    hand_in_tiny(course, "no_cells/tiny.ipynb", cells=[])
    for student, lost in (("no_marks", {"setup", "essay", *QUESTIONS}), ("few_marks", {"two", "essay"})):
        cells = answered(course, {}).cells
        for cell in (cell for cell in cells if grade_id(cell).removesuffix("-answer") in lost):
            cell.metadata = {}
        hand_in_tiny(course, f"{student}/tiny.ipynb", cells=cells)
    return graded(course)


OF_A_SYSTEM = (
    "ada/hw1/._tiny.ipynb", "ada/hw1/.ipynb_checkpoints/tiny-checkpoint.ipynb", "ada/__MACOSX/hw1/._tiny.ipynb",
    "ada/hw1/tiny.ipynb~", "__MACOSX/ada/._tiny.ipynb", ".Trashes/x/tiny.ipynb", ".DS_Store", "systems/Thumbs.db",
    "systems/._tiny.ipynb", "systems/~$a.docx", "systems/desktop.ini",
)  # fmt: skip
EMPTY = ("script/tiny.py", "script/notes.txt", "renamed/tiny.ipynb.txt", "zipped/all.zip", "zero/tiny.ipynb")
ODD_FILES = dict.fromkeys(OF_A_SYSTEM, "a system's, and newer") | dict.fromkeys((*EMPTY, "loose_tiny.ipynb"), "")
ODD_FILES |= {"text/tiny.ipynb": "this is no notebook", "list/tiny.ipynb": "[]", "object/tiny.ipynb": "{}"}
THERE_IS = "no notebook has the assignment's name; there is "
NOT_MATCHED = {
    "dangling": f"{THERE_IS}tiny.ipynb", "empty": "the folder is empty", "folder": f"{THERE_IS}tiny.ipynb",
    "other_name": f"{THERE_IS}hw/homework1.ipynb", "renamed": f"{THERE_IS}tiny.ipynb.txt",
    "script": f"{THERE_IS}notes.txt, tiny.py", "systems": "the folder is empty", "zipped": f"{THERE_IS}all.zip",
}  # fmt: skip


def test_files_of_an_operating_system_are_neither_submissions_nor_students(odd: tuple[ClassReport, Rows]) -> None:
    _, table = odd
    assert points(table, "ada") == ["2.0", "2.0", "2.0"]
    assert not {row["student"] for row in table} & {"__MACOSX", ".Trashes", ".DS_Store"}


def test_everybody_has_a_row_and_what_could_not_be_matched_is_named(odd: tuple[ClassReport, Rows]) -> None:
    report, table = odd
    assert {student: ungraded(table, student) for student in NOT_MATCHED} == NOT_MATCHED
    named = [f"{student}: {why}" for student, why in NOT_MATCHED.items()]
    assert report.not_graded[-9:] == [*named, "loose_tiny.ipynb lies in no student's folder"]
    assert points(table, "upper_case") == ["2.0", "2.0", "2.0"]


def test_what_is_no_notebook_or_ambiguous_is_not_graded_and_stops_nobody(odd: tuple[ClassReport, Rows]) -> None:
    report, table = odd
    for student in ("text", "zero", "list", "object"):
        assert (note := ungraded(table, student)).startswith("not a notebook: ")
        assert f"{student}, tiny: {note}" in report.not_graded
    assert "Input/output error" in ungraded(table, "unreadable")
    assert ungraded(table, "twice") == "none is the newest of tiny.ipynb, tiny.ipynb"
    assert points(table, "few_marks") == ["2.0", "2.0", "2.0"]
    assert of(table, "few_marks", "tiny")[-1]["status"] == "to be graded by a person"


def test_work_without_the_assignments_marks_is_not_graded(odd: tuple[ClassReport, Rows]) -> None:
    for student in ("no_marks", "no_cells"):
        assert ungraded(odd[1], student) == "no cell carries the assignment's marks"


def test_a_folder_without_any_submission_says_what_there_is(tiny: Course) -> None:
    file = hand_in_tiny(tiny, "bob/assignment1.ipynb")
    there_is = r"needs a folder for each student(.|\n)*bob: .* there is assignment1\.ipynb"
    fails(ClassroomError, there_is, graded, tiny)
    nobodys = r"assignment1\.ipynb lies in no student's folder"
    fails(ClassroomError, nobodys, grade, tiny.folder, file.parent, sources=tiny.sources)
    file.unlink()
    fails(ClassroomError, "bob: the folder is empty", graded, tiny)


def test_a_gradebook_that_is_locked_costs_no_points(tiny: Course, monkeypatch) -> None:
    locked = Mock(side_effect=OperationalError("UPDATE grade", {}, Exception("database is locked")))
    hand_in_tiny(tiny, "ada/tiny.ipynb")
    with monkeypatch.context() as held:
        held.setattr(grading.SaveAutoGrades, "preprocess", locked)
        assert "the gradebook could not be written" in ungraded(graded(tiny)[1], "ada")
    assert points(graded(tiny)[1], "ada") == ["2.0", "2.0", "2.0"]


@pytest.mark.parametrize(("file", "name"), [
    ("1_measuring_inequality.ipynb", "1_measuring_inequality"),
    ("grace_1_Measuring-Inequality (2).ipynb", "1_measuring_inequality"),
    ("me1 measuring inequality-Copy1.ipynb", "1_measuring_inequality"), ("11_measuring_inequality.ipynb", None),
    ("assignment1.ipynb", None), ("ada_curve.ipynb", "curve"), ("curve_fit.ipynb", "curve_fit"),
    ("curve_fit and 1_measuring_inequality.ipynb", None), ("mine_u\u0308bung.ipynb", "\u00fcbung"),
])  # fmt: skip
def test_a_file_belongs_to_the_assignment_in_its_name(file: str, name: str | None) -> None:
    assert assignment_of(file, ["1_measuring_inequality", "curve", "curve_fit", "\u00fcbung"]) == name


def test_the_users_umask_decides_who_reads_the_grades_and_a_tilde_is_home(tiny: Course, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tiny.folder.parent))
    shutil.rmtree(tiny.folder)
    with umask(0o077):
        release("~/course", tiny.sources)
        hand_in_tiny(tiny, "ada/tiny.ipynb")
        report = grade("~/course", "~/course/handed_in", sources=tiny.sources)
    assert report.table == tiny.folder / "grades.csv" and report.not_graded == []
    files = [file for file in tiny.folder.rglob("*") if file.is_file()]
    assert {"grades.csv", "gradebook.db", "tiny.ipynb"} <= {file.name for file in files}
    assert [file for file in files if file.stat().st_mode & 0o077] == []
    fails(ClassroomError, "~nobody-at-all", release, "~nobody-at-all/course", tiny.sources)


def test_our_cells_are_what_they_were_added_ones_keep_their_place_and_the_last_copy_of_an_answer_counts(tiny) -> None:
    ours = template(tiny, "tiny")
    setup, first, test, second = copy.deepcopy(ours.cells[:4])
    setup.source, test.source, first.source, second.source = "changed", "changed", "one()", "two()"
    top, own = new_code_cell("top()"), new_code_cell("own()")
    handed_in = [top, second, setup, test, own, first, *copy.deepcopy(ours.cells[5:])]
    found = with_answers(ours, new_notebook(cells=handed_in))
    expected = ["top()", ours.cells[0].source, "one()", ours.cells[2].source, "own()", "two()"]
    assert [cell.source for cell in found.cells][:6] == expected and found.cells[6:] == ours.cells[4:]
    ours = template(tiny, "tiny")
    draft = copy.deepcopy(first)
    draft.source, draft["id"] = "draft()", "another"
    found = with_answers(ours, new_notebook(cells=[setup, draft, first]))
    assert [(cell.source, grade_id(cell)) for cell in found.cells][1:3] == [("draft()", ""), ("one()", "one-answer")]
    found = with_answers(template(tiny, "tiny"), new_notebook())
    assert [cell.source for cell in found.cells] == [cell.source for cell in template(tiny, "tiny").cells]
