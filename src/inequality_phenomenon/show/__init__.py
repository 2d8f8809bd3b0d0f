"""Figures, tables and sentences of the chapters, in one style."""

from .findings import mechanism_findings, occlusion_findings
from .inequality import (
    estimates,
    gini_by_epsilon,
    inequality_findings,
    lorenz_curves,
    readings_figure,
    readings_note,
    top_share_curves,
)
from .noise import noise_curves, noise_findings
from .occlusion import first_success_figure, occlusion_pictures, rates_figure
from .style import Shown, boxed, drawn, listed, look, table, title_of
from .tables import (
    area_note,
    comparison_table,
    contrast_table,
    models_note,
    outcome_table,
    ratios_note,
    regression_table,
    subsets,
    tally_note,
)
from .words import interval, number, p_text, percent, points, side, text_of, verdict_badge

__all__ = [
    "Shown", "area_note", "boxed", "comparison_table", "contrast_table", "drawn", "estimates", "first_success_figure",
    "gini_by_epsilon", "inequality_findings", "interval", "listed", "look", "lorenz_curves", "mechanism_findings",
    "models_note", "noise_curves", "noise_findings", "number", "occlusion_findings",
    "occlusion_pictures", "outcome_table", "p_text", "percent", "points", "rates_figure", "ratios_note",
    "readings_figure", "readings_note", "regression_table", "side", "subsets", "table", "tally_note", "text_of",
    "title_of", "top_share_curves", "verdict_badge",
]  # fmt: skip
