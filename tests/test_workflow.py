"""The real Snakemake on stand-in chapters: what is executed again, what a failure or a kill leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inequality_phenomenon._support import paths

PARAMETERS = '# %% tags=["parameters"]\nprofile: str = "laptop"\n\n# %%\nfrom pathlib import Path\nimport time\n'
RECORDING = PARAMETERS + 'with open("executed", "a") as file:\n    file.write(f"first {profile}\\n")\n'
WAITING = PARAMETERS + 'Path("started").touch()\nwhile not Path("go").exists():\n    time.sleep(0.1)\n'
FAILING = PARAMETERS + 'raise RuntimeError("this chapter is broken")\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The workflow with one short chapter; the data rule has been run."""
    shutil.copy(paths.ROOT / "Snakefile", tmp_path)
    shutil.copytree(paths.ROOT / "profiles", tmp_path / "profiles")
    for name in ("checkpoints/registry.yaml", ".cache/cifar10.fetched", "notebooks/01_first.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "notebooks" / "01_first.py").write_text(RECORDING)
    return tmp_path


def start(project: Path, *options: str) -> subprocess.Popen[str]:
    """The workflow in a process group of its own, as a terminal would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "inequality_phenomenon.cli", "build", "chapters", *options],
        cwd=project,
        env=os.environ | {"INEQUALITY_ROOT": str(project)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project: Path, *options: str) -> tuple[int, str]:
    process = start(project, *options)
    output, _ = process.communicate()
    return process.returncode, output


def start_waiting(project: Path) -> subprocess.Popen[str]:
    """The workflow, in the middle of a chapter that goes on once the file ``go`` exists."""
    (project / "notebooks" / "02_waiting.py").write_text(WAITING)
    process = start(project)
    while not (project / "started").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def executed(project: Path) -> list[str]:
    return (project / "executed").read_text().split("\n")[:-1]


def test_only_what_changed_is_executed_again(project: Path) -> None:
    code, output = run(project)
    assert code == 0, output
    assert "01_first: done in" in output
    assert executed(project) == ["first laptop"]

    os.utime(project / "notebooks" / "01_first.py")  # a fresh checkout has other times
    assert run(project) == (0, "")
    assert executed(project) == ["first laptop"]

    assert run(project, "--profile", "smoke")[0] == 0
    assert executed(project) == ["first laptop", "first smoke"]

    (project / "notebooks" / "01_first.py").write_text(RECORDING.replace("first", "changed"))
    assert run(project, "--profile", "smoke")[0] == 0
    assert executed(project) == ["first laptop", "first smoke", "changed smoke"]


def test_a_change_is_seen_though_the_clock_was_moved_back(project: Path) -> None:
    assert run(project)[0] == 0
    notebook = project / "notebooks" / "01_first.py"
    notebook.write_text(RECORDING.replace("first", "changed"))
    os.utime(notebook, (0, 0))  # 1970
    assert run(project)[0] == 0
    assert executed(project) == ["first laptop", "changed laptop"]


@pytest.mark.parametrize("was_good_before", [False, True])
def test_a_failing_chapter_is_named_and_the_others_are_executed(project: Path, was_good_before: bool) -> None:
    """Nothing older stays in the place of a chapter that failed."""
    notebook = project / "notebooks" / "09_broken.py"
    if was_good_before:
        shutil.copy(project / "notebooks" / "01_first.py", notebook)
        assert run(project)[0] == 0
    notebook.write_text(FAILING)
    (project / "notebooks" / "01_first.py").write_text(RECORDING.replace("first", "another"))
    code, output = run(project)
    assert code == 1
    assert executed(project)[-1] == "another laptop"
    assert "RuntimeError: this chapter is broken" in output
    assert output.endswith("inequality: failed: 09_broken (see above)\n")
    assert sorted(path.name for path in (project / "book" / "_executed").iterdir()) == ["01_first.ipynb"]


def test_an_unknown_profile_is_answered_with_the_known_ones(project: Path) -> None:
    code, output = run(project, "--profile", "lptop")
    assert code == 1
    assert output.startswith("inequality: unknown profile 'lptop'; known: ")
    assert "laptop" in output


def test_a_sites_profile_of_snakemake_is_for_other_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    code, output = run(project)
    assert code == 0, output
    assert executed(project) == ["first laptop"]


def test_a_second_run_is_refused_while_one_is_going(project: Path) -> None:
    first = start_waiting(project)
    code, output = run(project)
    assert code == 1
    assert output == (
        f"inequality: make book is already running in this folder (process {first.pid}): wait for it to end, or stop it\n"
    )
    (project / "go").touch()
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert "02_waiting: done in" in output


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
    assert code == 0, output
    assert "02_waiting: done in" in output
    assert executed(project) == ["first laptop"]
