"""What ``make book`` runs: one Snakemake at a time, little output, and the path of the page to open."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click

from . import vendor
from .installation import exclusive
from .paths import EXECUTED, NOTEBOOKS, ROOT
from .profiles import ProfileError, load_profile

PAGE = ROOT / "_build" / "html" / "index.html"

# Snakemake's own lock outlives a kill, ours does not.
OPTIONS = ["--cores", "all", "--keep-going", "--rerun-incomplete", "--nolock", "--quiet", "all"]


@click.command()
@click.argument("target", type=click.Choice(["book", "chapters"]))
@click.option("--profile", default="laptop", help="A file in profiles/, without its ending.")
def main(target: str, profile: str) -> None:
    """Execute the chapters that are not up to date and, for the target book, build the pages."""
    os.chdir(ROOT)
    try:
        load_profile(profile)
    except ProfileError as problem:
        raise click.ClickException(str(problem)) from None
    with exclusive("make book") as lock:
        if target == "book":
            vendor.main()
        code = _snakemake([target, "--config", f"profile={profile}", *OPTIONS], lock.fileno())
    if code == -signal.SIGINT:
        raise click.ClickException("stopped; the next run goes on from here")
    if code:
        missing = [name for name in chapters() if not (EXECUTED / f"{name}.ipynb").exists()]
        raise click.ClickException(f"failed: {', '.join(missing) or 'the build of the pages'} (see above)")
    if target == "book":
        print(f"The book is ready. Open {PAGE}")


def chapters() -> list[str]:
    """Names of the notebooks that are chapters, in reading order; 00_* need a live kernel and are none."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.py") if not path.stem.startswith("00_"))


def _snakemake(arguments: list[str], lock: int) -> int:
    """Exit code, -SIGINT after Ctrl-C. Snakemake shares the lock: it counts as running even if this process is killed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments], pass_fds=[lock], env=os.environ | {"PATH": path}
    )
    interrupts: list[int] = []
    signal.signal(
        signal.SIGINT, lambda number, _: interrupts.append(number)
    )  # reaches Snakemake too: let it end its jobs
    code = process.wait()
    return -signal.SIGINT if interrupts else code


if __name__ == "__main__":
    main()
