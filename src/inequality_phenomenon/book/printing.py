"""The whole book as one PDF: Sphinx puts all pages into one, which a Chromium without a window prints, or any browser."""

import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from .._support import paths
from .._support.files import atomic_path, socket_folder

SINGLE = paths.ROOT / "_build" / "singlehtml"
PAGE = SINGLE / "whole_book.html"
PDF = paths.ROOT / "_build" / "book.pdf"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


def missing_images(page: Path) -> list[str]:
    """Images of ``page`` that are neither in it nor in a file beside it."""
    sources = re.findall(r"""<img\b[^>]*?\ssrc=(["'])(.*?)\1""", page.read_text("utf-8"))
    files = [unescape(source) for _, source in sources if not source.startswith("data:")]
    return [source for source in files if not (page.parent / unquote(source)).is_file()]


def chromium() -> str | None:
    """A Chromium on the PATH, or the one that the environment variable CHROMIUM names."""
    return os.path.expanduser(os.environ.get("CHROMIUM", "")) or next(filter(None, map(shutil.which, CHROMIUMS)), None)


def build_page() -> None:
    tool = Path(sys.executable).parent / "jupyter-book"
    command: list[str | Path] = [tool, "build", paths.ROOT, "--builder", "singlehtml", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    # Sphinx writes the page into the folder of its source, with addresses that hold in the folder above.
    text = (SINGLE / "book" / "index.html").read_text("utf-8")
    text = text.replace('href="book/index.html#', 'href="#').replace("<details class='table-folded'>", "<details open>")
    PAGE.write_text(text, "utf-8")
    if missing := missing_images(PAGE):
        sys.exit(f"the book lacks images: {', '.join(missing)}")


def print_page(browser: str, page: Path = PAGE, pdf: Path = PDF) -> None:
    with atomic_path(pdf) as temporary:
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += ["--virtual-time-budget=120000", "--run-all-compositor-stages-before-draw"]
        command += [f"--print-to-pdf={temporary}", page.as_uri()]
        short = os.environ | {"TMPDIR": socket_folder()}  # where the browser's sockets lie
        done = subprocess.run(command, capture_output=True, text=True, env=short)
        if done.returncode or not temporary.read_bytes().startswith(b"%PDF"):
            sys.exit(f"{browser} did not print the book: {done.stderr[-2000:]}")


def print_book() -> None:
    """Print the built book to ``PDF``; without a Chromium, say what to do."""
    build_page()
    if (browser := chromium()) is None:
        install = "install one (Debian, Ubuntu: apt-get install chromium) and repeat the command; CHROMIUM=/path names another."
        sys.exit(f"No Chromium was found. Open {PAGE} in any browser and print it to a file, or {install}")
    print_page(browser)
    print(f"The book is in {PDF}")
