"""Promise: the Gini index is Equation 4, to the last digits, at every scale; what has no index is refused by name."""

import math

import numpy as np
import pytest
import torch
from conftest import fails
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inequality.gini import Gini
from torch import Tensor

from inequality_phenomenon import gini, global_gini, lorenz_curve, region_sums, regional_gini, top_share
from inequality_phenomenon.inequality import REDUCES

# Non-negative, with ties and zeros, over twelve orders of magnitude. Smaller non-zero values are a separate test.
value = st.one_of(st.just(0.0), st.integers(1, 3).map(float), st.floats(1e-6, 1e6))
rows = arrays(np.float64, st.integers(1, 60), elements=value).filter(lambda row: row.any()).map(torch.from_numpy)
maps = arrays(np.float64, (1, 3, 8, 8), elements=st.floats(-1e3, 1e3, width=32))
maps = maps.filter(lambda a: (a > 0).any()).map(torch.from_numpy)
thorough = settings(max_examples=200, deadline=None)


def naive_gini(values: list[float]) -> float:
    """Half the mean absolute difference of all pairs, relative to the mean: the definition behind Equation 4."""
    return sum(abs(a - b) for a in values for b in values) / (2 * len(values) * sum(values))


def test_worked_examples_known_distributions_and_extreme_scales_have_their_indices() -> None:
    assert gini(torch.tensor([0.0, 0, 0, 1, 1])).item() == pytest.approx(0.6, abs=1e-12)
    assert gini(torch.tensor([0.0, 0, 0, 1, 1000])).item() == pytest.approx((6 - 2 * 1002 / 1001) / 5, abs=1e-12)
    assert gini(torch.tensor([0.0, 0, 0, 1, 1000])).item() == pytest.approx(0.7996, abs=1e-4)
    n = 1000
    assert gini(torch.arange(1, n + 1)).item() == pytest.approx((n - 1) / (3 * n), abs=1e-12)
    half_normal = math.sqrt(2) * torch.erfinv((torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000)
    assert gini(half_normal).item() == pytest.approx(math.sqrt(2) - 1, abs=1e-5)
    for n in (1, 2, 7, 3072):
        assert gini(torch.full((n,), 0.37)).item() == pytest.approx(0, abs=1e-12)
        assert gini(torch.eye(n)[n // 2]).item() == pytest.approx((n - 1) / n, abs=1e-12)
    row = torch.tensor([0.0, 0, 0, 1, 1], dtype=torch.float64)
    for scale in (5e-324, 1e-320, 1e-300, 1.0, 1e300, 4e307):
        assert gini(row * scale).item() == pytest.approx(0.6, abs=1e-12)
        assert gini(row.repeat(100) * scale).item() == pytest.approx(0.6, abs=1e-12)  # the plain sum overflows at 4e307
    assert gini(torch.tensor([1e-45, 1e-45, 0.0, 0.0])).item() == pytest.approx(0.5, abs=1e-12)  # float32's smallest


@thorough
@given(rows)
def test_index_is_the_mean_absolute_difference_and_pysals_and_top_share_the_share_of_the_largest(row: Tensor) -> None:
    found = gini(row).item()
    assert found == pytest.approx(naive_gini(row.tolist()), abs=1e-9)
    assert len(row) == 1 or found == pytest.approx(Gini(row.numpy()).g, abs=1e-9)
    assert -1e-12 <= found <= (len(row) - 1) / len(row) + 1e-12
    counts = sorted({1, len(row) // 2 or 1, len(row)})
    ordered = sorted(row.tolist(), reverse=True)
    expected = [math.fsum(ordered[:count]) / math.fsum(ordered) for count in counts]
    assert top_share(row, counts).tolist() == pytest.approx(expected, abs=1e-9)


@thorough
@given(rows, st.floats(1e-250, 1e250), st.randoms(use_true_random=False))
def test_index_does_not_change_with_the_scale_or_the_order(row: Tensor, scale: float, random) -> None:
    assert gini(row * scale).item() == pytest.approx(gini(row).item(), abs=1e-9)
    order = random.sample(range(len(row)), len(row))
    assert gini(row[order]).item() == gini(row).item()


@thorough
@given(rows, st.data())
def test_giving_to_a_poorer_one_lowers_the_index(row: Tensor, data: st.DataObject) -> None:
    """Pigou-Dalton: a transfer of less than the difference lowers it by the closed form."""
    assume(row.max() > row.min())
    rich, poor = int(row.argmax()), int(row.argmin())
    amount = data.draw(st.floats(0.01, 0.49)) * (row[rich] - row[poor])
    after = row.index_add(0, torch.tensor([rich, poor]), torch.stack([-amount, amount]))
    assert gini(after).item() < gini(row).item()


def test_leading_axes_are_kept_and_the_global_index_takes_absolute_or_positive_values_of_all_subpixels() -> None:
    values = torch.rand(2, 3, 50, generator=torch.Generator().manual_seed(0))
    found = gini(values)
    assert found.shape == (2, 3) and found.dtype == torch.float64
    assert found[1, 2].item() == pytest.approx(naive_gini(values[1, 2].tolist()), abs=1e-6)
    a = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for i in range(2):
        assert global_gini(a)[i].item() == pytest.approx(naive_gini(a[i].abs().flatten().tolist()), abs=1e-6)
        positive = a[i].clamp_min(0).flatten().tolist()
        assert global_gini(a, sign="positive")[i].item() == pytest.approx(naive_gini(positive), abs=1e-6)


@thorough
@given(rows, st.integers(2, 150))
def test_lorenz_curve_rises_from_0_to_1_below_the_diagonal_and_holds_the_index(row: Tensor, points: int) -> None:
    curve = lorenz_curve(row, points)
    diagonal = torch.linspace(0, 1, points, dtype=torch.float64)
    assert curve[0] == 0 and curve[-1] == pytest.approx(1, abs=1e-12)
    assert (curve.diff() >= -1e-12).all() and (curve <= diagonal + 1e-12).all()
    curve = lorenz_curve(row, points=len(row) + 1)  # one point a value: its straight pieces give the index exactly
    assert 1 - 2 * torch.trapezoid(curve, dx=1 / len(row)).item() == pytest.approx(gini(row).item(), abs=1e-9)


def test_a_known_lorenz_curve_and_region_sums_of_a_map_that_is_not_square() -> None:
    assert lorenz_curve(torch.tensor([3.0, 1.0]), points=5).tolist() == pytest.approx([0, 0.125, 0.25, 0.625, 1])
    a = torch.zeros(1, 3, 4, 6)
    a[0, 2, 3, 1] = -5  # last row, second column
    assert region_sums(a, 2).tolist() == [[[0, 0, 0], [-5, 0, 0]]]


@thorough
@given(maps, st.sampled_from([1, 2, 4, 8]))
def test_region_sums_equal_a_naive_loop_and_never_raise_the_index(a: Tensor, region: int) -> None:
    starts = range(0, 8, region)
    expected = [[a[0, :, i : i + region, j : j + region].sum().item() for j in starts] for i in starts]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(region_sums(a, region)[0], expected, atol=1e-9, rtol=1e-12)
    a = a.clamp_min(0)  # a difference of two sums is at most the sum of the differences between their members
    assert regional_gini(a, region).item() <= global_gini(a).item() + 1e-12


def naive_readings(a: Tensor, region: int) -> dict[str, float]:
    """Numbers, not tensors: the five readings by the definitions in the docstring."""
    starts = range(0, a.shape[-1], region)
    blocks = [a[0, :, i : i + region, j : j + region].flatten().tolist() for i in starts for j in starts]
    return {
        "sum_of_absolute": naive_gini([sum(abs(v) for v in block) for block in blocks]),
        "sum_of_positive": naive_gini([sum(max(v, 0) for v in block) for block in blocks]),
        "positive_of_sum": naive_gini([max(sum(block), 0) for block in blocks]),
        "absolute_of_sum": naive_gini([abs(sum(block)) for block in blocks]),
        "no_blocks_positive": naive_gini([max(v, 0) for block in blocks for v in block]),
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("region", [2, 4])
def test_all_five_readings_equal_naive_code(seed: int, region: int) -> None:
    a = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = {name: regional_gini(a, region, name).item() for name in REDUCES}
    assert found == pytest.approx(naive_readings(a, region), abs=1e-10)


@thorough
@given(arrays(np.float64, (4, 4), elements=st.floats(0.1, 10)).map(torch.from_numpy))
def test_block_sums_keep_the_index_of_a_map_that_is_constant_in_every_block(blocks: Tensor) -> None:
    """The case of equality; so the inequality above cannot be sharpened."""
    a = blocks.repeat_interleave(2, 0).repeat_interleave(2, 1).expand(1, 3, 8, 8)
    assert regional_gini(a, 2).item() == pytest.approx(global_gini(a).item(), abs=1e-12)


@thorough
@given(maps)
def test_zeros_raise_the_index_by_their_share(a: Tensor) -> None:
    """Gini(max(a, 0)) = 1 - q (1 - G+): q the fraction of positive values, G+ the index among them. Exact for every n."""
    positive = a[a > 0]
    q = positive.numel() / a.numel()
    expected = 1 - q * (1 - gini(positive).item())
    assert global_gini(a, sign="positive").item() == pytest.approx(expected, abs=1e-9)
    assert regional_gini(a, 4, "no_blocks_positive").item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", [gini, lorenz_curve, lambda values: top_share(values, [1])])
@pytest.mark.parametrize(("values", "message"), [
    ([[1.0, 2], [math.nan, 1]], "row 1 has NaN or infinite"), ([[1.0, 2], [1, math.inf]], "row 1 has NaN or infinite"),
    ([[1.0, 2], [1, 2], [-1e-30, 1]], "row 2 has negative values"), ([[0.0, 0], [1, 2]], "row 0 is all zero"),
    ([[[1.0]], [[0.0]]], r"row \(1, 0\) is all zero"), ([0.0, 0.0], "the input is all zero"),
    ([], "at least one value"), (3.0, "at least one value"),
])  # fmt: skip
def test_values_without_an_index_are_refused(function, values, message: str) -> None:
    fails(ValueError, message, function, torch.tensor(values))


@pytest.mark.parametrize("index", [global_gini, lambda a: regional_gini(a, 2)])
def test_bad_map_is_named(index) -> None:
    a = torch.ones(4, 3, 4, 4)
    fails(ValueError, r"shape \(N, channels, height, width\), got \(3, 4, 4\)", index, a[0])
    for value, message in ((math.nan, "has NaN"), (math.inf, "has NaN or infinite"), (0.0, "is all zero")):
        a[2] = value
        fails(ValueError, f"image 2 .* {message}", index, a)


def test_map_without_positive_values_unknown_names_wrong_regions_and_counts_are_refused() -> None:
    a = torch.ones(3, 3, 4, 4)
    a[1] = -1
    fails(ValueError, r"image 1 .* no value above zero", global_gini, a, sign="positive")
    for reduce in ("sum_of_positive", "positive_of_sum", "no_blocks_positive"):
        fails(ValueError, r"image 1 .* no value above zero", regional_gini, a, 2, reduce)
    assert regional_gini(a, 2, "absolute_of_sum").shape == (3,)
    fails(ValueError, "'signed'; known: absolute, positive", global_gini, a, sign="signed")
    fails(ValueError, "'sum'; known: " + ", ".join(REDUCES), regional_gini, a, 2, "sum")
    for region in (0, -2, 3, 5, 64):
        fails(ValueError, "do not tile an image of 32x32", regional_gini, torch.ones(1, 3, 32, 32), region)
    for counts in ([], [0], [5], [1, 2, 5]):
        fails(ValueError, "counts must lie between 1 and 4", top_share, torch.ones(4), counts)
