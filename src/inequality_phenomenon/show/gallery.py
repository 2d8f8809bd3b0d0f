"""What clipping an attribution map hides, as a table and in sentences (paper, A.2)."""

import pandas as pd

from ..statistics import bootstrap_mean
from ..verdicts.comparison import Contrasted
from .style import Shown, boxed, table, title_of
from .words import by_model, number, p_text, percent, points, text_of, verdict_badge

_COLUMNS = {  # column of ``galleries.clipping`` -> header, unit
    "global_gini": ("Gini index", "Gini"),
    "global_gini_clipped": ("Gini index, clipped", "Gini"),
    "share_clipped": ("Subpixels that are cut", "%"),
    "share_hidden": ("Importance that is hidden", "%"),
    "largest_kept": ("Left of the largest value", "%"),
}


def clipping_table(records: pd.DataFrame, *, name: str, resamples: int) -> Shown:
    """Means over images of what clipping at three standard deviations does, a row a network."""
    rows = [
        {"": title_of(checkpoint)}
        | {
            header: text_of(bootstrap_mean(rows[column].to_numpy(), resamples=resamples), unit)
            for column, (header, unit) in _COLUMNS.items()
        }
        for checkpoint, rows in by_model(records)
    ]
    caption = "What clipping at three standard deviations does to maps of Integrated Gradients, means over images."
    return table(rows, name=name, caption=caption)


def clipping_in_short(item: Contrasted, records: pd.DataFrame) -> Shown:
    """Whether clipping hides more of the l_inf network's importance, and what it does to that network's Gini index.

    ``item``: hidden importance of that network minus the standard one's, found in ``records``.
    """
    if item.difference is None:
        return boxed(["What clipping hides: not measured here."])
    robust = item.contrast.terms[0][0]
    means = records[records.checkpoint == robust][list(_COLUMNS)].mean()
    hidden = ", ".join(percent(term.value) for term in item.terms)
    return boxed(
        [
            f"<strong>Hidden importance, {title_of(robust)} minus standard: {points(item.difference)}</strong> ({hidden}; "
            f"{p_text(item)}, n = {item.difference.n}). Verdict: {verdict_badge(item.verdict)}",
            f"In the maps of {title_of(robust)} the clipping cuts {percent(means.share_clipped)} of the subpixels and leaves "
            f"{percent(means.largest_kept)} of the largest value. The Gini index goes from {number(means.global_gini)} to "
            f"{number(means.global_gini_clipped)}.",
        ]
    )
