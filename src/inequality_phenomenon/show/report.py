"""The report that the chapters on one panel of measurements share: figures, tables and sentences."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..measure.accuracy import PGD
from ..measure.panel import RECORDS, panel_columns, repeated, subjects
from ..measure.reference import stacked
from ..measure.run import Run
from ..networks import REGISTRY, named, training_of
from ..statistics import Estimate
from ..verdicts.comparison import Contrast, Contrasted, against_standard, estimate, explained
from .style import Shown, boxed, dot_panels, drawn, listed, table
from .tables import FULL_SIZE, contrast_table
from .words import decided_sign, percent, points, side, text_of, threat_text

Groups = Sequence[Sequence[Contrasted]]


def panel_contrasts(run: Run, against: str, models: Sequence[str] | None = None) -> list[list[Contrast]]:
    """Each of ``models`` (default: the chapter's ``subjects``) minus the model ``against``: Gini indices, and rates."""
    chosen = subjects(run) if models is None else models
    return [against_standard(against, chosen, columns) for columns in _grouped(run)]


def training_contrasts(run: Run) -> list[list[Contrast]]:
    """The repeated l_inf trainings minus the repeated standard ones, over networks: Gini indices, and rates.

    On the records of ``measure_trainings``.
    """
    standard, robust = map(repeated, run.pair)

    def contrast(label: str, place: tuple[str, str]) -> Contrast:
        terms = tuple((name, *place) for name in (*robust, *standard))
        return Contrast(label=label, terms=terms, expected=1, trainings=True)

    return [[contrast(*item) for item in columns.items()] for columns in _grouped(run)]


def price_contrasts(run: Run, against: str) -> list[Contrast]:
    """Clean accuracy, and robust accuracy at l_inf 8/255 under PGD-20, of each subject minus ``against``'s.

    On the record of ``accuracy.pgd_evaluation``: the first images of the test set, right or wrong.
    """
    condition = f"{PGD}, linf 8/255"
    columns = {"clean accuracy": (condition, "clean"), f"accuracy under {PGD} at 8/255": (condition, "robust")}
    return against_standard(against, subjects(run), columns)


def price_table(found: Sequence[Contrasted], against: str, *, name: str) -> Shown:
    """``found``: of ``price_contrasts``."""
    caption = f"Accuracy on the first images of the test set, minus that of {named(against)}."
    return contrast_table(found, name=name, caption=caption)


def _grouped(run: Run) -> list[dict[str, tuple[str, str]]]:
    """The panel's quantities in two groups, each adjusted by itself: Gini indices, and rates of being fooled."""
    columns = panel_columns(run)
    return [{label: place for label, place in columns.items() if ("Gini" in label) is gini} for gini in (True, False)]


def panel_figure(ours: Run, *, name: str) -> Shown:
    """Every quantity of the panel, a dot a network with its interval: Gini indices on the left, rates on the right."""
    records = stacked(ours.records, RECORDS)
    found = {
        label: [(model, value) for model in ours.models if (value := _value(records, model, place, ours))]
        for label, place in panel_columns(ours).items()
    }
    if not all(found.values()):
        return listed(["The panel: not measured here."])
    figure, words = _dots(found)
    firsts = "; ".join(word for word in words if "global Gini" in word or "noise random" in word)
    caption = f"{firsts}. Bars: 95 % intervals over images."
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot by network. {'; '.join(words)}.")


def panel_report(ours: Run, found: Mapping[str, Groups], *, name: str) -> Shown:
    """The panel, and the chapter's subjects minus other networks. ``found``: of ``panel_contrasts``, by the other network."""
    shown = panel_table(ours, name=f"{name}-panel")
    for against, groups in found.items():
        shown += differences(groups, against, name=f"{name}-{training_of(against)}")
    return shown


def panel_table(ours: Run, full_size: dict[str, pd.DataFrame] | None = None, *, name: str) -> Shown:
    """One row a quantity, one column a network. ``full_size``: records with networks that get columns of their own."""
    places = panel_columns(ours)
    columns = {"": ["accuracy, clean<br><small>and under PGD-20, full test set</small>", *places]}
    for tables, note in ((ours.records, ""), (full_size or {}, FULL_SIZE)):
        records = stacked(tables, RECORDS)
        for model in ours.models if not note else () if records is None else records.checkpoint.unique():
            entry = REGISTRY[model]
            robust = (f"{percent(a.rate)} <small>{threat_text(t)}</small>" for t, a in entry.test_robust.items())
            units = ("Gini" if "gini" in column else "%" for _, column in places.values())
            values = (_value(records, model, place, ours) for place in places.values())
            accuracies = "<br>".join((f"<strong>{percent(entry.test_clean.rate)}</strong>", *robust))
            columns[named(model) + note] = [accuracies, *map(text_of, values, units)]
    return table(pd.DataFrame(columns), name=name, caption="Accuracy, inequality and both attacks.")


def _value(records: pd.DataFrame | None, model: str, place: tuple[str, str], run: Run) -> Estimate | None:
    condition, column = place
    if records is None or column not in records:
        return None
    values = records[(records.checkpoint == model) & (records.condition == condition)][column].infer_objects()
    return estimate(values, run.profile.bootstrap)


def _dots(found: dict[str, list[tuple[str, Estimate]]]) -> tuple[Figure, list[str]]:
    """A row a quantity, a dot a network; and the same in words."""
    step = 0.5 / max(1, *(len(items) - 1 for items in found.values()))
    panels = {
        title: ({label: items for label, items in found.items() if ("Gini" in label) is gini}, unit)
        for title, gini, unit in (("Gini indices", True, "Gini"), ("images fooled", False, "%"))
    }
    figure, _, words = dot_panels(panels, (9, 3.4), step=step, ms=5, capsize=2)
    return figure, words


def differences(found: Groups, against: str | None = None, *, name: str, caption: str = "") -> Shown:
    """Two tables, Gini indices and rates, each adjusted by Holm. ``caption``, with ``against`` that they are minus those of
    this model, goes on after "Gini indices"."""
    caption = caption if against is None else f", minus those of {named(against)}."
    indices = contrast_table(found[0], name=f"{name}-gini", caption=f"Gini indices{caption}")
    return indices + contrast_table(found[1], name=f"{name}-points", caption=f"Images fooled{caption}")


def remedies_in_short(ours: Run, found: Groups) -> Shown:
    """The box on top of a page without a claim of the paper: what each subject's training changes of the l_inf network.

    ``found``: of ``panel_contrasts`` against that.
    """
    sentences = []
    for subject in subjects(ours):
        indices, rates = ([item for item in group if item.contrast.terms[0][0] == subject] for group in found)
        signs = [decided_sign(rate) for rate in rates]
        ginis = (item.difference for item in indices if item.contrast.terms[0][2] == "global_gini")
        if gini := next(ginis, None):
            sentences.append(
                f"<strong>{named(subject)}</strong> changes the global Gini index of {named(ours.pair[1])} by {points(gini, 'Gini')}, "
                f"n = {gini.n}. Of its {len(rates)} rates of being fooled by noise or patches, {signs.count(-1)} are then lower and "
                f"{signs.count(1)} higher; the others are undecided (adjusted p above 0.05). One training each."
            )
    return boxed(sentences or ["Not measured here."])


def trainings_figure(found: Groups, *, name: str) -> Shown:
    """Each repeated network's value of each quantity, with its interval over images: how far apart trainings lie.

    ``found``: of ``training_contrasts``.
    """
    items = [item for group in found for item in group]
    if not all(item.difference for item in items):
        return listed(["Not measured here: fewer than three networks of each kind are trained."])
    checkpoints = [checkpoint for checkpoint, *_ in items[0].contrast.terms]
    figure, words = _dots({i.contrast.label: list(zip(checkpoints, i.terms, strict=True)) for i in items})
    values = [[[term.value for term in half] for half in np.split(np.array(i.terms, object), 2)] for i in items]
    apart = sum(min(first) > max(second) or max(first) < min(second) for first, second in values)
    caption = (
        f"Three trainings of each kind, on the same {items[0].terms[0].n} images. In {apart} of {len(items)} quantities all "
        "networks of one kind lie on one side of all of the other. Bars: 95 % intervals over images."
    )
    return drawn(figure, name=name, caption=caption, alt=f"Dot plot of six networks. {'; '.join(words)}.")


def slopes_table(
    ours: Run, groups: Sequence[Sequence[str]], covariates: dict[str, tuple[str, str]], *, name: str
) -> Shown:
    """The last covariate's log odds ratio, the others held fixed, for every rate of the panel and each group of models.

    ``groups``: of two models or one, as for ``comparison.explained``.
    """
    rates = _grouped(ours)[1]
    columns: dict[str, list[str]] = {"": list(rates)}
    *fixed, asked = covariates
    sentences = []
    for group in groups:
        cells, sides = [], []
        for condition, column in rates.values():
            record = "occlusion" if column == "fooled" else "noise"
            fits = explained(group, condition, ours.records, record, covariates, column)
            effect = list(fits.values())[-1][asked] if fits else None
            sides.append(side(effect) if effect else 0)
            cell = text_of(effect, "log odds")  # bold where the interval leaves out 0
            cells.append(cell if sides[-1] else cell.replace("strong>", "span>"))
        names = " and ".join(map(named, group))
        columns[names] = cells
        sentences.append(f"{names}: raises {sides.count(1)}, lowers {sides.count(-1)} of {len(rates)}")
    caption = (
        f"Log odds of being fooled for one standard deviation of the {asked}, at equal {' and '.join(fixed)}. "
        f"{'; '.join(sentences)}. Not adjusted for the number of regressions."
    )
    return table(pd.DataFrame(columns), name=name, caption=caption)
