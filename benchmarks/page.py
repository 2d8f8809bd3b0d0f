"""The tables of ``book/performance.md``, made from the CSV files: no number on that page is typed."""

from dataclasses import dataclass

import pandas as pd

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import atomic_path

from .measure import FOLDER

PAGE = paths.BOOK / "performance.md"
BEGIN, END = "<!-- {0}: written by `make bench` -->", "<!-- end of {0} -->"


@dataclass(frozen=True)
class Table:
    """Columns of ``results/benchmarks/NAME.csv`` and their headings on the page."""

    name: str
    columns: dict[str, str]
    missing: str = "Not measured yet."
    machine: str = "{cpu}, {threads} threads, torch {torch}"

    def markdown(self) -> str:
        if not (FOLDER / f"{self.name}.csv").exists():
            return self.missing
        rows = pd.read_csv(FOLDER / f"{self.name}.csv", dtype=str)
        machines = "; ".join(sorted({self.machine.format(**row) for row in rows.to_dict("records")}))
        shown = rows[list(self.columns)].rename(columns=self.columns)
        lines = [
            "| " + " | ".join(cells) + " |" for cells in [shown.columns, ["---"] * len(self.columns), *shown.values]
        ]
        return "\n".join([*lines, "", f"Measured on: {machines}."])


TABLES = (
    Table(
        "occlusion", {"name": "What", "ours": "Ours", "other": "The other", "ratio": "Ratio", "note": "Against what"}
    ),
    Table(
        "integrated_gradients",
        {
            "model": "Model",
            "ours_s": "Ours, s",
            "captum_s": "Captum, best batch, s",
            "ratio": "Ratio",
            "captum_default_s": "Captum, default, s",
            "map_difference": "Relative map difference",
            "gini_difference": "Gini difference",
        },
    ),
    Table(
        "training",
        {
            "training": "Training",
            "precision": "Precision",
            "ours_images_per_s": "Ours, images/s",
            "plain_images_per_s": "Plain loop, images/s",
            "ratio": "Ratio",
        },
    ),
    Table(
        "imagenet",
        {
            "network": "Network",
            "device": "Device",
            "passes_per_s": "Pure passes/s",
            "best_batch": "Best batch",
            "attribute_passes_per_s": "Ours, passes/s",
            "ratio": "Ratio",
        },
    ),
    Table(
        "gpu",
        {"name": "What", "ours": "Ours", "bound": "The bound", "ratio": "Ratio", "note": "What the bound is"},
        missing="No GPU here: not measured.",
    ),
    Table(
        "gpu_steps",
        {
            "network": "Network",
            "training": "Training",
            "batch": "Batch",
            "compiled": "Compiled",
            "recorded": "Recorded",
            "milliseconds": "Milliseconds a step",
        },
        machine="{card}, torch {torch}, nothing else running",
    ),
    Table(
        "grid",
        {"cells": "Cells", "seconds": "Seconds", "seconds_a_cell": "Seconds a cell", "memory_mb": "Most memory, MB"},
    ),
)


def render(page: str) -> str:
    """The page's text with each table between its markers made anew."""
    for table in TABLES:
        begin, end = BEGIN.format(table.name), END.format(table.name)
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{table.markdown()}\n\n{end}{rest.partition(end)[2]}"
    return page


def write() -> None:
    text = render(PAGE.read_text("utf-8"))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(text, "utf-8")
