"""Notebooks on the real papermill command line: wrong parameters, failures, and the Python that runs them."""

import json
import sys
from pathlib import Path

import nbformat
import papermill.cli
import pytest
from click.testing import CliRunner
from conftest import python

from inequality_phenomenon._support import paths
from inequality_phenomenon.book.workflow import chapters
from inequality_phenomenon.cli import main

CHAPTERS = [Path("notebooks", f"{name}.py") for name in chapters()]

SMALL = """\
# %% [markdown]
# # A small chapter

# %% tags=["parameters"]
profile: str = "laptop"  # how much to compute
n_images: int | None = None
share: float = 0.5
models: list[str] | None = None

# %%
import sys
print("Python:", sys.executable, n_images, share, models)

# %%
assert n_images != 13, "an unlucky number of images"
"""

LISTED = """\
Valid parameters of this notebook:
  profile: str = 'laptop'  how much to compute
  n_images: int | None = None
  share: float = 0.5
  models: list[str] | None = None
"""


def run_papermill(folder: Path, notebook: str, *options: str, status: int = 0, **environment: str) -> str:
    return python("-m", "papermill", notebook, "out.ipynb", *options, cwd=folder, status=status, **environment).stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "small.py").write_text(SMALL)
    return tmp_path


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_every_chapter_refuses_a_misspelled_and_an_ill_typed_parameter(chapter: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(paths.ROOT)
    options = ["-p", "n_imges", "50", "-p", "n_images", "abc", "-p", "profile", "7"]
    done = CliRunner().invoke(papermill.cli.papermill, [str(chapter), str(tmp_path / "out.ipynb"), *options])
    assert done.exit_code == 1 and "unknown parameter 'n_imges'" in done.output
    assert "parameter 'n_images' must be int | None, not 'abc'" in done.output
    assert "parameter 'profile' must be str, not 7" in done.output
    for line in ("profile: str", "device: str", "n_images: int | None", "seed: int | None", "models: list[str] | None"):
        assert f"\n  {line} = " in done.output
    assert "Traceback" not in done.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("options", "problem"), [
    (["-p", "n_imges", "50"], "unknown parameter 'n_imges'"),
    (["-p", "n_images", "1.5"], "parameter 'n_images' must be int | None, not 1.5"),
    (["-p", "n_images", "True"], "parameter 'n_images' must be int | None, not True"),
    (["-p", "profile", "None"], "parameter 'profile' must be str, not None"),
    (["-p", "models", "a"], "parameter 'models' must be list[str] | None, not 'a'"),
    (["-y", "models: [a, 1]"], "parameter 'models' must be list[str] | None, not ['a', 1]"),
    (["-p", "share", "half", "--engine", "strict"], "parameter 'share' must be float, not 'half'"),
])  # fmt: skip
def test_a_wrong_parameter_stops_before_anything_runs(folder, monkeypatch, options: list[str], problem: str) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(papermill.cli.papermill, ["notebooks/small.py", "out.ipynb", *options])
    assert done.exit_code == 1 and f"Error: {problem}\n{LISTED}" in done.output
    assert "Executing" not in done.output and not (folder / "out.ipynb").exists()


@pytest.mark.parametrize(("output", "problem"), [
    ("missing/out.ipynb", "there is no folder missing to write out.ipynb to: make it first"),
    ("notebooks", "notebooks is a folder: name a file in it, such as notebooks/out.ipynb"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_refused_before_a_cell_runs(folder, monkeypatch, output, problem) -> None:
    monkeypatch.chdir(folder)
    (folder / "notebooks" / "marking.py").write_text('# %%\nopen("ran", "w")\n')
    for options in ([], ["--cwd", str(folder.parent)]):
        done = CliRunner().invoke(papermill.cli.papermill, ["notebooks/marking.py", output, *options])
        assert (done.exit_code, done.output.splitlines()[-1]) == (1, f"Error: {problem}")
        assert not list(folder.parent.rglob("ran"))


def test_a_notebook_is_found_wherever_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other").mkdir()
    script = str(folder / "notebooks" / "small.py")
    for here, path in (("", script), ("notebooks", "small.py"), ("other", "../notebooks/small.py")):
        monkeypatch.chdir(folder / here)
        done = CliRunner().invoke(papermill.cli.papermill, [path, "out.ipynb", "-p", "n_images", "abc"])
        assert f"Error: parameter 'n_images' must be int | None, not 'abc'\n{LISTED}" in done.output, path
    said = run_papermill(folder / "other", "../notebooks/small.py", "-p", "n_images", "3")
    assert "does not end in" not in said
    assert " 3 0.5 None" in nbformat.read(folder / "other" / "out.ipynb", as_version=4).cells[3].outputs[0].text


def test_the_notebooks_of_other_people_are_executed_as_ever(folder: Path) -> None:
    sources = ("%matplotlib inline\nx = 1\ny: int = 2", "print(x, y, z)")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "theirs.ipynb")
    said = run_papermill(folder, "theirs.ipynb", "-p", "x", "2", "-p", "y", "a", "-p", "z", "3")
    assert "unknown parameter: x" not in said and "unknown parameter: z" in said
    assert nbformat.read(folder / "out.ipynb", as_version=4).cells[-1].outputs[0].text == "2 a 3\n"


def test_valid_parameters_run_in_the_python_of_papermill_and_a_failing_notebook_shows_its_cell(folder: Path) -> None:
    said = run_papermill(folder, "notebooks/small.py", "-p", "n_images", "13", status=1)
    assert '----> 1 assert n_images != 13, "an unlucky number of images"' in said
    assert not (folder / "out.ipynb").exists()
    (elsewhere := folder / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    kernel = {"argv": ["/bin/false"], "display_name": "another Python 3", "language": "python"}
    (elsewhere / "kernel.json").write_text(json.dumps(kernel))
    options = ["-p", "n_images", "50", "-p", "share", "1", "-y", "models: [a, b]"]
    said = run_papermill(folder, "./notebooks/small.py", *options, JUPYTER_PATH=str(folder / "jupyter"))
    assert "unknown parameter" not in said
    notebook = nbformat.read(folder / "out.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[3].outputs[0].text == f"Python: {sys.executable} 50 1 ['a', 'b']\n"


def test_execution_replaces_its_target_on_success_only(folder: Path, move, capfd) -> None:
    move(ROOT=folder)
    target = folder / "done" / "small.ipynb"

    def execute(n_images: str) -> tuple[int, str]:
        return main(["execute", "small", str(target), "-p", "n_images", n_images]), capfd.readouterr().err

    assert "small: done in" in execute("50")[1]
    before = target.read_bytes()
    code, message = execute("13")
    assert code == 1 and "inequality: small failed after" in message and "an unlucky number of images" in message
    code, message = execute("abc")
    assert code == 1 and "must be int | None, not 'abc'" in message and target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
