"""Tables and sentences of the chapters that share the panel of measurements."""

from collections.abc import Sequence
from operator import itemgetter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..measure.accuracy import pgd_evaluation
from ..measure.panel import (
    TRAININGS,
    panel_columns,
    panel_contrasts,
    panel_records,
    price_contrasts,
    training_contrasts,
)
from ..measure.results import Run, open_run, paper_scale_of
from ..networks import REGISTRY, named
from ..statistics import Estimate, bootstrap_mean, wilson
from ..verdicts.claims import Judged
from ..verdicts.comparison import Contrast, Contrasted, contrasted, explained
from ..verdicts.scoreboard import outcome_row
from . import Shown, best, contrast_table, listed, look, p_text, points, show, table, text_of, title_of, verdict_badge
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
    caption = f"{{}}, minus those of {title_of(against)}."
    sources = [panel_records(tables) for tables in (run.reference, run.records)]
    return _two_tables(run, panel_contrasts(run, against, models), sources, name=name, caption=caption)


def trainings_table(run: Run, *, name: str) -> Shown:
    """Two tables of ``training_contrasts``, Gini indices and rates, each adjusted by Holm."""
    caption = "{}: the ℓ∞ trainings minus the standard ones. The networks are the sample, not the images."
    sources = [panel_records(tables, TRAININGS) for tables in (run.reference, run.records)]
    return _two_tables(run, training_contrasts(run), sources, name=name, caption=caption)


def _two_tables(
    run: Run,
    contrasts: tuple[list[Contrast], list[Contrast]],
    sources: list[pd.DataFrame | None],
    *,
    name: str,
    caption: str,
) -> Shown:
    shown = []
    for group, what, unit in zip(contrasts, ("Gini indices", "Images fooled"), ("Gini", "points"), strict=True):
        found = [contrasted(group, source, resamples=run.profile.bootstrap) for source in sources]
        shown.append(contrast_table(*found, name=f"{name}-{unit.lower()}", caption=caption.format(what), unit=unit))
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


def distillation_markdown() -> str:
    """What changes when training itself lowers the inequality, for README and welcome page; empty without records."""
    run = open_run("11_gradient_distillation", "full")
    records, (_, robust) = panel_records(run.reference), run.pair
    found = [contrasted(group, records) for group in panel_contrasts(run, robust)]
    ginis, rates = ([item for item in group if "igd" in item.contrast.terms[0][0]] for group in found)
    gini = next((item.difference for item in ginis if item.contrast.terms[0][2] == "global_gini"), None)
    if gini is None:
        return ""
    decided = [item for item in rates if item.adjusted_p is not None and item.adjusted_p < 0.05]
    lower = sum(item.difference.difference < 0 for item in decided if item.difference)
    return (
        f"Does less inequality help? Input-gradient distillation, a follow-up to the paper (chapter 11), changes the global Gini index of "
        f"{named(robust)} by {points(gini, 'Gini')}, n = {gini.n}. Of its {len(rates)} rates of being fooled by noise or patches, {lower} "
        f"are then lower and {len(decided) - lower} higher; the others are undecided (adjusted p above 0.05). One training each."
    )


def trainings_figure(run: Run, *, name: str) -> Shown:
    """Each repeated network's value of each quantity, with its interval over images: how far apart trainings lie."""
    committed, live = panel_records(run.reference, TRAININGS), panel_records(run.records, TRAININGS)
    groups = training_contrasts(run)
    found = [
        [
            item
            for item, _ in best(
                *(contrasted(group, records, resamples=run.profile.bootstrap) for records in (live, committed))
            )
        ]
        for group in groups
    ]
    if not all(item.difference for group in found for item in group):
        return listed(["Not measured here: fewer than three networks of each kind are trained."])
    figure, axes = plt.subplots(1, 2, figsize=(7.8, 3.4), layout="constrained", width_ratios=[1, 1.6])
    words = []
    for axis, group, scale in zip(axes, found, (1, 100), strict=True):
        for place, item in enumerate(group):
            shifts = np.linspace(-0.25, 0.25, len(item.terms))
            for (checkpoint, *_), term, shift in zip(item.contrast.terms, item.terms, shifts, strict=True):
                low, high = scale * (term.value - term.low), scale * (term.high - term.value)
                seen = look(checkpoint)
                axis.errorbar(
                    scale * term.value, place + shift, xerr=[[low], [high]], fmt=seen["marker"], color=seen["color"],
                    ms=5, capsize=2, label=named(checkpoint) if not place and checkpoint.endswith("-s0") else None,
                )  # fmt: skip
            digits = 1 if scale == 100 else 3
            values = ", ".join(f"{scale * term.value:.{digits}f}" for term in item.terms)
            words.append(f"{item.contrast.label}: {values}")
        axis.set_yticks(range(len(group)), [item.contrast.label for item in group])
        axis.set_ylim(len(group) - 0.5, -0.5)
    axes[0].set_xlabel("Gini index")
    axes[1].set_xlabel("images fooled, %")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=2)
    apart = sum(_apart(item.terms) for group in found for item in group)
    caption = (
        f"Three trainings of each kind, on the same {found[0][0].terms[0].n} images. In {apart} of {len(words)} quantities all "
        "networks of one kind lie on one side of all of the other. Bars: 95 % intervals over images."
    )
    first = ", ".join(map(named, map(itemgetter(0), found[0][0].contrast.terms)))
    return show(figure, name=name, caption=caption, alt=f"Dot plot of six networks ({first}). {'; '.join(words)}.")


def slopes_table(
    run: Run, groups: Sequence[Sequence[str]], covariates: dict[str, tuple[str, str]], *, name: str
) -> Shown:
    """The last covariate's log odds ratio, the others held fixed, for every rate of the panel and each group of models.

    ``groups``: of two models or one, as for ``comparison.explained``. Each column is of the reference run where it has the
    models, else of this run, as its heading says.
    """
    rates = {label: place for label, place in panel_columns(run).items() if "Gini" not in label}
    rows: list[dict[str, str]] = [{"": label} for label in rates]
    sentences = []

    def fits_of(group: Sequence[str], tables: dict[str, pd.DataFrame]) -> list[dict[str, dict[str, Estimate]]]:
        return [
            explained(group, condition, tables, "occlusion" if column == "fooled" else "noise", covariates, column)
            for condition, column in rates.values()
        ]

    for group in groups:
        fits, source = fits_of(group, run.reference), "reference run"
        if not all(fits):
            fits, source = fits_of(group, run.records), "this run"
        effects = [list(fit.values())[-1][list(covariates)[-1]] if fit else None for fit in fits]
        names = " and ".join(map(named, group))
        for row, effect in zip(rows, effects, strict=True):
            row[f"{names} <small>({source})</small>"] = _effect(effect)
        more = sum(effect is not None and effect.low > 0 for effect in effects)
        less = sum(effect is not None and effect.high < 0 for effect in effects)
        sentences.append(f"{names}: raises {more}, lowers {less} of {len(rows)}")
    caption = (
        f"Log odds of being fooled for one standard deviation of the {list(covariates)[-1]}, at equal "
        f"{' and '.join(list(covariates)[:-1])}. {'; '.join(sentences)}. Not adjusted for the number of regressions."
    )
    return table(pd.DataFrame(rows), name=name, caption=caption)


def _effect(item: Estimate | None) -> str:
    if item is None or not np.isfinite(item.value):
        return text_of(None)
    mark = "strong" if item.low > 0 or item.high < 0 else "span"
    return f"<{mark}>{item.value:+.2f}</{mark}> <small>[{item.low:+.2f}, {item.high:+.2f}]<br>n = {item.n}</small>"


def _apart(terms: Sequence[Estimate]) -> bool:
    """Whether the first half's values all lie above or all below the second half's."""
    first, second = ([term.value for term in half] for half in np.split(np.array(terms, object), 2))
    return min(first) > max(second) or max(first) < min(second)


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

    ``rates``: the l_inf model minus the early-stopped one; ``fits``: of ``comparison.explained``, by the other model's title.
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
