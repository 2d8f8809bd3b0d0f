"""The promise: what a user or a site has set up changes no result, and only what is used is imported."""

from pathlib import Path

import nbformat
import pytest
from conftest import fails, python

import inequality_phenomenon as library
from inequality_phenomenon._support import paths
from inequality_phenomenon.measure import reference

FIGURE = """import hashlib
from inequality_phenomenon.book.headline import headline_figure
print(hashlib.sha256(headline_figure().png).hexdigest())"""
THREE_VALUES = '# %% tags=["parameters"]\nprofile: str = "a"\n\n# %%\n1\n2\n"set" if "started" in globals() else 3\n'
SETTINGS = """from inequality_phenomenon._support import paths
print(paths.ROOT, paths.CACHE, paths.data_folder(), paths.imagenet_folder(), paths.models_folder(), sep="\\n")"""
WINDOWS = """import pkgutil, sys
sys.modules |= dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"])  # as on Windows
import inequality_phenomenon
from importlib import import_module
for module in pkgutil.walk_packages(inequality_phenomenon.__path__, "inequality_phenomenon."):
    if "classroom" not in module.name:
        import_module(module.name)"""


def test_a_figure_does_not_depend_on_the_settings_of_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\naxes.facecolor: red\nsavefig.dpi: 20\n")
    assert python("-c", FIGURE).stdout == python("-c", FIGURE, MATPLOTLIBRC=str(tmp_path)).stdout


def test_a_chapter_runs_without_the_users_ipython(tmp_path: Path) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    for folder in (profile / "startup", tmp_path / "notebooks"):
        folder.mkdir(parents=True)
    (profile / "ipython_config.py").write_text('c.InteractiveShell.ast_node_interactivity = "all"\n')
    for file in (profile / "startup" / "00.py", tmp_path / "start.py"):
        file.write_text("started = True\n")
    (tmp_path / "notebooks" / "values.py").write_text(THREE_VALUES)
    own = {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONSTARTUP": str(tmp_path / "start.py")}
    python("-m", "papermill", "notebooks/values.py", "out.ipynb", cwd=tmp_path, **own)
    (output,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert output.data["text/plain"] == "3"


def test_without_git_the_commit_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert reference.commit.__wrapped__() == "no git"


def test_folders_that_are_set_are_expanded_and_empty_ones_are_as_if_unset(tmp_path: Path) -> None:
    def folders(cwd: Path = paths.ROOT, **environment: str) -> list[str]:
        return python("-c", SETTINGS, cwd=cwd, HOME=str(tmp_path), **environment).stdout.split()

    names = ["ROOT", "CACHE", "DATA", "IMAGENET", "MODELS"]
    expanded = [str(tmp_path / name) for name in names]
    assert folders(**{f"INEQUALITY_{name}": f"~/{name}" for name in names}) == expanded
    assert folders(tmp_path, **{f"INEQUALITY_{name}": name for name in names}) == expanded
    empty = folders(XDG_CACHE_HOME="", **{f"INEQUALITY_{name}": "" for name in names})
    data, root = tmp_path / ".cache" / "inequality-phenomenon", Path(paths.__file__).resolve().parents[3]
    assert empty == [str(root), str(root / ".cache"), str(data), "None", str(data / "imagenet-models")]


def test_the_package_is_imported_without_the_locks_of_unix() -> None:
    python("-c", WINDOWS)


@pytest.mark.parametrize("module", ["inequality_phenomenon", "inequality_phenomenon.book.workflow"])
def test_torch_is_not_imported_before_it_is_used(module: str) -> None:
    assert python("-c", f"import {module}, sys\nprint('torch' in sys.modules)").stdout == "False\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(callable(found := getattr(library, name)) or found is library.REGISTRY for name in library.__all__)
    fails(AttributeError, "has no attribute 'ginny'", getattr, library, "ginny")
