"""Figures, tables and sentences of the chapters, in one style."""

from ..networks import named
from .findings import conclusions, controls, mechanism_findings, slope_sentence, tally
from .style import Shown, boxed, drawn, listed, look, table
from .tables import (
    comparison_table,
    contrast_table,
    means_table,
    models_note,
    outcome_table,
    ratios_note,
    regression_table,
    subsets,
)
from .words import interval, number, p_text, percent, points, side, text_of, verdict_badge
