"""What the benchmarks share: interleaved timing, a description of the machine, the CSV files."""

import csv
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import atomic_path

FOLDER = paths.ROOT / "results" / "benchmarks"
Row = dict[str, str | float | int]


def interleaved(variants: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each variant. One unmeasured round, then every round runs all of them, so that a machine that
    grows slower or faster meanwhile changes all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for repetition in range(repetitions + 1):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            if repetition:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine() -> Row:
    """The columns that say where a number was measured."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip()
            for line in information.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {"cpu": cpu, "threads": torch.get_num_threads(), "torch": torch.__version__}


def write_csv(name: str, rows: Sequence[Row]) -> Path:
    """``results/benchmarks/NAME.csv``: the rows, each with the description of the machine."""
    file = FOLDER / f"{name}.csv"
    full = [row | machine() for row in rows]
    with atomic_path(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(full[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()} for row in full
        )
    return file


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    cells = [list(rows[0])] + [
        [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
