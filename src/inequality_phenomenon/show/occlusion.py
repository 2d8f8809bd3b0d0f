"""Figures of the chapter on the occlusion attack."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..measure.measurements import Example
from ..statistics import wilson
from .style import Shown, dots, drawn, image, look, title_of
from .words import by_model, rate


def rates_figure(records: pd.DataFrame, conditions: list[str], *, name: str) -> Shown:
    """Share of images fooled under each condition, with Wilson intervals, one colour a model."""
    figure, axes = plt.subplots(figsize=(7.8, 0.38 * len(conditions) + 1.2))
    found = {
        condition: [
            (c, wilson(int(own.fooled.sum()), len(own))) for c, own in by_model(records[records.condition == condition])
        ]
        for condition in conditions
    }
    words = dots(axes, found, rate, unit="%")
    axes.set_xlabel("images fooled, %")
    axes.set_xlim(left=-2)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    first = [word for word in words if word.startswith(f"{conditions[0]},")]
    caption = f"The attack and its controls. {'; '.join(first)}. Bars: 95 % Wilson intervals."
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot of fooled images by condition. {'; '.join(words)}.")


def first_success_figure(located: pd.DataFrame, *, name: str, total: int = 1024) -> Shown:
    """Share of images fooled by masks up to an area, and up to a number of patches, at Algorithm 1's first success."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    words = []
    for checkpoint, rows in by_model(located):
        fooled = rows[rows.fooled]
        seen = look(checkpoint)
        for axes, values, end in (
            (panels[0], 100 * fooled.area / total, 70),
            (panels[1], fooled["count"], located["count"].max()),
        ):
            ordered = np.sort(values.to_numpy(float))
            share = 100 * np.arange(len(ordered) + 1) / len(rows)
            places, shares = [0, *ordered, max(end, 1)], [*share, share[-1]]
            axes.plot(places, shares, drawstyle="steps-post", markevery=0.15, ms=6, label=title_of(checkpoint), **seen)
        medians = f"median {fooled.area.median():.0f} pixels and {fooled['count'].median():.0f} patches"
        middle = medians if len(fooled) else "none"
        words.append(f"{title_of(checkpoint)}: {len(fooled)} of {len(rows)} images fooled, first success at {middle}")
    panels[0].set_xlabel("occluded area at the first success, % of the image")
    panels[1].set_xlabel("patches at the first success")
    panels[0].set(ylabel="images fooled so far, %", ylim=(0, 100))
    panels[0].legend()
    caption = f"{'; '.join(words)}. The medians are over fooled images only; the curves count all images."
    return drawn(figure, name=name, caption=caption, alt=f"Two cumulative curves a model. {'; '.join(words)}.")


def occlusion_pictures(examples: list[Example], *, name: str) -> Shown:
    """Figures 1 and 4: image, map, and the image at first success, with what every model predicts before and after."""
    figure, axes = plt.subplots(len(examples), 3, figsize=(7.6, 2.5 * len(examples)), squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        for axis, picture in zip(row, (example.image, example.importance, example.occluded), strict=True):
            image(axis, picture, cmap="magma")
        row[0].set_title(_guesses(example.before), fontsize=8)
        row[1].set_title(f"map of {title_of(example.checkpoint)}", fontsize=8)
        row[2].set_title(_guesses(example.after), fontsize=8)
        row[0].set_ylabel(example.label, fontsize=9)
        row[2].set_xlabel(
            f"{example.pixels} of {example.total} pixels" + ("" if example.fooled else ", not fooled"), fontsize=8
        )
    words = "; ".join(
        f"{e.label}, map of {title_of(e.checkpoint)}, {e.pixels} pixels: " + _guesses(e.after).replace("\n", ", ")
        for e in examples
    )
    fooled = sum(e.fooled for e in examples)
    others = sum(said[0] == e.label for e in examples if e.fooled for c, said in e.after.items() if c != e.checkpoint)
    rest = f" In {others} of these the other model still recognises the occluded image."
    rest = rest if fooled and len(examples[0].after) == 2 else ""
    caption = (
        "The first image of the subset in each of the first classes, its map, and the image at Algorithm 1's first success (else with the "
        f"last mask). In {fooled} of {len(examples)} cases the map's own model is fooled.{rest} Above the pictures: what each model "
        "predicts, with its confidence."
    )
    alt = f"Grid of images, maps and occluded images. {words}."
    return drawn(figure, name=name, caption=caption, alt=alt, vector=False)


def _guesses(predictions: dict[str, tuple[str, float]]) -> str:
    return "\n".join(f"{title_of(model)}: {label} {100 * share:.0f} %" for model, (label, share) in predictions.items())
