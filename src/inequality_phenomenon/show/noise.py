"""Figures and findings of the chapter on the noise attack."""

from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..networks import REGISTRY, dataset_of, named
from ..statistics import bootstrap_mean
from ..verdicts.comparison import Compared, Contrasted
from .findings import claim_sentence, compared_sentence, direction_of, tallies, where_sentence
from .style import Shown, drawn, listed, look, title_of
from .words import by_model


def noise_curves(
    records: pd.DataFrame, kinds: list[str], budgets: list[int], *, name: str, resamples: int, total: int = 3072
) -> Shown:
    """Figure 3: failure against the number of noisy subpixels, a panel for each kind of noise, a line for each model."""
    figure, panels = plt.subplots(1, len(kinds), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    words = []
    for axes, kind in zip(panels[0], kinds, strict=True):
        for checkpoint, rows in by_model(records[records.condition == kind]):
            found = [bootstrap_mean(rows[f"failure_{b}"].to_numpy(), resamples=resamples) for b in budgets]
            values, low, high = (100 * np.array([getattr(e, side) for e in found]) for side in ("value", "low", "high"))
            axes.plot(budgets, values, label=title_of(checkpoint), ms=6, **look(checkpoint))
            axes.fill_between(budgets, low, high, color=look(checkpoint)["color"], alpha=0.15, lw=0)
            words.append(f"{kind}, {title_of(checkpoint)}: {values[0]:.1f} % to {values[-1]:.1f} %")
        axes.set_xscale("log")
        labelled = [b for i, b in enumerate(budgets) if i == 0 or b > 1.3 * budgets[i - 1]]  # others would overlap
        axes.set_xticks(labelled, [str(budget) for budget in labelled], fontsize=9)
        axes.minorticks_off()
        axes.set(title=kind, xlabel=f"noisy subpixels of {total}")
    panels[0, 0].set(ylabel="images that fail, %", ylim=(-3, None))
    panels[0, 0].legend(loc="upper left")
    caption = (
        f"Failure rates from {budgets[0]} to {budgets[-1]} noisy subpixels: {'; '.join(words)}. "
        "Bands: 95 % bootstrap intervals over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Three line charts, one a kind of noise. {'; '.join(words)}.")


def noise_findings(
    primary: list[Compared],
    where: list[Contrasted],
    controls: list[Contrasted],
    *,
    robust: str,
    second: str,
    placebos: Collection[str],
) -> Shown:
    """The chapter's conclusion in sentences made from the numbers.

    ``second``: the model trained without N-FGSM; ``placebos``: the controls whose places the attack would not choose.
    """
    first = [item for item in primary if item.cell.checkpoint == robust]
    again = [item for item in primary if item.cell.checkpoint == second]
    sentences = [claim_sentence(first, f"{named(robust)} against standard, {len(first)} kinds of noise")]
    sentences += map(compared_sentence, first)
    if any(item.ours for item in again):
        same = sum(direction_of(a) == direction_of(b) for a, b in zip(first, again, strict=True))
        sentences.append(
            f"{claim_sentence(again, f'{named(second)} against standard, {len(again)} kinds of noise')} The verdict is the same "
            f"as for {named(robust)} in {same} of {len(again)} kinds."
        )
        sentences += map(compared_sentence, again)
    elif dataset_of(second) == dataset_of(robust):
        state = "not measured here" if second in REGISTRY else "not trained yet"
        sentences.append(
            f"{named(second)}: {state}. Until it is measured, an effect of adversarial training cannot be told from "
            "an effect of the uniform noise that N-FGSM trains with."
        )
    sentences += map(where_sentence, where)
    return listed(sentences + tallies(controls, placebos, robust))
