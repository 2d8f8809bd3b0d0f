"""The promise: chapter 05 shows the attack image of one network to another, and its words follow the numbers."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD

from inequality_phenomenon.attacks import occlude, perturb_with_noise
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.measure.sample import measure
from inequality_phenomenon.measure.transferability import noise_transfer, occlusion_transfer
from inequality_phenomenon.show import conclusions, contrast_table
from inequality_phenomenon.show.attacks import pair_table, transfer_matrix
from inequality_phenomenon.verdicts.comparison import contrasted
from inequality_phenomenon.verdicts.contrasts import transfer_contrasts

PAIR = (STANDARD, ROBUST)
LOW = {(STANDARD, STANDARD): 0.8, (ROBUST, ROBUST): 0.7, (STANDARD, ROBUST): 0.2, (ROBUST, STANDARD): 0.05}
HIGH = LOW | {(STANDARD, ROBUST): 0.5, (ROBUST, STANDARD): 0.75}


def test_an_occluded_image_is_the_sources_and_with_noise_everywhere_the_source_does_not_matter(run: Run) -> None:
    source, target = run.sample(STANDARD), run.sample(ROBUST)
    found = occlusion_transfer(source, targets=PAIR, max_count=6, max_radius=3, color="white", seed=2)
    arguments = (source.model, source.images, source.labels, source.maps(seed=2))
    hit = occlude(*arguments, 6, 3, "white", locate=True, ids=source.ids)
    assert found["image_id"] == source.ids and found[STANDARD].equal(hit.fooled) and found[STANDARD].any()
    assert found[ROBUST].equal(target.model(hit.images).argmax(1) != target.labels) and found["area"].equal(hit.area)
    hidden = (hit.images != source.images).any(1).flatten(1).sum(1)
    assert (hidden <= found["area"]).all()  # white pixels do not change
    first, second = (noise_transfer(run.sample(name), targets=PAIR, budget=3072, draws=2) for name in PAIR)
    assert (first[STANDARD] == second[STANDARD]).all() and (first[ROBUST] == second[ROBUST]).all()
    own = run.sample(STANDARD, 60, own=True)
    right = (own.seen_by(ROBUST).model(own.images).argmax(1) == own.labels).tolist()
    assert 0 < sum(right) < 60
    found = measure(occlusion_transfer, own, targets=PAIR, max_count=1, max_radius=1)
    assert found.image_id.tolist() == [image_id for image_id, known in zip(own.ids, right, strict=True) if known]


@pytest.mark.parametrize("kind", ["type_1", "type_2"])
def test_noise_goes_where_the_sources_map_says(run: Run, kind: str) -> None:
    source, target = run.sample(ROBUST), run.sample(STANDARD)
    found = noise_transfer(source, targets=PAIR, budget=150, kind=kind, draws=3, seed=1)
    shares = torch.zeros(len(source.ids))
    for draw in range(3):
        arguments = (source.model, source.images, source.maps(seed=1), 150, kind, 1)
        noisy = perturb_with_noise(*arguments, draw=draw, ids=source.ids)
        shares += target.model(noisy).argmax(1) != target.labels
    assert np.allclose(found[STANDARD], shares / 3) and set(np.unique(np.round(3 * found[ROBUST]))) <= {0, 1, 2, 3}
    few = noise_transfer(source, targets=PAIR, budget=150, kind=kind, draws=2, seed=1)
    for name in PAIR:
        assert np.allclose((found[f"draws_{name}"][:, None] >> torch.arange(3) & 1).double().mean(1), found[name])
        assert (found[f"draws_{name}"] & 3 == few[f"draws_{name}"] & 3).all() and (few[f"draws_{name}"] >> 2 == 1).all()


def records(rates: dict[tuple[str, str], float], n: int = 200) -> pd.DataFrame:
    """Made-up outcomes: (made on, shown to) -> rate; every image below the rate is fooled."""
    fooled = {source: {target: np.arange(n) < round(n * rates[source, target]) for target in PAIR} for source in PAIR}
    frames = [pd.DataFrame(own).assign(checkpoint=source, image_id=range(n)) for source, own in fooled.items()]
    return pd.concat(frames, ignore_index=True).assign(condition="noise")


@pytest.mark.parametrize(("rates", "word"), [(LOW, "confirmed"), (HIGH, "contradicted")])
def test_both_signs_are_decided_and_worded(rates: dict[tuple[str, str], float], word: str) -> None:
    table = records(rates)
    first, second = transfer_contrasts(PAIR, ["noise"])
    assert (len(first), len(second)) == (2, 1)
    found = contrasted(first + second, table, resamples=499)
    half = rates[STANDARD, ROBUST] - rates[ROBUST, ROBUST] / 2
    assert found[0].difference.difference == pytest.approx(half)
    numbers, text = f"{100 * rates[PAIR]:.1f} % − 0.5 × 70.0 %", conclusions({"Low": found[:2], "Easy": found[2:]}).text
    assert f"Low: of 2 comparisons 2 {word} (" in text and f"Easy: of 1 comparisons 1 {word} (" in text
    assert f"{numbers} = " in text and numbers in contrast_table(found, name="x", caption="c").html


def test_the_matrix_and_the_table_show_the_rates() -> None:
    table = records(LOW)
    matrix = transfer_matrix(table, ["noise"], name="m")
    assert "made on standard, shown to ℓ∞ 8/255: 20.0 %" in matrix.alt
    assert "2 of 2 values are below the diagonal" in matrix.text
    shown = pair_table(table, PAIR, ["noise"], name="t", caption="c").html
    assert shown.count("<strong>20.0 %</strong>") == 1 and "n = 160" in shown  # 160 fooled the standard network
