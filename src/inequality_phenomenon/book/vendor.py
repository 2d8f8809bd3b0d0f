"""The book's JavaScript, served from its own folder so that reading it asks no other host for anything.

Fetched once, at build time, rather than tracked. Without a network the book is built all the same, and says what it lacks.
"""

import re
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .._support import paths
from .._support.npm import PackageError, pack, verify


@dataclass(frozen=True)
class Library:
    """An npm package and the files of it that the pages load, as a pattern on the path inside the package."""

    package: str
    sha512: str
    size: int
    wanted: str

    def folder(self, parent: Path = paths.VENDOR) -> Path:
        return parent / self.package.split("/")[-1]


LIBRARIES = (
    Library(  # extensions are loaded when a formula first uses their macro
        "mathjax@3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        6_132_118,
        r"LICENSE|es5/tex-chtml\.js|es5/output/chtml/fonts/woff-v2/.*|es5/input/tex/extensions/.*",
    ),
    Library(
        "@jupyter-widgets/html-manager@1.0.14",
        "wglgQQ+VMj+MBKkTttdeoMtOah/H2A1w5GU1OAVXmDQqZYTK6C+oHZjQMxcNezIpiqUjC1YHKOo5XdP3ENvBng==",
        5_098_137,
        r"LICENSE|dist/embed\.js|dist/embed\.js\.LICENSE\.txt|dist/.*\.(woff2?|ttf)",
    ),
    Library(  # a page loads these two in this order; their licence is in book/static
        "@tensorflow/tfjs-core@4.22.0",
        "LEkOyzbknKFoWUwfkr59vSB68DMJ4cjwwHgicXN0DUi3a0Vh1Er3JQqCI1Hl86GGZQvY8ezVrtDIvqR1ZFW55A==",
        6_958_161,
        r"dist/tf-core\.es2017\.min\.js",
    ),
    Library(
        "@tensorflow/tfjs-backend-wasm@4.22.0",
        "/IYhReRIp4jg/wYW0OwbbJZG8ON87mbz0PgkiP3CdcACRSvUN0h8rvC0O3YcDtkTQtFWF/tcXq/KlVDyV49wmA==",
        2_460_748,
        r"dist/tf-backend-wasm\.es2017\.min\.js|dist/tfjs-backend-wasm-simd\.wasm",
    ),
)

TENSORFLOW = LIBRARIES[-2:]


def fetch(library: Library, parent: Path = paths.VENDOR) -> None:
    """Put the wanted files of a library into its folder in ``parent``, all of them or none. Raises ``PackageError``."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".fetching-") as name:
        work, unpacked = Path(name), Path(name) / "package"
        archive = pack(library.package, work, size=library.size, label=library.package)
        verify(archive, library.sha512)
        with tarfile.open(archive, "r:gz") as tar:
            wanted = [m for m in tar if re.fullmatch(f"package/({library.wanted})", m.name)]
            tar.extractall(work, wanted, filter="data")
        shutil.move(unpacked, library.folder(parent))


def fetch_missing() -> None:
    """Fetch what is missing; a failure is one warning, not an error."""
    try:
        for library in LIBRARIES:
            if not library.folder().exists():
                fetch(library)
    except PackageError as problem:
        missing = ", ".join(library.package for library in LIBRARIES if not library.folder().exists())
        lost = "formulas will not be drawn, or no network will run in a page"
        print(f"warning: without {missing} {lost}: {problem}", file=sys.stderr)
