"""Promise: the page of promises names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

from inequality_phenomenon._support import paths

PAGE = (paths.BOOK / "promises.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/\w+\.py(?:::\w+)?)`", PAGE)))


def named_tests(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    file, _, test = name.partition("::")
    found = named_tests(paths.ROOT / file)
    assert found and (not test or test in found)


def test_every_promise_names_a_test_and_no_fault_is_left_out() -> None:
    heads = ("| ---", "| Promise", "| File")
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(heads)]
    assert len(rows) > 20 and all("`tests/" in row for row in rows)
    assert set(re.findall(r"`(tests/[^`]*)`", PAGE)) == set(NAMED)
    assert {name.partition("::")[2] for name in NAMED if "test_faults" in name} >= {
        name for name in named_tests(paths.ROOT / "tests" / "test_faults.py") if "killed" in name or "flipped" in name
    }
