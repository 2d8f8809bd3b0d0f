"""Inequality by class (paper, appendix A.7): the measurement, and examples of the extremes chosen by a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jaxtyping import Float32
from torch import Tensor

from .image_sets import classes_of
from .measurements import inequality
from .sample import Columns, Sample

INDICES = {"global_gini": "global Gini index", "regional_gini_sum_of_absolute": "regional Gini index"}
_ANIMALS = {"cifar10": slice(2, 8), "imagenet": slice(0, 398)}  # labels: bird to horse, tench to puffer


def animals(dataset: str) -> Sequence[str]:
    """The classes of a data set that are animals."""
    return classes_of(dataset)[_ANIMALS[dataset]]


def objects(dataset: str) -> Sequence[str]:
    """The other classes of a data set."""
    found, kept = classes_of(dataset), _ANIMALS[dataset]
    return [*found[: kept.start], *found[kept.stop :]]


def class_inequality(sample: Sample, **options: Any) -> Columns:
    """Both Gini indices and the image's ``label`` (a place in ``sample.classes``); ``options``: those of ``inequality``."""
    found = inequality(sample, **options)
    return {column: found[column] for column in INDICES} | {"label": sample.labels}


@dataclass(frozen=True)
class ClassExample:
    """One image, why it is shown, and its map."""

    image_id: int
    label: str
    rule: str
    value: float
    image: Float32[Tensor, "3 h w"]
    importance: Float32[Tensor, "h w"]  # |a| over channels


def class_examples(sample: Sample, records: pd.DataFrame, column: str, **options: Any) -> list[ClassExample]:
    """The typical image of the extreme classes, and the extreme images: of the highest and of the lowest index.

    Typical: the (lower) median of its class, which has the highest or lowest mean. ``options``: those of ``sample.maps``.
    """
    rows = records[records.checkpoint == sample.checkpoint].sort_values([column, "image_id"])
    means = rows.groupby("label")[column].mean()
    chosen: list[tuple[str, pd.Series]] = []
    for word, extreme, end in (("highest", pd.Series.idxmax, -1), ("lowest", pd.Series.idxmin, 0)):
        of_class = rows[rows.label == extreme(means)]
        chosen.append((f"{word} class, its median", of_class.iloc[(len(of_class) - 1) // 2]))
        chosen.append((f"{word} image", rows.iloc[end]))
    few = sample.at([sample.ids.index(int(row.image_id)) for _, row in chosen])
    sizes = few.maps(**options).abs().sum(1).cpu()
    return [
        ClassExample(image_id, sample.classes[int(row.label)], rule, float(row[column]), image, size)
        for image_id, (rule, row), image, size in zip(few.ids, chosen, few.images.cpu(), sizes, strict=True)
    ]
