"""How accurate the registered models are: measurements under PGD and AutoAttack, training logs, and what is planned."""

from collections.abc import Sequence

import pandas as pd

from .._support import paths
from .._support.profiles import load_profile, profile_names
from ..networks import REGISTRY
from ..robustness import Threat, auto_attack
from .robustness_flags import Finding, check, evaluate
from .run import Run
from .sample import Columns, Measuring, Sample, measure

PGD, AUTO_ATTACK = "PGD-20", "AutoAttack"  # what the conditions of the records begin with
PART = 50  # images that AutoAttack takes at once: what a kill loses, about four minutes of one CPU core


def measure_attack(
    run: Run, function: Measuring, attack: str, models: Sequence[str], n_images: int | None = None
) -> None:
    """``function(sample, threat=..., seed=...)`` for every model and each threat in its registry entry.

    On the first ``n_images`` of the test set. The run's record is called as the function; its conditions are
    "ATTACK, THREAT", such as "PGD-20, linf 8/255". Nothing happens where no model is named.
    """
    frames, at_once = [], PART if function is auto_attack_evaluation else None
    for name in models:
        sample = run.test_images(name, n_images)
        for threat in REGISTRY[name].test_robust:
            found = measure(function, sample, run, at_once, threat=threat, seed=run.seed)
            frames.append(found.assign(condition=f"{attack}, {threat}"))
    if frames:
        run.record(function.__name__, pd.concat(frames, ignore_index=True))


def pgd_evaluation(sample: Sample, *, threat: str, seed: int = 0) -> Columns:
    """PGD-20 with 2 restarts: ``clean``, ``robust`` and the evidence of ``robustness_flags.evaluate``."""
    return evaluate(sample.model, sample.images, sample.labels, Threat.parse(threat), seed=seed)


def auto_attack_evaluation(sample: Sample, *, threat: str, seed: int = 0) -> Columns:
    """The standard version of AutoAttack: ``robust``, ``fooled_by`` and ``distance`` of ``robustness.auto_attack``."""
    outcome = auto_attack(sample.model, sample.images, sample.labels, Threat.parse(threat), seed=seed, progress=True)
    robust = [by == "nothing" for by in outcome.fooled_by]
    return {"fooled_by": outcome.fooled_by, "distance": outcome.distance, "robust": robust}


def training_log(checkpoint: str) -> pd.DataFrame:
    """One row an epoch: ``loss``, ``seconds`` and the accuracies on the held-out training images."""
    return pd.read_csv(REGISTRY[checkpoint].log)


def planned_models() -> dict[str, list[str]]:
    """Models that a settings file, or a profile on CIFAR-10, asks for and the registry lacks: name -> chapters that want it."""
    asked: dict[str, set[str]] = {path.stem: set() for path in paths.CHECKPOINTS.glob("*-s[0-9].yaml")}
    for profile in profile_names():
        for chapter, values in load_profile(profile).chapters.items():
            for name in values.models:
                if name.startswith("cifar10-"):
                    asked.setdefault(name, set()).add(chapter.partition("_")[0])
    return {name: sorted(asked[name]) for name in sorted(asked) if name not in REGISTRY}


def findings(tables: dict[str, pd.DataFrame]) -> list[tuple[str, str, Finding]]:
    """Every flag on every evaluation in a run's records: checkpoint, condition, finding."""
    return [
        (str(checkpoint), str(condition), finding)
        for name in (pgd_evaluation.__name__, auto_attack_evaluation.__name__)
        if name in tables
        for (checkpoint, condition), rows in tables[name].groupby(["checkpoint", "condition"], sort=False)
        for finding in check({str(column): rows[column].to_numpy() for column in rows})
    ]
