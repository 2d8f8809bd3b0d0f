"""What the book writes from records: the first page's answer, the scoreboard, and what paper scale has measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .._support import paths
from .._support.files import write_whole
from ..measure.reference import PAPER_SCALE_PROFILE, load_reference, reference_folder, save_reference
from ..networks import LADDER, REGISTRY
from ..show.inequality import gini_by_epsilon
from ..show.multiverse import called, share_text
from ..show.scoreboard import page
from ..show.style import Shown
from ..show.words import for_and_against
from ..training.floors import floor_of
from ..verdicts.comparison import compare
from ..verdicts.multiverse import Multiverse, explained_variance, multiverse, together, verdict_of
from ..verdicts.published import published_values, table1_cells
from ..verdicts.scoreboard import full_size_frames, ours, reference_frames, write_csv, write_reference_frames
from .pieces import markdown, markdown_table

EVERY_READING = "15_every_reading"
ACCURACY = ("noise_accuracy", "patches_accuracy")  # readings that count the other errors as well
WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("first_page.yaml").read_text("utf-8"))
BEGIN, END = "<!-- headline: written by `inequality reference` -->", "<!-- end of headline -->"


def make_reference(profile: str) -> None:
    """Make the records of ``profile``'s last run the committed reference, and rewrite the first page where it shows them."""
    save_reference(profile)
    write_reference_frames(folder := reference_folder(profile))
    if folder == paths.REFERENCE:
        write_headline()


def write_scoreboard(profile: str) -> None:
    """The scoreboard page, its two CSV files, and the list of pieces of the page on paper scale."""
    frames = ours(profile)
    for frame, name in zip(frames, ("claims", "values"), strict=True):
        write_csv(frame, paths.GENERATED / f"scoreboard_{name}.csv")
    texts = {"scoreboard.md": page(frames, profile, full_size_frames()), "pieces.txt": markdown(PAPER_SCALE_PROFILE)}
    for name, text in texts.items():
        write_whole(paths.GENERATED / name, text)


def write_headline() -> None:
    """Put the reference run's answer and figure into README and welcome page, between their markers."""
    figure = headline_figure()
    assert figure.png
    write_whole(paths.HEADLINE_FIGURE, figure.png)
    *said, rows, rest = answer()
    marked = f"::::{{div}} headline\n{rows}\n::::"  # for the style sheet, which stacks the cells on a phone
    pages = {
        paths.ROOT / "README.md": (rows, "book/static/headline.png"),
        paths.BOOK / "index.md": (marked, "static/headline.png"),
    }
    for file, (shown, picture) in pages.items():
        block = "\n\n".join([*said, shown, rest, f"![{figure.alt}]({picture})", WORDS["caption"]])
        before, _, old = file.read_text("utf-8").partition(BEGIN)
        after = old.partition(END)[2]
        write_whole(file, f"{before}{BEGIN}\n\n{block}\n\n{END}{after}")


@dataclass(frozen=True)
class MainClaim:
    """A row of the first page: what the paper says, which claim and test has our number, and the plan's claims about it."""

    title: str
    paper: str
    claim: str
    test: str
    margin: float = 0.0  # that the test subtracts
    readings: Sequence[str] = ()


def main_claims() -> list[MainClaim]:
    values = published_values().set_index("id").value
    rows = [MainClaim(**row) for row in WORDS["claims"]]
    return [replace(row, paper=re.sub(r"\{(.*?)\}", lambda found: str(values[found[1]]), row.paper)) for row in rows]


def answer() -> list[str]:
    """The sentences and the five rows of the first page, and what stands below them, for README and welcome page."""
    frame, records = reference_frames()[0], load_reference(EVERY_READING)
    rows, readings = [], []
    for claim in main_claims():
        every = [multiverse(name, records) for name in claim.readings] if records else []
        found = [own for own in every if len(own.table)]
        verdict, share = frame[frame.claim == claim.claim].claim_verdict.iloc[0], "—"
        if found:
            readings.append(found)
            (good, count), (bad, _), verdict = together(found), together(found, "against"), verdict_of(*found)
            share = f"{share_text(good)} of {count:,} ({share_text(bad)} against)"
        number = _number(_tested(frame, claim.claim, claim.test), claim.margin)
        rows.append([claim.title, f"**{verdict}**", claim.paper, number, share])
    said = sentences(*readings[:3], accuracy=[multiverse(name, records) for name in ACCURACY]) if records else []
    return [*said, markdown_table(WORDS["columns"], rows), below()]


def below() -> str:
    """Below the table: sentences with the number and verdict of each of their tests, and which networks it is about."""
    frame, found = reference_frames()[0], []
    for sentence in WORDS["below"]:
        found.append(f"- {sentence['words'].format(*(_judged(frame, **own) for own in sentence['tests']))}")
    standard, own = (REGISTRY[name] for name in (LADDER[0], LADDER[-1]))
    robust, floors = own.test_robust["linf 8/255"].rate, (floor_of(standard.name), floor_of(own.name))
    facts = {"own": own, "standard": standard, "robust": robust, "standard_floor": floors[0], "floor": floors[1]}
    return "\n".join([*found, WORDS["networks"].format(**facts).replace("%", " %")])


def sentences(*readings: Sequence[Multiverse], accuracy: Sequence[Multiverse]) -> list[str]:
    """What the readings of the first three claims, and of ``ACCURACY``, say: a lead and a list; nothing without records."""
    if len(readings) < 3:
        return []
    more, less = ([how_often(together(found, side)[0]) for found in readings] for side in ("for", "against"))
    decides = [called(next(iter(explained_variance(found[0])))) for found in readings]
    counts = [[share_text(together([own], side)[0]) for side in ("for", "against")] for own in accuracy]
    facts = {"more": more, "less": less, "decides": decides, "accuracy": counts}
    lead, *said = (sentence.format(**facts) for sentence in WORDS["sentences"])
    return [lead, "\n".join(said)]


def how_often(share: float) -> str:
    """A share of the readings in a word."""
    return next(words for least, words in WORDS["how_often"].items() if share >= least)


def _tested(frame: pd.DataFrame, claim: str, test: str) -> pd.Series:
    return frame[(frame.claim == claim) & (frame.test == test)].iloc[0]


def _judged(frame: pd.DataFrame, claim: str, test: str = "") -> str:
    """A test's number and verdict; without ``test`` between which numbers the claim's tests lie, and its verdict."""
    if test:
        row = _tested(frame, claim, test)
        return f"{_number(row)} (**{row.verdict}**)"
    rows = frame[frame.claim == claim]
    verdict = rows.claim_verdict.iloc[0]
    sides = ", {} for and {} against".format(*for_and_against(rows)) if verdict == "mixed" else ""
    ends, n = f"{rows.value.min():+.1f} to {rows.value.max():+.1f} points", rows.n.min()
    return f"{ends} in {len(rows)} tests (**{verdict}**{sides}), n = {n:.0f} images"


def _number(row: pd.Series, margin: float = 0.0) -> str:
    """One test's difference, its interval and n, without a ``margin`` that the test subtracts."""
    if pd.isna(row.value):
        return "not measured here"
    digits, unit = (1, " points") if row.unit == "points" else (3, "")
    value, low, high = (f"{number + margin:+.{digits}f}" for number in (row.value, row.low, row.high))
    what = f"{row.n / 2:.0f} + {row.n / 2:.0f} networks" if row.n < 10 else f"{row.n:.0f} images"
    return f"{value}{unit} [{low}, {high}], n = {what}"


def headline_figure() -> Shown:
    """Global Gini index by model, paper and reference run, for README and welcome page."""
    cells = table1_cells("global_gini")[:5]
    found = compare(cells, load_reference("01_inequality_test").get("inequality"))
    return gini_by_epsilon(found, name="headline", title="Global Gini index")
