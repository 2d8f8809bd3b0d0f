"""The scoreboard page: the verdict on every claim, then on every published value."""

import html
from collections.abc import Sequence
from string import Template
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from .._support import paths
from ..measure.reference import commit, manifest
from ..verdicts.claims import load_claims
from ..verdicts.published import NETWORKS as PAPER_NETWORKS
from ..verdicts.published import published_values
from ..verdicts.scoreboard import CHAPTERS, MISSING, VERDICTS, Frames, claim_verdicts, counts, measured_claims
from .foot import PROVENANCE
from .style import Shown, drawn, table, unfolded
from .tables import FULL_SIZE, counts_text, figures, missing_text, results
from .words import NAMES, claim_badge, p_value, verdict_badge

NETWORKS = PAPER_NETWORKS | {"not stated": "network not stated"}


def claims_table(frame: pd.DataFrame, full_size: pd.DataFrame | None = None) -> Shown:
    """A row for each claim: the paper's words, our test, the chapter, the verdict, the result; and one for full size."""
    rows = []
    for claim in load_claims():
        # where the paper makes the claim, in which words, and what is tested here: opened by the reader
        data = NAMES["claimed_on"].get(claim.data, claim.data)
        place = "Appendix " if claim.section.startswith("A.") else "Section " if claim.section[0].isdigit() else ""
        title = (
            f"{claim.title}<details><summary>{place}{claim.section}; {data}</summary>The paper: “{html.escape(claim.quote)}”<br>"
            f"We test: {html.escape(claim.form)}</details><small>{chapter_link(claim.chapter)}</small>"
        )
        found = {title: frame}
        if full_size is not None and claim.data != "none":
            found[claim.title + FULL_SIZE] = full_size
        for words, every in found.items():
            tests = every[every.claim == claim.id]
            if every is frame or tests.claim_verdict.ne(MISSING).any():
                ours = results(tests, claim.untestable)
                rows.append({"The paper's claim": words, "Verdict": claim_badge(tests), "Ours": ours})
    units = "Differences of rates are in percentage points; the last line of each result has both means."
    return table(rows, name="claims", caption=f"The {len(load_claims())} claims. {units}", folds=False)


def chapter_link(chapter: str) -> str:
    """A link from the scoreboard to a chapter; one that is not written yet is only named."""
    number, _, words = chapter.partition("_")
    title = f"{number} {words.replace('_', ' ')}"
    if not (paths.NOTEBOOKS / f"{chapter}.py").exists():
        return f"{title} <small>(in preparation)</small>"
    return f"<a href='../_executed/{chapter}.html'>{title}</a>"


def values_table(values: pd.DataFrame, full_size: pd.DataFrame | None = None) -> Shown:
    """A row for each published value, and one below it where the full-size network was measured."""
    published = published_values()
    large = None if full_size is None else published.merge(full_size, on="id").set_index("id", drop=False)
    rows, classes = [], []
    for _, row in published.merge(values, on="id", how="left", validate="one_to_one").iterrows():
        rows.append(_value_row(row))
        classes.append(f"{row.verdict.replace(' ', '-')} {row.dataset}")
        if large is not None and not pd.isna(large.loc[row.id].value_y):
            rows.append(_value_row(large.loc[row.id], FULL_SIZE))
            classes.append(f"{large.loc[row.id].verdict.replace(' ', '-')} {row.dataset} full-size")
    units = "Differences of rates are in percentage points; p is adjusted by Holm over the table of the chapter."
    caption = f"All {len(published)} published values. {units}"
    return table(rows, name="values", caption=caption, row_classes=classes)


def _value_row(row: pd.Series, note: str = "") -> dict[str, str]:
    """``row``: a published value (``value_x``) joined with ours (``value_y``)."""
    ours, minus = missing_text(row.get("reason", "")), "—"
    if pd.notna(row.value_y):
        value = figures(row, "value_y", sign="") + (" %" if row.unit else "")
        ours = f"<strong>{value}</strong> <small>[{figures(row, 'low', 'high', sign='')}]<br>n = {row['n']:.0f}</small>"
    if pd.notna(row.difference):
        bounds, p = figures(row, "difference_low", "difference_high"), p_value(row.p, row.p_is_bound is True)
        minus = f"{figures(row, 'difference')} <small>[{bounds}]<br>{p}, {row.test}</small>"
    training = f"ℓ∞ {row.epsilon_255}/255" if row.epsilon_255 != "" else "ℓ∞, ε not stated"
    network = f"{NAMES['datasets'][row.dataset]}, {NETWORKS[row.architecture]}"
    method = "" if row.attribution == "integrated_gradients" else row.attribution.replace("_", " ")
    setting = ", ".join(filter(None, (NAMES["metrics"][row.metric], method, row.setting)))
    what = f"{network}, {'standard' if row.training == 'standard' else training}:<br>{setting}"
    spread = f" <small>± {row.sd}</small>" if row.sd != "" else ""
    return {
        "Where": f"{NAMES['tables'][row.table]}<br>no. {row.id.rpartition('.')[2]}{note}",
        "What": f"{what}<br>{chapter_link(CHAPTERS[row.table])}",
        "Paper": f"{row.value_x}{' %' if row.unit else ''}{spread}" if row.value_x else "—",
        "Ours": ours,
        "Minus standard": minus,
        "Verdict": verdict_badge(row.verdict),
    }


def verdict_counts(frames: Frames) -> dict[str, dict[Any, int]]:
    """How many claims about networks and how many published values have each verdict in one run."""
    claims, values = frames
    return {"Claims": counts(claim_verdicts(measured_claims(claims))), "Published values": counts(values.verdict)}


def counts_figure(frames: Frames, *, name: str) -> Shown:
    """The verdicts as bars: claims, then published values."""
    bars = verdict_counts(frames)
    figure, axes = plt.subplots(figsize=(8.5, 1.8))
    found = pd.DataFrame(bars)
    shares = 100 * found / found.sum()
    style: dict[str, Any] = {"color": NAMES["verdict_colours"], "edgecolor": "#444444", "legend": False, "width": 0.8}
    shares.T.plot.barh(stacked=True, ax=axes, **style)
    for verdict, bar in zip(found.index, axes.containers, strict=True):
        ink = "white" if verdict in ("reproduced", "contradicted") else "black"
        counted = found.loc[verdict].astype(str).where(shares.loc[verdict] > 3, "")
        axes.bar_label(bar, list(counted), label_type="center", color=ink, fontsize=9)  # type: ignore[arg-type]
    axes.invert_yaxis()
    axes.set_xlabel("share, %; the numbers are counts")
    axes.grid(False)
    figure.legend(loc="outside upper center", ncols=len(VERDICTS))
    words = "; ".join(f"{title}: {counts_text(own)}" for title, own in bars.items())
    return drawn(figure, name=name, caption=f"Verdicts. {words}.", alt=f"Stacked bars of verdict counts. {words}.")


def _filter(legend: str, options: Sequence[tuple[str, str]]) -> str:
    """Boxes to tick; the style sheet hides the rows of those that are not."""
    boxes = "".join(f"<label><input type='checkbox' value='{v}' checked> {label}</label> " for v, label in options)
    return f"<fieldset class='filter'><legend>{legend}</legend>{boxes}</fieldset>"


def provenance(profile: str) -> str:
    """HTML: which records stand behind the page."""
    rows = [("commit", commit()), ("profile of this run", profile)]
    known = ("profile", "commit", "device", "torch")  # older manifests do not name the device
    for run, folder in (("full size", paths.PAPER_SCALE), ("reference", paths.REFERENCE)):
        for chapter, tables in manifest(folder).items():
            for name, facts in tables.items():
                how = ", ".join([f"{facts['rows']} rows", *(f"{key} {facts[key]}" for key in known if key in facts)])
                rows.append((f"{run}: {chapter}, {name}", how))
    return unfolded(PROVENANCE, [(html.escape(a), html.escape(b)) for a, b in rows], "class='provenance'")


def page(frames: Frames, profile: str, full_size: Frames | None = None) -> str:
    """The scoreboard as a MyST page, for the folder ``book/_generated``; its words stand in ``book/static/scoreboard.md``."""
    claims, published = full_size or (None, None)
    verdicts = [(verdict.replace(" ", "-"), verdict) for verdict in VERDICTS]
    boxes = _filter("Show the verdicts", verdicts) + _filter("of values on", list(NAMES["datasets"].items()))
    parts = {
        "counts": counts_figure(frames, name="verdicts").html,
        "claims": claims_table(frames[0], claims).html,
        "values": f"<div class='scoreboard'>{boxes}{values_table(frames[1], published).html}</div>",
        "provenance": provenance(profile),
    }
    words = (paths.BOOK / "static" / "scoreboard.md").read_text("utf-8")
    return Template(words).substitute({name: f"````{{raw}} html\n{content}\n````" for name, content in parts.items()})
