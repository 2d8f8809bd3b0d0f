"""The promise: the command says in one message what is wrong, with the valid names, and never shows a traceback."""

import re

import pytest
from conftest import python

from inequality_phenomenon.cli import main


@pytest.mark.parametrize(("arguments", "message"), [
    (["verify", "nonsense"], "unknown checkpoint 'nonsense'; known: cifar10-"),
    (["train", "nonsense"], "no settings for checkpoint 'nonsense'; known: cifar10-"),
    (["run", "laptop", "01", "98", "99"], "no chapter 98, 99; it has: 01, 02"),
    (["run", "lptop"], "unknown profile 'lptop'; known: "), (["verify"], "name a checkpoint or use --all; known: cifar10-"),
    (["verify", "--all", "cifar10-resnet18w16-linf2-s0"], "name a checkpoint or use --all; known: cifar10-"),
])  # fmt: skip
def test_a_wrong_name_is_answered_with_the_known_ones(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_unknown_command_lists_the_commands_and_help_is_there_at_once():
    error = python("-m", "inequality_phenomenon.cli", "nonsense", status=2).stderr
    assert all(name in error for name in ("data", "train", "verify", "doctor"))
    script = "import sys; from inequality_phenomenon.cli import main; main(['run', '--help']); print(*sys.modules)"
    done = python("-c", script)
    assert all(option in done.stdout for option in ("PROFILE [CHAPTERS]...", "--data", "--models", "--device"))
    assert not {"torch", "pandas", "papermill", "snakemake", "nbgrader"} & set(done.stdout.split())


def test_doctor_finds_the_shipped_checkpoints(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "checkpoint       cifar10-resnet18w16-linf8-s0 verified" in printed
    assert re.search(r"^packages +requirements\.lock(, of unknown age| of \S+, \d+ days old)", printed, re.MULTILINE)
