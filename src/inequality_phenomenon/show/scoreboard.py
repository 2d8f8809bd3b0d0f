"""The scoreboard page: the verdict on every claim, then on every published value."""

import html
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from .._support import paths
from ..measure.reference import commit, load_run, manifest
from ..verdicts.claims import Claim, Outcome, load_claims
from ..verdicts.published import published_values
from ..verdicts.scoreboard import (
    CHAPTERS,
    MISSING,
    VERDICTS,
    Frames,
    beside,
    chosen,
    claim_verdicts,
    counts,
    measured_claims,
    outcome_row,
)
from . import Shown, both_verdicts, show, table, verdict_badge

COLOURS = {  # of the bars; the words and numbers beside them say the same
    "reproduced": "#0072B2",
    "same direction": "#56B4E9",
    "contradicted": "#D55E00",
    "not reproduced": "#999999",
    "not measured here": "#FFFFFF",
}
TABLES = {"section4.3": "Section 4.3", "appendixA10": "Appendix A.10"} | {
    f"table{i}": f"Table {i}" for i in range(1, 9)
}
METRICS = {
    "global_gini": "global Gini index",
    "regional_gini": "regional Gini index",
    "occlusion_error": "fooled by occlusion",
    "noise_error": "fail under noise",
    "global_gini_of_class": "global Gini index of a class",
    "regional_gini_of_class": "regional Gini index of a class",
}
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "wide_resnet50_2": "WideResNet-50-2",
    "densenet": "DenseNet",
    "not stated": "network not stated",
}


# --- one outcome -----------------------------------------------------------------------------------------------


def outcome_table(reference: list[Outcome], this_run: list[Outcome], *, name: str, caption: str) -> Shown:
    """Tests of the reference run and of this run, with the verdicts; both lists hold the same tests."""
    rows = []
    for committed, live in zip(reference, this_run, strict=True):
        assert committed.test == live.test, "the two lists hold different tests"
        rows.append(
            {
                "": live.test.label,
                "Reference": outcome_text(pd.Series(outcome_row(committed))),
                "This run": outcome_text(pd.Series(outcome_row(live))),
                "Verdict": both_verdicts(
                    verdict_badge(committed.verdict), verdict_badge(live.verdict), committed.found, live.found
                ),
            }
        )
    frame = pd.DataFrame(rows)
    if not any(outcome.found for outcome in reference):
        frame = frame.drop(columns="Reference")
        caption += " There is no reference run of these values yet."
    return table(frame, name=name, caption=caption)


def outcome_text(row: pd.Series) -> str:
    """One test's value, interval, adjusted p and n; or why there is none. ``row``: of ``scoreboard.outcome_row``."""
    if pd.isna(row.get("value")):
        return _missing(row.get("reason", ""))
    if row.unit == "exact":
        return f"<strong>{row.value:.4f}</strong> <small>exact</small>"
    sign, digits = "+", 1 if row.unit == "points" else 3
    value, low, high = (f"{row[name]:{sign}.{digits}f}" for name in ("value", "low", "high"))
    unit = " points" if row.unit == "points" else ""
    means = "" if pd.isna(row.get("second")) else f"<br>{row['first']:.{digits}f}, {row.second:.{digits}f}"
    return f"<strong>{value}{unit}</strong> <small>[{low}, {high}]<br>{_p(row)}n = {row.n:.0f}{means}</small>"


def _missing(reason: str) -> str:
    """The reason; that it was not measured is said by the verdict in the same row."""
    return f"<small class='wrap'>{html.escape(reason)}</small>" if reason else "—"


def _p(row: pd.Series) -> str:
    if pd.isna(row.get("p")):
        return ""
    return "p < 0.001, " if row.p < 0.001 else f"p {'≤' if row.p_is_bound is True else '='} {row.p:.3f}, "


# --- claims ----------------------------------------------------------------------------------------------------


def claims_table(reference: pd.DataFrame, this_run: pd.DataFrame, paper_scale: pd.DataFrame | None = None) -> Shown:
    """One row a claim: the paper's words, our test, the chapter, the verdict, the runs' results."""
    rows = []
    for claim in load_claims():
        own = [frame[frame.claim == claim.id] for frame in (reference, this_run)]
        verdicts = [frame.claim_verdict.iloc[0] if len(frame) else MISSING for frame in own]
        rows.append(
            {
                "The paper's claim": f"{claim.title}{_words_of(claim)}<small>{chapter_link(claim.chapter)}</small>",
                "Verdict": both_verdicts(*map(verdict_badge, verdicts), *(v != MISSING for v in verdicts)),
                **_claim_at_paper_scale(paper_scale, claim),
                "Reference": _results(own[0]),
                "This run": _results(own[1]),
            }
        )
    caption = f"The {len(rows)} claims. Differences of rates are in percentage points; the last line of each result has both means."
    return table(pd.DataFrame(rows), name="claims", caption=caption)


def _claim_at_paper_scale(frame: pd.DataFrame | None, claim: Claim) -> dict[str, str]:
    """The column of the paper-scale run, with its verdict, where there is one."""
    if frame is None:
        return {}
    tests = frame[frame.claim == claim.id]
    return {"Paper scale": _judged(_results(tests), tests.claim_verdict.iloc[0] if len(tests) else MISSING)}


def _judged(result: str, verdict: str) -> str:
    """A result and its verdict in one cell."""
    return result if verdict == MISSING else f"{result} {verdict_badge(verdict)}"


def _words_of(claim: Claim) -> str:
    """Where the paper makes the claim, in which words, and what is tested here: opened by the reader."""
    data = {"both": "CIFAR-10 and ImageNet", "none": "a worked example"}.get(claim.data, claim.data)
    place = "Appendix" if claim.section.startswith("A") else "Section"
    return (
        f"<details><summary>{place} {claim.section}; {data}</summary>The paper: “{html.escape(claim.quote)}”<br>"
        f"We test: {html.escape(claim.form)}</details>"
    )


def _results(tests: pd.DataFrame) -> str:
    """The tests of a claim: one as it is, several counted above a list that opens."""
    measured = tests[tests.value.notna()]
    if not len(measured):
        return _missing("; ".join(dict.fromkeys(tests.reason)) if "reason" in tests else "")
    if len(tests) == 1:
        return outcome_text(tests.iloc[0])
    found = counts(tests.verdict)
    words = ", ".join(f"{count} {word}" for word, count in found.items() if count)
    items = "".join(f"<li>{html.escape(row.test)}: {outcome_text(row)}</li>" for _, row in tests.iterrows())
    return f"<details><summary>{len(tests)} tests: {words}</summary><ul>{items}</ul></details>"


def chapter_link(chapter: str) -> str:
    """A link from the scoreboard to a chapter; one that is not written yet is only named."""
    number, _, words = chapter.partition("_")
    title = f"{number} {words.replace('_', ' ')}"
    if not (paths.NOTEBOOKS / f"{chapter}.py").exists():
        return f"{title} <small>(in preparation)</small>"
    return f"<a href='../_executed/{chapter}.html'>{title}</a>"


# --- published values ------------------------------------------------------------------------------------------


def values_table(reference: pd.DataFrame, this_run: pd.DataFrame, paper_scale: pd.DataFrame | None = None) -> Shown:
    """One row for every published value."""
    large = None if paper_scale is None else paper_scale.set_index("id")
    both = beside(reference, this_run, ["id"])
    both["verdict"] = chosen(both.reference_verdict, both.this_run_verdict)
    both = published_values().merge(both, on="id", how="left", validate="one_to_one")
    rows, classes = [], []
    for _, row in both.iterrows():
        runs = [_of_run(row, run) for run in ("reference", "this_run")]
        rows.append(
            {
                "Where": f"{TABLES[row.table]}<br>no. {row.id.rpartition('.')[2]}",
                "What": f"{_dataset(row)}, {NETWORKS[row.architecture]}, {_training(row)}:<br>{_setting(row)}"
                f"<br>{chapter_link(CHAPTERS[row.table])}",
                "Paper": _published(row),
                "Verdict": both_verdicts(
                    *(verdict_badge(run.verdict) for run in runs), *(not pd.isna(run.value) for run in runs)
                ),
                **(
                    {}
                    if large is None
                    else {"Paper scale": _judged(value_text(large.loc[row.id], row.unit), large.loc[row.id].verdict)}
                ),
                "Reference": value_text(runs[0], row.unit),
                "This run": value_text(runs[1], row.unit),
            }
        )
        classes.append(f"{row.verdict.replace(' ', '-')} {row.dataset}")
    caption = (
        f"All {len(rows)} published values. Differences of rates are in percentage points. p is of McNemar's test or of a "
        "sign-flip test, adjusted by Holm over the table of the chapter."
    )
    return table(pd.DataFrame(rows), name="values", caption=caption, row_classes=classes)


def _of_run(row: pd.Series, run: str) -> pd.Series:
    """One run's part of a row of both."""
    part = row.filter(like=f"{run}_")
    return part.set_axis(part.index.str.removeprefix(f"{run}_"))


def _training(row: pd.Series) -> str:
    if row.training == "standard":
        return "standard"
    return f"ℓ∞ {row.epsilon_255}/255" if row.epsilon_255 != "" else "ℓ∞, ε not stated"


def _dataset(row: pd.Series) -> str:
    return {"cifar10": "CIFAR-10", "imagenet": "ImageNet"}[row.dataset]


def _setting(row: pd.Series) -> str:
    method = "" if row.attribution == "integrated_gradients" else row.attribution.replace("_", " ")
    return ", ".join(part for part in (METRICS[row.metric], method, row.setting) if part)


def _published(row: pd.Series) -> str:
    if not row.value:
        return "—"
    spread = f" <small>± {row.sd}</small>" if row.sd != "" else ""
    return f"{row.value}{' %' if row.unit else ''}{spread}"


def value_text(run: pd.Series, unit: str) -> str:
    """Our value with its interval and n; or why there is none."""
    if pd.isna(run.value):
        return _missing(run.get("reason", ""))
    digits = 1 if unit == "%" else 3
    value, low, high = (f"{run[name]:.{digits}f}" for name in ("value", "low", "high"))
    return (
        f"<strong>{value}{' %' if unit else ''}</strong> <small>[{low}, {high}]<br>n = {run.n:.0f}"
        f"{_difference(run, unit)}</small>"
    )


def _difference(run: pd.Series, unit: str) -> str:
    if pd.isna(run.difference):
        return ""
    digits = 1 if unit == "%" else 3
    value, low, high = (f"{run[name]:+.{digits}f}" for name in ("difference", "difference_low", "difference_high"))
    return f"<br>minus standard:<br>{value} [{low}, {high}]<br>{_p(run)}{run.test}"


# --- counts ----------------------------------------------------------------------------------------------------


def verdict_counts(frames: Frames) -> dict[str, dict[Any, int]]:
    """How many claims about networks and how many published values have each verdict in one run."""
    claims, values = frames
    return {"Claims": counts(claim_verdicts(measured_claims(claims))), "Published values": counts(values.verdict)}


def counts_markdown(frames: Frames) -> str:
    """The verdicts of the reference run, counted, for README and welcome page."""
    rows = [f"| Reference run | {' | '.join(VERDICTS)} | all |", f"|---|{'---|' * (len(VERDICTS) + 1)}"]
    rows += [
        f"| {what} | {' | '.join(str(found[verdict]) for verdict in VERDICTS)} | {sum(found.values())} |"
        for what, found in verdict_counts(frames).items()
    ]
    counted = measured_claims(frames[0]).claim.unique()
    sized = [c for c in load_claims() if c.id in counted and any(getattr(t, "paper", None) for t in c.tests)]
    rows += [
        "",
        f"Only {len(sized)} of the {len(counted)} claims have a size published for CIFAR-10 and can be *reproduced*; the "
        "others can at best be *same direction*.",
    ]
    return "\n".join(rows)


MAIN_CLAIMS = {  # and the claims that say the same of one training each, which the full-size networks have
    "gini-training": ("gini", "regional"),
    "noise-training": ("noise-random", "noise-type-1", "noise-type-2"),
    "occlusion-training": ("occlusion-small",),
    "l2-gini": ("l2-gini",),
    "sparse-gini": ("sparse-gini",),
}


def main_claims_markdown(frames: Frames, paper_scale: Frames | None = None) -> str:
    """The paper's main claims and what the reference run says of each, for README and welcome page."""
    columns = [
        "What the paper claims",
        "Implied sign",
        "Measured difference, 95 % interval, n images (of three trainings: n networks)",
        "Verdict",
    ]
    columns += [] if paper_scale is None else ["On full-size networks, one training each"]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    claims = {claim.id: claim for claim in load_claims()}
    for name, single in MAIN_CLAIMS.items():
        tests = frames[0][frames[0].claim == name]
        sign = "+" if getattr(claims[name].tests[0], "expected", 1) > 0 else "−"
        trainings = any(getattr(test, "trainings", False) for test in claims[name].tests)
        title = claims[name].title + ("" if trainings else ", one training each")
        cells = [title, sign, _plain_outcomes(tests), tests.claim_verdict.iloc[0]]
        if paper_scale is not None:
            large = paper_scale[0][paper_scale[0].claim.isin(single)]
            found = dict.fromkeys(verdict for verdict in large.claim_verdict if verdict != MISSING)
            cells.append(f"{_plain_outcomes(large)}{': ' if found else ''}{', '.join(found)}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _plain_outcomes(tests: pd.DataFrame) -> str:
    """The measured ones of several tests."""
    return "; ".join(_plain_outcome(row) for _, row in tests.iterrows() if pd.notna(row["value"])) or "—"


def _plain_outcome(row: pd.Series) -> str:
    """One test's value and interval without markup."""
    digits, unit = (1, " points") if row.unit == "points" else (3, "")
    return (
        f"{row.test}: {row['value']:+.{digits}f}{unit} [{row.low:+.{digits}f}, {row.high:+.{digits}f}], n = {row.n:.0f}"
    )


def counts_figure(reference: Frames, this_run: Frames, *, name: str) -> Shown:
    """The verdicts of both runs as bars: claims, then published values."""
    bars = {
        f"{what}, {run}": found
        for what in ("Claims", "Published values")
        for run, frames in (("reference run", reference), ("this run", this_run))
        for found in [verdict_counts(frames)[what]]
    }
    figure, axes = plt.subplots(figsize=(8.5, 2.6))
    for place, found in enumerate(bars.values()):
        total, left = sum(found.values()), 0.0
        for verdict in VERDICTS:
            share = 100 * found[verdict] / total
            axes.barh(
                place, share, left=left, color=COLOURS[verdict], edgecolor="#444444", label=None if place else verdict
            )
            if share > 3:
                dark = verdict in ("reproduced", "contradicted")
                axes.text(left + share / 2, place, str(found[verdict]), ha="center", va="center", fontsize=9,
                          color="white" if dark else "black")  # fmt: skip
            left += share
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.set_xlabel("share, %; the numbers are counts")
    axes.grid(False)
    figure.legend(frameon=False, fontsize=9, loc="outside upper center", ncols=len(VERDICTS))
    words = "; ".join(f"{bar}: {_words(found)}" for bar, found in bars.items())
    caption = f"Verdicts of the reference run: claims, {_words(bars['Claims, reference run'])}; published values, {_words(bars['Published values, reference run'])}."
    return show(figure, name=name, caption=caption, alt=f"Stacked bars of verdict counts. {words}.")


def _words(found: dict[Any, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in found.items() if count)


# --- the page --------------------------------------------------------------------------------------------------


def _filter(legend: str, options: Sequence[tuple[str, str]]) -> str:
    """Boxes to tick; the style sheet hides the rows of those that are not."""
    boxes = "".join(
        f"<label><input type='checkbox' value='{value}' checked> {label}</label> " for value, label in options
    )
    return f"<fieldset class='filter'><legend>{legend}</legend>{boxes}</fieldset>"


def _raw(content: str) -> str:
    return f"````{{raw}} html\n{content}\n````"


def provenance(profile: str) -> str:
    """HTML: which records stand behind each column."""
    rows = [("commit", commit()), ("profile of this run", profile)]
    rows += [
        (f"{run}: {chapter}, {name}", f"{facts['rows']} rows, " + ", ".join(_measured_by(facts)))
        for run, folder in (("paper scale", paths.PAPER_SCALE), ("reference", paths.REFERENCE))
        for chapter, tables in manifest(folder).items()
        for name, facts in tables.items()
    ]
    rows += [
        (f"this run: {chapter}, {name}", f"{len(records)} rows")
        for chapter, tables in load_run(profile).items()
        for name, records in tables.items()
    ]
    body = "".join(f"<tr><th scope='row'>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return (
        "<details class='provenance'><summary>Provenance of every number on this page</summary>"
        f"<table>{body}</table></details>"
    )


def _measured_by(facts: dict[str, Any]) -> list[str]:
    """Of a table in a manifest: older ones do not name the device."""
    return [f"{name} {facts[name]}" for name in ("profile", "commit", "device", "torch") if name in facts]


def page(reference: Frames, this_run: Frames, profile: str, paper_scale: Frames | None = None) -> str:
    """The scoreboard as a MyST page, for the folder ``book/_generated``."""
    claims, published = paper_scale or (None, None)
    verdicts = [(verdict.replace(" ", "-"), verdict) for verdict in VERDICTS]
    boxes = _filter("Show the verdicts", verdicts) + _filter(
        "of values on", [("cifar10", "CIFAR-10"), ("imagenet", "ImageNet")]
    )
    values = values_table(reference[1], this_run[1], published).html
    return "\n\n".join(
        [
            "---\nhtml_theme.sidebar_secondary.remove: true\n---",  # the tables need the width
            "# Scoreboard",
            "What became of every claim and of every number that the paper publishes. This page is generated from the "
            f"records of the reference run, of the run on full-size networks ([paper scale](../scale.md)) where there is one, and of "
            f"this run (profile `{profile}`); nothing on it is typed by hand.",
            "A **claim** has one or more tests, each with a sign that the claim implies. It is *same direction* if all its "
            "tests have that sign with a Holm-adjusted p below 0.05, and *reproduced* if their sizes also meet the paper's "
            "on CIFAR-10; *contradicted* if all have the opposite sign; *not reproduced* otherwise, and *not measured here* if a "
            "test lacks its networks or records. The tests of one chapter, or of one table that it announces, are adjusted together: of those whose networks and "
            "records are there, so an adjusted p-value can move when a planned network arrives. The paper's worked example (A.3) has a row "
            "but no place in the counts. A **value** has the verdicts of [the welcome page](../index.md). Most published values are ImageNet's, which this book does not measure; the "
            "claims are therefore tested in their CIFAR-10 form.",
            _raw(counts_figure(reference, this_run, name="verdicts").html),
            "Machine-readable: {download}`the claims <scoreboard_claims.csv>` and "
            "{download}`the published values <scoreboard_values.csv>`, with the reference run and this run side by side.",
            "## Claims",
            _raw(claims_table(reference[0], this_run[0], claims).html),
            "## Published values",
            _raw(f"<div class='scoreboard'>{boxes}{values}</div>"),
            _raw(provenance(profile)),
            "",
        ]
    )
