"""One panel of measurements for every kind of model: what the chapters on l2 training, pruning, Cutout and distillation share."""

from collections.abc import Sequence

import pandas as pd

from .measurements import inequality, noise, occlusion, occlusion_conditions
from .results import Contrast, Run, against_standard, stacked

NOISE = {"random": {"positions": "random"}, "type I": {"kind": "type_1"}, "type II": {"kind": "type_2"}}
RECORDS = ("inequality", "occlusion", "noise")


def measure_panel(run: Run) -> None:
    """Both Gini indices, occlusion and noise for every model of the run, as its records ``RECORDS``.

    The run's options: ``max_count``, ``max_radius``, ``colors`` of the patches; ``budget`` and ``draws`` of the noise.
    """
    options = run.options
    patches = occlusion_conditions([(options["max_count"], options["max_radius"])], options["colors"])
    run.measure(inequality, {"": {}}, seed=run.seed)
    run.measure(occlusion, patches, seed=run.seed)
    run.measure(noise, NOISE, budgets=(options["budget"],), draws=options["draws"], seed=run.seed)


def panel_records(tables: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The panel's records in one table; ``None`` where there are none."""
    return stacked(tables, RECORDS)


def panel_columns(run: Run) -> dict[str, tuple[str, str]]:
    """Every quantity of the panel: label -> (condition, column)."""
    options = run.options
    patches = occlusion_conditions([(options["max_count"], options["max_radius"])], options["colors"])
    return (
        {"global Gini": ("", "global_gini"), "regional Gini": ("", "regional_gini_sum_of_absolute")}
        | {f"occlusion {label}": (label, "fooled") for label in patches}
        | {f"noise {kind}": (kind, f"failure_{options['budget']}") for kind in NOISE}
    )


def panel_contrasts(
    run: Run, against: str, models: Sequence[str] | None = None
) -> tuple[list[Contrast], list[Contrast]]:
    """Each of ``models`` minus the model ``against``: Gini indices, and rates.

    Default: the models that the chapter is about, neither the standard one nor that of the ladder's largest epsilon.
    """
    columns = panel_columns(run)
    ginis = {label: place for label, place in columns.items() if "Gini" in label}
    rates = {label: place for label, place in columns.items() if label not in ginis}
    subjects = [name for name in run.models if name not in run.pair] if models is None else models
    return against_standard(against, subjects, ginis), against_standard(against, subjects, rates)
