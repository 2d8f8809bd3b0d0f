"""Makes or updates .venv from requirements.lock; run by ``make`` with any Python 3.11, so it uses the standard library alone.

A stamp holds the hash of what was installed: nothing is done while it fits. It is written last and removed first, so an
interrupted set-up is noticed and started from scratch.
"""

from __future__ import annotations  # an older Python must get as far as the message about its age

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

OLDEST_PYTHON = (3, 11)
VENV = Path(".venv")
STAMP = VENV / ".installed"
LOCK_FILE, PROJECT_FILE = "requirements.lock", "pyproject.toml"


@contextmanager
def alone() -> Iterator[None]:
    """Hold this folder's lock; the system frees it however the holder dies. Exits if it is taken; some systems have none."""
    folder = Path(".locks")
    folder.mkdir(exist_ok=True)
    with (folder / "set-up").open("a+") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            sys.exit(
                f"set-up is already running in this folder (process {file.read()}): wait for it to end, or stop it"
            )
        except OSError:
            print("warning: no locks in this folder; start no other set-up meanwhile", file=sys.stderr)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def wanted() -> str:
    """Hash of the two files that decide what is installed."""
    return hashlib.sha256(Path(LOCK_FILE).read_bytes() + Path(PROJECT_FILE).read_bytes()).hexdigest()


def installed() -> str | None:
    return STAMP.read_text() if STAMP.exists() else None


def install() -> None:
    """Everything from the lock, by hash, then the package itself, editable and with the build tools just installed."""
    if installed() is None:
        shutil.rmtree(VENV, ignore_errors=True)
    else:
        STAMP.unlink()
    python = VENV / "bin" / "python"
    make: list[str | Path] = [sys.executable, "-m", "venv", VENV]
    pip: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        make = [uv, "venv", "--quiet", "--python", sys.executable, VENV]
        pip = [uv, "pip", "install", "--python", python]
    if not python.exists():
        subprocess.run(make, check=True)
    subprocess.run([*pip, "--require-hashes", "-r", LOCK_FILE], check=True)
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-build-isolation", "-e", "."], check=True)
    STAMP.write_text(wanted())


def main() -> None:
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            "Python 3.11 or newer is needed, this is {}.{}. Name another: make PYTHON=python3.12".format(
                *sys.version_info
            )
        )
    if installed() == wanted():
        return
    with alone():
        print("Setting up .venv from requirements.lock (2 minutes, 6 GB of disk)", file=sys.stderr)
        try:
            install()
        except subprocess.CalledProcessError as problem:
            sys.exit(f"set-up failed (see above): {' '.join(map(str, problem.cmd))}")
        except KeyboardInterrupt:
            sys.exit("set-up stopped; the next run starts it again")


if __name__ == "__main__":
    main()
