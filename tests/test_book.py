"""The promise: from the tracked files alone, the smoke profile executes every chapter and builds the whole book."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from inequality_phenomenon.datasets import load_cifar10
from inequality_phenomenon.paths import NOTEBOOKS, ROOT
from inequality_phenomenon.profiles import load_profile

CHAPTERS = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.py"))


class Page(HTMLParser):
    """What a page refers to and what it shows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.sources.append(values["src"])
        if tag == "link" and values.get("rel") == "stylesheet":
            self.sources.append(values["href"])
        if tag == "img":
            self.images.append(values)


def run_book(folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"INEQUALITY_ROOT": str(folder), "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "inequality_phenomenon.workflow", "book", "--profile", "smoke"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A copy of the files that git tracks or would track, built with the smoke profile."""
    load_cifar10("test")  # fetched before the copy needs it
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    done = run_book(folder)
    assert done.returncode == 0, done.stderr[-5000:]
    assert str(folder / "_build/html/index.html") in done.stdout.splitlines()[-1]
    return folder


@pytest.fixture(scope="module")
def pages(book):
    html = book / "_build" / "html"
    return {path: Page(path) for path in html.rglob("*.html") if "_static" not in path.parts}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_shows_what_this_run_measured(book, pages, chapter):
    page = next(page for path, page in pages.items() if path.stem == chapter)
    assert "Provenance of every number on this page" in page.text
    assert f"smoke, {load_profile('smoke').n_images} images asked for" in page.text
    assert "This run" in page.text and re.search(r"n = \d+", page.text)
    assert list((book / "book" / "_executed" / "records" / "smoke" / chapter).glob("*.parquet"))
    assert "Traceback" not in page.text


def test_every_picture_has_an_alternative_text(pages):
    for path, page in pages.items():
        assert all((image.get("alt") or "").strip() for image in page.images), path
    shown = [image for page in pages.values() for image in page.images if (image.get("src") or "").startswith("data:")]
    assert len(shown) >= 5 and all(re.search(r"\d|Grid", image["alt"]) for image in shown)


def test_every_link_inside_the_book_leads_somewhere(book, pages):
    html = book / "_build" / "html"
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.relative_to(html)}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(html)}: {link}"


def test_no_page_loads_anything_from_another_host(pages):
    for path, page in pages.items():
        assert not [s for s in page.sources if urlsplit(s).scheme not in ("", "data") or urlsplit(s).netloc], path


def test_a_second_run_executes_nothing_again(book):
    executed = {path: path.stat().st_mtime_ns for path in (book / "book" / "_executed").glob("*.ipynb")}
    done = run_book(book)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path: path.stat().st_mtime_ns for path in executed} == executed and len(executed) == len(CHAPTERS)
