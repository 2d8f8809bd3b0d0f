"""The promise: every value that is measured again is compared with the reference run's, and what differs is named."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROBUST, STANDARD, outcomes

from inequality_phenomenon.measure.reference import load_reference
from inequality_phenomenon.show.foot import agreement_box
from inequality_phenomenon.verdicts.agreement import agreement


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"checkpoint": STANDARD, "condition": "black", "image_id": [3, 5, 8]} | columns)


def test_equal_records_agree_and_other_numbers_of_draws_are_compared_on_the_shared_ones() -> None:
    reference = load_reference("03_occlusion_attack")
    few = {name: rows[rows.image_id.isin(rows.image_id.unique()[:50])] for name, rows in reference.items()}
    found = agreement(few, reference)
    assert found.holds and found.equal == found.values > 1000 and not found.close_calls and not found.skipped
    assert found.images == len(set().union(*(rows.image_id for rows in few.values())))
    assert "agrees" in agreement_box(found) and f"{found.values:,} values" in agreement_box(found)
    two, five = [0b1_01, 0b1_10, 0b1_00], [0b1_11001, 0b1_00010, 0b1_11101]
    here, there = table(failure_102=[0.5, 0.5, 0.0], draws_102=two), table(failure_102=[0.6, 0.2, 0.8], draws_102=five)
    found = agreement({"noise": here}, {"noise": there}, same_draws=False)
    assert found.differing == [f"noise, draws_102, {STANDARD}, black, image 8"] and found.values == 3
    assert found.skipped == ["noise, failure_102: another number of draws"]
    for gap, agrees in ((5e-5, True), (5e-4, False)):  # a Gini index may differ by rounding only
        here, there = table(global_gini=[0.5, 0.6, np.nan]), table(global_gini=[0.5, 0.6 + gap, np.nan])
        assert agreement({"inequality": here}, {"inequality": there}).holds is agrees


def test_an_outcome_that_differs_is_named_and_only_rows_of_the_same_network_condition_and_image_are_compared() -> None:
    here, there = table(fooled=[True, False, True]), table(fooled=[True, True, True])
    found = agreement({"pair": here}, {"pair": there})
    assert found.differing == [f"pair, fooled, {STANDARD}, black, image 5"] and found.equal == 2 and not found.holds
    assert "agreement differs" in agreement_box(found) and "image 5" in agreement_box(found)
    here = pd.concat([table(fooled=[True] * 3), table(fooled=[True] * 3).assign(checkpoint=ROBUST)])
    found = agreement({"pair": here}, {"pair": table(fooled=[False] * 3).assign(condition="white")})
    assert found.values == 0 and found.skipped == ["pair: no row in common"] and "No value" in agreement_box(found)


@pytest.mark.parametrize("marked_by", ["here", "there"])
def test_a_marked_close_call_is_counted_apart(marked_by) -> None:
    calls = {"here": [False] * 3, "there": [False] * 3} | {marked_by: [False, True, False]}
    here = table(fooled=[True, False, True], close_call=calls["here"])
    found = agreement({"pair": here}, {"pair": table(fooled=[True, True, True], close_call=calls["there"])})
    assert (found.values, found.equal, found.close_calls) == (3, 2, 1) and found.holds


def test_autoattack_is_compared_by_its_interval() -> None:
    few, more, many = (
        {"auto_attack_evaluation": outcomes([], np.arange(100) < robust, "AutoAttack", "robust")}
        for robust in (40, 44, 80)
    )
    (near,), (far,) = (agreement(few, there).by_interval for there in (more, many))
    assert near.endswith("of both runs meet") and far.endswith("do not meet")
