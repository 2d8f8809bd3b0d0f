"""The promise: the command says in one message what is wrong, with the valid names, and never shows a traceback."""

import re
import subprocess
import sys

import pytest

from inequality_phenomenon.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nonsense"], "unknown checkpoint 'nonsense'; known: cifar10-"),
        (["train", "nonsense"], "no settings for checkpoint 'nonsense'; known: cifar10-"),
    ],
)
def test_a_wrong_name_is_answered_with_the_known_ones(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_unknown_command_lists_the_commands():
    command = [sys.executable, "-m", "inequality_phenomenon.cli", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and all(name in done.stderr for name in ("data", "train", "verify", "doctor"))


def test_help_is_there_at_once_and_names_every_option():
    """Nothing slow is imported before a command is known."""
    script = "import sys; from inequality_phenomenon.cli import main; main(['run', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(option in done.stdout for option in ("PROFILE [CHAPTERS]...", "--data", "--models", "--device"))
    assert not {"torch", "pandas", "papermill", "snakemake", "nbgrader"} & set(done.stdout.split())


@pytest.mark.parametrize("arguments", [["run", "laptop", "01", "98", "99"], ["run", "lptop"]])
def test_an_unknown_chapter_or_profile_is_answered_with_the_known_ones(arguments, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert ("no chapter 98, 99; it has: 01, 02" if len(arguments) > 2 else "unknown profile 'lptop'; known: ") in error


def test_doctor_finds_the_shipped_checkpoints(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "checkpoint       cifar10-resnet18w16-linf8-s0 verified" in printed
    assert re.search(r"^packages +requirements\.lock(, of unknown age| of \S+, \d+ days old)", printed, re.MULTILINE)
