"""What the book writes from records: the first page's numbers, the scoreboard, and what paper scale has measured."""

import pandas as pd

from .._support import paths
from .._support.files import atomic_path
from ..measure.reference import PAPER_SCALE_PROFILE, load_reference, reference_folder, save_reference
from ..networks import LADDER, REGISTRY, named
from ..show.inequality import gini_by_epsilon
from ..show.report import distillation_markdown
from ..show.scoreboard import page, verdict_counts
from ..show.style import Shown
from ..show.words import percent, plain, points
from ..verdicts.claims import load_claims
from ..verdicts.comparison import against_standard, compare, contrasted
from ..verdicts.published import table1_cells
from ..verdicts.scoreboard import (
    MISSING,
    VERDICTS,
    Frames,
    full_size_frames,
    measured_claims,
    ours,
    reference_frames,
    write_csv,
    write_reference_frames,
)
from .pieces import markdown, markdown_table

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
    """Put the reference run's numbers and figure into README and welcome page, between their markers."""
    frames = reference_frames()
    figure = headline_figure()
    assert figure.png
    parts = [headline_markdown(), main_claims_markdown(frames, full_size_frames()), one_mask_markdown()]
    parts += [distillation_markdown(), counts_markdown(frames)]
    with atomic_path(paths.HEADLINE_FIGURE) as temporary:
        temporary.write_bytes(figure.png)
    pages = {paths.ROOT / "README.md": "book/static/headline.png", paths.BOOK / "index.md": "static/headline.png"}
    for file, picture in pages.items():
        block = "\n\n".join([f"![{figure.alt}]({picture})", *filter(None, parts)])
        before, _, rest = file.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        with atomic_path(file) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")


def headline_markdown() -> str:
    """The summary table of README and welcome page: registry accuracies and the reference run's Table 1."""
    columns = ["Model", "Clean accuracy, n = 10,000", "PGD-20 at its own ε, n = 10,000", "Global Gini index: paper"]
    rows = []
    cells = [cell for cell in table1_cells("global_gini") if cell.checkpoint in REGISTRY]
    for item in compare(cells, load_reference("01_inequality_test").get("inequality")):
        entry = REGISTRY[item.cell.checkpoint]
        robust = "—" if item.cell.baseline is None else percent(next(iter(entry.test_robust.values())).rate)
        ours = f"{plain(item.ours)}, n = {item.ours.n}" if item.ours else "not measured here"
        paper = f"{item.cell.paper:.2f}"
        rows.append([item.cell.label, percent(entry.test_clean.rate), robust, paper, ours, item.verdict])
    return markdown_table([*columns, "ours, reference run", "Verdict"], rows)


def one_mask_markdown() -> str:
    """What one mask does instead of the best of many, for README and welcome page; empty without records."""
    records = load_reference("03_occlusion_attack").get("controls")
    if records is None:
        return ""
    full_size = load_reference("03_occlusion_attack", folder=paths.PAPER_SCALE).get("controls")
    standard, robust = LADDER[0], LADDER[-1]
    places = {"over the most important regions": "one mask only", "at random places": "one mask only, random places"}
    asked = against_standard(standard, [robust], {words: (condition, "fooled") for words, condition in places.items()})
    found = []
    for item, words in zip(contrasted(asked, records, full_size=full_size), places, strict=True):
        large = item.full_size.difference if item.full_size else None
        if item.difference:
            at_scale = f", at paper scale {points(large)}, n = {large.n}" if large else ""
            found.append(f"{words}: {points(item.difference)}, n = {item.difference.n}{at_scale}")
    return (
        "The paper's search takes the best of several masks, here of ten. Under the largest mask alone (five black patches of "
        f"radius 2), failures of {named(robust)} minus {named(standard)}, one training each: {'; '.join(found)}. "
        "Where the difference is as large at random places, the places are not the reason for it."
    )


def headline_figure() -> Shown:
    """Global Gini index by model, paper and reference run, for README and welcome page."""
    cells = table1_cells("global_gini")[:5]
    found = compare(cells, load_reference("01_inequality_test").get("inequality"))
    return gini_by_epsilon(found, name="headline", title="Global Gini index")


def counts_markdown(frames: Frames) -> str:
    """The verdicts of the reference run, counted, for README and welcome page."""
    rows = [
        [what, *(str(found[verdict]) for verdict in VERDICTS), str(sum(found.values()))]
        for what, found in verdict_counts(frames).items()
    ]
    counted = measured_claims(frames[0]).claim.unique()
    sized = [c for c in load_claims() if c.id in counted and any(getattr(t, "paper", None) for t in c.tests)]
    return (
        f"{markdown_table(['Reference run', *VERDICTS, 'all'], rows)}\n\nOnly {len(sized)} of the {len(counted)} claims have a "
        "size published for CIFAR-10 and can be *reproduced*; the others can at best be *same direction*."
    )


MAIN_CLAIMS = {  # and the claims that say the same of one training each, which the full-size networks have
    "gini-training": ("gini", "regional"),
    "noise-training": ("noise-random", "noise-type-1", "noise-type-2"),
    "occlusion-training": ("occlusion-small",),
    "l2-gini": ("l2-gini",),
    "sparse-gini": ("sparse-gini",),
}


def main_claims_markdown(frames: Frames, full_size: Frames | None = None) -> str:
    """The paper's main claims and what the reference run says of each, for README and welcome page."""
    columns = [
        "What the paper claims",
        "Implied sign",
        "Measured difference, 95 % interval, n images (of three trainings: n networks)",
        "Verdict",
    ]
    columns += [] if full_size is None else ["On full-size networks, one training each"]
    rows = []
    claims = {claim.id: claim for claim in load_claims()}
    for name, single in MAIN_CLAIMS.items():
        tests = frames[0][frames[0].claim == name]
        sign = "+" if getattr(claims[name].tests[0], "expected", 1) > 0 else "−"
        trainings = any(getattr(test, "trainings", False) for test in claims[name].tests)
        title = claims[name].title + ("" if trainings else ", one training each")
        cells = [title, sign, _plain_outcomes(tests), tests.claim_verdict.iloc[0]]
        if full_size is not None:
            large = full_size[0][full_size[0].claim.isin(single)]
            found = dict.fromkeys(verdict for verdict in large.claim_verdict if verdict != MISSING)
            cells.append(f"{_plain_outcomes(large)}{': ' if found else ''}{', '.join(found)}")
        rows.append(cells)
    return markdown_table(columns, rows)


def _plain_outcomes(tests: pd.DataFrame) -> str:
    """The measured ones of several tests, without markup."""
    words = []
    for _, row in tests[tests["value"].notna()].iterrows():
        digits, unit = (1, " points") if row.unit == "points" else (3, "")
        value, low, high = (f"{row[name]:+.{digits}f}" for name in ("value", "low", "high"))
        words.append(f"{row.test}: {value}{unit} [{low}, {high}], n = {row.n:.0f}")
    return "; ".join(words) or "—"
