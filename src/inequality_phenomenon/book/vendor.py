"""The book's JavaScript, served from its own folder so that reading it asks no other host for anything.

Fetched once, at build time, rather than tracked. Without a network the book is built all the same, its formulas plain.
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
)


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
        print(f"warning: formulas will not be drawn, {library.package} is missing: {problem}", file=sys.stderr)
