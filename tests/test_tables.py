"""The promise: a table marks what is significant after the adjustment and nothing else; findings speak of one run."""

import numpy as np
import pandas as pd
from conftest import ROBUST, STANDARD

from inequality_phenomenon import chapter, show
from inequality_phenomenon.measure.reference import load_whole_reference
from inequality_phenomenon.verdicts.comparison import against_standard, contrasted, minus

WEAK = "cifar10-resnet18w16-linf1-s0"


def test_a_page_shows_the_whole_reference_run_or_this_run() -> None:
    """Never a mixture: where the run is not as its profile plans it, nothing of the reference run is left."""
    planned, own = (chapter.open("02_noise_attack", {"profile": "smoke"} | more) for more in ({}, {"n_images": 12}))
    reference = load_whole_reference()["02_noise_attack"]
    assert planned.ours.records.keys() == reference.keys() and planned.ours.n_images == 1000
    assert all(planned.ours.records[name].equals(table) for name, table in reference.items())
    assert set(planned.models) < set(planned.ours.models) and planned.ours.options["draws"] == 5
    assert own.ours is own and not own.records and own.table("noise") is None


def test_full_size_networks_are_rows_below_the_others() -> None:
    ours = chapter.open("02_noise_attack", {"profile": "smoke"}).ours
    found = ours.contrast(against_standard(STANDARD, [ROBUST], {"type I": ("type I", "failure_102")}), "noise")
    assert found[0].full_size is not None and found[0].full_size.difference.difference != found[0].difference.difference
    html = show.contrast_table(found, name="t", caption="c").html
    assert html.count("<th scope='row'>") == 2 and html.index("type I</th>") < html.index("type I <small>(full size: ")


def test_the_claims_of_a_chapter_come_from_one_run() -> None:
    reference = load_whole_reference()["09_cutout"]
    few = {name: table[table.image_id.isin(table.image_id.unique()[:60])] for name, table in reference.items()}
    planned, nothing = (chapter.open("09_cutout", {"profile": "smoke"}) for _ in range(2))
    own = chapter.open("09_cutout", {"profile": "smoke", "n_images": 60})
    planned.records = own.records = few
    assert planned.claims().html == nothing.claims().html != own.claims().html


def test_the_readings_are_counted_by_the_sign_of_what_is_decided() -> None:
    rng = np.random.default_rng(0)
    shifts = {"up": 0.1, "down": -0.1, "even": 0.0}
    rows = [
        {"checkpoint": name, "condition": "", "image_id": i}
        | {k: rng.normal((name == ROBUST) * v, 0.05) for k, v in shifts.items()}
        for name in (STANDARD, WEAK, ROBUST)
        for i in range(60)
    ]
    asked = against_standard(STANDARD, [WEAK, ROBUST], {label: ("", label) for label in shifts})
    found = contrasted(asked, pd.DataFrame(rows), resamples=999)
    own = [item for item in found if item.contrast.terms[0][0] == ROBUST]
    assert "Readings: of 3 comparisons 1 more, 1 less, 1 undecided (" in show.tally({"Readings": own}).text
    assert "6 not measured" in show.tally({"Readings": contrasted(asked, None)}).text


def test_significant_differences_are_marked_and_the_mark_is_explained():
    generator = np.random.default_rng(0)
    values = {"high": 0.6, "low": 0.2, "alike": 0.2}
    rows = [
        {"checkpoint": name, "condition": "c", "image_id": i, "share": mean + generator.normal(0, 0.1)}
        for name, mean in values.items()
        for i in range(60)
    ]
    pairs = {"differs": ("high", "low"), "does not": ("alike", "low")}
    asked = [minus(label, *((name, "c", "share") for name in pair)) for label, pair in pairs.items()]
    found = contrasted(asked, pd.DataFrame(rows), resamples=999)
    html = show.contrast_table(found, name="t", caption="Caption.").html
    assert [item.adjusted_p < 0.05 for item in found] == [True, False]
    assert html.count("class='significant'") == 1 and html.index("differs") < html.index("significant")
    assert "An asterisk marks p below 0.05" in html
    plain = show.contrast_table(found[1:], name="t", caption="Caption.").html
    assert "significant" not in plain and "asterisk" not in plain
    assert "<th scope='col'></th>" not in html
