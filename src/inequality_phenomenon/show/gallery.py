"""What clipping an attribution map hides, as a table and in sentences (paper, A.2)."""

import pandas as pd

from ..statistics import bootstrap_mean
from ..verdicts.comparison import Contrasted
from . import Shown, listed, p_text, points, table, text_of, title_of, verdict_badge

_COLUMNS = {  # column of ``galleries.clipping`` -> header, and whether it is a share
    "global_gini": ("Gini index", False),
    "global_gini_clipped": ("Gini index, clipped", False),
    "share_clipped": ("Subpixels that are cut", True),
    "share_hidden": ("Importance that is hidden", True),
    "largest_kept": ("Left of the largest value", True),
}


def clipping_table(records: pd.DataFrame, run: str, *, name: str, resamples: int) -> Shown:
    """Means over images of what clipping at three standard deviations does, a row a network; ``run``: whose records."""
    rows = [
        {"": title_of(str(checkpoint))}
        | {
            header: text_of(bootstrap_mean(rows[column].to_numpy(), resamples=resamples), percent)
            for column, (header, percent) in _COLUMNS.items()
        }
        for checkpoint, rows in records.groupby("checkpoint", sort=False)
    ]
    caption = (
        f"{run}: what clipping at three standard deviations does to maps of Integrated Gradients, means over images."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def clipping_findings(primary: tuple[Contrasted, str], records: pd.DataFrame, robust: str) -> Shown:
    """Whether clipping hides more of the l_inf network's importance, and what it does to that network's Gini index.

    ``records``: of the run that ``primary`` is from.
    """
    item, source = primary
    if item.difference is None:
        return listed(["What clipping hides: not measured here."])
    means = records[records.checkpoint == robust][list(_COLUMNS)].mean()
    hidden = ", ".join(f"{100 * term.value:.1f} %" for term in item.terms)
    sentences = [
        f"<strong>Hidden importance{source}, {title_of(robust)} minus standard: {points(item.difference)}</strong> ({hidden}; "
        f"{p_text(item)}, n = {item.difference.n}). Verdict: {verdict_badge(item.verdict)}",
        f"In the maps of {title_of(robust)}{source} the clipping cuts {100 * means.share_clipped:.1f} % of the subpixels and leaves "
        f"{100 * means.largest_kept:.0f} % of the largest value. The Gini index goes from {means.global_gini:.3f} to "
        f"{means.global_gini_clipped:.3f}.",
    ]
    return listed(sentences)
