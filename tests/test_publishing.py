"""The promise: what is published can be cited, launched, printed and opened in JupyterLab."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jsonschema
import jupytext
import nbformat
import pytest
import yaml
from conftest import python
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class

from inequality_phenomenon._support import paths
from inequality_phenomenon.book import printing, publishing, sphinx_extension

ONE_CELL = "# %%\nprint(1)\n"
URL = "https://github.com/someone/inequality"


def test_the_citation_follows_its_schema_and_has_the_packages_version() -> None:
    schema = json.loads((paths.ROOT / "tests" / "cff-1.2.0.schema.json").read_text("utf-8"))
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text("utf-8"))
    jsonschema.Draft7Validator(schema).validate(citation)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(citation | {"license": "none"})
    project = (paths.ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{citation["version"]}"' in project


@pytest.mark.parametrize("script", sorted(path.name for path in paths.NOTEBOOKS.glob("*.py")))
def test_jupyterlab_opens_a_script_as_a_notebook_and_saves_the_same_script(tmp_path, script):
    for name in (script, "jupytext.toml"):
        shutil.copy(paths.NOTEBOOKS / name, tmp_path)
    before = (tmp_path / script).read_text("utf-8")
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(tmp_path)
    opened = manager.get(script, type="notebook")
    assert opened["type"] == "notebook" and len(opened["content"]["cells"]) > 3
    for cell in opened["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [nbformat.v4.new_output("stream", text="a result")]
    manager.save(opened, script)
    assert (tmp_path / script).read_text("utf-8") == before
    assert sorted(path.name for path in tmp_path.glob("*.*")) == sorted([script, "jupytext.toml"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    config = (paths.ROOT / "_config.yml").read_text("utf-8").replace('url: ""', f"url: {URL}")
    files = {
        "_config.yml": config,
        "_toc.yml": "format: jb-book\nroot: book/index\nchapters:\n  - file: book/_executed/01_first\n",
        "environment.yml": "name: here\n", ".gitignore": "_build\nbook/_executed\n", "book/index.md": "# The book\n",
        "_build/site/docs/old.html": "", "book/static/own.css": "", "notebooks/00_playground.py": ONE_CELL,
        "book/references.bib": (paths.ROOT / "book" / "references.bib").read_text("utf-8"),
        "notebooks/01_first.py": "# %% [markdown]\n# # First\n\n# %%\nprint(1)\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "all"]
    for arguments in (["init", "-q"], ["add", "."], commit):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    notebook = jupytext.reads(files["notebooks/01_first.py"], fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "book" / "_executed").mkdir()
    nbformat.write(notebook, folder / "book" / "_executed" / "01_first.ipynb")
    build = "from jupyter_book.cli.main import main\nmain(['build', '.', '-q'])"
    for arguments in (["-c", build], ["-m", "inequality_phenomenon.cli", "site"]):
        python(*arguments, cwd=folder, INEQUALITY_ROOT=str(folder))
    return folder


def test_the_published_branch_is_complete_and_the_launch_links_name_its_files(project):
    site = project / "_build" / "site"
    tracked = subprocess.run(["git", "ls-files"], cwd=project, check=True, capture_output=True, text=True).stdout
    files = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    notebooks = {"book/_executed/01_first.ipynb", "book/_executed/00_playground.ipynb"}
    assert {name for name in files if not name.startswith("docs/")} == set(tracked.split()) | notebooks
    assert {"docs/index.html", "docs/.nojekyll", "docs/book/_executed/01_first.html"} <= files
    assert "docs/old.html" not in files
    for name in notebooks:
        notebook = nbformat.read(site / name, as_version=4)
        nbformat.validate(notebook)
        assert f"--branch published {URL} project" in notebook.cells[0].source
    page = (site / "docs" / "book" / "_executed" / "01_first.html").read_text("utf-8")
    binder = re.search(r"https://mybinder.org/v2/gh/someone/inequality/published\?urlpath=lab/tree/([^\"]+)", page)
    colab = re.search(r"https://colab.research.google.com/github/someone/inequality/blob/published/([^\"]+)", page)
    assert binder and colab and binder[1] == colab[1]
    assert (site / binder[1]).is_file() and (site / "environment.yml").is_file()


def test_the_first_cell_installs_on_colab_and_does_nothing_elsewhere(monkeypatch):
    notebook = publishing.for_the_cloud(jupytext.reads(ONE_CELL, fmt="py:percent"), URL, "published")
    source = TransformerManager().transform_cell(notebook.cells[0].source)
    done = []
    shell = SimpleNamespace(system=done.append, run_line_magic=lambda *words: done.append(" ".join(words)))
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(source, {"get_ipython": lambda: shell})
    assert done == []
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    exec(source, {"get_ipython": lambda: shell})
    clone = f"git clone --quiet --depth 1 --branch published {URL} project"
    assert done == [clone, "cd project", "pip install --quiet --editable ."] and sys.path[0] == "src"
    assert len(publishing.for_the_cloud(jupytext.reads(ONE_CELL, fmt="py:percent"), "", "published").cells) == 1


def test_a_page_that_lacks_an_image_is_not_printed(tmp_path):
    (tmp_path / "there.png").touch()
    page = tmp_path / "page.html"
    page.write_text("<img src='there.png'><img src='data:image/png;base64,AAAA'><img src='gone.png'>")
    assert printing.missing_images(page) == ["gone.png"]


def test_a_page_is_printed_with_its_formulas_and_pictures(tmp_path, tmp_path_factory, monkeypatch):
    if (browser := printing.chromium()) is None:
        pytest.skip("no Chromium to print with; on Debian and Ubuntu: apt-get install chromium")
    page = tmp_path / "page.html"
    script = "<script>setTimeout(() => { late.textContent = 'x'.repeat(9) }, 500)</script>"
    page.write_text(f"<h1>A book</h1><p id='late'></p>{script}")
    pdf = tmp_path / "book.pdf"
    long = tmp_path_factory.mktemp("long" * 25)  # no socket's path may be as long
    monkeypatch.setenv("TMPDIR", str(long))
    printing.print_page(browser, page, pdf)
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 3000
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["book.pdf", "page.html"]


@pytest.mark.parametrize(("duration", "cached", "words"), [
    (12.0, 0.0, "less than a minute"), (20.0, 50.0, "about 1 minute"), (30.0, 200.0, "about 4 minutes"),
])  # fmt: skip
def test_the_run_time_counts_what_came_from_the_cache(duration, cached, words):
    notebook = jupytext.reads(ONE_CELL, fmt="py:percent")
    notebook.metadata["papermill"] = {"duration": duration}
    footer = f"<details data-profile='laptop' data-device='2 CPU threads' data-cached-seconds='{cached}'>"
    notebook.cells[0]["outputs"] = [nbformat.v4.new_output("display_data", {"text/html": footer})]
    assert sphinx_extension.run_time(notebook) == f"Runs in {words} with the laptop profile on 2 CPU threads."


def test_docstrings_are_plain_text():
    lines = ["  The mean of |a|, see ``f(**x)``; 2 * 3::", "    * a_ and `b`"]
    sphinx_extension.plain_docstring(None, "function", "f", None, None, lines)
    assert lines == [r"The mean of \|a\|, see ``f(**x)``; 2 \* 3\::", r"\* a\_ and \`b\`"]
