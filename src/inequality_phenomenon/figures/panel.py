"""Tables and sentences of the chapters that share the panel of measurements."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..accuracy import pgd_evaluation
from ..claims import Judged
from ..models import REGISTRY
from ..panel import panel_columns, panel_contrasts, panel_records, price_contrasts
from ..results import Contrasted, Run, contrasted, paper_scale_of
from ..scoreboard import outcome_row
from ..statistics import Estimate, bootstrap_mean, wilson
from . import Shown, best, contrast_table, listed, p_text, points, table, text_of, title_of, verdict_badge
from .scoreboard import outcome_text


def panel_table(run: Run, *, name: str, caption: str) -> Shown:
    """One row a quantity, one column a model: the reference run's value, this run's, and that at paper scale if any."""
    committed, live = panel_records(run.reference), panel_records(run.records)
    large, resamples = paper_scale_of(committed), run.profile.bootstrap
    rows = [_accuracy_row(run)]
    for label, (condition, column) in panel_columns(run).items():
        row = {"": label}
        for model in run.models:
            found = [_estimate(records, model, condition, column, resamples) for records in (committed, live)]
            row[title_of(model)] = _both(found[0], found[1], "gini" not in column)
            if at_paper_scale := _estimate(large, model, condition, column, resamples):
                row[title_of(model)] += (
                    f"<br><small>paper scale:</small> {text_of(at_paper_scale, 'gini' not in column)}"
                )
        rows.append(row)
    caption += (
        " The reference run first. This run below it."
        if committed is not None
        else " This run; there is no reference run yet."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def _accuracy_row(run: Run) -> dict[str, str]:
    """Clean and robust accuracy of each model on the full test set, from the registry."""
    row = {"": "accuracy, clean<br><small>and under PGD-20, full test set</small>"}
    for model in run.models:
        entry = REGISTRY[model]
        robust = "<br>".join(
            f"{100 * accuracy.rate:.1f} % <small>{threat.replace('linf', 'ℓ∞').replace('l2', 'ℓ2')}</small>"
            for threat, accuracy in entry.test_robust.items()
        )
        row[title_of(model)] = f"<strong>{100 * entry.test_clean.rate:.1f} %</strong><br>{robust}"
    return row


def _estimate(records: pd.DataFrame | None, model: str, condition: str, column: str, resamples: int) -> Estimate | None:
    if records is None or column not in records:
        return None
    values = records[(records.checkpoint == model) & (records.condition == condition)][column].infer_objects()
    if len(values) < 2:
        return None
    if values.dtype == bool:
        return wilson(int(values.sum()), len(values))
    return bootstrap_mean(values.to_numpy(float), resamples=resamples)


def _both(reference: Estimate | None, this_run: Estimate | None, percent: bool) -> str:
    if reference is None:
        return text_of(this_run, percent)
    return f"{text_of(reference, percent)}<br><small>this run:</small> {text_of(this_run, percent)}"


def panel_differences(run: Run, against: str, models: Sequence[str] | None = None, *, name: str) -> Shown:
    """Two tables of ``panel_contrasts``, Gini indices and rates, each adjusted by Holm."""
    sources = [panel_records(tables) for tables in (run.reference, run.records)]
    shown = []
    for contrasts, what, unit in zip(
        panel_contrasts(run, against, models), ("Gini indices", "Images fooled"), ("Gini", "points"), strict=True
    ):
        found = [contrasted(contrasts, source, resamples=run.profile.bootstrap) for source in sources]
        caption = f"{what}, minus those of {title_of(against)}."
        shown.append(contrast_table(*found, name=f"{name}-{unit.lower()}", caption=caption, unit=unit))
    return Shown("".join(part.html for part in shown), "\n\n".join(part.text for part in shown))


def panel_findings(run: Run, against: str) -> Shown:
    """Every contrast of the panel from ``against`` in words, those that are decided first."""
    committed, live = panel_records(run.reference), panel_records(run.records)
    sentences: dict[bool, list[str]] = {True: [], False: []}
    for contrasts, unit in zip(panel_contrasts(run, against), ("Gini", "points"), strict=True):
        this_run, reference = (
            contrasted(contrasts, part, resamples=run.profile.bootstrap) for part in (live, committed)
        )
        for item, source in best(this_run, reference):
            if item.difference is None or item.adjusted_p is None:
                continue
            decided = item.adjusted_p < 0.05
            word = "lower" if item.difference.difference < 0 else "higher"
            text = f"{item.contrast.label}{source}: {points(item.difference, unit)}, {p_text(item)}, n = {item.difference.n}."
            sentences[decided].append(
                f"<strong>{word.capitalize()}</strong>. {text}" if decided else f"Undecided. {text}"
            )
    if not any(sentences.values()):
        return listed(["Not measured here: the network that this chapter is about is not trained yet."])
    return listed([*sentences[True], *sentences[False]])


def price_table(run: Run, against: str, *, name: str) -> Shown:
    """What a change of training costs in accuracy, clean and under attack: paired differences from ``against``."""
    contrasts, resamples = price_contrasts(run, against), run.profile.bootstrap
    found = [
        contrasted(contrasts, tables.get(pgd_evaluation.__name__), resamples=resamples)
        for tables in (run.reference, run.records)
    ]
    caption = f"Accuracy on the first images of the test set, minus that of {title_of(against)}."
    return contrast_table(*found, name=name, caption=caption)


def accuracy_findings(rates: list[tuple[Contrasted, str]], fits: dict[str, dict[str, dict[str, Estimate]]]) -> Shown:
    """What is left of the differences at equal accuracy, and what the Gini index adds at equal margin.

    ``rates``: the l_inf model minus the early-stopped one; ``fits``: of ``results.explained``, by the other model's title.
    """
    known = [(item, source) for item, source in rates if item.difference]
    if not known:
        return listed(["At equal accuracy: not measured here."])
    decided = [(item, source) for item, source in known if item.adjusted_p is not None and item.adjusted_p < 0.05]
    more = sum(item.difference.difference > 0 for item, _ in decided if item.difference)
    sentences = [
        f"<strong>At equal accuracy, the ℓ∞ model is fooled more often in {more} of {len(known)} comparisons, less often in "
        f"{len(decided) - more}; {len(known) - len(decided)} are undecided.</strong>"
    ]
    sentences += [
        f"{item.contrast.label}{source}: {points(item.difference)}, {p_text(item)}, n = {item.difference.n}."
        for item, source in known
        if item.difference
    ]
    for other, found in fits.items():
        effect = next((fit["Gini index"] for fit in found.values() if "Gini index" in fit), None)
        if effect is None or not np.isfinite(effect.value):
            sentences.append(f"Gini index at equal margin, against {other}: not determined by these data.")
            continue
        word = "raises" if effect.low > 0 else "lowers" if effect.high < 0 else "is not shown to change"
        sentences.append(
            f"<strong>At equal margin, a higher Gini index {word} the odds of being fooled</strong> (ℓ∞ and {other}): "
            f"{effect.value:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] log odds for one standard deviation, n = {effect.n}."
        )
    return listed(sentences)


def claim_findings(judged: list[tuple[Judged, str]]) -> Shown:
    """Each claim of the chapter: the verdict, then every test. ``judged``: with the words that say which run."""
    sentences = []
    for item, source in judged:
        tests = "; ".join(
            f"{outcome.test.label}: {outcome_text(pd.Series(outcome_row(outcome)))}" for outcome in item.outcomes
        )
        reason = item.reason if item.verdict == "not measured here" else ""
        sentences.append(
            f"<strong>{item.claim.title}</strong>{source}: {verdict_badge(item.verdict)} "
            + (f"<small>{reason}</small>" if reason else f"<br>{tests}")
        )
    return listed(sentences)
