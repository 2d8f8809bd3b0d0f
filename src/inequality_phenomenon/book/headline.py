"""What the book writes from records: the first page's answer, the scoreboard, and what paper scale has measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .._support import paths
from .._support.files import atomic_path
from ..measure.reference import PAPER_SCALE_PROFILE, load_reference, reference_folder, save_reference
from ..networks import LADDER, REGISTRY
from ..show.inequality import gini_by_epsilon
from ..show.multiverse import called, share_text
from ..show.scoreboard import page
from ..show.style import Shown
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
        with atomic_path(paths.GENERATED / name) as temporary:
            temporary.write_text(text, "utf-8")


def write_headline() -> None:
    """Put the reference run's answer and figure into README and welcome page, between their markers."""
    figure = headline_figure()
    assert figure.png
    with atomic_path(paths.HEADLINE_FIGURE) as temporary:
        temporary.write_bytes(figure.png)
    pages = {paths.ROOT / "README.md": "book/static/headline.png", paths.BOOK / "index.md": "static/headline.png"}
    for file, picture in pages.items():
        block = "\n\n".join([*answer(), f"![{figure.alt}]({picture})", WORDS["caption"]])
        before, _, rest = file.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        with atomic_path(file) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")


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
    """The paper's main claims, with its own values."""
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
    """The sentences below the table, with the number and verdict of each of their tests."""
    frame, found = reference_frames()[0], []
    for sentence in WORDS["below"]:
        tests = [_tested(frame, **own) for own in sentence["tests"]]
        said = [f"{_number(row)} (**{row.verdict}**)" for row in tests]
        found.append(f"- {sentence['words'].format(*said)}")
    return "\n".join([*found, networks()])


def networks() -> str:
    """Which networks the table is about: width, attack, epochs, accuracies and floors."""
    standard, own = (REGISTRY[name] for name in (LADDER[0], LADDER[-1]))
    robust, floors = own.test_robust["linf 8/255"].rate, (floor_of(standard.name), floor_of(own.name))
    words = WORDS["networks"].format(
        own=own, standard=standard, robust=robust, standard_floor=floors[0], floor=floors[1]
    )
    return str(words).replace("%", " %")


def sentences(*readings: Sequence[Multiverse], accuracy: Sequence[Multiverse]) -> list[str]:
    """What the readings of the first three claims say: a lead, and a list of them; nothing without records of them.

    ``accuracy``: the readings of ``ACCURACY``.
    """
    if len(readings) < 3:
        return []
    more, less = ([how_often(together(found, side)[0]) for found in readings] for side in ("for", "against"))
    decides = [called(next(iter(explained_variance(found[0])))) for found in readings]
    facts = {
        "more": more,
        "less": less,
        "decides": decides,
        "accuracy": [how_often(together([own])[0]) for own in accuracy],
    }
    lead, *said = (sentence.format(**facts) for sentence in WORDS["sentences"])
    return [lead, "\n".join(said)]


def how_often(share: float) -> str:
    """A share of the readings in a word."""
    return next(words for least, words in WORDS["how_often"].items() if share >= least)


def _tested(frame: pd.DataFrame, claim: str, test: str) -> pd.Series:
    return frame[(frame.claim == claim) & (frame.test == test)].iloc[0]


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
