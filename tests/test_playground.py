"""The promise: the playground's pictures follow its controls, without a browser as well as with one."""

import runpy

import pytest

from inequality_phenomenon._support import paths


@pytest.fixture(scope="module")
def playground():
    return runpy.run_path(str(paths.NOTEBOOKS / "00_playground.py"))


@pytest.mark.parametrize(("control", "value"), [
    ("number", 7), ("network", "cifar10-resnet18w16-linf8-s0"), ("method", "input_x_gradient"), ("budget", 500),
    ("kind", "type_2"), ("positions", "lowest"), ("color", "white"), ("count", 7), ("radius", 3),
])  # fmt: skip
def test_every_control_changes_the_pictures(playground, control, value):
    before = playground["picture_box"].value
    assert before.count("<img") == 5
    playground["controls"][control].value = value
    after = playground["picture_box"].value
    assert after != before and after.count("<img") == 5
