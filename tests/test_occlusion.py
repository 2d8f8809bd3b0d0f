"""Occlusion against a plain loop on a trained model and real images; where patches lie and what they hide."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Subset, fails
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inequality_phenomenon import attacks
from inequality_phenomenon.attacks import mask_areas, noise_outcomes, occlude, occlude_area, patch_centres, patch_mask

COLORS = {"black": 0.0, "gray": 0.5, "white": 1.0}


def loop_centres(heat: Tensor, positions: str, radius: int = 4) -> list[tuple[int, int]]:
    """Centres in order for one map (3, 32, 32), by sorting Python tuples."""
    values = heat.double().numpy()
    if positions == "top_pixels":
        scored = [(-values[:, row, column].mean(), row, column) for row in range(32) for column in range(32)]
        return [(row, column) for _, row, column in sorted(scored)]
    sign = 1 if positions == "lowest" else -1
    blocks = [(sign * values[:, i : i + 4, j : j + 4].sum(), i, j) for i in range(0, 32, 4) for j in range(0, 32, 4)]
    kept: list[tuple[int, int]] = []
    for _, i, j in sorted(blocks):  # of separate ones those whose largest patch overlaps none that was kept before
        if positions != "separate" or all(max(abs(i + 2 - y), abs(j + 2 - x)) >= 2 * radius for y, x in kept):
            kept.append((i + 2, j + 2))
    return kept


def loop_mask(centres: list[tuple[int, int]], radius: int) -> Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    for row, column in centres:
        mask[max(row - radius, 0) : row + radius, max(column - radius, 0) : column + radius] = True
    return mask


@torch.no_grad()
def algorithm_1(model, image: Tensor, label: Tensor, centres, count: int, radius: int, color: float):
    """The first (n, r) that fools the model, or None."""
    for n in range(1, count + 1):
        for r in range(1, radius + 1):
            occluded = torch.where(loop_mask(centres[:n], r), torch.tensor(color), image)
            if model(occluded[None]).argmax() != label:
                return n, r
    return None


@pytest.mark.parametrize(("count", "radius", "color", "positions"), [
    (10, 4, "black", "regional"), (5, 2, "white", "regional"), (4, 3, "gray", "top_pixels"), (6, 4, "black", "lowest"),
    (3, 1, "white", "top_pixels"), (6, 4, "white", "random"), (6, 4, "white", "separate"),
])  # fmt: skip
def test_fooled_and_first_success_are_the_loops(subset, count: int, radius: int, color: Any, positions: Any) -> None:
    model, images, labels, maps = subset
    options = {"positions": positions, "ids": list(range(40, 56)), "seed": 7}
    hit = occlude(*subset, count, radius, color, **options)
    located = occlude(*subset, count, radius, color, locate=True, batch=5, **options)
    verdicts = []
    for i in sorted(set(range(16)) - set(hit.close_calls) - set(located.close_calls)):
        if positions == "random":  # the places belong to the image: drawn for it alone
            centres = patch_centres(maps[i : i + 1], positions="random", ids=[40 + i], seed=7)[0].tolist()
        else:
            centres = loop_centres(maps[i], positions, radius)
        found = algorithm_1(model, images[i], labels[i], centres, count, radius, COLORS[color])
        verdicts.append(found is not None)
        assert bool(hit.fooled[i]) == bool(located.fooled[i]) == (found is not None)
        n, r = found or (count, radius)
        mask = loop_mask(centres[:n], r)
        assert (int(located.count[i]), int(located.radius[i]), int(located.area[i])) == (n, r, int(mask.sum()))
        assert torch.equal(located.images[i], torch.where(mask, torch.tensor(COLORS[color]), images[i]))
    assert len(hit.close_calls) < 3 and hit.forwards.sum() <= located.forwards.sum()
    assert positions not in ("random", "separate") or 0 < sum(verdicts) < len(verdicts)


@pytest.mark.parametrize(("positions", "color"), [("regional", "black"), ("top_pixels", "white"), ("separate", "gray")])
def test_every_mask_of_the_grid_has_the_outcome_of_the_loop(subset: Subset, positions: Any, color: Any) -> None:
    model, images, labels, maps = subset
    every = attacks.grid_outcomes(model, images, labels, maps, 5, 3, color, positions=positions, batch=50)
    fooled, close = every.fooled.numpy(), every.close.numpy()
    assert fooled.shape == close.shape == (16, 5, 3) and 0 < fooled.sum() < fooled.size
    for i in range(16):
        centres = loop_centres(maps[i], positions, 3)
        for n, r in np.ndindex(5, 3):
            occluded = torch.where(loop_mask(centres[: n + 1], r + 1), COLORS[color], images[i])
            assert close[i, n, r] or fooled[i, n, r] == (model(occluded[None]).argmax() != labels[i]).item()
    assert not every.close_at_start.any() and (every.forwards <= 1 + 15).all()


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (7, 1), (500, 1), (7, 2)])
def test_batches_threads_and_order_of_images_do_not_matter(subset: Subset, batch: int, threads: int) -> None:
    model, images, labels, maps = subset
    expected = occlude(model, images, labels, maps, 3, 2)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(batch))
    torch.set_num_threads(threads)
    try:
        hit = occlude(model, images[order], labels[order], maps[order], 3, 2, batch=batch)
    finally:
        torch.set_num_threads(1)
    trusted = [place for place, i in enumerate(order.tolist()) if i not in expected.close_calls]
    assert torch.equal(hit.fooled[trusted], expected.fooled[order][trusted])
    assert {int(order[i]) for i in hit.close_calls} == set(expected.close_calls)


def test_margins_below_the_threshold_are_listed_not_trusted(subset: Subset) -> None:
    assert occlude(*subset, 2, 2).close_calls == ()
    subset[0].network[-1].weight *= 1e-6
    subset[0].network[-1].bias *= 1e-6
    hit = occlude(*subset, 2, 2)
    assert hit.close_calls == tuple(range(16))
    assert (hit.forwards == 5).all()  # no success was clear, so every mask was tried
    assert noise_outcomes(*subset, [10], draws=1).close_calls == tuple(range(16))


def test_forwards_are_counted_and_batches_bounded(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    folds: list[nn.Module] = []

    def fold(model: nn.Module) -> Any:
        folds.append(model)
        return lambda x: sizes.append(len(x)) or model(x)

    monkeypatch.setattr(attacks.referee, "fold_batch_norm", fold)
    hit = occlude(*subset, 3, 3, batch=6)
    assert len(folds) == 1 and max(sizes) <= 6
    assert sum(sizes) == hit.forwards.sum() + 1  # one more to count the classes
    sizes.clear()
    full = occlude(*subset, 3, 3, batch=32)
    assert torch.equal(full.forwards, hit.forwards)  # what the search needs, not what fills its batches
    assert hit.forwards.sum() + 1 < sum(sizes) and len(sizes) < 1 + 1 + 9  # fewer batches than masks
    sizes.clear()
    every = attacks.grid_outcomes(*subset, 3, 3, batch=6)
    assert sum(sizes) == every.forwards.sum() + 1
    assert sizes.count(6) >= len(sizes) - 2 - 3  # all but the class count's, the last and those of the clean images
    sizes.clear()
    noise_outcomes(*subset, [5, 50], draws=3, batch=6)
    assert max(sizes) <= 6 and sum(sizes) == 1 + 16 * (1 + 2 * 3)


def test_equal_area_minimum_color_one_mask_and_the_centre_are_what_they_say(subset: Subset) -> None:
    model, images, labels, maps = subset
    for positions in ("regional", "random", "lowest", "top_pixels"):
        hit = occlude_area(model, images, labels, maps, 77, 2, "white", positions=positions, ids=list(range(16)))
        assert hit.area.tolist() == [77] * 16
        hidden = (hit.images == 1).all(1).sum((1, 2)) - (images == 1).all(1).sum((1, 2))
        assert (hidden <= 77).all() and torch.equal(hit.fooled, model(hit.images).argmax(1) != labels)
    fails(ValueError, "between 1 and 16 pixels", occlude_area, model, images, labels, maps, 17, 2, positions="centre")
    hit = occlude(model, images, labels, maps, 2, 2, preset="released", search="single", locate=True)
    lowest = model.normalise(images).flatten(1).amin(1)
    for i in range(16):
        mask = loop_mask(loop_centres(maps[i], "top_pixels")[:2], 2)
        inside = model.normalise(hit.images)[i][:, mask]
        assert torch.allclose(inside, lowest[i].expand_as(inside), atol=1e-5)
    hit = occlude(model, images, labels, maps, 3, 2, "white", search="single", locate=True)
    for i in range(16):
        occluded = torch.where(loop_mask(loop_centres(maps[i], "regional")[:3], 2), 1.0, images[i])
        assert i in hit.close_calls or hit.fooled[i] == (model(occluded[None]).argmax() != labels[i])
        assert torch.equal(hit.images[i], occluded)
    assert (hit.forwards == 2).all()
    assert not (hit.fooled & ~occlude(model, images, labels, maps, 3, 2, "white").fooled).any()
    hit = occlude(model, images, labels, maps, 10, 4, positions="centre")
    assert hit.forwards.max() <= 1 + 4
    assert torch.equal(hit.fooled, occlude(model, images, labels, maps, 1, 4, positions="centre").fooled)


def test_bad_images_labels_maps_and_options(subset: Subset) -> None:
    model, images, labels, maps = subset
    wrong = labels.clone()
    wrong[[2, 5]] = (wrong[[2, 5]] + 1) % 10
    broken = maps.clone()
    broken[3, 0, 0, 0] = torch.nan
    cases = [
        (r"shape \(N, 3, height, width\), got \(3, 32, 32\)", (images[0], labels, maps)),
        ("the subset is empty", (images[:0], labels[:0], maps[:0])), ("16 int64 values", (images, labels.float(), maps)),
        (r"pixels must lie in \[0, 1\], got 0 to 255", ((images * 255).round(), labels, maps)),
        (r"pixels must lie in \[0, 1\]", (images * torch.nan, labels, maps)),
        (r"have shape \(16, 3, 32, 32\), got \(15, 3, 32, 32\)", (images, labels, maps[:15])),
        ("map of image 3 .*has NaN", (images, labels, broken)), ("16 int64 values", (images, labels[:4], maps)),
        (r"labels must lie in 0..9, got \d to 10", (images, labels.index_fill(0, torch.tensor(0), 10), maps)),
        ("labels must lie in 0..9, got -1", (images, labels.index_fill(0, torch.tensor(0), -1), maps)),
        (r"misclassifies 2 images before any attack \(from 0\): 2, 5", (images, wrong, maps)),
    ]  # fmt: skip
    for attack in (occlude, noise_outcomes):
        for message, arguments in cases:
            fails(ValueError, message, attack, model, *arguments)
        fails(ValueError, "16 images need as many ids, got 3", attack, *subset, ids=[1, 2, 3])
        fails(ValueError, "batch must be at least 1", attack, *subset, batch=0)
        model.train()
        fails(ValueError, r"call model.eval\(\)", attack, *subset)
        model.eval()
    for message, options in [
        ("unknown color 'red'; known: black, gray, white, minimum", {"color": "red"}),
        ("unknown positions 'top'; known: regional, top_pixels", {"positions": "top"}),
        ("unknown search 'all'; known: grid, single", {"search": "all"}),
        ("64 places of 4x4 pixels, got a count of 65", {"max_count": 65}), ("regions of 5x5 do not tile", {"region": 5}),
        ("max_radius must be at least 1, got 0", {"max_radius": 0}), ("max_count must be at least 1, got 0", {"max_count": 0}),
    ]:  # fmt: skip
        fails(ValueError, message, occlude, *subset, **options)


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
    near = range(-radius, radius)
    expected = [[any(y - i in near and x - j in near for i, j in places) for x in range(9)] for y in range(12)]
    mask = patch_mask(torch.tensor([places]), radius, 12, 9)
    assert mask.shape == (1, 1, 12, 9) and mask[0, 0].tolist() == expected
    area = data.draw(st.integers(1, int(mask.sum())))
    cut = attacks.area_mask(torch.tensor([places]), radius, area, 12, 9)
    assert cut.sum() == area and not (cut & ~mask).any()


def test_centres_have_their_orders_separate_ones_do_not_overlap_and_random_ones_belong_to_the_image() -> None:
    maps = lattice_map([(3, 5), (3, 6), (0, 0), (7, 7)])
    maps[0, :, 8:12, 8:12] = -5
    assert patch_centres(maps, 5)[0].tolist() == [[14, 22], [14, 26], [2, 2], [30, 30], [2, 6]]  # then ties, row-major
    assert patch_centres(maps, 1, positions="lowest")[0].tolist() == [[10, 10]]
    assert patch_centres(maps, 3, positions="centre")[0].tolist() == [[16, 16]] * 3
    assert patch_centres(maps, 2, positions="top_pixels")[0].tolist() == [[12, 20], [12, 21]]
    assert patch_centres(maps, 3, positions="separate", max_radius=4)[0].tolist() == [[14, 22], [2, 2], [30, 30]]
    assert patch_centres(torch.randn(1, 3, 224, 224)).shape == (1, 14 * 14, 2)
    assert patch_centres(torch.randn(1, 3, 32, 32), region=8).shape == (1, 16, 2)
    centres = patch_centres(torch.randn(50, 3, 32, 32), positions="separate", max_radius=4)
    masks = [patch_mask(centres[:, k : k + 1], 4, 32, 32) for k in range(centres.shape[1])]
    assert torch.stack(masks).sum(0).max() == 1
    kept = (centres[:, :, 0] >= 0).sum(1)
    assert kept.min() >= 8  # each kept centre rules out at most nine of 64 blocks
    assert kept.max() <= 16
    maps = torch.zeros(6, 3, 32, 32)
    centres = patch_centres(maps, positions="random", ids=[5, 9, 2, 7, 0, 1], seed=3)
    assert torch.equal(patch_centres(maps[:1], 10, positions="random", ids=[2], seed=3)[0], centres[2, :10])
    assert all(len({tuple(place) for place in row}) == 64 for row in centres.tolist())
    assert len({str(row) for row in centres.tolist()}) == 6
    assert not torch.equal(patch_centres(maps, positions="random", seed=4), patch_centres(maps, positions="random"))


def test_every_budget_and_search_follows_from_the_outcomes_of_the_grid(subset: Subset) -> None:
    fooled = attacks.grid_outcomes(*subset, 6, 4, "white").fooled
    for count, radius in ((6, 4), (5, 2), (1, 4), (6, 1)):
        best = occlude(*subset, count, radius, "white")
        located = occlude(*subset, count, radius, "white", locate=True)
        largest = occlude(*subset, count, radius, "white", search="single")
        part = fooled[:, :count, :radius].flatten(1)
        assert (count, radius) != (5, 2) or 0 < best.fooled.sum() < 16
        assert torch.equal(part.any(1), best.fooled) and not best.close_calls
        assert torch.equal(fooled[:, count - 1, radius - 1], largest.fooled)
        first = part.int().argmax(1)[best.fooled]
        assert torch.equal(first // radius + 1, located.count[best.fooled])
        assert torch.equal(first % radius + 1, located.radius[best.fooled])


@pytest.mark.parametrize(("centres", "radius", "area"), [
    ([(16, 16)], 1, 4), ([(16, 16)], 4, 64), ([(2, 16)], 4, 48), ([(-1_000_000, -1_000_000)], 4, 0),
    ([(2, 2)], 4, 36), ([(30, 30)], 4, 36),  # blocks in corners: clipped on two sides
    ([(16, 16), (16, 20)], 4, 96), ([(16, 16), (16, 24)], 4, 128),  # neighbouring blocks overlap by half
])  # fmt: skip
def test_areas_by_hand(centres: list[tuple[int, int]], radius: int, area: int) -> None:
    assert patch_mask(torch.tensor([centres]), radius, 32, 32).sum() == area
