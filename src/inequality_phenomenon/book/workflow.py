"""What ``make book`` and ``make grid`` run: one Snakemake of each at a time, little output, and where the result is."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from .._support import paths
from .._support.files import Locked, file_lock
from .._support.profiles import load_profile, profile_names
from . import vendor

PACKAGE = __name__.partition(".")[0]
PAGE = paths.ROOT / "_build" / "html" / "index.html"

# Snakemake's own lock outlives a kill, ours does not.
OPTIONS = ["--keep-going", "--rerun-incomplete", "--nolock"]
HERE = ["--cores", "all", "--quiet", "all"]  # the jobs speak for themselves


class WorkflowError(RuntimeError):
    """The workflow could not begin or did not end; the message says what to look at."""


def make(target: str, profile: str, cluster: str) -> None:
    """Make what is not up to date of the ``chapters``, of the whole ``book``, or of the ``grid``'s cells."""
    os.chdir(paths.ROOT)
    if target == "grid":
        make_grid(cluster)
        return
    load_profile(profile)
    with exclusive("make book"):
        if target == "book":
            vendor.fetch_missing()
        code = _snakemake(target, "--config", f"profile={profile}", *HERE, *OPTIONS)
    if code:
        missing = [name for name in chapters() if not (paths.EXECUTED / f"{name}.ipynb").exists()]
        raise WorkflowError(f"failed: {', '.join(missing) or 'the build of the pages'} (see above)")
    if target == "book":
        print(f"The book is ready. Open {PAGE}")


def make_grid(cluster: str) -> None:
    """Make the cells that are missing or stale, here or on ``cluster``, and gather all records into one table."""
    import torch  # slow import

    from ..measure.grid import forget_stale, load_grid, write_table

    known = sorted(file.parent.name for file in paths.PROFILES.glob("*/config.yaml"))
    if cluster and cluster not in known:
        raise WorkflowError(f"unknown cluster {cluster!r}; known: {', '.join(known)}")
    there = ["--workflow-profile", str(paths.PROFILES / cluster), "--quiet", "progress", "rules", "host"]
    count = torch.cuda.device_count()  # here as many cells at once as there are GPUs, or as cores without one
    gpus = ["--resources", f"gpu={count}", "--set-resources", "trained:gpu=1", "cell:gpu=1"] if count else []
    where = there if cluster else [*HERE, *gpus]
    with exclusive("make grid"):
        forget_stale(load_grid())
        # The Snakefile and the code change often, a record need not be made again for that: see forget_stale.
        code = _snakemake("grid", "--rerun-triggers", "mtime", *where, *OPTIONS)
        print(write_table())
    if code:
        raise WorkflowError("some cells failed (see above); the next run goes on from here")


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
            raise WorkflowError(f"{who}: wait for it to end, or stop it") from None
        holder.write_text(str(os.getpid()))
        yield


@cache
def content(*patterns: str) -> str:
    """Hash of the names and the content of the project's files that fit the patterns."""
    names = sorted({path.relative_to(paths.ROOT) for pattern in patterns for path in paths.ROOT.glob(pattern)})
    files = {str(name): paths.ROOT / name for name in names if "__pycache__" not in name.parts}
    found = {name: sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}
    return sha256(json.dumps(found).encode()).hexdigest()


# Rooms that decide nothing that a chapter shows.
BESIDE = ("book", "classroom", "imagenet", "imagenette", "training", "cli.py", "coursework.py")
NETWORKS = [f"checkpoints/{it}" for it in ("registry.yaml", "common_subset.json", "cifar10-*.yaml", "cifar10-*.csv")]


def fingerprint(chapter: str, profile: str) -> str:
    """Hash of all that decides what a chapter shows: while it stays, the chapter is not executed again."""
    package = sorted(path.name for path in (paths.ROOT / "src" / PACKAGE).glob("[!.]*") if path.name not in BESIDE)
    code = [f"src/{PACKAGE}/{name}{'' if '.' in name else '/**/*'}" for name in package]
    own = [f"results/{run}/{chapter}/*" for run in ("reference", "reference-gpu")]
    values = _profiles()[profile]
    plan = values | {"chapters": values["chapters"].get(chapter), "asked": _asked()}
    if dataset := (plan["chapters"] or {}).get("dataset"):  # another than the profile's, which may be fetched meanwhile
        code += [f"src/{PACKAGE}/{dataset}/*", f"checkpoints/{dataset}*"]
        plan["here"] = paths.imagenette_is_here()
    script = paths.NOTEBOOKS / f"{chapter}.py"
    whole = "every_network" in script.read_text("utf-8")  # it reads the records of all chapters
    records = [_manifest(run) if whole else _manifest(run).get(chapter) for run in ("reference", "reference-gpu")]
    files = content(f"notebooks/{chapter}.py", *code, *NETWORKS, "results/*.*", *own, "requirements.lock")
    return sha256(json.dumps([files, plan, records], sort_keys=True).encode()).hexdigest()


@cache
def _profiles() -> dict[str, dict[str, Any]]:
    return {name: load_profile(name).model_dump(mode="json", exclude={"order"}) for name in profile_names()}


@cache
def _asked() -> list[tuple[str, str]]:
    """Each network that a profile asks for, with its chapter: one chapter lists those that are yet to be trained."""
    plans = [(chapter, plan) for values in _profiles().values() for chapter, plan in values["chapters"].items()]
    return sorted({(chapter, model) for chapter, plan in plans for model in plan["models"]})


@cache
def _manifest(run: str) -> dict[str, Any]:
    file = paths.ROOT / "results" / run / "manifest.yaml"
    return yaml.load(file.read_bytes(), yaml.CSafeLoader) if file.exists() else {}


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
        raise WorkflowError("stopped; the next run goes on from here")
    return code
