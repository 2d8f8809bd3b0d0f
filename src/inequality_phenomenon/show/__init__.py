"""Figures, tables and sentences of the chapters, in one style."""

from ..networks import named
from .style import Shown, boxed, listed
from .tables import (
    comparison_table,
    conclusions,
    contrast_table,
    controls,
    means_table,
    mechanism_findings,
    models_note,
    outcome_table,
    ratios_note,
    regression_table,
    slope_sentence,
    subsets,
    tally,
)
