"""A Sphinx extension: below a chapter's title its run time and downloads, and launch links only where they lead somewhere."""

import pkgutil
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.osutil import relative_uri

from .._support import paths

PACKAGE = __name__.partition(".")[0]
SCRIPTS = "_scripts"  # folder of the built book with the chapters' sources
# What the theme and the bibliography write, and what a screen reader needs instead.
MENDED = {
    '<div id="pst-primary-sidebar" class=': '<div id="pst-primary-sidebar" role="complementary" aria-label="The book" class=',
    'title="Search" aria-label="Search" data-bs-placement="bottom"': 'title="Search" aria-label="Search Ctrl+K" data-bs-placement="bottom"',
    'role="doc-biblioentry"': 'role="listitem"',
    'theme-switch-button pst-js-only" aria-label="Color mode"': 'theme-switch-button pst-js-only"',
    '<summary aria-label="Toggle hidden content">': "<summary>",
    "<th></th>": "<td></td>",  # the corner of a table
    '<th class="head"><p></p></th>': "<td></td>",
}


def run_time(notebook: nbformat.NotebookNode) -> str:
    """How long the chapter would have run from an empty cache; empty where the notebook has no provenance."""
    outputs = (out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", ()))
    shown = "".join(data.get("text/html", "") for data in outputs)
    if not (found := re.search(r"data-profile='(.*?)' data-device='(.*?)' data-cached-seconds='(.*?)'", shown)):
        return ""
    profile, device, cached = found.groups()
    minutes = (notebook.metadata.papermill.duration + float(cached)) / 60
    time = "less than a minute" if minutes < 1 else f"about {minutes:.0f} minute{'s' if minutes >= 1.5 else ''}"
    return f"Runs in {time} with the {profile} profile on {device}."


def without_dead_links(app: Sphinx, config: Config) -> None:
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = {}


def add_chapter_bar(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Run time and downloads, after the title of an executed chapter."""
    notebook = paths.ROOT / f"{page}.ipynb"
    script = paths.NOTEBOOKS / f"{notebook.stem}.py"
    if notebook.parent != paths.EXECUTED or not script.exists() or "body" not in context:
        return
    time = run_time(nbformat.read(notebook, as_version=4))
    here = app.builder.get_target_uri(page)
    links = {"notebook": f"_sources/{page}.ipynb", "script": f"{SCRIPTS}/{script.name}"}
    downloads = ", ".join(f"<a href='{relative_uri(here, to)}' download>{what}</a>" for what, to in links.items())
    bar = f"<p class='chapter-bar'>{time} Download: {downloads}.</p>"
    context["body"] = context["body"].replace("</h1>", f"</h1>{bar}", 1)


def list_modules(app: Sphinx, page: str, content: list[str]) -> None:
    """Every module of the package, with its docstrings, in the place of the marker on the page of the library."""
    if "<!-- modules -->" in content[0]:
        names = sorted(module.name for module in pkgutil.walk_packages([str(Path(__file__).parents[1])], f"{PACKAGE}."))
        block = "## {}\n\n```{{eval-rst}}\n.. automodule:: {}\n   :members:\n```\n"
        blocks = (block.format(name.partition(".")[2], name) for name in names)
        content[0] = content[0].replace("<!-- modules -->", "\n".join(blocks))


def plain_docstring(app: Sphinx, kind: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with ``code`` in double backticks: everything else that reST would interpret is escaped."""

    def escaped(part: str) -> str:
        return part if part.startswith("``") else re.sub(r"([*|\\`_]|:(?=:))", r"\\\1", part)

    lines[:] = ["".join(map(escaped, re.split(r"(``.+?``)", line.strip()))) for line in lines]


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Put the scripts beside the pages, and mend the pages' roles and names."""
    folder = Path(app.outdir)
    if problem or app.builder.format != "html":
        return
    (folder / SCRIPTS).mkdir(exist_ok=True)
    for script in paths.NOTEBOOKS.glob("[0-9]*.py"):
        shutil.copyfile(script, folder / SCRIPTS / script.name)
    for page in (path for path in folder.rglob("*.html") if "_static" not in path.parts):
        text = page.read_text("utf-8")
        for written, needed in MENDED.items():
            text = text.replace(written, needed)
        page.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", without_dead_links)
    app.connect("source-read", list_modules)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("html-page-context", add_chapter_bar)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
