"""Chapter 05: attack images made on one network and shown to the others."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..networks import named
from ..statistics import Estimate, bootstrap_mean, wilson
from ..verdicts.comparison import Contrast, Contrasted
from . import Shown, listed, number, p_text, points, show, table, text_of, title_of, verdict_badge


def transfer_contrasts(pair: tuple[str, str], attacks: Sequence[str]) -> tuple[list[Contrast], list[Contrast]]:
    """The two parts of the claim for each attack: is transfer low (both directions), and is one direction easier?

    ``pair``: the standard network and the other. Low: fewer fooled than half of those that the target's own images fool.
    """
    standard, robust = pair
    low = [
        Contrast(
            f"{attack}, made on {named(source)}, shown to {named(target)}",
            ((source, attack, target), (target, attack, target)),
            -1,
            weights=(1, -0.5),
        )
        for attack in attacks
        for source, target in (pair, pair[::-1])
    ]
    easier = [
        Contrast(
            f"{attack}: {named(standard)} → {named(robust)} minus {named(robust)} → {named(standard)}",
            ((standard, attack, robust), (robust, attack, standard)),
            1,
        )
        for attack in attacks
    ]
    return low, easier


def transfer_matrix(records: pd.DataFrame, attacks: Sequence[str], *, name: str) -> Shown:
    """A panel for each attack: rows are the networks that the images were made on, columns those they are shown to."""
    models = list(dict.fromkeys(records.checkpoint))
    side = 0.62 * len(models) + 1.3
    columns = min(2, len(attacks))
    figure, panels = plt.subplots(
        -(-len(attacks) // columns), columns, figsize=(columns * (side + 1.2), side * -(-len(attacks) // columns)),
        squeeze=False,
    )  # fmt: skip
    words = []
    for axes, attack in zip(panels.flat, attacks, strict=False):
        rates = 100 * _means(records, attack, models)
        axes.imshow(rates, cmap="cividis", vmin=0, vmax=100)
        for row, column in np.ndindex(rates.shape):
            value = rates[row, column]
            axes.text(
                column, row, "—" if np.isnan(value) else f"{value:.1f}", ha="center", va="center", fontsize=9,
                color="black" if value > 55 else "white",
            )  # fmt: skip
        titles = [title_of(model) for model in models]
        axes.set_xticks(range(len(models)), titles, fontsize=9)
        axes.set_yticks(range(len(models)), titles, fontsize=9)
        axes.set_xlabel("shown to", fontsize=9)
        axes.set_ylabel("made on", fontsize=9)
        axes.set_title(f"{attack}, fooled, %", fontsize=10)
        axes.grid(False)
        words += [
            f"{attack}, made on {titles[i]}, shown to {titles[j]}: {rates[i, j]:.1f} %"
            for i, j in np.ndindex(rates.shape)
            if not np.isnan(rates[i, j])
        ]
    for axes in panels.flat[len(attacks) :]:
        axes.set_axis_off()
    beaten = sum(_off_diagonal_is_lower(_means(records, attack, models)) for attack in attacks)
    cells = len(attacks) * len(models) * (len(models) - 1)
    caption = (
        f"Images fooled, in per cent. Rows: the network that the attack images were made on; columns: the one that sees "
        f"them. Off the diagonal, {beaten} of {cells} values are below the diagonal value of their column, the network's "
        f"own images."
    )
    return show(figure, name=name, caption=caption, alt=f"Matrices of fooled images. {'; '.join(words)}.")


def _means(records: pd.DataFrame, attack: str, models: list[str]) -> np.ndarray:
    """(made on, shown to): mean share of fooled images; NaN where not measured."""
    rows = records[records.condition == attack].set_index("checkpoint")[[m for m in models if m in records]]
    return rows.astype(float).groupby(level=0).mean().reindex(index=models, columns=models).to_numpy()


def _off_diagonal_is_lower(means: np.ndarray) -> int:
    return int(np.sum(means < np.diag(means)[None, :]))


def pair_table(
    reference: pd.DataFrame | None,
    this_run: pd.DataFrame,
    pair: tuple[str, str],
    attacks: Sequence[str],
    *,
    name: str,
    caption: str,
    resamples: int,
) -> Shown:
    """The paper's Table 4 in its CIFAR-10 form: each network's images on both, and on those that fooled their maker."""
    rows = [
        {
            "Attack": attack,
            "Made on": title_of(source),
            "Shown to": title_of(target),
            "Reference": text_of(_rate(reference, attack, source, target, resamples), percent=True),
            "This run": text_of(_rate(this_run, attack, source, target, resamples), percent=True),
            "Of those that fool their maker, this run": _conditional(this_run, attack, source, target),
        }
        for attack in attacks
        for source in pair
        for target in pair
    ]
    frame = pd.DataFrame(rows)
    if reference is None:
        frame = frame.drop(columns="Reference")
        caption += " There is no reference run of these values yet."
    return table(frame, name=name, caption=caption)


def _rate(records: pd.DataFrame | None, attack: str, source: str, target: str, resamples: int) -> Estimate | None:
    """Rate with Wilson's interval of outcomes, with a bootstrap interval of shares of draws."""
    if records is None or target not in records:
        return None
    values = records[(records.checkpoint == source) & (records.condition == attack)][target].dropna().infer_objects()
    if len(values) < 2:
        return None
    if values.isin((0, 1)).all():
        return wilson(int(values.sum()), len(values))
    return bootstrap_mean(values.to_numpy(float), resamples=resamples)


def _conditional(records: pd.DataFrame, attack: str, source: str, target: str) -> str:
    """The rate among the images that fool the network they were made on; for outcomes only."""
    if source == target:
        return "—"
    rows = records[(records.checkpoint == source) & (records.condition == attack)]
    own = rows[source].dropna().infer_objects()
    if not len(own) or not own.isin((0, 1)).all() or own.sum() < 2:
        return "—"
    return text_of(_rate(rows[own.astype(bool)], attack, source, target, 0), percent=True)


def transfer_findings(low: list[tuple[Contrasted, str]], easier: list[tuple[Contrasted, str]]) -> Shown:
    """The two parts of the claim in sentences made from the numbers."""
    sentences = [f"<strong>Is transfer low? {_count(low)}</strong>"]
    sentences += [_low_sentence(item, source) for item, source in low]
    sentences.append(f"<strong>Is it easier from standard to ℓ∞? {_count(easier)}</strong>")
    sentences += [_easier_sentence(item, source) for item, source in easier]
    return listed(sentences)


def _count(items: list[tuple[Contrasted, str]]) -> str:
    """How many comparisons have the paper's sign."""
    verdicts = [item.verdict for item, _ in items]
    known = {
        "same direction": "yes",
        "contradicted": "no",
        "not reproduced": "undecided",
        "not measured here": "not measured",
    }
    parts = [f"{word} in {verdicts.count(verdict)}" for verdict, word in known.items() if verdict in verdicts]
    return f"Of {len(verdicts)} comparisons: {', '.join(parts)}."


def _low_sentence(item: Contrasted, source: str) -> str:
    if item.difference is None:
        return f"<strong>{item.contrast.label}</strong>: not measured here."
    transferred, own = (number(term.value, True) for term in item.terms)
    return (
        f"<strong>{item.contrast.label}</strong>{source}: {transferred} fooled; by its own images {own}. Transferred minus "
        f"half of its own: {points(item.difference)}, {p_text(item)}, n = {item.difference.n}. {verdict_badge(item.verdict)}"
    )


def _easier_sentence(item: Contrasted, source: str) -> str:
    if item.difference is None:
        return f"<strong>{item.contrast.label}</strong>: not measured here."
    first, second = (number(term.value, True) for term in item.terms)
    return (
        f"<strong>{item.contrast.label}</strong>{source}: {first} − {second}: {points(item.difference)}, {p_text(item)}, "
        f"n = {item.difference.n}. {verdict_badge(item.verdict)}"
    )
