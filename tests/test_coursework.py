"""The promise: what the assignments import compares, follows through and switches off as the questions need it."""

import pytest
import torch
from conftest import python

from inequality_phenomenon import coursework


def test_close_compares_shapes_and_values_and_follow_through_uses_right_answers_where_own_ones_fail() -> None:
    assert coursework.close(torch.ones(2, requires_grad=True), [1, 1]) and not coursework.close([1, 1], 1)
    assert not coursework.close(float("nan"), float("nan"))
    assert not coursework.close(1.001, 1) and coursework.close(1.001, 1, tolerance=1e-2)
    namespace = {"helper": lambda: "wrong"}
    tried: list[str] = []

    def check() -> None:
        tried.append(namespace["helper"]())
        assert tried[-1] == "right"

    coursework.follow_through(check, namespace, {"helper": lambda: "right"})
    assert tried == ["wrong", "right"] and namespace["helper"]() == "wrong"
    with pytest.raises(AssertionError):
        coursework.follow_through(check, namespace, {})


OFF = """from inequality_phenomenon.coursework import by_hand; by_hand('inequality', 'attacks', 'captum')
import inequality_phenomenon as library
from inequality_phenomenon.attacks.occlusion import grid_outcomes
for function in (library.gini, library.lorenz_curve, library.occlude, grid_outcomes):
    try: function([1.0])
    except NotImplementedError as problem: print(problem)
try: import captum.attr
except ImportError: print('no captum')"""


def test_by_hand_switches_functions_and_packages_off() -> None:
    names = ("gini", "lorenz_curve", "occlude", "grid_outcomes")
    expected = [f"{name} is switched off in this assignment: write it by hand" for name in names]
    assert python("-c", OFF).stdout.splitlines() == [*expected, "no captum"]
