"""The book's JavaScript, fetched once at build time and served from its own folder: reading the book asks no other host."""

import re
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

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


LIBRARIES = [Library(**row) for row in yaml.safe_load(Path(__file__).with_name("libraries.yaml").read_text("utf-8"))]
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
