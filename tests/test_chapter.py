"""The promise: a page shows one run, the reference run or the reader's own, and its notebook does no plumbing."""

import pytest
from conftest import ROBUST, STANDARD, fails

from inequality_phenomenon import chapter
from inequality_phenomenon._support.profiles import ProfileError
from inequality_phenomenon.measure.reference import load_reference, load_whole_reference
from inequality_phenomenon.verdicts.claims import load_claims
from inequality_phenomenon.verdicts.published import table1_cells
from inequality_phenomenon.verdicts.scoreboard import claim_verdicts, reference_frames

NAME = "01_inequality_test"


def opened(**parameters) -> chapter.Chapter:
    return chapter.open(NAME, {"profile": "smoke", "unrelated": object()} | parameters)


def test_a_run_as_its_profile_plans_it_shows_the_whole_reference_run() -> None:
    for name in (NAME, "02_noise_attack"):
        run, reference = chapter.open(name, {"profile": "smoke"}), load_whole_reference()[name]
        ours = run.ours
        assert ours.records.keys() == reference.keys() and ours.n_images == 1000 and set(run.models) < set(ours.models)
        assert all(ours.records[record].equals(table) for record, table in reference.items())
    assert ours.options["draws"] == 5  # not the smoke profile's
    ours, table = opened().ours, load_reference(NAME)["inequality"]
    assert set(ours.models) >= set(table.checkpoint)
    found = {item.cell.id: item for item in ours.compare(table1_cells("global_gini"), "inequality")}
    own = table[table.checkpoint == STANDARD].global_gini
    standard = found["table1.001"].ours
    assert (standard.value, standard.n) == (pytest.approx(own.mean()), len(own))


@pytest.mark.parametrize("own", [{"n_images": 5}, {"seed": 1}, {"models": [STANDARD, ROBUST]}, {"region": 8}], ids=str)
def test_a_run_with_own_parameters_shows_itself(own) -> None:
    run = opened(**own)
    assert run.ours is run and not run.records and run.table("inequality") is None
    taken = {key: run.options.get(key, getattr(run, key, None)) for key in own}
    assert taken == {key: tuple(value) if isinstance(value, list) else value for key, value in own.items()}


def test_claims_have_the_scoreboards_verdicts_what_is_not_measured_is_said_and_a_lacking_chapter_named() -> None:
    verdicts = claim_verdicts(reference_frames()[0])
    for claim in (claim for claim in load_claims() if claim.chapter == NAME):
        for shown in (opened().claims(claim.id).html, opened().in_short(claim.id).html):
            assert claim.title in shown and f">{verdicts[claim.id]}</span>" in shown
    assert "class='in-short'" in opened().in_short().html
    found = opened(n_images=5).compare(table1_cells("global_gini"), "inequality")
    assert {item.verdict for item in found} == {"not measured here"}
    fails(ProfileError, "no chapter 99_nothing", chapter.open, "99_nothing", {"profile": "smoke"})
