"""The key of a measurement covers the code that decides it, and no other; what was kept comes back whole or not at all."""

import sys
from unittest.mock import Mock

import pytest
from conftest import fails
from damage import single_bit_flips

from inequality_phenomenon._support.files import DamagedFile
from inequality_phenomenon.measure.cache import IDLE, PACKAGE, UnresolvedImport, cached, code_closure, code_hash

FILES = {
    "__init__.py": "", "shared.py": "VALUE = 1\n", "inner/__init__.py": "from .helper import help\n",
    "inner/helper.py": "def help(): ...\n", "inner/measure.py": "from ..shared import VALUE\n",
    "inner/deep/__init__.py": "", "inner/deep/far.py": "from ...shared import VALUE\n",
    "absolute.py": "import two_level.inner.deep.far\n", "module_of_a_package.py": "from .inner.deep import far\n",
    "late.py": "def work():\n    from .inner import measure\n", "broken.py": "from .nowhere import x\n",
}  # fmt: skip


@pytest.fixture
def two_level(tmp_path, monkeypatch):
    """A package with packages inside, importable; gives the folder of its sources."""
    folder = tmp_path / "two_level"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    code_hash.cache_clear()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "two_level"]:
        del sys.modules[name]


@pytest.mark.parametrize(("module", "covered"), [
    ("inner.measure", {"shared"}), ("inner.deep.far", {"shared"}),
    ("absolute", {"inner", "inner.helper", "inner.deep", "inner.deep.far", "shared"}),
    ("module_of_a_package", {"inner", "inner.helper", "inner.deep", "inner.deep.far", "shared"}),
    ("late", {"inner", "inner.helper", "inner.measure", "shared"}),
])  # fmt: skip
def test_imports_of_every_kind_and_level_are_followed(two_level, module, covered):
    assert set(code_closure(f"two_level.{module}")) == {f"two_level.{name}" for name in {module} | covered}
    before = code_hash(f"two_level.{module}")
    (two_level / "shared.py").write_text("VALUE = 2\n")
    code_hash.cache_clear()
    assert code_hash(f"two_level.{module}") != before


def test_an_import_that_leads_nowhere_is_an_error(two_level):
    fails(UnresolvedImport, r"two_level\.nowhere", code_hash, "two_level.broken")


MEASURING_ROOMS = {
    "attacks", "attribution", "datasets", "foreign", "inequality", "networks", "robustness", "measure", "_support",
}  # fmt: skip
SUPPORT = {"_support", "_support.batching", "_support.randomness"}


@pytest.mark.parametrize(
    "name", ["measurements", "sample", "ablation", "transferability", "accuracy", "readings", "classes"]
)
def test_only_measuring_code_is_in_the_key(name):
    found = {module.removeprefix(f"{PACKAGE}.") for module in code_closure(f"{PACKAGE}.measure.{name}")}
    assert {name.partition(".")[0] for name in found} <= MEASURING_ROOMS
    assert {name for name in found if name.startswith("_support")} <= SUPPORT
    assert not {f"{PACKAGE}.{name}" for name in found} & set(IDLE)
    assert "attribution" in found or name in ("accuracy", "classes")


def test_the_cache_computes_once_and_again_for_another_key(tmp_path, move):
    move(CACHE=tmp_path)
    compute = Mock(side_effect=[b"first", b"second"])
    assert [cached("x", {"a": a}, compute)[0] for a in (1, 1, 2)] == [b"first", b"first", b"second"]
    assert compute.call_count == 2


def test_every_single_bit_flip_in_a_cache_entry_is_found(tmp_path, move):
    move(CACHE=tmp_path)
    content = bytes(range(200))
    cached("x", {"a": 1}, lambda: content)
    (file,) = tmp_path.glob("x/*.bin")
    whole = file.read_bytes()
    for _ in single_bit_flips(file, 200):
        fails(DamagedFile, str(file), cached, "x", {"a": 1}, lambda: content)
    file.write_bytes(whole[:-1])
    fails(DamagedFile, str(file), cached, "x", {"a": 1}, lambda: content)
