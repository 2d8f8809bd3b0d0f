"""The grid: every combination of network, epsilon, seed and attribution method that ``profiles/grid.yaml`` names.

A cell is one checkpoint measured with one attribution method; no cell depends on another. The Snakefile makes the cells,
here or on a cluster. A cell's record is sealed and says what it was made from: a record of another checkpoint, other
settings or other code is stale, and counts as not measured.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .._support import paths
from .._support.files import Locked, file_lock, read_sealed, write_sealed, write_whole
from .._support.profiles import Profile, read_settings

if TYPE_CHECKING:  # slow imports, which the workflow engine does without
    import pandas as pd
    import torch

State = Literal["measured", "missing", "stale"]
COLUMNS = ("global_gini", "regional_gini_sum_of_absolute")
RESAMPLES = 999  # behind each interval of the table: about 10 ms


class GridError(ValueError):
    """``profiles/grid.yaml`` is missing, or has a key or value that is not allowed."""


@dataclass(frozen=True)
class GridCell:
    """One checkpoint and the attribution method that it is measured with."""

    network: str
    epsilon_255: int
    seed: int
    attribution: str

    @property
    def checkpoint(self) -> str:
        training = f"linf{self.epsilon_255}" if self.epsilon_255 else "standard"
        return f"cifar10-{self.network}-{training}-s{self.seed}"

    @property
    def record(self) -> Path:
        return paths.GRID / self.checkpoint / f"{self.attribution}.record"


class Grid(BaseModel):
    """The file ``profiles/grid.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    networks: tuple[str, ...] = Field(min_length=1)  # as in a checkpoint's name
    epsilons: tuple[int, ...] = Field(min_length=1)  # of l_inf training, in 1/255; 0 is standard training
    seeds: tuple[int, ...] = Field(min_length=1)
    attributions: tuple[str, ...] = Field(min_length=1)  # methods of ``attribute``
    n_images: int = Field(default=300, ge=2, le=1000)  # the first of the common subset
    region: int = Field(default=4, ge=1)  # side of a region, pixels

    def cells(self) -> list[GridCell]:
        """All cells; those of one checkpoint follow each other."""
        return [GridCell(*parts) for parts in product(self.networks, self.epsilons, self.seeds, self.attributions)]

    def cell(self, checkpoint: str, attribution: str) -> GridCell:
        """The cell of these two; ``ValueError`` where the grid has none."""
        cells = {(cell.checkpoint, cell.attribution): cell for cell in self.cells()}
        if (checkpoint, attribution) not in cells:
            which = f"checkpoint {checkpoint!r} and attribution {attribution!r}"
            raise ValueError(f"{paths.GRID_FILE.name} has no cell of {which}")
        return cells[checkpoint, attribution]

    def targets(self) -> list[str]:
        """The cells' records, as the Snakefile names them."""
        return [str(cell.record.relative_to(paths.ROOT)) for cell in self.cells()]


def load_grid(file: Path | None = None) -> Grid:
    """The grid in ``profiles/grid.yaml`` or another ``file``; ``GridError`` where it is missing or has a wrong key or value."""
    file = file or paths.GRID_FILE
    if not file.exists():
        raise GridError(f"{file} is missing: it names the networks, epsilons, seeds and attributions to measure")
    return read_settings(file, Grid, GridError)


def do(*job: str) -> None:
    """One job of the workflow: ``train`` CHECKPOINT, ``measure`` CHECKPOINT ATTRIBUTION; none: print the gathered table."""
    match job:
        case []:
            print(write_table())
        case ["train", checkpoint]:
            train_if_missing(checkpoint)
        case ["measure", checkpoint, attribution]:
            measure_cell((grid := load_grid()).cell(checkpoint, attribution), grid)
        case _:
            raise ValueError(f"unknown job {' '.join(job)!r}; known: train NAME, measure NAME ATTRIBUTION, or none")


def train_if_missing(checkpoint: str) -> None:
    """Train and register ``checkpoint`` unless it is registered and its file is there; a killed training goes on."""
    from ..networks import REGISTRY
    from ..training.registration import train_and_register

    if checkpoint in REGISTRY and REGISTRY[checkpoint].file.exists():
        return
    with own_device() as device:
        train_and_register(checkpoint, device=device)


def measure_cell(cell: GridCell, grid: Grid) -> "pd.DataFrame":
    """Both Gini indices of the cell's checkpoint and method, one row an image; written as the cell's record.

    Raises ``ValueError`` for an unknown checkpoint or method, ``CheckpointError`` for a missing or altered file.
    """
    from .measurements import inequality
    from .run import Run
    from .sample import measure

    with own_device() as device:
        profile = Profile(name="grid", n_images=grid.n_images, chapters={})
        run = Run("grid", profile, device, grid.n_images, profile.seed, (cell.checkpoint,), (), {})
        sample = run.sample(cell.checkpoint)
        table = measure(inequality, sample, method=cell.attribution, region=grid.region, seed=profile.seed)
    facts = json.dumps(_facts(cell, grid), sort_keys=True)
    write_sealed(cell.record, facts.encode() + b"\n" + table.to_parquet(index=False))
    return table


def _facts(cell: GridCell, grid: Grid) -> dict[str, Any]:
    """All that decides a cell's record, but for the kind of device."""
    from ..networks import REGISTRY
    from . import measurements
    from .cache import code_hash

    sha256 = REGISTRY[cell.checkpoint].sha256 if cell.checkpoint in REGISTRY else None
    return asdict(cell) | {
        "checkpoint": sha256, "code": code_hash(measurements.__name__), "n_images": grid.n_images, "region": grid.region,
    }  # fmt: skip


def read_record(cell: GridCell, grid: Grid) -> "tuple[State, pd.DataFrame | None]":
    """Whether the cell is measured, and its record if so. ``DamagedFile`` names a record in which a bit has changed."""
    import pandas as pd

    if not cell.record.exists():
        return "missing", None
    facts, _, content = read_sealed(cell.record).partition(b"\n")
    if json.loads(facts) != _facts(cell, grid):
        return "stale", None
    return "measured", pd.read_parquet(BytesIO(content))


def forget_stale(grid: Grid) -> None:
    """Delete the stale records, so that the workflow makes them again."""
    for cell in grid.cells():
        if read_record(cell, grid)[0] == "stale":
            cell.record.unlink()


def gather(grid: Grid) -> "pd.DataFrame":
    """One row a cell, in the order of the grid: its ``state``, and for a measured one means with 95 % intervals.

    Columns ``global_gini``, ``regional_gini_sum_of_absolute``, each with ``_low`` and ``_high`` (bootstrap over images),
    and ``n`` images; empty where the cell is not measured. One record is in memory at a time.
    """
    import pandas as pd

    from ..statistics import bootstrap_mean

    rows, columns = [], [f"{column}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
    for cell in grid.cells():
        state, table = read_record(cell, grid)
        row: dict[str, Any] = asdict(cell) | {"state": state, "n": None if table is None else len(table)}
        if table is not None:
            for column in COLUMNS:
                found = bootstrap_mean(table[column].to_numpy(), resamples=RESAMPLES)
                row |= {column: found.value, f"{column}_low": found.low, f"{column}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*GridCell.__dataclass_fields__, "state", "n", *columns]).astype({"n": "Int64"})


def summary(table: "pd.DataFrame") -> str:
    """One sentence: whether the grid is complete, and which cells are not measured."""
    absent = table[table.state != "measured"]
    if absent.empty:
        return f"The grid is complete: {len(table)} cells."
    cells = [f"{GridCell(*row[:4]).checkpoint} {row.attribution}" for row in absent.itertuples(index=False)]
    names = ", ".join(cells[:10]) + (", ..." if len(cells) > 10 else "")
    return f"Partial: {len(table) - len(absent)} of {len(table)} cells are measured. Not measured: {names}"


def write_table() -> str:
    """Gather the records into ``_build/grid/table.csv``; returns what to print."""
    table = gather(load_grid())
    write_whole(paths.GRID / "table.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    measured = table[table.state == "measured"]
    shown = measured[[*GridCell.__dataclass_fields__, "n", *COLUMNS]]
    text = shown.to_string(index=False, float_format="%.3f") + "\n" if len(measured) else ""
    return f"{text}{summary(table)}\nThe table: {paths.GRID / 'table.csv'}"


@contextmanager
def own_device() -> "Iterator[torch.device]":
    """A GPU that no other cell on this machine uses, the first one where all are taken, the CPU where there is none."""
    import torch

    locks = Path(tempfile.gettempdir())  # of this machine: the project's folder may be shared by many
    for index in range(torch.cuda.device_count()):
        with ExitStack() as held:
            try:
                lock = locks / f"inequality-{torch.cuda.get_device_properties(index).uuid}.lock"
                held.enter_context(file_lock(lock, wait=False))
            except Locked:
                continue
            yield torch.device("cuda", index)
            return
    yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
