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
        (["verify"], "name a checkpoint or use --all; known: cifar10-"),
        (["train", "nonsense"], "no settings for checkpoint 'nonsense'; known: cifar10-"),
    ],
)
def test_a_wrong_name_is_answered_with_the_known_ones(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_an_unknown_command_lists_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "inequality_phenomenon.cli", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2 and all(name in done.stderr for name in ("data", "train", "verify", "doctor"))


def test_doctor_finds_the_shipped_checkpoints(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "checkpoint       cifar10-resnet18w16-linf8-s0 verified" in printed
    assert re.search(r"^packages +requirements\.lock(, of unknown age| of \S+, \d+ days old)", printed, re.MULTILINE)
