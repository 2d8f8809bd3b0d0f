"""What a grid costs beside its measurements: seconds a cell in the process that schedules, and its memory.

Claim: with 500 cells under 0.5 s a cell, and at most 0.1 MB more memory for each cell more. The real Snakefile submits
through cluster-generic; the scheduler is a stand-in that says at once that a job is done, so that only the overhead is
left.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from inequality_phenomenon._support import paths
from inequality_phenomenon.measure.grid import Grid

from .measure import Row, table, write_csv

SIZES = (100, 500)
METHODS = ("gradient", "input_x_gradient", "smoothgrad", "gradient_shap", "integrated_gradients")

# Writes what the job would have, then the mark of a job that has ended, which the script names.
SCHEDULER = """\
import json, pathlib, re, sys
text = pathlib.Path(sys.argv[-1]).read_text()
job = json.loads(re.search(r"^# properties = (.*)$", text, re.MULTILINE)[1])
for name in job["output"]:
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).touch()
pathlib.Path(re.search(r"/\\S+[.]jobfinished", text)[0]).touch()
print(job["jobid"])
"""


def simulated(cells: int) -> Row:
    """One grid of so many cells, none of them measured."""
    grid = Grid(networks=("none",), epsilons=(8,), seeds=tuple(range(cells // len(METHODS))), attributions=METHODS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(paths.ROOT / "Snakefile", folder)
        shutil.copytree(paths.PROFILES, folder / "profiles")
        for file in ("checkpoints/registry.yaml", ".cache/cifar10.fetched"):
            (folder / file).parent.mkdir()
            (folder / file).touch()
        (folder / "profiles" / "grid.yaml").write_text(yaml.safe_dump(grid.model_dump(mode="json")))
        (folder / "scheduler.py").write_text(SCHEDULER)
        submit = f"{sys.executable} -S {folder / 'scheduler.py'}"
        options = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", submit, "--jobs", "100", "--nolock"]
        options += ["--max-jobs-per-timespan", "10000/1s", "--max-status-checks-per-second", "1000", "--quiet", "all"]
        command = [sys.executable, "-m", "snakemake", "grid", *options, "--seconds-between-status-checks", "0"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"INEQUALITY_ROOT": name}, stderr=subprocess.DEVNULL
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        made = sum((folder / target).exists() for target in grid.targets())
    if process.returncode or made != cells:
        raise RuntimeError(f"the simulated grid ended with code {process.returncode} and {made} of {cells} cells")
    return {"cells": cells, "seconds": seconds, "seconds_a_cell": seconds / cells, "memory_mb": peak / 1e6}


def memory_of(process: int) -> int:
    """Bytes of memory that the process has had at most, 0 where it has just ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    rows = [simulated(cells) for cells in SIZES]
    write_csv("grid", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
