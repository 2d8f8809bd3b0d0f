"""Inequality by class (paper, appendix A.7): the measurement, and examples of the extremes chosen by a rule."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from torch import Tensor

from .image_sets import classes_of
from .measurements import inequality
from .sample import Sample

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
OBJECTS = ("airplane", "automobile", "ship", "truck")
IMAGENET_ANIMALS = 398  # the first labels, tench to puffer
INDICES = {"global_gini": "global Gini index", "regional_gini_sum_of_absolute": "regional Gini index"}


@cache
def animals(dataset: str) -> tuple[str, ...]:
    """The classes of a data set that are animals."""
    return ANIMALS if dataset == "cifar10" else tuple(classes_of(dataset)[:IMAGENET_ANIMALS])


def objects(dataset: str) -> tuple[str, ...]:
    """The other classes of a data set."""
    return OBJECTS if dataset == "cifar10" else tuple(classes_of(dataset)[IMAGENET_ANIMALS:])


def kind_of(name: str, dataset: str = "cifar10") -> str:
    """Animal or object."""
    return "animal" if name in animals(dataset) else "object"


def class_inequality(sample: Sample, **options: Any) -> dict[str, np.ndarray]:
    """Both Gini indices and the image's ``label`` (a place in ``sample.classes``); ``options``: those of ``inequality``."""
    found = inequality(sample, **options)
    return {column: found[column] for column in INDICES} | {"label": sample.labels.cpu().numpy()}


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
    places = [sample.ids.index(int(row.image_id)) for _, row in chosen]
    few = replace(
        sample, images=sample.images[places], labels=sample.labels[places], ids=[sample.ids[i] for i in places]
    )
    maps = few.maps(**options)
    return [
        ClassExample(
            image_id=int(row.image_id),
            label=sample.classes[int(row.label)],
            rule=rule,
            value=float(row[column]),
            image=image.cpu(),
            importance=importance.abs().sum(0).cpu(),
        )
        for (rule, row), image, importance in zip(chosen, few.images, maps, strict=True)
    ]
