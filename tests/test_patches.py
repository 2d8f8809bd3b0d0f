"""Where patches lie and what they hide, by hand and against a loop over pixels."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inequality_phenomenon.attacks import area_mask, mask_areas, patch_centres, patch_mask


def at(*centres: tuple[int, int]) -> Tensor:
    return torch.tensor([centres])


def test_areas_by_hand() -> None:
    def area(centres: Tensor, radius: int) -> int:
        return int(patch_mask(centres, radius, 32, 32).sum())

    assert area(at((16, 16)), 1) == 4
    assert area(at((16, 16)), 4) == 64
    assert area(at((2, 2)), 4) == 36  # the block in the corner: clipped on two sides
    assert area(at((2, 16)), 4) == 48
    assert area(at((30, 30)), 4) == 36
    assert area(at((16, 16), (16, 20)), 4) == 96  # neighbouring blocks overlap by half
    assert area(at((16, 16), (16, 24)), 4) == 128
    assert area(at((-1_000_000, -1_000_000)), 4) == 0


def lattice_map(places: list[tuple[int, int]]) -> Tensor:
    """A map whose blocks rank in the order of ``places`` (block row, block column), above all others."""
    maps = torch.zeros(1, 3, 32, 32)
    for rank, (i, j) in enumerate(places):
        maps[0, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = 100.0 - rank
    return maps


def test_the_largest_area_at_count_10_radius_4() -> None:
    """640 = 10 full patches is a bound that 4x4 blocks cannot reach: only 9 unclipped centres are 8 pixels apart."""
    inner = [(i, j) for i in (2, 4, 6) for j in (2, 4, 6)]
    best = lattice_map([*inner, (0, 2)])
    assert mask_areas(best, 10, 4)[0, -1, -1] == 9 * 64 + 48 == 624
    assert mask_areas(best, 10, 4)[0, 0].tolist() == [4, 16, 36, 64]
    pixels = torch.zeros(1, 3, 32, 32)
    for rank, (i, j) in enumerate([(i, j) for i in (4, 12, 20) for j in (4, 12, 20, 28)][:10]):
        pixels[0, :, i, j] = 100.0 - rank
    assert mask_areas(pixels, 10, 4, positions="top_pixels")[0, -1, -1] == 640
    assert mask_areas(torch.randn(20, 3, 32, 32), 10, 4).amax() <= 624
    assert mask_areas(torch.randn(20, 3, 32, 32), 5, 2).amax() == 80  # radius 2 is exactly the block: no overlap


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8)), min_size=1, max_size=6), st.integers(1, 5), st.data())
def test_masks_equal_a_loop_over_pixels(places: list[tuple[int, int]], radius: int, data: st.DataObject) -> None:
    expected = [
        [any(i - radius <= y < i + radius and j - radius <= x < j + radius for i, j in places) for x in range(9)]
        for y in range(12)
    ]
    mask = patch_mask(torch.tensor([places]), radius, 12, 9)
    assert mask.shape == (1, 1, 12, 9) and mask[0, 0].tolist() == expected
    area = data.draw(st.integers(1, int(mask.sum())))
    cut = area_mask(torch.tensor([places]), radius, area, 12, 9)
    assert cut.sum() == area and not (cut & ~mask).any()


def test_orders_of_centres() -> None:
    maps = lattice_map([(3, 5), (3, 6), (0, 0), (7, 7)])
    maps[0, :, 8:12, 8:12] = -5
    assert patch_centres(maps, 5)[0].tolist() == [[14, 22], [14, 26], [2, 2], [30, 30], [2, 6]]  # then ties, row-major
    assert patch_centres(maps, 1, positions="lowest")[0].tolist() == [[10, 10]]
    assert patch_centres(maps, 3, positions="centre")[0].tolist() == [[16, 16]] * 3
    assert patch_centres(maps, 2, positions="top_pixels")[0].tolist() == [[12, 20], [12, 21]]
    assert patch_centres(maps, 3, positions="separate", max_radius=4)[0].tolist() == [[14, 22], [2, 2], [30, 30]]
    assert patch_centres(torch.randn(1, 3, 224, 224)).shape == (1, 14 * 14, 2)
    assert patch_centres(torch.randn(1, 3, 32, 32), region=8).shape == (1, 16, 2)


def test_separate_patches_do_not_overlap_and_run_out_quietly() -> None:
    centres = patch_centres(torch.randn(50, 3, 32, 32), positions="separate", max_radius=4)
    masks = [patch_mask(centres[:, k : k + 1], 4, 32, 32) for k in range(centres.shape[1])]
    assert torch.stack(masks).sum(0).max() == 1
    kept = (centres[:, :, 0] >= 0).sum(1)
    assert kept.min() >= 8  # each kept centre rules out at most nine of 64 blocks
    assert kept.max() <= 16


def test_random_centres_belong_to_the_image() -> None:
    maps = torch.zeros(6, 3, 32, 32)
    centres = patch_centres(maps, positions="random", ids=[5, 9, 2, 7, 0, 1], seed=3)
    assert torch.equal(patch_centres(maps[:1], 10, positions="random", ids=[2], seed=3)[0], centres[2, :10])
    assert all(len({tuple(place) for place in row}) == 64 for row in centres.tolist())
    assert len({str(row) for row in centres.tolist()}) == 6
    assert not torch.equal(patch_centres(maps, positions="random", seed=4), patch_centres(maps, positions="random"))
