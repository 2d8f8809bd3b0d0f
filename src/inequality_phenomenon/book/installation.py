"""Makes or updates .venv from requirements.lock; run by ``make`` with any Python 3.11, so it uses the standard library alone."""

from __future__ import annotations  # an older Python must get as far as the message about its age

import hashlib
import os
import re
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
STAMP = VENV / ".installed"  # hash of what was installed, written last and removed first: no half set-up has one
LOCK_FILE, PROJECT_FILE = "requirements.lock", "pyproject.toml"
# What uv calls the settings of pip, which a site may have set in pip.conf or the environment.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE",
}  # fmt: skip


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
            who = f"set-up is already running in this folder (process {file.read()})"
            sys.exit(f"{who}: wait for it to end, or stop it")
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
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    try:
        uv = [uv_of(pip), "pip", "install", "--python", str(python), "--index-strategy", "unsafe-best-match"]
        from_the_lock(uv, os.environ | settings_for_uv(pip))
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"uv is of no use here ({problem}); pip goes on alone, which takes minutes", file=sys.stderr)
        from_the_lock(pip, dict(os.environ))
    STAMP.write_text(wanted())


def from_the_lock(installer: list[str], environment: dict[str, str]) -> None:
    for what in (["--require-hashes", "-r", LOCK_FILE], ["--quiet", "--no-deps", "--no-build-isolation", "-e", "."]):
        subprocess.run([*installer, *what], check=True, env=environment)


def uv_of(pip: list[str]) -> str:
    """The program uv: that on the PATH, else the one that the lock names, brought into .venv by pip."""
    own = VENV / "bin" / "uv"
    if not (found := shutil.which("uv")) and not own.exists():
        entry = re.search(r"^uv==(.*\\\n)+.*\n", Path(LOCK_FILE).read_text(), re.MULTILINE)
        if not entry:
            raise FileNotFoundError(f"{LOCK_FILE} does not name it")
        (only := VENV / "uv.lock").write_text(entry[0])
        subprocess.run([*pip, "--quiet", "--require-hashes", "-r", str(only)], check=True)
    return found or str(own)


def settings_for_uv(pip: list[str]) -> dict[str, str]:
    """pip's settings of where packages come from, as environment variables of uv."""
    listed = subprocess.run([*pip[:3], "config", "list"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\S*\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    return {UV_NAMES[name]: value for name, value in found if name in UV_NAMES}


def main() -> None:
    if sys.version_info < OLDEST_PYTHON:
        this = "{}.{}".format(*sys.version_info)
        sys.exit(f"Python 3.11 or newer is needed, this is {this}. Name another: make PYTHON=python3.12")
    if installed() == wanted():
        return
    with alone():
        print("Setting up .venv from requirements.lock (30 s, with pip alone 2 minutes; 6 GB of disk)", file=sys.stderr)
        try:
            install()
        except subprocess.CalledProcessError as problem:
            sys.exit(f"set-up failed (see above): {' '.join(map(str, problem.cmd))}")
        except KeyboardInterrupt:
            sys.exit("set-up stopped; the next run starts it again")


if __name__ == "__main__":
    main()
