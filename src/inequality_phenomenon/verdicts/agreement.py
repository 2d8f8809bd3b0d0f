"""This run against the reference run, image by image: the same ids were measured, so the values must be equal."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..statistics import wilson

TOLERANCE = 1e-4  # of a Gini index or another real number, absolute and relative; outcomes must be equal
KEYS = ["checkpoint", "condition", "image_id"]
WORK = ("forwards", "close_call")  # how something was computed, no result
BY_INTERVAL = "auto_attack_evaluation"  # its attacks are random: rates are compared instead of images


@dataclass
class Agreement:
    """How many values were measured again, and which differ from the reference run's."""

    values: int = 0
    images: int = 0
    close_calls: int = 0  # outcomes that differ and are marked as too close to be trusted to another machine
    differing: list[str] = field(default_factory=list)
    by_interval: list[str] = field(default_factory=list)  # sentences on rates compared by their intervals
    skipped: list[str] = field(default_factory=list)  # what was measured but cannot be compared, with the reason

    @property
    def holds(self) -> bool:
        return not self.differing

    @property
    def equal(self) -> int:
        return self.values - self.close_calls - len(self.differing)


def agreement(
    records: Mapping[str, pd.DataFrame], reference: Mapping[str, pd.DataFrame], *, same_draws: bool = True
) -> Agreement:
    """Compare two runs' records, table by table: rows with the same network, condition and image.

    Truth values, whole numbers and texts must be equal, unless the row is marked a close call in one of the runs; real
    numbers must lie within ``TOLERANCE``. ``same_draws``: whether both drew as much noise for an image; else only the
    draws that records keep one by one (columns ``draws_*``, a bit a draw) are compared.
    """
    found, images = Agreement(), set[int]()
    for name in (name for name in records if name in reference):
        if name == BY_INTERVAL:
            found.by_interval += _rates(records[name], reference[name])
            continue
        here, there = (t if "condition" in t else t.assign(condition="") for t in (records[name], reference[name]))
        both = here.merge(there, on=KEYS, suffixes=("_here", "_there"))
        images |= set(both.image_id)
        close = both.filter(regex="^close_call_").astype(bool).any(axis=1)
        for column in [str(c) for c in here if c in there and c not in (*KEYS, *WORK)]:
            values = both[f"{column}_here"], both[f"{column}_there"]
            of_draws = values[0].dtype == float and column.startswith(("failure_", "cifar10-", "imagenet-"))
            if of_draws and not same_draws:  # the share of noise draws that fooled a network
                found.skipped.append(f"{name}, {column}: another number of draws")
                continue
            unequal = _unequal(column, *values)
            found.values += len(both)
            found.close_calls += int((unequal & close).sum())
            found.differing += [
                ", ".join(filter(None, (name, column, checkpoint, condition, f"image {image_id}")))
                for checkpoint, condition, image_id in both[unequal & ~close][KEYS].itertuples(index=False)
            ]
        if not len(both):
            found.skipped.append(f"{name}: no row in common")
    found.images = len(images)
    found.skipped += [f"{name}: not in the reference run" for name in sorted(records.keys() - reference.keys())]
    return found


def _unequal(column: str, here: pd.Series, there: pd.Series) -> pd.Series:
    if column.startswith("draws_"):
        ends = (np.floor(np.log2(values.to_numpy())).astype(int) for values in (here, there))  # at the highest bit
        low = np.left_shift(1, np.minimum(*ends)) - 1
        return (here & low) != (there & low)
    if pd.api.types.is_float_dtype(here):
        return pd.Series(~np.isclose(here, there, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True), index=here.index)
    return here.ne(there)


def _rates(here: pd.DataFrame, there: pd.DataFrame) -> list[str]:
    """Robust accuracy of both runs with Wilson intervals, for each network and condition that both have."""
    sentences, by = [], ["checkpoint", "condition"]
    first, second = (table.groupby(by, sort=False).robust.agg(["sum", "size"]).astype(int) for table in (here, there))
    for (checkpoint, condition), *counts in first.join(second.add_suffix("_there"), how="inner").itertuples():
        a, b = wilson(*counts[:2]), wilson(*counts[2:])
        word = "meet" if a.low <= b.high and b.low <= a.high else "do not meet"
        sentences.append(f"{checkpoint}, {condition}: the 95 % intervals of both runs {word}")
    return sentences
