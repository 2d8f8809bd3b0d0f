"""What the book writes from records: the first page's answer, the scoreboard, and what paper scale has measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from .._support import paths
from .._support.files import atomic_path
from ..measure.reference import PAPER_SCALE_PROFILE, load_reference, reference_folder, save_reference
from ..show.inequality import gini_by_epsilon
from ..show.multiverse import called, share_text
from ..show.scoreboard import page
from ..show.style import Shown
from ..verdicts.comparison import compare
from ..verdicts.multiverse import Multiverse, explained_variance, multiverse, together, verdict_of
from ..verdicts.published import published_values, table1_cells
from ..verdicts.scoreboard import full_size_frames, ours, reference_frames, write_csv, write_reference_frames
from .pieces import markdown, markdown_table

EVERY_READING = "15_every_reading"
CAPTION = (
    "*One reading: the Gini index (0: all pixels count the same; near 1: one has everything) by training, the paper's and "
    "ours: single networks, where the table averages three.*"
)
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
        block = "\n\n".join([*answer(), f"![{figure.alt}]({picture})", CAPTION])
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
    readings: tuple[str, ...] = ()


def main_claims() -> list[MainClaim]:
    """The paper's main claims, with its own values."""

    def value(row: str) -> str:
        return str(published_values().set_index("id").value[row])

    gini = f"{value('table1.001')} → {value('table1.005')} (ResNet-18, 8/255)"
    noise = f"{value('section4.3.130')} → {value('section4.3.132')} % fooled (ImageNet)"
    patches = f"{value('appendixA10.150')} → {value('appendixA10.153')} % fooled (black)"
    same = "as in the standard network"
    return [
        MainClaim("A few pixels dominate: a higher Gini index", gini, "gini-training", "global Gini", ("index",)),
        MainClaim("Noise on these pixels fools it more", noise, "noise-training", "type I", ("noise",)),
        MainClaim(
            "Small patches on them fool it more", patches, "occlusion-training", "black", ("black", "gray", "white")
        ),
        MainClaim("ℓ2 training does not raise the index", same, "l2-gini", "global, ℓ2 − standard − 0.03", ("l2",)),
        MainClaim("Sparse networks do not either", same, "sparse-gini", "pruned weights − standard − 0.03"),
    ]


def answer() -> list[str]:
    """The sentences and the five rows of the first page, for README and welcome page."""
    frame, records = reference_frames()[0], load_reference(EVERY_READING)
    rows, readings = [], []
    for claim in main_claims():
        every = [multiverse(name, records) for name in claim.readings] if records else []
        found = [own for own in every if len(own.table)]
        verdict = frame[frame.claim == claim.claim].claim_verdict.iloc[0]
        if found:
            readings.append(found)
            verdict = verdict_of(*found)
        rows.append([claim.title, claim.paper, _number(frame, claim), share_of(found), f"**{verdict}**"])
    columns = [
        "Claim (ℓ∞ training, unless said)",
        "The paper",
        "Here, one reading: minus standard [95 % interval]",
        "Readings for it",
        "Verdict",
    ]
    said = sentences(*readings[:3], accuracy=multiverse("patches_accuracy", records)) if records else []
    return [*said, markdown_table(columns, rows)]


def share_of(found: Sequence[Multiverse]) -> str:
    """In which share of the readings, such as "62 % of 4,320 (8 % against)"."""
    if not found:
        return "—"
    share, count = together(found)
    return f"{share_text(share)} of {count:,} ({share_text(together(found, 'against')[0])} against)"


def sentences(*readings: Sequence[Multiverse], accuracy: Multiverse) -> list[str]:
    """What the readings of the first three claims say, in a sentence each; nothing without records of them.

    ``accuracy``: the readings of accuracy under patches.
    """
    if len(readings) < 3:
        return []
    more, less = ([how_often(together(found, side)[0]) for found in readings] for side in ("for", "against"))
    decides = [called(next(iter(explained_variance(found[0])))) for found in readings]
    return [
        "The paper leaves details open; each defensible way to fill them in is a *reading*. On small photographs (CIFAR-10), against a "
        "network trained the standard way:",
        f"- ℓ∞ training, against small perturbations, makes the importance of pixels more unequal **{more[0]} readings**, less unequal "
        f"{less[0]}. It depends most on {decides[0]}.\n"
        f"- Noise on the important pixels fools such a network more often **{more[1]} readings**, and less often {less[1]}. How much "
        f"depends most on {decides[1]}.\n"
        f"- Small patches there fool it more often **{more[2]} readings**, and less often {less[2]}. With black ones it depends most on "
        f"{decides[2]}. Counting its other errors as well, it is less accurate under patches "
        f"**{how_often(together([accuracy])[0])}**.",
    ]


def how_often(share: float) -> str:
    """A share of the readings in a word."""
    words = ((0.95, "in nearly all"), (0.5, "in most"), (0.05, "in some"), (0.005, "in few"))
    return next((word for least, word in words if share >= least), "in hardly any")


def _number(frame: pd.DataFrame, claim: MainClaim) -> str:
    """One test's difference, its interval and n, without a margin that the test subtracts."""
    row = frame[(frame.claim == claim.claim) & (frame.test == claim.test)].iloc[0]
    if pd.isna(row.value):
        return "not measured here"
    margin = 0.03 if claim.test.endswith("− 0.03") else 0.0
    digits, unit = (1, " points") if row.unit == "points" else (3, "")
    value, low, high = (f"{number + margin:+.{digits}f}" for number in (row.value, row.low, row.high))
    what = f"{row.n / 2:.0f} + {row.n / 2:.0f} networks" if row.n < 10 else f"{row.n:.0f} images"
    return f"{value}{unit} [{low}, {high}], n = {what}"


def headline_figure() -> Shown:
    """Global Gini index by model, paper and reference run, for README and welcome page."""
    cells = table1_cells("global_gini")[:5]
    found = compare(cells, load_reference("01_inequality_test").get("inequality"))
    return gini_by_epsilon(found, name="headline", title="Global Gini index")
