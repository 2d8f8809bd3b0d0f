"""What ``make book`` and ``make grid`` run: one Snakemake of each at a time, little output, and where the result is."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from .._support import paths
from .._support.files import DamagedFile, Locked, file_lock
from .._support.profiles import ProfileError, load_profile
from . import vendor

PAGE = paths.ROOT / "_build" / "html" / "index.html"

# Snakemake's own lock outlives a kill, ours does not.
OPTIONS = ["--keep-going", "--rerun-incomplete", "--nolock"]
HERE = ["--cores", "all", "--quiet", "all"]  # the jobs speak for themselves


@click.command()
@click.argument("target", type=click.Choice(["book", "chapters", "grid"]))
@click.option("--profile", default="laptop", help="A file in profiles/, without its ending.")
@click.option(
    "--cluster", default="", help="For the grid: a folder in profiles/, such as slurm; default: this machine."
)
def main(target: str, profile: str, cluster: str) -> None:
    """Make what is not up to date of the chapters, of the whole book, or of the grid's cells."""
    os.chdir(paths.ROOT)
    if target == "grid":
        return grid(cluster)
    try:
        load_profile(profile)
    except ProfileError as problem:
        raise click.ClickException(str(problem)) from None
    with exclusive("make book"):
        if target == "book":
            vendor.main()
        code = _snakemake(target, "--config", f"profile={profile}", *HERE, *OPTIONS)
    if code:
        missing = [name for name in chapters() if not (paths.EXECUTED / f"{name}.ipynb").exists()]
        raise click.ClickException(f"failed: {', '.join(missing) or 'the build of the pages'} (see above)")
    if target == "book":
        print(f"The book is ready. Open {PAGE}")


def grid(cluster: str) -> None:
    """Make the cells that are missing or stale, here or on ``cluster``, and gather all records into one table."""
    from ..measure.grid import GridError, forget_stale, load_grid, write_table

    try:
        where = _on_cluster(cluster) if cluster else [*HERE, *_with_gpus()]
        with exclusive("make grid"):
            forget_stale(load_grid())
            # The Snakefile and the code change often, a record need not be made again for that: see forget_stale.
            code = _snakemake("grid", "--rerun-triggers", "mtime", *where, *OPTIONS)
            print(write_table())
    except (GridError, DamagedFile) as problem:
        raise click.ClickException(str(problem)) from None
    if code:
        raise click.ClickException("some cells failed (see above); the next run goes on from here")


def _on_cluster(name: str) -> list[str]:
    known = sorted(file.parent.name for file in paths.PROFILES.glob("*/config.yaml"))
    if name not in known:
        raise click.ClickException(f"unknown cluster {name!r}; known: {', '.join(known)}")
    return ["--workflow-profile", str(paths.PROFILES / name), "--quiet", "progress", "rules", "host"]


def _with_gpus() -> list[str]:
    """On this machine: as many cells at once as there are GPUs, or as cores without one."""
    import torch  # slow import

    count = torch.cuda.device_count()
    return ["--resources", f"gpu={count}", "--set-resources", "trained:gpu=1", "cell:gpu=1"] if count else []


def chapters() -> list[str]:
    """Names of the notebooks that are chapters, in reading order; 00_* need a live kernel and are none."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.py") if not path.stem.startswith("00_"))


@contextmanager
def exclusive(work: str) -> Iterator[None]:
    """The only ``work`` in this folder; refused while another process is at it."""
    holder = paths.LOCKS / work
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(holder.with_suffix(".lock"), wait=False))
        except Locked:
            who = f"{work} is already running in this folder (process {holder.read_text()})"
            raise click.ClickException(f"{who}: wait for it to end, or stop it") from None
        holder.write_text(str(os.getpid()))
        yield


def _snakemake(*arguments: str) -> int:
    """Exit code of Snakemake, in this process: whoever kills it stops the work, and frees its lock."""
    from snakemake.cli import main as snakemake  # slow import

    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    os.environ.pop("SNAKEMAKE_PROFILE", None)  # a site's own, for other work
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        snakemake(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    if interrupts:
        raise click.ClickException("stopped; the next run goes on from here")
    return code


if __name__ == "__main__":
    main()
