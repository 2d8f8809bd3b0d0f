"""Tables of comparisons: paper, ours, difference, verdict. Full-size networks are rows of their own."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..measure.run import Run
from ..networks import dataset_of, named
from ..statistics import Estimate
from ..verdicts.claims import Claim, Outcome
from ..verdicts.comparison import BySubset, Compared, Contrasted, by_subset
from ..verdicts.published import NETWORKS
from ..verdicts.scoreboard import outcome_row
from .style import Shown, boxed, folded, listed, table
from .words import (
    claim_badge,
    difference_cell,
    in_unit,
    mean,
    p_value,
    plain,
    points,
    side,
    sums,
    text_of,
    unit_for,
    verdict_badge,
)

NOT_TRAINED = "Not measured here: no network for it is trained yet."
SOME = 2  # tests of a claim; more are opened by the reader
# Added to the label of a row of networks of the usual width.
FULL_SIZE = " <small>(full size: one training, too short)</small>"


def models_note(run: Run, ours: Run, images: str = "") -> Shown:
    """Which run the page's numbers are of, which networks this run measured, and which nobody has trained yet; and the
    ``images``, if they are not the common subset."""
    of = f"of the reference run ({ours.n_images} images asked for); the foot of the page compares this run with it."
    own = "of this run, with your own parameters or without a reference run."
    measured = f"Measured in this run: {', '.join(map(named, run.models))}."
    sentences = [f"The numbers on this page are {own if ours is run else of}"]
    sentences.append(measured if run.records else "Nothing was measured in this run: the images are not here.")
    if run.untrained:
        missing = ", ".join(map(named, run.untrained))
        sentences.append(f"Planned, but not trained yet: {missing}. What needs it is marked as not measured.")
    return listed([*sentences, images or ours.data.common_note(ours.n_images, run.device, named)])


def comparison_table(found: Sequence[Compared], *, name: str, caption: str) -> Shown:
    """Published values beside ours: paper, ours, the paired difference from the standard network, the verdict."""
    return _with_full_size(found, _comparison_row, name, caption)


def contrast_table(found: Sequence[Contrasted], *, name: str, caption: str) -> Shown:
    """Differences between networks or conditions; verdicts where the paper's claim implies a sign."""

    def row(item: Contrasted) -> dict[str, str]:
        verdict = {} if item.contrast.expected is None else {"Verdict": verdict_badge(item.verdict)}
        return {"Ours": contrast_cell(item)} | verdict

    return _with_full_size(found, row, name, caption)


def _with_full_size(found: Sequence[Any], row: Callable[[Any], dict[str, str]], name: str, caption: str) -> Shown:
    large = [item.full_size for item in found if item.full_size and item.full_size.terms]
    rows = [
        {"": item.contrast.label + note} | row(item)
        for items, note in ((found, ""), (large, FULL_SIZE))
        for item in items
    ]
    return table(rows, name=name, caption=caption, missing=f"{caption} {NOT_TRAINED}")


def _comparison_row(item: Compared) -> dict[str, str]:
    cell, unit = item.cell, unit_for(item.contrast)
    published = f"{cell.paper:.2f}" if unit == "Gini" else in_unit(cell.paper, unit)
    spread = f" <small>± {cell.spread:.2f}</small>" if cell.spread else ""
    imagenet = dataset_of(cell.checkpoint) != cell.dataset  # else a value of another network
    other = "ImageNet" if imagenet else NETWORKS.get(str(cell.network), str(cell.network))
    return {
        "Paper": published + spread + ("" if cell.same_setting else f" <small>{other}</small>"),
        "Ours": text_of(item.ours, "Gini" if unit == "Gini" else "%"),
        "Minus standard": difference_cell(item) if item.difference else "—",
        # A value of another data set or network without a direction has no verdict.
        "Verdict": verdict_badge(item.verdict) if cell.same_setting or cell.baseline else "—",
    }


def contrast_cell(item: Contrasted) -> str:
    """A difference with its interval, p-value, n, and the means behind it."""
    return difference_cell(item) + (f"<br><small>{sums(item)}</small>" if item.difference else "")


def means_table(
    records: pd.DataFrame, columns: Mapping[str, tuple[str, str]], *, name: str, caption: str, resamples: int = 9999
) -> Shown:
    """A row a network, and a condition if there are several: means over images. ``columns``: column -> (header, unit)."""
    several = "condition" in records and records.condition.nunique() > 1
    rows = [
        {"": ", ".join([*map(str, conditions), named(str(model))])}
        | {header: text_of(mean(own, column, resamples), unit) for column, (header, unit) in columns.items()}
        for (*conditions, model), own in records.groupby(["condition"] * several + ["checkpoint"], sort=False)
    ]
    return table(rows, name=name, caption=caption)


def regression_table(fits: dict[str, dict[str, Estimate]], *, name: str, caption: str) -> Shown:
    """Log odds ratios of the nested regressions of ``comparison.explained``, without the intercepts."""
    rows = [
        {"Regression on": specification, "Predictor": predictor, "Ours": text_of(effect, "log odds")}
        for specification, effects in fits.items()
        for predictor, effect in effects.items()
        if predictor != "(intercept)"
    ]
    caption += " A row of the data is a network on an image."
    return table(rows, name=name, caption=caption, missing="The regression: not measured here.")


def ratios_note(ratios: dict[str, Estimate]) -> Shown:
    """Differences of differences as ratios of ratios: above 1, choosing the places multiplies the l_inf network's rate more."""
    said = [f"{label}: the ratio of the two ratios is {plain(e, 'ratio')}, n = {e.n}." for label, e in ratios.items()]
    return listed(said or ["Ratios of ratios: not measured here."])


def subsets(
    run: Run,
    models: Sequence[str],
    places: dict[str, tuple[str, str]],
    common: pd.DataFrame | None,
    *,
    name: str,
    what: str,
) -> Shown:
    """Each network's mean on the common subset beside that on the images which it alone gets right, and what differs.

    ``models``: the standard one first; ``places``: label -> (condition, column); ``common``: the common subset's records.
    The run's record "own_images" has the others.
    """
    own = run.records.get("own_images")
    if own is None or common is None:
        return listed([f"{what} on each model's own images: not measured here."])
    found = by_subset(models[0], models[1:], places, common, own, resamples=run.profile.bootstrap)
    caption = (
        f"{what} on the common subset and on images that each model alone classifies correctly. Differences: paired on the "
        "common subset, not paired on own images; 95 % intervals without adjustment."
    )
    rows = []
    for row in found:
        cells, unit = {"": row.contrast.label}, unit_for(row.contrast)
        for header, own_mean, gap in zip(("Common subset", "Own images"), row.means, row.differences, strict=True):
            minus = "" if gap is None else f"<br><small>minus standard: {points(gap, unit)}</small>"
            cells[header] = text_of(own_mean, "%" if unit == "points" else unit) + minus
        rows.append(cells)
    return table(rows, name=name, caption=caption) + listed([_subsets_sentence(found)])


def _subsets_sentence(rows: Sequence[BySubset]) -> str:
    """For which differences from the standard network the two subsets' intervals do not lie on the same side of 0."""
    known = [(row.contrast, gaps) for row in rows if len(gaps := [gap for gap in row.differences if gap]) == 2]
    apart = [
        "{}: {} on the common subset, {} on own images".format(c.label, *(points(gap, unit_for(c)) for gap in gaps))
        for c, gaps in known
        if side(gaps[0]) != side(gaps[1])
    ]
    lead = f"Of {len(known)} differences from the standard model, the two subsets disagree in {len(apart)}"
    return f"<strong>{lead} (above 0, below 0, or not told from 0).</strong> {'; '.join(apart)}{'.' if apart else ''}"


def claims_note(claims: Sequence[Claim], frame: pd.DataFrame) -> Shown:
    """Each claim with its verdict, then every test. ``frame``: of ``verdicts.scoreboard.claims_frame``."""
    sentences = []
    for claim in claims:
        tests = frame[frame.claim == claim.id]
        verdict = tests.claim_verdict.iloc[0] if len(tests) else "not measured here"
        results = [f"{row.test}: {outcome_text(row)}" for _, row in tests.iterrows() if row.test]
        reason = "; ".join(dict.fromkeys(filter(None, tests.get("reason", [])))) or claim.untestable
        detail = f"<br>{'; '.join(results)}"
        if verdict == "not measured here" and reason:
            detail = f"<small>{reason}</small>"
        elif len(results) > SOME:
            detail = folded(f"{len(results)} tests", "; ".join(results))
        sentences.append(f"<strong>{claim.title}</strong>: {claim_badge(tests)} {detail}")
    return listed(sentences)


def outcome_table(outcomes: Sequence[Outcome], full_size: Sequence[Outcome] = (), *, name: str, caption: str) -> Shown:
    """Tests that stand in a chapter and in no claim; ``full_size``: the same by records of full-size networks."""
    rows = [
        {
            "": outcome.test.label + note,
            "Ours": outcome_text(pd.Series(outcome_row(outcome))),
            "Verdict": verdict_badge(outcome.verdict),
        }
        for group, note in ((outcomes, ""), ([o for o in full_size if o.found], FULL_SIZE))
        for outcome in group
    ]
    return table(rows, name=name, caption=caption)


def in_short(claims: Sequence[Claim], frame: pd.DataFrame) -> Shown:
    """A box with the verdict on each claim and its numbers, for the top of a page. ``frame``: as for ``claims_note``."""
    sentences = []
    for claim in claims:
        tests = frame[frame.claim == claim.id]
        sentences.append(f"{claim_badge(tests)} {claim.title}{_spread(tests)}{_beside_paper(claim, tests)}.")
    return boxed(sentences)


def _spread(tests: pd.DataFrame) -> str:
    """One test's value with its interval, or where those of several lie; nothing where none was measured."""
    known = tests[tests.value.notna() & (tests.unit != "exact")] if len(tests) else tests
    if known.empty or known.unit.nunique() > 1:
        return ""
    row, unit = known.iloc[0], " points" if known.unit.iloc[0] == "points" else ""
    if len(known) == 1:
        p = f", {p_value(row.p, row.p_is_bound is True)}" if row.verdict == "undecided" and pd.notna(row.p) else ""
        return f" ({row.test}): {figures(row, 'value')}{unit} [{figures(row, 'low', 'high')}]{p}, n = {row.n:.0f}"
    ends = pd.Series({"least": known.value.min(), "most": known.value.max(), "unit": row.unit})
    return f": {figures(ends, 'least')} to {figures(ends, 'most')}{unit} in {len(known)} tests"


def _beside_paper(claim: Claim, tests: pd.DataFrame) -> str:
    """The paper's size of a claim with one test, and how much of it ours is."""
    paper = claim.tests[0].paper if len(claim.tests) == 1 else None
    if paper is None or tests.empty or pd.isna(tests.iloc[0].value):
        return ""
    ratio = tests.iloc[0].value / paper / (100 if tests.iloc[0].unit == "points" else 1)
    return f"; the paper: {paper:+.3g} (ours is {ratio:.2f} of it)"


def outcome_text(row: pd.Series) -> str:
    """One test's value, interval, adjusted p, n and means; or why there is none. ``row``: of ``claims_frame``."""
    if pd.isna(row.get("value")):
        return missing_text(row.get("reason", ""))
    if row.unit == "exact":
        return f"<strong>{row.value:.4f}</strong> <small>exact</small>"
    means = "" if pd.isna(row.get("second")) else f"<br>{figures(row, 'first', 'second', sign='')}"
    p = "" if pd.isna(row.get("p")) else f"{p_value(row.p, row.p_is_bound is True)}, "
    value = figures(row, "value") + (" points" if row.unit == "points" else "")
    return f"<strong>{value}</strong> <small>[{figures(row, 'low', 'high')}]<br>{p}n = {row.n:.0f}{means}</small>"


def figures(row: pd.Series, *names: str, sign: str = "+") -> str:
    """Numbers of a row of ``claims_frame`` or ``values_frame``: rates, in per cent or points, with one digit."""
    digits = 1 if row.unit in ("points", "%") else 3
    return ", ".join(f"{row[name]:{sign}.{digits}f}" for name in names)


def missing_text(reason: str) -> str:
    """The reason for a missing value; that it was not measured is said by the verdict in the same row."""
    return f"<small class='wrap'>{html.escape(reason)}</small>" if reason else "—"
