"""What is published, as one branch, where launch links lead: the tracked files, the executed notebooks, and the book in docs/."""

import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import jupytext
import nbformat
import yaml

from .._support import paths

SITE = paths.ROOT / "_build" / "site"
BOOK = paths.ROOT / "_build" / "html"
EXECUTED_HERE = paths.EXECUTED.relative_to(paths.ROOT)

_FIRST_CELL = """\
# On Colab: fetch the project and install it. Elsewhere this cell does nothing.
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 --branch {branch} {url} project
    %cd project
    !pip install --quiet --editable .
    sys.path.insert(0, "src")
"""


def for_the_cloud(notebook: nbformat.NotebookNode, url: str, branch: str) -> nbformat.NotebookNode:
    """With a first cell that installs the project on Colab; as it is where no repository is named."""
    if url:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(_FIRST_CELL.format(url=url, branch=branch)))
    return notebook


def assemble(site: Path = SITE) -> None:
    """Fill ``site`` from the last commit, the executed notebooks and the built book; what was there is removed."""
    repository = yaml.safe_load((paths.ROOT / "_config.yml").read_text("utf-8"))["repository"]
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    try:
        tracked = subprocess.run(["git", "archive", "HEAD"], cwd=paths.ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise RuntimeError(f"the site is made from the last commit, which needs git here: {problem}") from None
    with tarfile.open(fileobj=BytesIO(tracked)) as archive:
        archive.extractall(site, filter="data")
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths.EXECUTED.glob("*.ipynb")}
    notebooks |= {path.stem: jupytext.read(path, fmt="py:percent") for path in paths.NOTEBOOKS.glob("00_*.py")}
    (site / EXECUTED_HERE).mkdir(parents=True, exist_ok=True)
    for name, notebook in notebooks.items():
        notebook = for_the_cloud(notebook, repository["url"], repository["branch"])
        nbformat.write(notebook, site / EXECUTED_HERE / f"{name}.ipynb")
    shutil.copytree(BOOK, site / "docs", ignore=shutil.ignore_patterns(".buildinfo"))
    (site / "docs" / ".nojekyll").touch()  # else folders that begin with _ are not served
    print(f"The site is in {site}: the book in docs/, the executed notebooks in {EXECUTED_HERE}/")
