"""Figures of the chapter on the occlusion attack."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..measure.measurements import Example
from ..statistics import wilson
from .style import Shown, dot, drawn, look, title_of
from .words import by_model, interval, percent


def rates_figure(records: pd.DataFrame, conditions: list[str], *, name: str) -> Shown:
    """Share of images fooled under each condition, with Wilson intervals, one colour a model."""
    models = list(dict.fromkeys(records.checkpoint))
    figure, axes = plt.subplots(figsize=(7.8, 0.38 * len(conditions) + 1.2))
    words = []
    for place, condition in enumerate(conditions):
        for shift, checkpoint in enumerate(models):
            rows = records[(records.condition == condition) & (records.checkpoint == checkpoint)]
            if not len(rows):
                continue
            found = wilson(int(rows.fooled.sum()), len(rows))
            height = place + 0.24 * (shift - (len(models) - 1) / 2)
            dot(axes, found, height, checkpoint, scale=100, label=None if place else title_of(checkpoint))
            words.append(
                f"{condition}, {title_of(checkpoint)}: {percent(found.value)} {interval(found, '%')}, n = {found.n}"
            )
    axes.set_yticks(range(len(conditions)), conditions)
    axes.invert_yaxis()
    axes.set_xlabel("images fooled, %")
    axes.set_xlim(left=-2)
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(models))
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
        middle = (
            f"median {fooled.area.median():.0f} pixels and {fooled['count'].median():.0f} patches"
            if len(fooled)
            else "none"
        )
        words.append(f"{title_of(checkpoint)}: {len(fooled)} of {len(rows)} images fooled, first success at {middle}")
    panels[0].set_xlabel("occluded area at the first success, % of the image")
    panels[1].set_xlabel("patches at the first success")
    panels[0].set_ylabel("images fooled so far, %")
    panels[0].set_ylim(0, 100)
    panels[0].legend(frameon=False, fontsize=9)
    caption = f"{'; '.join(words)}. The medians are over fooled images only; the curves count all images."
    return drawn(figure, name=name, caption=caption, alt=f"Two cumulative curves a model. {'; '.join(words)}.")


def occlusion_pictures(examples: list[Example], *, name: str) -> Shown:
    """Figures 1 and 4: image, map, and the image at first success, with what every model predicts before and after."""
    figure, axes = plt.subplots(len(examples), 3, figsize=(7.6, 2.5 * len(examples)), squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        shown = [
            example.image.permute(1, 2, 0).numpy(),
            example.importance.numpy(),
            example.occluded.permute(1, 2, 0).numpy(),
        ]
        for axis, picture in zip(row, shown, strict=True):
            axis.imshow(picture, cmap="magma")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
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
    others = sum(
        e.after[other][0] == e.label for e in examples if e.fooled for other in e.after if other != e.checkpoint
    )
    rest = (
        f" In {others} of these the other model still recognises the occluded image."
        if fooled and len(examples[0].after) == 2
        else ""
    )
    caption = (
        "The first image of the subset in each of the first classes, its map, and the image at Algorithm 1's first success (else with the "
        f"last mask). In {fooled} of {len(examples)} cases the map's own model is fooled.{rest} Above the pictures: what each model "
        "predicts, with its confidence."
    )
    return drawn(
        figure, name=name, caption=caption, alt=f"Grid of images, maps and occluded images. {words}.", vector=False
    )


def _guesses(predictions: dict[str, tuple[str, float]]) -> str:
    return "\n".join(
        f"{title_of(model)}: {label} {100 * confidence:.0f} %" for model, (label, confidence) in predictions.items()
    )
