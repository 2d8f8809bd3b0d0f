"""The real Snakemake on stand-in chapters: what is executed again, what a failure or a kill leaves behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import python

from inequality_phenomenon._support import paths

PARAMETERS = '# %% tags=["parameters"]\nprofile: str = "laptop"\n\n# %%\nfrom pathlib import Path\nimport time\n'
RECORDING = PARAMETERS + 'with open("executed", "a") as file:\n    file.write(f"first {profile}\\n")\n'
WAITING = PARAMETERS + 'Path("started").touch()\nwhile not Path("go").exists():\n    time.sleep(0.1)\n'
FAILING = PARAMETERS + 'raise RuntimeError("this chapter is broken")\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(paths.ROOT / "Snakefile", tmp_path)
    shutil.copytree(paths.ROOT / "profiles", tmp_path / "profiles")
    for name in ("checkpoints/registry.yaml", ".cache/cifar10.fetched", "notebooks/01_first.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "notebooks" / "01_first.py").write_text(RECORDING)
    return tmp_path


def start(project: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "inequality_phenomenon.cli", "build", "chapters", *options]
    own = {"cwd": project, "env": os.environ | {"INEQUALITY_ROOT": str(project)}, "start_new_session": True}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **own)


def run(project: Path, *options: str) -> tuple[int, str]:
    process = start(project, *options)
    output, _ = process.communicate()
    return process.returncode, output


def start_waiting(project: Path) -> subprocess.Popen[str]:
    """The workflow, in the middle of a chapter that goes on once the file ``go`` exists; with cores for two, the other is done."""
    (project / "notebooks" / "02_waiting.py").write_text(WAITING)
    process = start(project)
    alone, other = len(os.sched_getaffinity(0)) == 1, project / "book" / "_executed" / "01_first.ipynb"
    unfinished = project / ".snakemake" / "incomplete"
    while not (project / "started").exists() or not (alone or (other.exists() and len([*unfinished.iterdir()]) == 1)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def executed(project: Path) -> list[str]:
    return (project / "executed").read_text().splitlines()


def test_a_change_is_seen_though_the_clock_was_moved_back(project: Path) -> None:
    assert run(project)[0] == 0
    notebook = project / "notebooks" / "01_first.py"
    notebook.write_text(RECORDING.replace("first", "changed"))
    os.utime(notebook, (0, 0))  # 1970
    assert run(project)[0] == 0 and executed(project) == ["first laptop", "changed laptop"]


@pytest.mark.parametrize("was_good_before", [False, True])
def test_a_failing_chapter_is_named_and_the_others_are_executed(project: Path, was_good_before: bool) -> None:
    notebook = project / "notebooks" / "09_broken.py"
    if was_good_before:
        shutil.copy(project / "notebooks" / "01_first.py", notebook)
        assert run(project)[0] == 0
    notebook.write_text(FAILING)
    (project / "notebooks" / "01_first.py").write_text(RECORDING.replace("first", "another"))
    code, output = run(project)
    assert code == 1 and executed(project)[-1] == "another laptop" and "RuntimeError: this chapter is broken" in output
    assert output.endswith("inequality: failed: 09_broken (see above)\n")
    assert sorted(path.name for path in (project / "book" / "_executed").iterdir()) == ["01_first.ipynb"]


def test_only_what_changed_is_executed_again_and_an_unknown_profile_is_answered_with_the_known_ones(project) -> None:
    code, output = run(project, "--profile", "lptop")
    assert code == 1 and output.startswith("inequality: unknown profile 'lptop'; known: ") and "laptop" in output
    code, output = run(project)
    assert code == 0 and "01_first: done in" in output and executed(project) == ["first laptop"], output
    os.utime(project / "notebooks" / "01_first.py")  # a fresh checkout has other times
    assert run(project) == (0, "") and executed(project) == ["first laptop"]
    assert run(project, "--profile", "smoke")[0] == 0 and executed(project) == ["first laptop", "first smoke"]
    (project / "notebooks" / "01_first.py").write_text(RECORDING.replace("first", "changed"))
    assert run(project, "--profile", "smoke")[0] == 0
    assert executed(project) == ["first laptop", "first smoke", "changed smoke"]


def test_a_sites_profile_of_snakemake_is_for_other_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    assert run(project)[0] == 0 and executed(project) == ["first laptop"]


def test_a_second_run_is_refused_while_one_is_going(project: Path) -> None:
    first = start_waiting(project)
    running = f"make book is already running in this folder (process {first.pid}): wait for it to end, or stop it"
    assert run(project) == (1, f"inequality: {running}\n")
    (project / "go").touch()
    output, _ = first.communicate()
    assert first.returncode == 0 and "02_waiting: done in" in output, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_next_run_goes_on_after_a_stop(project: Path, number: signal.Signals) -> None:
    process = start_waiting(project)
    os.killpg(process.pid, number)
    output, _ = process.communicate()
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert output.endswith("inequality: stopped; the next run goes on from here\n")
    assert not (project / "book" / "_executed" / "02_waiting.ipynb").exists()
    (project / "go").touch()
    code, output = run(project)
    assert code == 0 and "02_waiting: done in" in output and executed(project) == ["first laptop"], output


IN_PACKAGE = "src/inequality_phenomenon/"
DECIDES_NOTHING = [
    *(f"{IN_PACKAGE}{name}" for name in ("book/printing.py", "classroom/course.py", "imagenet/data.py", "training/loop.py", "cli.py")),
    "tests/test_book.py", "README.md", "book/intro.md", "profiles/grid.yaml", "results/reference/02_second/noise.parquet",
]  # fmt: skip
DECIDES_ALL = [
    *(f"{IN_PACKAGE}{name}" for name in ("chapter.py", "inequality.py", "attacks/__init__.py", "measure/sample.py", "verdicts/claims.py")),
    *(f"{IN_PACKAGE}{name}" for name in ("show/__init__.py", "_support/paths.py")),
    "checkpoints/registry.yaml", "checkpoints/common_subset.json", "results/claims.yaml", "results/published_values.csv",
    "requirements.lock",
]  # fmt: skip
OWN = ["notebooks/01_first.py", *(f"results/{run}/01_first/noise.parquet" for run in ("reference", "reference-gpu"))]
MANIFEST = {"01_first": {"noise": {"sha256": "a"}}, "02_second": {"noise": {"sha256": "a"}}}


@pytest.fixture
def two_chapters(project: Path) -> Path:
    (project / "notebooks" / "02_second.py").write_text(RECORDING.replace("first", "second"))
    for name in {*DECIDES_NOTHING, *DECIDES_ALL, *OWN[1:]} - {"profiles/grid.yaml"}:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("before\n")
    for run in ("reference", "reference-gpu"):
        (project / "results" / run / "manifest.yaml").write_text(yaml.safe_dump(MANIFEST))
    return project


def fingerprints(project: Path) -> list[str]:
    """Of both chapters, in a new process: what was read once is kept."""
    code = "from inequality_phenomenon.book.workflow import fingerprint as f\nprint(f('01_first', 'laptop'), f('02_second', 'laptop'))"
    return python("-c", code, INEQUALITY_ROOT=str(project)).stdout.split()


def planned(project: Path) -> list[str]:
    options = ["chapters", "--dry-run", "--cores", "1", "--nolock", "--config", "profile=laptop"]
    done = python("-m", "snakemake", *options, cwd=project, INEQUALITY_ROOT=str(project))
    return sorted(set(re.findall(r"output: book/_executed/(\w+)\.ipynb", done.stdout)))


def test_a_change_executes_the_chapters_that_it_decides_and_no_others(two_chapters: Path) -> None:
    assert run(two_chapters)[0] == 0
    for name in DECIDES_NOTHING[:-1]:
        (two_chapters / name).write_text("after\n")
    (two_chapters / IN_PACKAGE / "book" / "new.py").touch()
    assert planned(two_chapters) == []
    (two_chapters / DECIDES_ALL[0]).write_text("after\n")
    assert planned(two_chapters) == ["01_first", "02_second"]
    (two_chapters / DECIDES_ALL[0]).write_text("before\n")
    (two_chapters / OWN[1]).write_text("after\n")
    assert planned(two_chapters) == ["01_first"]


def test_each_kind_of_file_decides_what_it_should(two_chapters: Path) -> None:
    known = [fingerprints(two_chapters)]

    def changed(name: str, text: str = "after\n") -> list[int]:
        (two_chapters / name).write_text(text)
        known.append(fingerprints(two_chapters))
        return [index for index in (0, 1) if known[-2][index] != known[-1][index]]

    assert [changed(name) for name in DECIDES_ALL] == [[0, 1]] * len(DECIDES_ALL)
    assert [changed(name) for name in OWN] == [[0]] * len(OWN)
    one_other = MANIFEST | {"01_first": {"noise": {"sha256": "b"}}}
    assert changed("results/reference/manifest.yaml", yaml.safe_dump(one_other)) == [0]
    assert changed("notebooks/02_second.py", "from somewhere import every_network\n") == [1]
    assert changed("results/reference/manifest.yaml", yaml.safe_dump(MANIFEST)) == [0, 1]
    laptop = (two_chapters / "profiles" / "laptop.yaml").read_text()
    assert changed("profiles/laptop.yaml", f"# a comment\n{laptop}") == []
    assert changed("profiles/laptop.yaml", laptop.replace("n_images: 120", "n_images: 119", 1)) == [0, 1]
    assert changed("profiles/full.yaml", (two_chapters / "profiles" / "full.yaml").read_text() + "seed: 1\n") == []
    assert changed(f"{IN_PACKAGE}measure/new.py") == [0, 1]
