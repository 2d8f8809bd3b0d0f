"""Chapter 08: inequality by class."""

import matplotlib.pyplot as plt
import pandas as pd

from ..measure.classes import INDICES, ClassExample, kind_of
from ..networks import dataset_of, named
from ..statistics import Difference, Estimate, bootstrap_mean, class_ranks
from ..verdicts.claims import Outcome
from ..verdicts.comparison import by_class
from . import Shown, listed, look, show, table, text_of, title_of, verdict_badge

Classes = dict[str, tuple[Estimate, Estimate]]  # class -> mean, rank


def ranked(records: pd.DataFrame | None, checkpoint: str, column: str, resamples: int) -> Classes:
    """Mean and rank of each class with intervals, by descending mean; classes of fewer than two images are left out."""
    values = {} if records is None else by_class(records, checkpoint, column)
    if not values:
        return {}
    ranks = class_ranks(values, resamples=resamples)
    means = {name: bootstrap_mean(own, resamples=resamples) for name, own in values.items()}
    return {name: (means[name], ranks[name]) for name in sorted(means, key=lambda name: -means[name].value)}


def class_table(
    reference: pd.DataFrame | None, this_run: pd.DataFrame, checkpoint: str, column: str, *, name: str, resamples: int
) -> Shown:
    """Mean and rank of each class in both runs, in the order of this run."""
    committed, live = (ranked(records, checkpoint, column, resamples) for records in (reference, this_run))
    rows = [
        {
            "Class": class_name,
            "Kind": kind_of(class_name, dataset_of(checkpoint)),
            "Mean, reference": text_of(committed[class_name][0]) if class_name in committed else text_of(None),
            "Rank, reference": _rank(committed.get(class_name)),
            "Mean, this run": text_of(mean),
            "Rank, this run": _rank((mean, rank)),
        }
        for class_name, (mean, rank) in ((name, live[name]) for name in _shown(list(live)))
    ]
    caption = f"{_capitalised(INDICES[column])} of {title_of(checkpoint)} by class. Ranks with 95 % intervals of resampled ranks."
    if len(rows) < len(live):
        caption += f" The first and the last {len(rows) // 2} of {len(live)} classes with at least two images."
    frame = pd.DataFrame(rows)
    if not committed:
        frame = frame.drop(columns=["Mean, reference", "Rank, reference"], errors="ignore")
        caption += " There is no reference run of these values yet."
    return table(frame, name=name, caption=caption)


def _shown(ordered: list[str], most: int = 24) -> list[str]:
    """All classes, or both ends where they are too many."""
    return ordered if len(ordered) <= most else [*ordered[: most // 2], *ordered[-most // 2 :]]


def _capitalised(title: str) -> str:
    return title[0].upper() + title[1:]


def _rank(found: tuple[Estimate, Estimate] | None) -> str:
    if found is None:
        return "—"
    rank = found[1]
    return f"<strong>{rank.value:g}</strong> <small>[{rank.low:g}, {rank.high:g}]</small>"


def class_dots(records: pd.DataFrame, models: list[str], *, name: str, resamples: int) -> Shown:
    """Class means of both indices for each model, classes in the order of the last model; animals in bold."""
    figure, panels = plt.subplots(1, len(INDICES), figsize=(9.5, 4.2))
    words = []
    for axes, (column, title) in zip(panels, INDICES.items(), strict=True):
        order = _shown(list(ranked(records, models[-1], column, resamples)))
        kinds = {class_name: kind_of(class_name, dataset_of(models[-1])) for class_name in order}
        for model in models:
            found = ranked(records, model, column, resamples)
            means = {class_name: found[class_name][0] for class_name in order if class_name in found}
            axes.errorbar(
                [mean.value for mean in means.values()],
                [order.index(class_name) for class_name in means],
                xerr=[[m.value - m.low for m in means.values()], [m.high - m.value for m in means.values()]],
                fmt=look(model)["marker"], color=look(model)["color"], ms=6, capsize=3, label=title_of(model),
            )  # fmt: skip
            values = ", ".join(f"{class_name} {mean.value:.3f}" for class_name, mean in means.items())
            words.append(f"{title}, {title_of(model)}: {values}")
        axes.set_yticks(range(len(order)), [f"{class_name} ({kinds[class_name]})" for class_name in order])
        for label, class_name in zip(axes.get_yticklabels(), order, strict=True):
            label.set_fontweight("bold" if kinds[class_name] == "animal" else "normal")
        axes.invert_yaxis()
        axes.set_xlabel(title)
    panels[0].legend(frameon=False, fontsize=9)
    caption = (
        f"Class means with 95 % bootstrap intervals over images; animals in bold. Order: {title_of(models[-1])}. "
        + " ".join(_ends(records, models[-1], column, resamples) for column in INDICES)
    )
    return show(figure, name=name, caption=caption, alt=f"Dot plots of class means. {'; '.join(words)}.")


def _ends(records: pd.DataFrame, checkpoint: str, column: str, resamples: int) -> str:
    """The classes at both ends in one sentence."""
    found = ranked(records, checkpoint, column, resamples)
    if len(found) < 2:
        return f"{_capitalised(INDICES[column])}: too few images of each class."
    first, *_, last = ((class_name, mean.value) for class_name, (mean, _) in found.items())
    return f"{_capitalised(INDICES[column])}: highest for {first[0]} ({first[1]:.3f}), lowest for {last[0]} ({last[1]:.3f})."


def example_grid(examples: dict[str, list[ClassExample]], checkpoint: str, *, name: str) -> Shown:
    """A row for each index: the images that the rule chose, each beside its map."""
    columns = 2 * max(len(found) for found in examples.values())
    figure, rows = plt.subplots(len(examples), columns, figsize=(1.45 * columns, 2.0 * len(examples)), squeeze=False)
    words = []
    for axes, (column, found) in zip(rows, examples.items(), strict=True):
        for place, example in enumerate(found):
            for axis, picture in zip(axes[2 * place : 2 * place + 2], (example.image, example.importance), strict=True):
                axis.imshow(picture.permute(1, 2, 0).numpy() if picture.ndim == 3 else picture.numpy(), cmap="magma")
                axis.set_axis_off()
            axes[2 * place].set_title(f"{example.rule}\n{example.label}", fontsize=8)
            axes[2 * place + 1].set_title(f"{INDICES[column].split()[0]}\n{example.value:.3f}", fontsize=8)
            words.append(f"{INDICES[column]}, {example.rule}: {example.label}, {example.value:.3f}")
    caption = (
        f"Images and maps (|attribution| over channels) of {title_of(checkpoint)} at the extremes, chosen by the rule: "
        f"{'; '.join(words)}."
    )
    return show(
        figure, name=name, caption=caption, alt=f"Grid of images beside their attribution maps. {'; '.join(words)}.",
        vector=False,
    )  # fmt: skip


def class_findings(
    records: tuple[pd.DataFrame, str], models: list[str], outcomes: list[tuple[Outcome, str]], *, resamples: int
) -> Shown:
    """The verdicts of the primary tests and the classes at the ends, in sentences made from the numbers.

    Both with the words that say which run's they are.
    """
    sentences = []
    for outcome, source in outcomes:
        if not isinstance(outcome.found, Difference) or outcome.adjusted_p is None:
            sentences.append(f"<strong>{outcome.test.label}</strong>: not measured here ({outcome.reason}).")
            continue
        found = outcome.found
        excludes = "excludes" if found.low > 0 or found.high < 0 else "does not exclude"
        sentences.append(
            f"<strong>{outcome.test.label}</strong>{source}: {found.difference:+.3f}; the interval over images "
            f"[{found.low:+.3f}, {found.high:+.3f}] {excludes} 0; over classes, adjusted p = {outcome.adjusted_p:.3f} "
            f"(n = {found.n} images). Verdict: {verdict_badge(outcome.verdict)}"
        )
    sentences += [
        f"{named(model)}{records[1]}. {_ends(records[0], model, column, resamples)}"
        for model in models
        for column in INDICES
    ]
    return listed(sentences)
