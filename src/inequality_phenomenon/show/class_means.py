"""Figures, tables and findings of the chapter on inequality by class, and its tests."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from ..measure.classes import INDICES, ClassExample, animals, objects
from ..networks import dataset_of, named
from ..statistics import Estimate, bootstrap_mean, class_ranks
from ..verdicts.claims import AgreementTest, ClassTest, Test
from ..verdicts.comparison import by_class
from .style import Shown, dot_panels, drawn, image, table
from .words import number, text_of

REGIONAL = "regional_gini_sum_of_absolute"
MOST = 24  # classes that are shown; of more than that, both ends


def class_tests(standard: str, robust: str) -> tuple[list[Test], list[Test]]:
    """The tests that decide the two claims, on the network ``robust``; and the secondary ones."""
    dataset, record = dataset_of(robust), "class_inequality"
    between: dict[str, Any] = {"above": tuple(animals(dataset)), "below": tuple(objects(dataset))}
    between["measured_only"] = dataset != "cifar10"  # of a thousand classes many have no two images in the subset

    def kinds(model: str, column: str) -> ClassTest:
        label = f"animals − objects, {INDICES[column].split()[0]}, {named(model)}"
        return ClassTest(label=label, model=model, record=record, column=column, **between)

    def ranks(model: str) -> AgreementTest:
        label = f"global and regional rank correlation, {named(model)}"
        return AgreementTest(label=label, model=model, record=record, columns=("global_gini", REGIONAL))

    usual = [kinds(standard, column) for column in ("global_gini", REGIONAL)]
    return [kinds(robust, "global_gini"), ranks(robust)], [kinds(robust, REGIONAL), *usual, ranks(standard)]


def ranked(records: pd.DataFrame, checkpoint: str, column: str) -> dict[str, tuple[Estimate, Estimate]]:
    """Mean and rank of each class with intervals, by descending mean; classes of fewer than two images are left out."""
    if not (values := by_class(records, checkpoint, column)):
        return {}
    ranks = class_ranks(values)
    means = {name: bootstrap_mean(own) for name, own in values.items()}
    return {name: (means[name], ranks[name]) for name in sorted(means, key=lambda name: -means[name].value)}


def _kind(name: str, checkpoint: str) -> str:
    return "animal" if name in animals(dataset_of(checkpoint)) else "object"


def class_table(records: pd.DataFrame, checkpoint: str, column: str, *, name: str) -> Shown:
    """Mean and rank of each class, by descending mean."""
    found = ranked(records, checkpoint, column)
    rows = [
        {"Class": title, "Kind": _kind(title, checkpoint), "Mean": text_of(index)}
        | {"Rank": f"<strong>{rank.value:g}</strong> <small>[{rank.low:g}, {rank.high:g}]</small>"}
        for title in _shown(list(found))
        for index, rank in [found[title]]
    ]
    caption = f"The {INDICES[column]} of {named(checkpoint)} by class. Ranks with 95 % intervals of resampled ranks."
    if len(rows) < len(found):
        caption += f" The first and the last {MOST // 2} of {len(found)} classes with at least two images."
    return table(rows, name=name, caption=caption)


def _shown(ordered: list[str]) -> list[str]:
    """All classes, or both ends where they are too many."""
    return ordered if len(ordered) <= MOST else [*ordered[: MOST // 2], *ordered[-MOST // 2 :]]


def class_dots(records: pd.DataFrame, models: list[str], *, name: str) -> Shown:
    """Class means of both indices for each model, classes in the order of the last model; animals in bold."""
    found = {title: {m: ranked(records, m, column) for m in models} for column, title in INDICES.items()}
    panels = {
        title: ({n: [(m, of[n][0]) for m, of in own.items() if n in of] for n in _shown(list(own[models[-1]]))}, "Gini")
        for title, own in found.items()
    }
    figure, every, words = dot_panels(panels, (9.5, 4.2), step=0)
    for axes in every:
        for label in axes.get_yticklabels():
            label.set_fontweight("bold" if _kind(label.get_text(), models[-1]) == "animal" else "normal")
    ends = [
        f"{title}, {named(m)}: highest for {first} ({number(of[first][0].value)}), lowest for {last} ({number(of[last][0].value)})"
        for title, own in found.items()
        for m, of in own.items()
        if len(of) > 1
        for first, *_, last in [list(of)]
    ]
    caption = (
        f"Class means with 95 % bootstrap intervals over images; animals in bold. Order: {named(models[-1])}. "
        f"{'; '.join(ends) or 'Too few images of each class'}."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plots of class means. {'; '.join(words)}.")


def example_grid(examples: dict[str, list[ClassExample]], checkpoint: str, *, name: str) -> Shown:
    """A row for each index: the images that the rule chose, each beside its map."""
    columns = 2 * max(len(found) for found in examples.values())
    figure, rows = plt.subplots(len(examples), columns, figsize=(1.45 * columns, 2.0 * len(examples)), squeeze=False)
    words = []
    for axes, (column, found) in zip(rows, examples.items(), strict=True):
        for place, example in enumerate(found):
            for axis, picture in zip(axes[2 * place : 2 * place + 2], (example.image, example.importance), strict=True):
                image(axis, picture, cmap="magma")
                axis.set_axis_off()
            axes[2 * place].set_title(f"{example.rule}\n{example.label}", fontsize=8)
            axes[2 * place + 1].set_title(f"{INDICES[column].split()[0]}\n{number(example.value)}", fontsize=8)
            words.append(f"{INDICES[column]}, {example.rule}: {example.label}, {number(example.value)}")
    caption = (
        f"Images and maps (|attribution| over channels) of {named(checkpoint)} at the extremes, chosen by the rule: "
        f"{'; '.join(words)}."
    )
    alt = f"Grid of images beside their attribution maps. {'; '.join(words)}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)
