"""Tables of comparisons: paper, ours, difference, verdict. Full-size networks are rows of their own."""

import html
from collections.abc import Sequence

import pandas as pd

from ..measure.run import Run
from ..networks import dataset_of, named
from ..statistics import Estimate, bootstrap_mean
from ..verdicts.claims import Claim, Outcome
from ..verdicts.comparison import BySubset, Compared, Contrast, Contrasted, by_subset
from ..verdicts.published import NETWORKS, Cell
from ..verdicts.scoreboard import outcome_row
from .style import Shown, boxed, listed, table, title_of
from .words import (
    MISSING,
    by_condition,
    claim_badge,
    decided,
    interval,
    marked_p,
    number,
    p_value,
    percent,
    plain,
    points,
    side,
    text_of,
    verdict_badge,
)

NOT_TRAINED = "Not measured here: no network for it is trained yet."
FULL_SIZE = " <small>(full size)</small>"  # added to the label of a row of networks of the usual width


def models_note(run: Run, ours: Run) -> Shown:
    """Which run the page's numbers are of, which networks this run measured, and which nobody has trained yet."""
    sentences = [source_sentence(run, ours), f"Measured in this run: {', '.join(map(named, run.models))}."]
    if run.untrained:
        missing = ", ".join(named(name) for name in run.untrained)
        sentences.append(f"Planned, but not trained yet: {missing}. What needs it is marked as not measured.")
    sentences.append(ours.data.common_note(ours.n_images, run.device, named))
    return listed(sentences)


def source_sentence(run: Run, ours: Run) -> str:
    """Which run a page's numbers are of."""
    whose = "of this run, with your own parameters or without a reference run"
    if ours is not run:
        whose = (
            f"of the reference run ({ours.n_images} images asked for); the foot of the page compares this run with it"
        )
    return f"The numbers on this page are {whose}."


# --- beside the paper ------------------------------------------------------------------------------------------


def comparison_table(found: Sequence[Compared], *, name: str, caption: str) -> Shown:
    """Published values beside ours: paper, ours, the paired difference from the standard network, the verdict."""
    rows = [_comparison_row(item, "") for item in found]
    rows += [_comparison_row(item.full_size, FULL_SIZE) for item in found if item.full_size and item.full_size.ours]
    return table(rows, name=name, caption=caption, missing=f"{caption} {NOT_TRAINED}")


def _comparison_row(item: Compared, note: str) -> dict[str, str]:
    cell, unit = item.cell, "Gini" if "gini" in item.cell.column else "%"
    published = f"{cell.paper:.2f}" if unit == "Gini" else percent(cell.paper)
    spread = f" <small>± {cell.spread:.2f}</small>" if cell.spread else ""
    return {
        "": cell.label + note,
        "Paper": published + spread + ("" if cell.same_setting else f" <small>{_other_setting(cell)}</small>"),
        "Ours": text_of(item.ours, unit),
        "Minus standard": _difference(item, "Gini" if unit == "Gini" else "points"),
        # A value of another data set or network without a direction has no verdict.
        "Verdict": verdict_badge(item.verdict) if cell.same_setting or cell.baseline else "—",
    }


def _difference(item: Compared, unit: str) -> str:
    if item.difference is None:
        return "—"
    value, _, rest = points(item.difference, unit).partition(" [")
    return f"{value.removesuffix(' Gini')} <small>[{rest}<br>{marked_p(item)}</small>"


def _other_setting(cell: Cell) -> str:
    """Where a published value is from, if not from our data set and network."""
    other_data = dataset_of(cell.checkpoint) != cell.dataset
    return "ImageNet" if other_data else NETWORKS.get(str(cell.network), str(cell.network))


# --- between our own networks ----------------------------------------------------------------------------------


def contrast_table(found: Sequence[Contrasted], *, name: str, caption: str, unit: str = "points") -> Shown:
    """Differences between networks or conditions; verdicts where the paper's claim implies a sign."""
    large = [item.full_size for item in found if item.full_size and item.full_size.terms]
    rows = [_contrast_row(item, unit, note) for items, note in ((found, ""), (large, FULL_SIZE)) for item in items]
    return table(rows, name=name, caption=caption, missing=f"{caption} {NOT_TRAINED}")


def _contrast_row(item: Contrasted, unit: str, note: str) -> dict[str, str]:
    row = {"": item.contrast.label + note, "Ours": contrast_text(item, unit)}
    return row if item.contrast.expected is None else row | {"Verdict": verdict_badge(item.verdict)}


def contrast_text(item: Contrasted, unit: str) -> str:
    """A difference with its interval, p-value, n, and the means behind it."""
    if item.difference is None:
        return MISSING
    value, _, bounds = points(item.difference, unit).partition(" [")
    means = [percent(e.value) if unit == "points" else number(e.value, unit) for e in item.terms]
    n = f"n = {item.difference.n}"
    if item.contrast.trainings:
        n += f" networks, {item.terms[0].n} images"
    return (
        f"<strong>{value}</strong> <small>[{bounds}<br>{marked_p(item)}, {n}<br>{_sums(item.contrast, means)}</small>"
    )


def _sums(contrast: Contrast, means: Sequence[str]) -> str:
    """How the means make the difference, such as "20.0 % − 0.5 × 60.0 %"."""
    if contrast.trainings:
        half = len(means) // 2
        return f"({', '.join(means[:half])}) − ({', '.join(means[half:])})"
    if not contrast.weights:
        return " − ".join(means) if len(means) == 2 else f"({means[0]} − {means[1]}) − ({means[2]} − {means[3]})"
    factors = ["" if abs(weight) == 1 else f"{abs(weight):g} × " for weight in contrast.weights]
    signs = ["" if i == 0 and w > 0 else "− " if w < 0 else "+ " for i, w in enumerate(contrast.weights)]
    return " ".join(f"{sign}{factor}{mean}" for sign, factor, mean in zip(signs, factors, means, strict=True))


def tally_note(items: Sequence[Contrasted], what: str) -> Shown:
    """In how many of many comparisons with the standard network which of the two fails more."""
    return listed(
        [f"{what.capitalize()}: {tally(items) if any(i.difference for i in items) else 'not measured here'}."]
    )


def tally(items: Sequence[Contrasted]) -> str:
    """In how many comparisons with the standard network the other one fails more, or less."""
    words = [decided(item, "more", "less", "open") for item in items if item.difference]
    return (
        f"of {len(words)} comparisons with the standard model, the ℓ∞ model fails more in {words.count('more')}, less in "
        f"{words.count('less')}, undecided are {words.count('open')} (Holm-adjusted over all of them)"
    )


def regression_table(fits: dict[str, dict[str, Estimate]], *, name: str, caption: str) -> Shown:
    """Log odds ratios of the nested regressions of ``comparison.explained``; the intercepts are left out."""
    rows = [
        {"Regression on": specification, "Predictor": predictor, "Ours": text_of(effect, "log odds")}
        for specification, effects in fits.items()
        for predictor, effect in effects.items()
        if predictor != "(intercept)"
    ]
    return table(rows, name=name, caption=caption, missing="The regression: not measured here.")


def ratios_note(ratios: dict[str, Estimate]) -> Shown:
    """Differences of differences as ratios of ratios: above 1, choosing the places multiplies the l_inf network's rate more."""
    sentences = [
        f"{label}: the ratio of the two ratios is {plain(e, 'ratio')}, n = {e.n}." for label, e in ratios.items()
    ]
    return listed(sentences or ["Ratios of ratios: not measured here."])


def area_note(records: pd.DataFrame, *, resamples: int, total: int = 1024) -> Shown:
    """How much of the image the largest mask of each budget hides, measured."""
    sentences = []
    for condition, checkpoint, rows in by_condition(records):
        found = bootstrap_mean(rows.area.to_numpy(float), resamples=resamples)
        sentences.append(
            f"{condition}, map of {title_of(checkpoint)}: the largest mask hides {number(found.value, 'pixels')} of {total} "
            f"pixels on average {interval(found, 'pixels')}, {100 * found.value / total:.0f} % of the image, at most "
            f"{rows.area.max()} (n = {found.n})."
        )
    return listed(sentences)


# --- the common subset and each network's own images -----------------------------------------------------------


def subsets(
    run: Run,
    models: Sequence[str],
    places: dict[str, tuple[str, str]],
    common: pd.DataFrame | None,
    *,
    name: str,
    what: str,
    unit: str = "points",
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
    rows = [_subset_row(row, unit) for row in found]
    return table(rows, name=name, caption=caption) + listed([_subsets_sentence(found, unit)])


def _subset_row(row: BySubset, unit: str) -> dict[str, str]:
    cells = {"": row.label}
    for header, mean, gap in zip(("Common subset", "Own images"), row.means, row.differences, strict=True):
        minus = "" if gap is None else f"<br><small>minus standard: {points(gap, unit)}</small>"
        cells[header] = text_of(mean, "%" if unit == "points" else unit) + minus
    return cells


def _subsets_sentence(rows: Sequence[BySubset], unit: str) -> str:
    """For which differences from the standard network the two subsets' intervals do not lie on the same side of 0."""
    both = [(row.label, *row.differences) for row in rows]
    known = [(label, common, own) for label, common, own in both if common is not None and own is not None]
    apart = [
        f"{label}: {points(common, unit)} on the common subset, {points(own, unit)} on own images"
        for label, common, own in known
        if side(common) != side(own)
    ]
    lead = f"Of {len(known)} differences from the standard model, the two subsets disagree in {len(apart)}"
    return f"<strong>{lead} (above 0, below 0, or not told from 0).</strong> {'; '.join(apart)}{'.' if apart else ''}"


# --- claims ----------------------------------------------------------------------------------------------------


def claims_note(claims: Sequence[Claim], frame: pd.DataFrame) -> Shown:
    """Each claim with its verdict, then every test. ``frame``: of ``verdicts.scoreboard.claims_frame``."""
    sentences = []
    for claim in claims:
        tests = frame[frame.claim == claim.id]
        verdict = tests.claim_verdict.iloc[0] if len(tests) else "not measured here"
        results = [f"{row.test}: {outcome_text(row)}" for _, row in tests.iterrows() if row.test]
        reason = "; ".join(dict.fromkeys(filter(None, tests.get("reason", [])))) or claim.untestable
        detail = (
            f"<small>{reason}</small>" if verdict == "not measured here" and reason else f"<br>{'; '.join(results)}"
        )
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
    """A box with the verdict on each claim, for the top of a page. ``frame``: as for ``claims_note``."""
    return boxed([f"{claim_badge(frame[frame.claim == c.id])} {c.title}" for c in claims])


def outcome_text(row: pd.Series) -> str:
    """One test's value, interval, adjusted p, n and means; or why there is none. ``row``: of ``claims_frame``."""
    if pd.isna(row.get("value")):
        return missing_text(row.get("reason", ""))
    if row.unit == "exact":
        return f"<strong>{row.value:.4f}</strong> <small>exact</small>"
    digits, unit = (1, " points") if row.unit == "points" else (3, "")
    value, low, high = (f"{row[name]:+.{digits}f}" for name in ("value", "low", "high"))
    means = "" if pd.isna(row.get("second")) else f"<br>{row['first']:.{digits}f}, {row.second:.{digits}f}"
    p = "" if pd.isna(row.get("p")) else f"{p_value(row.p, row.p_is_bound is True)}, "
    return f"<strong>{value}{unit}</strong> <small>[{low}, {high}]<br>{p}n = {row.n:.0f}{means}</small>"


def missing_text(reason: str) -> str:
    """The reason for a missing value; that it was not measured is said by the verdict in the same row."""
    return f"<small class='wrap'>{html.escape(reason)}</small>" if reason else "—"
