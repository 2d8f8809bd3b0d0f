"""What the last runs found, on the first page and on the scoreboard: written from records, never by hand."""

from .._support import paths
from .._support.files import atomic_path

BEGIN, END = "<!-- headline: written by `inequality reference` -->", "<!-- end of headline -->"


def make_reference(profile: str) -> None:
    """Make the records of ``profile``'s last run the committed reference, and rewrite the first page where it shows them."""
    from ..measure.reference import reference_folder, save_reference
    from ..verdicts.scoreboard import write_reference_frames

    save_reference(profile)
    write_reference_frames(folder := reference_folder(profile))
    if folder == paths.REFERENCE:
        write_headline()


def write_headline() -> None:
    """Put the reference run's numbers and figure into README and welcome page, between their markers."""
    from ..show import headline_figure, headline_markdown, one_mask_markdown
    from ..show.panel import distillation_markdown
    from ..show.scoreboard import counts_markdown, main_claims_markdown
    from ..verdicts.scoreboard import paper_scale_frames, reference_frames

    figure, frames = headline_figure(), reference_frames()
    assert figure.png
    claims = main_claims_markdown(frames, paper_scale_frames())
    sentences = [one_mask_markdown(), distillation_markdown()]
    tables = "\n\n".join([headline_markdown(), claims, *filter(None, sentences), counts_markdown(frames)])
    with atomic_path(paths.HEADLINE_FIGURE) as temporary:
        temporary.write_bytes(figure.png)
    for page, picture in (
        (paths.ROOT / "README.md", "book/static/headline.png"),
        (paths.BOOK / "index.md", "static/headline.png"),
    ):
        block = f"![{figure.alt}]({picture})\n\n{tables}"
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        with atomic_path(page) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")


def write_scoreboard(profile: str) -> None:
    """The scoreboard page and its tables, from the reference and from the chapters that ``profile`` executed."""
    from ..measure.reference import PAPER_SCALE_PROFILE
    from ..show.scoreboard import page
    from ..verdicts.scoreboard import beside, paper_scale_frames, reference_frames, run_frames, write_csv
    from .pieces import markdown

    reference, this_run = reference_frames(), run_frames(profile)
    write_csv(beside(reference[0], this_run[0], ["claim", "test"]), paths.GENERATED / "scoreboard_claims.csv")
    write_csv(beside(reference[1], this_run[1], ["id"]), paths.GENERATED / "scoreboard_values.csv")
    with atomic_path(paths.GENERATED / "scoreboard.md") as temporary:
        temporary.write_text(page(reference, this_run, profile, paper_scale_frames()), "utf-8")
    with atomic_path(paths.GENERATED / "pieces.txt") as temporary:
        temporary.write_text(markdown(PAPER_SCALE_PROFILE), "utf-8")
