"""One panel of measurements for every kind of model: what the chapters on l2 training, pruning, Cutout and distillation share."""

from collections.abc import Sequence

import pandas as pd

from .accuracy import PGD
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
    """Each of ``models`` (default: the chapter's ``subjects``) minus the model ``against``: Gini indices, and rates."""
    columns = panel_columns(run)
    ginis = {label: place for label, place in columns.items() if "Gini" in label}
    rates = {label: place for label, place in columns.items() if label not in ginis}
    chosen = subjects(run) if models is None else models
    return against_standard(against, chosen, ginis), against_standard(against, chosen, rates)


def price_contrasts(run: Run, against: str) -> list[Contrast]:
    """Clean accuracy, and robust accuracy at l_inf 8/255 under PGD-20, of each subject minus ``against``'s.

    On the record of ``accuracy.pgd_evaluation``: the first images of the test set, right or wrong.
    """
    condition = f"{PGD}, linf 8/255"
    columns = {"clean accuracy": (condition, "clean"), f"accuracy under {PGD} at 8/255": (condition, "robust")}
    return against_standard(against, subjects(run), columns)


def subjects(run: Run) -> list[str]:
    """The models that the chapter is about: neither the standard one nor that of the ladder's largest epsilon."""
    return [name for name in run.models if name not in run.pair]
