"""Figures and tables of the chapter on transfer: attack images made on one network and shown to the others."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..statistics import Estimate
from ..verdicts.comparison import Contrasted, estimate
from .style import Shown, drawn, listed, table, title_of
from .words import percent, result, text_of, verdict_badge


def transfer_matrix(records: pd.DataFrame, attacks: Sequence[str], *, name: str) -> Shown:
    """A panel for each attack: rows are the networks that the images were made on, columns those they are shown to."""
    models = list(dict.fromkeys(records.checkpoint))
    titles = [title_of(model) for model in models]
    columns, rows, side = min(2, len(attacks)), -(-len(attacks) // 2), 0.62 * len(models) + 1.3
    figure, panels = plt.subplots(rows, columns, figsize=(columns * (side + 1.2), side * rows), squeeze=False)
    words, lower = [], 0
    for axes, attack in zip(panels.flat, attacks, strict=False):
        rates = 100 * _means(records, attack, models)
        lower += int(np.sum(rates < np.diag(rates)))
        axes.imshow(rates, cmap="cividis", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(rates):
            text, colour = ("—" if np.isnan(value) else f"{value:.1f}", "black" if value > 55 else "white")
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
            if not np.isnan(value):
                words.append(f"{attack}, made on {titles[row]}, shown to {titles[column]}: {value:.1f} %")
        axes.set_xticks(range(len(models)), titles, fontsize=9)
        axes.set_yticks(range(len(models)), titles, fontsize=9)
        axes.set(xlabel="shown to", ylabel="made on", title=f"{attack}, fooled, %")
        axes.grid(False)
    for axes in panels.flat[len(attacks) :]:
        axes.set_axis_off()
    cells = len(attacks) * len(models) * (len(models) - 1)
    caption = (
        f"Images fooled, in per cent. Rows: the network that the attack images were made on; columns: the one that sees "
        f"them. Off the diagonal, {lower} of {cells} values are below the diagonal value of their column, the network's "
        f"own images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Matrices of fooled images. {'; '.join(words)}.")


def _means(records: pd.DataFrame, attack: str, models: list[str]) -> np.ndarray:
    """(made on, shown to): mean share of fooled images; NaN where not measured."""
    rows = records[records.condition == attack].set_index("checkpoint")[[m for m in models if m in records]]
    return rows.astype(float).groupby(level=0).mean().reindex(index=models, columns=models).to_numpy()


def pair_table(
    records: pd.DataFrame, pair: tuple[str, str], attacks: Sequence[str], *, name: str, caption: str, resamples: int
) -> Shown:
    """The paper's Table 4 in its CIFAR-10 form: each network's images on both, and on those that fooled their maker."""
    rows = [
        {
            "Attack": attack,
            "Made on": title_of(source),
            "Shown to": title_of(target),
            "Ours": text_of(_rate(records, attack, source, target, resamples), "%"),
            "Of those that fool their maker": _conditional(records, attack, source, target),
        }
        for attack in attacks
        for source in pair
        for target in pair
    ]
    return table(rows, name=name, caption=caption)


def _rate(records: pd.DataFrame, attack: str, source: str, target: str, resamples: int) -> Estimate | None:
    """Rate with Wilson's interval of outcomes, with a bootstrap interval of shares of draws."""
    if target not in records:
        return None
    values = records[(records.checkpoint == source) & (records.condition == attack)][target].dropna().infer_objects()
    return estimate(values.astype(bool) if values.isin((0, 1)).all() else values.astype(float), resamples)


def _conditional(records: pd.DataFrame, attack: str, source: str, target: str) -> str:
    """The rate among the images that fool the network they were made on; for outcomes only."""
    if source == target:
        return "—"
    rows = records[(records.checkpoint == source) & (records.condition == attack)]
    own = rows[source].dropna().infer_objects()
    if not len(own) or not own.isin((0, 1)).all() or own.sum() < 2:
        return "—"
    return text_of(_rate(rows[own.astype(bool)], attack, source, target, 0), "%")


def transfer_findings(low: Sequence[Contrasted], easier: Sequence[Contrasted]) -> Shown:
    """The two parts of the claim in sentences made from the numbers."""
    sentences = [f"<strong>Is transfer low? {_count(low)}</strong>"]
    sentences += [
        _sentence(item, "{} fooled; by its own images {}. Transferred minus half of its own: ") for item in low
    ]
    sentences.append(f"<strong>Is it easier from standard to ℓ∞? {_count(easier)}</strong>")
    return listed(sentences + [_sentence(item, "{} − {}: ") for item in easier])


def _count(items: Sequence[Contrasted]) -> str:
    """How many comparisons have the paper's sign."""
    verdicts = [item.verdict for item in items]
    known = {"same direction": "yes", "contradicted": "no", "undecided": "undecided"}
    known |= {"not measured here": "not measured"}
    parts = [f"{word} in {verdicts.count(verdict)}" for verdict, word in known.items() if verdict in verdicts]
    return f"Of {len(verdicts)} comparisons: {', '.join(parts)}."


def _sentence(item: Contrasted, rates: str) -> str:
    """``rates``: how the means of the two terms are said."""
    if item.difference is None:
        return f"<strong>{item.contrast.label}</strong>: not measured here."
    means = rates.format(*(percent(term.value) for term in item.terms))
    return f"<strong>{item.contrast.label}</strong>: {means}{result(item)}. {verdict_badge(item.verdict)}"
