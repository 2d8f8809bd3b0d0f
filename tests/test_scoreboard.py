"""The promise: every published value has a row and a verdict, and every summary number comes from the records."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from conftest import STANDARD
from scipy import stats

from inequality_phenomenon._support import paths, profiles
from inequality_phenomenon.book.headline import BEGIN, END, EVERY_READING, WORDS, answer, main_claims
from inequality_phenomenon.measure.reference import load_reference, load_whole_reference
from inequality_phenomenon.show.scoreboard import page, verdict_counts
from inequality_phenomenon.verdicts import scoreboard
from inequality_phenomenon.verdicts.claims import load_claims
from inequality_phenomenon.verdicts.comparison import published_tables
from inequality_phenomenon.verdicts.multiverse import multiverse
from inequality_phenomenon.verdicts.published import a10_cells, published_values, table1_cells

PUBLISHED = published_values().set_index("id")


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, pd.DataFrame]]:
    return load_whole_reference()


@pytest.fixture(scope="module")
def again(reference, tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference run's claims and values, computed now from its records and read as the committed ones are."""
    folder = tmp_path_factory.mktemp("frames")
    scoreboard.write_csv(scoreboard.claims_frame(scoreboard.judge(load_claims(), reference)), folder / "claims.csv")
    scoreboard.write_csv(scoreboard.values_frame(reference), folder / "values.csv")
    return scoreboard.read_csv(folder / "claims.csv"), scoreboard.read_csv(folder / "values.csv")


def test_every_published_value_and_every_test_of_a_claim_has_a_row_and_a_reason_where_it_has_no_value(again) -> None:
    claims, values = again
    assert list(values.id) == list(published_values().id) and len(values) == 155
    assert set(values.verdict) <= set(scoreboard.VERDICTS)
    missing = values[values.verdict == scoreboard.MISSING]
    assert (missing.reason != "").all() and missing.value.isna().all()
    assert values[values.verdict != scoreboard.MISSING][["value", "low", "high", "n"]].notna().all().all()
    assert set(published_values().table) == set(scoreboard.CHAPTERS)
    imagenet = values.set_index("id")[PUBLISHED.dataset == "imagenet"]
    assert len(imagenet) == 129 and (imagenet.verdict == scoreboard.MISSING).all()
    assert scoreboard.counts(values.verdict)[scoreboard.MISSING] >= 129
    expected = [(claim.id, test.label) for claim in load_claims() for test in claim.tests]
    expected += [(claim.id, "") for claim in load_claims() if claim.untestable]
    assert sorted(zip(claims.claim, claims.test, strict=True)) == sorted(expected)
    assert set(claims.claim_verdict) | set(claims.verdict) <= set(scoreboard.VERDICTS)
    assert (claims[claims.verdict == scoreboard.MISSING].reason != "").all()


def test_the_committed_summary_is_what_the_records_say(again) -> None:
    """`inequality reference` writes these two files; run it again if this fails."""
    for found, file in zip(again, scoreboard.FILES, strict=True):
        committed = scoreboard.read_csv(paths.REFERENCE / file)
        pd.testing.assert_frame_equal(committed, found.drop(columns="reason"), rtol=1e-5)


def cells(reference: dict[str, dict[str, pd.DataFrame]]) -> dict[str, list[pd.Series]]:
    """Our per-image values of each measured CIFAR-10 cell and of its standard network, read without the library."""
    found, regional = {}, "regional_gini_sum_of_absolute"
    gini, patches = reference["01_inequality_test"]["inequality"], reference["03_occlusion_attack"]["pair"]
    for cell in [*table1_cells("global_gini"), *table1_cells(regional), *a10_cells()]:
        table, column = gini, "global_gini" if PUBLISHED.metric[cell.id] == "global_gini" else regional
        if cell.id.startswith("appendix"):
            table, column = patches[patches.condition == PUBLISHED.setting[cell.id]], "fooled"
        names = (cell.checkpoint, cell.baseline[0] if cell.baseline else "")
        own = [table[table.checkpoint == name].set_index("image_id")[column] for name in names]
        if len(own[0]):
            found[cell.id] = own
    return found


def test_every_value_interval_and_difference_is_recomputed_from_the_records(reference, again) -> None:
    """By other means than the library's: SciPy's Wilson interval, normal ones of the mean, the binomial test."""
    values = again[1].set_index("id")
    measured = cells(reference)
    assert set(measured) == set(values.index[values.verdict != scoreboard.MISSING]) and measured
    for name, (own, standard) in measured.items():
        row, rate = values.loc[name], PUBLISHED.unit[name] == "%"
        scale, n = (100 if rate else 1), len(own)
        mean, half = own.mean(), 1.96 * own.std() / math.sqrt(n)
        low, high = mean - half, mean + half
        if rate:
            low, high = stats.binomtest(int(own.sum()), n).proportion_ci(method="wilson")
        assert (row["n"], row.value) == pytest.approx((n, scale * mean), rel=1e-5)
        near = scale * (1e-3 if rate else 0.15 * half)
        assert (row.low, row.high) == pytest.approx((scale * low, scale * high), abs=near)
        if standard.empty:
            assert math.isnan(row.difference)
            continue
        both = pd.concat([own, standard], axis=1, join="inner").astype(float)
        gap = both.iloc[:, 0] - both.iloc[:, 1]
        half = 1.96 * gap.std() / math.sqrt(len(gap))
        assert row.difference == pytest.approx(scale * gap.mean(), rel=1e-4)
        assert row.difference_high - row.difference_low == pytest.approx(2 * scale * half, rel=0.15)
        raw = (stats.binomtest((gap > 0).sum(), (gap != 0).sum()) if rate else stats.ttest_1samp(gap, 0)).pvalue
        assert row.p >= min(raw, 1e-4) * 0.5  # an adjusted p is never below the test's own, up to resampling
        assert (row.p < 0.05) == (raw < 0.05) or 0.002 < raw < 0.05


def test_every_verdict_follows_from_its_numbers(again) -> None:
    """The rules of the welcome page, applied to the numbers as printed."""
    values = again[1].set_index("id")
    for name, row in values[values.verdict != scoreboard.MISSING].iterrows():
        published, tolerance = float(PUBLISHED.value[name]), 5 if PUBLISHED.unit[name] == "%" else 0.03
        if row.low <= published + tolerance and row.high >= published - tolerance:
            expected = "reproduced"
        elif math.isnan(row.difference):
            expected = "differs"
        elif row.p >= 0.05:
            expected = "undecided"
        else:
            keys = ["table", "architecture", "metric", "setting"]
            same = (PUBLISHED[keys] == PUBLISHED.loc[name, keys]).all(axis=1)
            same &= (PUBLISHED.dataset == "cifar10") & (PUBLISHED.training == "standard")
            (standard,) = PUBLISHED[same].value.astype(float)
            expected = "same direction" if np.sign(row.difference) == np.sign(published - standard) else "contradicted"
        assert row.verdict == expected, name


def test_the_claims_differences_are_recomputed_from_the_records(reference, again) -> None:
    rows, raw = again[0].set_index(["claim", "test"]), {}
    for claim in load_claims():
        for test in claim.tests:
            row = rows.loc[(claim.id, test.label)]
            if test.kind != "paired" or row.verdict == scoreboard.MISSING:
                continue
            table = reference[claim.chapter][test.record]
            columns = []
            for name, condition, column in test.terms:
                own = table[(table.checkpoint == name) & (table.get("condition", "") == condition)]
                columns.append(own.set_index("image_id")[column])
            both = pd.concat(columns, axis=1, join="inner").astype(float).to_numpy()
            half = len(columns) // 2
            kinds = (1 / half,) * half + (-1 / half,) * half if test.trainings else (1, -1, -1, 1)[: len(columns)]
            total = both @ np.array(test.weights or kinds) - test.margin
            scale, n = 100 if row.unit == "points" else 1, len(columns) if test.trainings else len(total)
            assert (row.value, row["n"]) == pytest.approx((scale * total.mean(), n), rel=1e-4, abs=1e-6)
            first = both[:, :half] if test.trainings else both[:, :1]
            assert row["first"] == pytest.approx(scale * first.mean(), rel=1e-4)
            if row.verdict in ("same direction", "contradicted"):
                assert row.p < 0.05 and (np.sign(row.value) == test.expected) == (row.verdict == "same direction")
            p = stats.ttest_ind(*np.split(both.mean(0), 2), equal_var=False).pvalue if test.trainings else None
            raw[(claim.chapter, claim.family), claim.id, test.label] = p or independent_p(both, total)
    assert raw
    for family in {key[0] for key in raw}:
        own = {key: p for key, p in raw.items() if key[0] == family}
        for key, p in zip(own, holm_by_hand(list(own.values())), strict=True):
            found = rows.loc[key[1:]].p
            assert found == pytest.approx(p, rel=0.25, abs=3e-3), key  # the library resamples
            assert (found < 0.05) == (p < 0.05), key


def independent_p(values: np.ndarray, total: np.ndarray) -> float:
    """Of one test, by other means than ours: the binomial test of two outcomes, SciPy's permutations, Student's t-test."""
    if not total.any():
        return 1.0
    if values.shape[1] == 2 and np.isin(values, (0, 1)).all() and np.isin(total, (-1, 0, 1)).all():
        return float(stats.binomtest(int((total > 0).sum()), int((total != 0).sum())).pvalue)
    if np.count_nonzero(total) < 0.2 * len(total):  # too few for Student's
        chance = {"n_resamples": 9999, "batch": 999, "rng": 1}
        return float(stats.permutation_test((total,), np.mean, permutation_type="samples", **chance).pvalue)
    return float(stats.ttest_1samp(total, 0).pvalue)


def holm_by_hand(p_values: list[float]) -> list[float]:
    """The k-th smallest of m is multiplied by m - k + 1, and none is below the one before it."""
    ranks = stats.rankdata(p_values, method="ordinal") - 1
    adjusted = np.sort(p_values) * np.arange(len(p_values), 0, -1)
    return np.minimum(np.maximum.accumulate(adjusted), 1)[ranks].tolist()


def quantities(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Every index and rate of one record; what attack images do to the network that they were made on is the plain attack."""
    # Chapters call one condition by several names: "", "clean" and "Integrated Gradients"; "type I" and "noise type I".
    condition = table.get("condition", pd.Series("", table.index))
    plain = condition.str.replace(r"^(Integrated Gradients(, |$)|noise |clean$)", "", regex=True)
    table = table.assign(condition=plain)
    keys, frames = ["checkpoint", "condition", "image_id"], []
    for column in table:
        rows, quantity = table, str(column)
        if column in set(table.checkpoint):
            rows = table[table.checkpoint == column]
            quantity = "fooled" if name == "occlusion_transfer" else "failure_102"
        if quantity.startswith(("global_gini", "regional_gini", "failure_", "fooled")) and quantity != "fooled_by":
            values = {"value": rows[column].astype(float), "format": rows[column].dtype}
            frames.append(rows[keys].assign(quantity=quantity, **values))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def test_a_measurement_that_two_chapters_share_has_one_value(reference) -> None:
    """To the last bit of the number format in which it was stored; own images, too, where they are in the common subset."""
    frames = [quantities(name, table).assign(chapter=chapter)
              for chapter, tables in reference.items() for name, table in tables.items()]  # fmt: skip
    every = pd.concat(frames, ignore_index=True).dropna(subset=["value"])  # a reading that leaves nothing has no index
    single = every.format == np.float32
    keys = ["checkpoint", "condition", "image_id", "quantity"]
    rounded = every.assign(value=every.value.astype(np.float32)).groupby(keys).value
    assert all((groups.min() == groups.max()).all() for groups in (every[~single].groupby(keys).value, rounded))
    chapters = every.groupby(keys).chapter.nunique()
    assert (chapters > 1).sum() > 10_000 and set(every.chapter[single]) <= {"05_transferability"}


@pytest.mark.parametrize("file", [paths.ROOT / "README.md", paths.BOOK / "index.md"], ids=lambda file: file.name)
def test_readme_and_welcome_page_show_the_committed_answer(file, answered) -> None:
    """`inequality reference` writes the block; run it again if this fails."""
    block = file.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert all(part in block for part in answered)


@pytest.fixture(scope="module")
def answered() -> list[str]:
    return answer()


def test_the_first_page_says_what_the_committed_tests_and_readings_say(answered) -> None:
    _, said, table, below = answered
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(main_claims()) == 5
    frame = scoreboard.reference_frames()[0]
    for claim, line in zip(main_claims(), rows, strict=True):
        _, title, verdict, paper, number, share, _ = line.split("|")
        test = frame[(frame.claim == claim.claim) & (frame.test == claim.test)].iloc[0]
        assert title.strip() == claim.title and paper.strip() == claim.paper
        value = float(re.search(r"[+-][\d.]+", number)[0])
        margin = 0.03 if "0.03" in claim.test else 0
        assert value == pytest.approx(test.value + margin, abs=0.06 if test.unit == "points" else 6e-4)
        if share.strip() != "—":
            found = [multiverse(name, load_reference(EVERY_READING)).verdicts for name in claim.readings]
            every = pd.concat(found)
            good, bad = (f"{100 * (every == side).mean():.0f} %" for side in ("for", "against"))
            assert share.strip() == f"{good} of {len(every):,} ({bad} against)"
            words = {"for": ("same direction", "mostly holds"), "against": ("contradicted", "mostly contradicted")}
            expected = "undecided" if (every == "undecided").mean() >= 0.95 else "mixed"
            for side, (nearly_all, most) in words.items():
                share = (every == side).mean()
                expected = nearly_all if share >= 0.95 else most if share > 0.5 else expected
            assert verdict.strip("* ") == expected
        else:
            assert not claim.readings or multiverse(claim.readings[0], load_reference(EVERY_READING)).table.empty
            assert verdict.strip("* ") in scoreboard.VERDICTS
    assert said.count("\n") == 2 and said.count(" readings**") == 3 and said.count("**") == 10
    verdicts, values, ends = [], [], []
    for own in (own for sentence in WORDS["below"] for own in sentence["tests"]):
        rows = frame[(frame.claim == own["claim"]) & (frame.test == own.get("test", frame.test))]
        verdicts.append(rows.iloc[0].verdict if "test" in own else rows.iloc[0].claim_verdict)
        values += [rows.iloc[0].value] if "test" in own else []
        ends += [] if "test" in own else [rows.value.min(), rows.value.max()]
    assert re.findall(r"\*\*(.*?)\*\*", below) == verdicts
    number = r"([+-][\d.]+)"
    assert list(map(float, re.findall(rf"{number}(?: points)? \[", below))) == pytest.approx(values, abs=0.06)
    shown = re.findall(rf"{number} to {number} points in \d tests", below)
    assert [float(end) for pair in shown for end in pair] == pytest.approx(ends, abs=0.06)
    named = below.splitlines()[-1]  # width, epochs, attack, accuracies and floors
    assert "width 16 " in named and "16 epochs by N-FGSM" in named and " 20 epochs" in named
    assert re.findall(r"[\d.]+ %", named) == ["67.9 %", "41.8 %", "65 %", "39 %", "89.0 %", "88 %"]


def test_a_run_without_a_reference_run_is_judged_by_its_own_records(tmp_path, move, monkeypatch, reference) -> None:
    """A profile of which one chapter was executed, on 60 images of a committed record."""
    move(EXECUTED=tmp_path)
    profile = profiles.Profile(name="test", dataset="imagenet", n_images=60, bootstrap=199, chapters={})
    monkeypatch.setattr(scoreboard, "load_profile", lambda name: profile)
    table = reference["01_inequality_test"]["inequality"]
    table = table[table.image_id.isin(table.image_id.unique()[:60])]
    (tmp_path / "records/test/01_inequality_test").mkdir(parents=True)
    table.to_parquet(tmp_path / "records/test/01_inequality_test/inequality.parquet")
    row = scoreboard.ours("test")[1].set_index("id").loc["table1.001"]
    own = table[table.checkpoint == STANDARD].global_gini
    assert (row.value, row["n"]) == pytest.approx((own.mean(), 60))


def test_every_run_on_cifar10_shows_the_committed_verdicts_and_each_value_is_in_one_measured_table() -> None:
    for found, committed in zip(scoreboard.ours("smoke"), scoreboard.reference_frames(), strict=True):
        pd.testing.assert_frame_equal(found, committed)
    ids = [cell.id for *_, cells in published_tables() for cell in cells]
    assert len(set(ids)) == len(ids)
    assert set(PUBLISHED.index[PUBLISHED.dataset == "cifar10"]) <= set(ids) <= set(PUBLISHED.index)
    claims, values = scoreboard.reference_frames()
    (example,) = [claim.id for claim in load_claims() if {test.kind for test in claim.tests} == {"example"}]
    assert "reproduced" in set(claims[claims.claim == example].claim_verdict)
    found = verdict_counts((claims, values))["Claims"]
    others = claims[claims.claim != example].drop_duplicates("claim").claim_verdict
    assert found == scoreboard.counts(others) and sum(found.values()) == len(load_claims()) - 1


def test_the_page_names_every_claim_and_value_links_only_to_chapters_and_can_hide_every_verdict() -> None:
    text = page(scoreboard.reference_frames(), "test")
    assert all(claim.title in text for claim in load_claims())
    values = text.partition("## Published values")[2]
    assert len(re.findall(r"<tr class='[a-z-]+ (?:cifar10|imagenet)'>", values)) == 155
    assert all(f"no. {number:03d}</th>" in values for number in range(1, 156))
    for chapter in set(re.findall(r"href='\.\./_executed/(\w+)\.html'", text)):
        assert (paths.NOTEBOOKS / f"{chapter}.py").exists()
    assert all(f"value='{verdict.replace(' ', '-')}' checked" in text for verdict in scoreboard.VERDICTS)
    assert "scoreboard_values.csv" in text and "n = 1000" in text
    style = (paths.BOOK / "static" / "book.css").read_text("utf-8")
    for value in [verdict.replace(" ", "-") for verdict in scoreboard.VERDICTS] + ["cifar10", "imagenet"]:
        assert f'.scoreboard:has(input[value="{value}"]:not(:checked)) tr.{value}' in style
