"""The verdict on every claim and on every published value, as tables: what the scoreboard page and its CSV files hold.

A run's part of them (``claims_frame``, ``values_frame``) is computed from its records. That of the reference run is
committed beside its records, so that the book need not compute it again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from .._support import paths
from .._support.files import atomic_path
from .._support.profiles import load_profile
from ..measure.image_sets import CIFAR10
from ..measure.reference import load_run, load_whole_reference, stacked
from ..networks import REGISTRY, named
from ..statistics import Difference
from .claims import Judged, Outcome, Tables, judge, load_claims, unit_of_test
from .comparison import Compared, Verdict, compare, published_tables
from .published import published_values

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FILES = "claims.csv", "values.csv"  # beside the reference records: a run's claims and values
Frames = tuple[pd.DataFrame, pd.DataFrame]  # a run's claims and values
MISSING: Verdict = "not measured here"
CHAPTERS = {  # the chapter that measures a published table, or tests its claim on CIFAR-10
    "table1": "01_inequality_test",
    "table2": "03_occlusion_attack",
    "table3": "04_attribution_ablation",
    "section4.3": "02_noise_attack",
    "table6": "08_class_inequality",
    "table7": "08_class_inequality",
    "appendixA10": "03_occlusion_attack",
}


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """One test's outcome as a row: differences of rates in percentage points."""
    found, unit = outcome.found, unit_of_test(outcome.test)
    scale = 100 if unit == "points" else 1
    row: dict[str, Any] = {"test": outcome.test.label, "unit": unit}
    row |= {"verdict": outcome.verdict, "reason": outcome.reason}
    if found is None:
        return row
    value = found.difference if isinstance(found, Difference) else found.value
    row |= {"value": scale * value, "low": scale * found.low, "high": scale * found.high, "n": found.n}
    row |= {"p": outcome.adjusted_p, "p_is_bound": isinstance(found, Difference) and found.at_floor}
    return row | dict(zip(("first", "second"), (scale * mean for mean in outcome.means), strict=False))


def claims_frame(judged: Sequence[Judged]) -> pd.DataFrame:
    """One row a test, the claim's verdict in ``claim_verdict``; a claim without tests has one row."""
    rows = []
    for item in judged:
        about = {"claim": item.claim.id, "claim_verdict": item.verdict}
        outcomes = [outcome_row(outcome) for outcome in item.outcomes]
        rows += [about | row for row in outcomes or [{"test": "", "verdict": MISSING, "reason": item.reason}]]
    columns = ["claim", "claim_verdict", "test", "value", "low", "high", "unit", "n", "p", "p_is_bound"]
    columns += ["first", "second", "verdict", "reason"]
    return pd.DataFrame(rows, columns=columns)


def values_frame(records: dict[str, Tables], *, resamples: int = 9999) -> pd.DataFrame:
    """One row for every published value, in its own unit: ours, its interval, the test and the verdict."""
    compared = {
        item.cell.id: item
        for chapter, names, cells in published_tables()
        for item in compare(cells, stacked(records.get(chapter, {}), names), resamples=resamples)
    }
    rows = [_value_row(row, compared.get(row["id"])) for row in published_values().to_dict("records")]
    columns = ["id", "value", "low", "high", "n", "difference", "difference_low", "difference_high", "test", "p"]
    return pd.DataFrame(rows, columns=[*columns, "p_is_bound", "verdict", "reason"])


def _value_row(published: dict[Any, Any], item: Compared | None) -> dict[str, Any]:
    row: dict[str, Any] = {"id": published["id"], "verdict": item.verdict if item else MISSING}
    if item is None or item.ours is None:
        return row | {"reason": _why(published, item)}
    scale = 100 if published["unit"] == "%" else 1
    row |= {name: scale * getattr(item.ours, name) for name in ("value", "low", "high")} | {"n": item.ours.n}
    if (test := item.difference) is not None:
        row |= {"difference": scale * test.difference, "p": item.adjusted_p, "p_is_bound": test.at_floor}
        row |= {"difference_low": scale * test.low, "difference_high": scale * test.high}
        row |= {"test": "McNemar" if item.cell.column == "fooled" else "sign flips"}
    return row


def _why(published: dict[Any, Any], item: Compared | None) -> str:
    """Why there is no value of ours."""
    if not published["value"]:
        return "the value is not in our copy of the paper's text"
    if published["dataset"] == "imagenet":
        return "ImageNet: neither its images nor networks for it ship with this book"
    if item is not None and item.cell.checkpoint not in REGISTRY:
        return f"not trained yet: {named(item.cell.checkpoint)}"
    return "not measured by this run"


def ours(profile: str) -> Frames:
    """The claims and values that the scoreboard shows: the reference run's; of other images than CIFAR-10's, those of
    ``profile``'s last run."""
    values = load_profile(profile)
    if values.dataset == CIFAR10.name:
        return reference_frames()
    records = load_run(profile)
    return judged_frames(records, resamples=values.bootstrap)


def judged_frames(records: dict[str, Tables], *, resamples: int = 9999) -> Frames:
    """Every claim and every published value by one run's records."""
    claims = claims_frame(judge(load_claims(), records, resamples=resamples))
    return claims, values_frame(records, resamples=resamples)


def write_reference_frames(folder: Path) -> None:
    """Judge everything by the committed records in ``folder`` and write the result beside them.

    Without the reasons for what is missing: a network may have been trained since, and a page says what is so today.
    """
    for frame, name in zip(judged_frames(load_whole_reference(folder)), FILES, strict=True):
        write_csv(frame.drop(columns="reason"), folder / name)


def reference_frames(folder: Path | None = None) -> Frames:
    """The committed claims and values of the reference run, or of the records in another ``folder``."""
    claims, values = (read_csv((folder or paths.REFERENCE) / name) for name in FILES)
    return claims, values


def full_size_frames() -> Frames | None:
    """Those of the full-size networks; ``None`` where there are none yet."""
    known = all((paths.PAPER_SCALE / name).exists() for name in FILES)
    return reference_frames(paths.PAPER_SCALE) if known else None


def write_csv(frame: pd.DataFrame, file: Any) -> None:
    with atomic_path(file) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g")


def read_csv(file: Any) -> pd.DataFrame:
    frame = pd.read_csv(file)
    texts = [column for column in ("test", "unit", "reason") if column in frame]
    return frame.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def claim_verdicts(frame: pd.DataFrame) -> pd.Series:
    """Verdict of each claim, in the order of the file."""
    return frame.drop_duplicates("claim").set_index("claim").claim_verdict


def measured_claims(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of claims about networks; a worked example, which anyone can compute, has no place in the counts."""
    return frame[(frame.unit != "exact").groupby(frame.claim).transform("any")]


def counts(verdicts: pd.Series) -> dict[Verdict, int]:
    """How many have each verdict."""
    return {verdict: int((verdicts == verdict).sum()) for verdict in VERDICTS}
