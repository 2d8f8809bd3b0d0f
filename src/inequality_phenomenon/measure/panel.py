"""One panel of measurements for every kind of model: what the chapters on l2 training, pruning, Cutout and distillation share."""

from typing import Any

from ..networks import REGISTRY
from .measurements import NOISE_KINDS, Conditions, inequality, noise, occlusion, occlusion_conditions
from .run import Run

SEEDS = (0, 1, 2)  # of the trainings that are repeated
NOISE: Conditions = {"random": {"positions": "random"}, **NOISE_KINDS}
RECORDS = ("inequality", "occlusion", "noise")
_TRAININGS = "trainings_"
TRAINING_RECORDS = tuple(_TRAININGS + name for name in RECORDS)  # the same of the repeated networks


def measure_panel(run: Run, prefix: str = "", **where: Any) -> None:
    """Both Gini indices, occlusion and noise for every model of the run, as its records ``RECORDS``.

    The run's options: ``max_count``, ``max_radius``, ``colors`` of the patches; ``budget`` and ``draws`` of the noise.
    ``prefix``: of the records' names; ``where``: models and images, as for ``Run.measure``.
    """
    noisy = {"budgets": (run.options["budget"],), "draws": run.options["draws"]}
    run.measure(inequality, {"": {}}, name=f"{prefix}inequality", seed=run.seed, **where)
    run.measure(occlusion, _patches(run), name=f"{prefix}occlusion", seed=run.seed, **where)
    run.measure(noise, NOISE, name=f"{prefix}noise", seed=run.seed, **noisy, **where)


def measure_trainings(run: Run) -> None:
    """The panel of the ``repeated`` networks of the run's pair, as its records ``TRAINING_RECORDS``.

    On the first ``trainings_images`` (an option) of all test images, in an order drawn once, that all of them classify
    correctly: the common subset was chosen by the networks of seed 0, so the others would not be on equal terms there.
    Nothing is measured for 0 images, or as long as one of the networks is not trained.
    """
    names = [name for kind in run.pair for name in repeated(kind)]
    if run.options["trainings_images"] and all(name in REGISTRY for name in names):
        where = {"models": tuple(names), "own": names, "n_images": run.options["trainings_images"]}
        measure_panel(run, _TRAININGS, **where)


def panel_columns(run: Run) -> dict[str, tuple[str, str]]:
    """Every quantity of the panel: label -> (condition, column)."""
    columns = {"global Gini": ("", "global_gini"), "regional Gini": ("", "regional_gini_sum_of_absolute")}
    columns |= {f"occlusion {label}": (label, "fooled") for label in _patches(run)}
    return columns | {f"noise {kind}": (kind, f"failure_{run.options['budget']}") for kind in NOISE}


def _patches(run: Run) -> Conditions:
    return occlusion_conditions([(run.options["max_count"], run.options["max_radius"])], run.options["colors"])


def repeated(checkpoint: str) -> list[str]:
    """The networks that are trained as ``checkpoint`` is, one for each of ``SEEDS``; they need not exist."""
    return [f"{checkpoint.rpartition('-s')[0]}-s{seed}" for seed in SEEDS]


def subjects(run: Run) -> list[str]:
    """The models that the chapter is about: neither the standard one nor that of the ladder's largest epsilon."""
    return [name for name in run.models if name not in run.pair]
