"""Tables of comparisons: paper, ours, difference, verdict, full-size networks in rows of their own; and what they show, in
sentences made from their numbers."""

import html
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from ..measure.run import Run
from ..networks import dataset_of, named
from ..statistics import Estimate
from ..verdicts.claims import Claim, Outcome
from ..verdicts.comparison import BySubset, Compared, Contrasted, by_subset, estimate
from ..verdicts.published import NETWORKS
from ..verdicts.scoreboard import counts, outcome_row
from .style import Shown, boxed, folded, listed, table
from .words import (
    NAMES,
    claim_badge,
    counted,
    decided,
    decided_sign,
    difference_cell,
    in_unit,
    p_value,
    plain,
    points,
    result,
    side,
    stated,
    sums,
    text_of,
    unit_for,
    verdict_badge,
)

ByTitle = Mapping[str, Sequence[Contrasted]]  # title -> what is compared
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
    missing = f"{caption} Not measured here: no network for it is trained yet."
    return table(rows, name=name, caption=caption, missing=missing)


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
    """A row a network, and a condition if there are several: means over images that have a value, two or more.

    ``columns``: column -> (header, unit).
    """
    several = "condition" in records and records.condition.nunique() > 1
    rows = [
        {"": ", ".join([*map(str, conditions), named(str(model))])}
        | {header: text_of(_mean(own[column], resamples), unit) for column, (header, unit) in columns.items()}
        for (*conditions, model), own in records.groupby(["condition"] * several + ["checkpoint"], sort=False)
    ]
    return table(rows, name=name, caption=caption)


def _mean(values: pd.Series, resamples: int) -> Estimate | None:
    return estimate(values.dropna().astype(float), resamples)


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
    paired = "Differences: paired on the common subset, not paired on own images; 95 % intervals, not adjusted."
    caption = f"{what}, by set of images. {paired}"
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
        label = f"<br>{tests.test.iloc[0]}: " if len(tests) == 1 and tests.value.notna().all() else ""
        said = results(tests, claim.untestable)
        sentences.append(f"<strong>{claim.title}</strong>: {claim_badge(tests)} {label}{said}")
    return listed(sentences)


def results(tests: pd.DataFrame, why: str = "") -> str:
    """The tests of a claim: one as it is, several counted above a list that opens; or why none was measured, by the records
    or by the claim itself (``why``)."""
    if tests.value.isna().all():
        reasons = tests.get("reason", pd.Series(dtype=str)).dropna().unique()
        return missing_text("; ".join(filter(None, reasons)) or why)
    if len(tests) == 1:
        return outcome_text(tests.iloc[0])
    items = "".join(f"<li>{html.escape(row.test)}: {outcome_text(row)}</li>" for _, row in tests.iterrows())
    return folded(f"{len(tests)} tests: {counts_text(counts(tests.verdict))}", f"<ul>{items}</ul>")


def counts_text(found: Mapping[Any, int]) -> str:
    """How often each verdict, such as "3 reproduced, 1 undecided"."""
    return ", ".join(f"{count} {verdict}" for verdict, count in found.items() if count)


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
        paper, beside = claim.tests[0].paper if len(claim.tests) == 1 else None, ""
        if paper is not None and tests.value.notna().any():
            ratio = tests.value.iloc[0] / paper / (100 if tests.unit.iloc[0] == "points" else 1)
            beside = f"; the paper: {paper:+.3g} (ours is {ratio:.2f} of it)"
        sentences.append(f"{claim_badge(tests)} {claim.title}{_spread(tests)}{beside}.")
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


def conclusions(groups: ByTitle) -> Shown:
    """For each group: how many comparisons have the expected sign, then every one in a sentence."""
    return listed([line for title, items in groups.items() for line in (*_count(title, items), *map(stated, items))])


def tally(groups: ByTitle) -> Shown:
    """For each group the numbers alone: see ``words.counted``."""
    return listed([line for title, items in groups.items() for line in _count(title, items)])


def controls(items: Sequence[Contrasted], placebos: Collection[str]) -> Shown:
    """The attack's variants counted, and apart from them those whose places the attack would not choose, by their labels."""
    titles = {False: "The attack and its variants", True: "Placebos, places that the attack would not choose"}
    return tally({t: [i for i in items if (i.contrast.label in placebos) is p] for p, t in titles.items()})


def _count(title: str, items: Sequence[Contrasted]) -> list[str]:
    return [f"<strong>{title}:</strong> {counted(items)} (adjusted p below 0.05)."] if items else []


def slope_sentence(fits: Mapping[str, Mapping[str, Estimate]], where: str = "") -> str:
    """What one standard deviation of the Gini index does in the last regression of ``comparison.explained``."""
    said = "Not measured here."
    if fits and (effect := list(fits.values())[-1].get("Gini index")):
        word = {1: "raises", -1: "lowers", 0: "is not shown to change"}[side(effect)]
        said = f"One standard deviation more {word} the log odds: {plain(effect, 'log odds')}, n = {effect.n}."
    return f"<strong>Gini index{where}.</strong> {said}"


def mechanism_findings(
    gap: Contrasted,
    where: Contrasted,
    others: dict[str, Contrasted],
    fits: dict[str, dict[str, Estimate]],
    *,
    robust: str,
    attack: str = "at the primary budget",
) -> Shown:
    """Why the two models differ: because of where the patch is, how large the masks are, or only because of margins.

    ``gap``: images fooled by the ``attack``; ``where``: chosen minus random places, the l_inf model minus the standard
    one. ``others``, all the l_inf model minus the standard one: "random" (fooled at random places), "size" (pixels of the largest
    mask) and "margin" (clean relative margin); and, if the large budget is asked about, "single", "larger", "equal": fooled by
    its largest mask, that mask's pixels, fooled by a mask of equal area. ``fits``: of ``comparison.explained``.
    """
    if gap.difference is None:
        return listed(["The mechanism: not measured here."])
    state = decided(gap, "is fooled more often", "is fooled less often", "is not shown to be fooled more or less often")
    asked, name = {"where": where, **others}, named(robust)
    said = f"{attack.capitalize()} {name} {state} than the standard model: {result(gap)}."
    sentences = [f"<strong>The difference.</strong> {said}"]
    sentences += [_mechanism(asked[key], title) for key, title in NAMES["mechanisms"].items() if key in asked]
    alone, adjusted = [*(fit["model"] for fit in fits.values()), None, None][:2]
    sign = decided_sign(gap)
    reasons = {
        "where the patches are": decided_sign(where) == sign,
        "how large the masks are": decided_sign(others["size"]) == sign,
        # The gap shows alone, the margins differ so as to produce it, and at equal margin the gap is gone.
        "the margins": bool(alone and adjusted)
        and (decided_sign(others["margin"]), side(alone)) == (-sign, sign) != (-sign, side(adjusted)),  # type: ignore[arg-type]
    }
    holding = [reason for reason, holds in reasons.items() if holds]
    verdict = _mechanism_verdict(sign, holding, f"{name} is", attack)
    if sign != 0 == decided_sign(where) and decided_sign(others["random"]) == sign:
        verdict += " The difference is there at random places, too, and the map is not shown to add to it."
    sentences.append(f"<strong>Verdict.</strong> {verdict}")
    if "single" in others and (single := decided_sign(others["single"])):
        accounts = decided_sign(others["larger"]) == single != decided_sign(others["equal"])
        word = "accounts" if accounts else "does not account"
        sentences.append(f"At the large budget the size of the mask {word} for the difference under a single mask.")
    return listed(sentences)


def _mechanism_verdict(sign: int, reasons: list[str], subject: str, attack: str) -> str:
    if sign == 0:
        return "There is no established difference to explain."
    fragile = f"{subject} {'more' if sign > 0 else 'less'} fragile than the standard model {attack}"
    if not reasons:
        return f"{fragile}. Neither where the patches are nor how large they are nor the margins account for it in these data."
    if reasons == ["the margins"]:
        return f"{fragile}, and only its {'smaller' if sign > 0 else 'larger'} margins account for it."
    return f"{fragile}. It goes with {' and '.join(reasons)}."


def _mechanism(item: Contrasted, title: str) -> str:
    name, _, what = title.partition(": ")
    if item.difference is None:
        return f"<strong>{name}.</strong> Not measured here."
    word = decided(item, "larger for the ℓ∞ model", "smaller for the ℓ∞ model", "no difference is shown")
    if item.difference.low == item.difference.high == 0:
        word = "the same for all images"
    return f"<strong>{name}.</strong> {what.capitalize()}, ℓ∞ model minus standard: {result(item)}: {word}."
