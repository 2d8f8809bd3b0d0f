"""The attacks against a plain loop, one image and one mask at a time, on a trained model and real images."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inequality_phenomenon.attacks import (
    area_mask,
    grid_outcomes,
    mask_areas,
    noise_outcomes,
    occlude,
    occlude_area,
    patch_centres,
    patch_mask,
    perturb_with_noise,
    referee,
    unpack_grid,
)
from inequality_phenomenon.attribution import attribute
from inequality_phenomenon.networks import Classifier
from inequality_phenomenon.robustness import correct

Subset = tuple[Classifier, Tensor, Tensor, Tensor]
COLORS = {"black": 0.0, "gray": 0.5, "white": 1.0}


@pytest.fixture
def subset(trained: Classifier, test_set: tuple[Tensor, Tensor]) -> Subset:
    """Model, and 16 images that it classifies correctly with their labels and maps."""
    images, labels = (part[:200] for part in test_set)
    right = correct(trained, images, labels).nonzero().flatten()[:16]
    images, labels = images[right].clone(), labels[right].clone()
    return trained, images, labels, attribute(trained, images, labels, "input_x_gradient")


# the oracle: Algorithm 1, literally, on the unfolded model


def loop_centres(heat: np.ndarray, positions: str) -> list[tuple[int, int]]:
    """Centres in order for one map (3, 32, 32), by sorting Python tuples."""
    heat = heat.astype(np.float64)
    if positions == "top_pixels":
        scored = [(-heat[:, row, column].mean(), row, column) for row in range(32) for column in range(32)]
        return [(row, column) for _, row, column in sorted(scored)]
    sign = 1 if positions == "lowest" else -1
    blocks = [(sign * heat[:, i : i + 4, j : j + 4].sum(), i, j) for i in range(0, 32, 4) for j in range(0, 32, 4)]
    return [(i + 2, j + 2) for _, i, j in sorted(blocks)]


def loop_separate(centres: list[tuple[int, int]], radius: int) -> list[tuple[int, int]]:
    """Of the ordered centres those whose largest patch overlaps none that was kept before."""
    kept: list[tuple[int, int]] = []
    for row, column in centres:
        if all(max(abs(row - i), abs(column - j)) >= 2 * radius for i, j in kept):
            kept.append((row, column))
    return kept


def loop_mask(centres: list[tuple[int, int]], radius: int) -> Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    for row, column in centres:
        mask[max(row - radius, 0) : row + radius, max(column - radius, 0) : column + radius] = True
    return mask


@torch.no_grad()
def algorithm_1(
    model: nn.Module,
    image: Tensor,
    label: Tensor,
    centres: list[tuple[int, int]],
    count: int,
    radius: int,
    color: float,
) -> tuple[int, int] | None:
    """First (n, r) that fools the model."""
    for n in range(1, count + 1):
        for r in range(1, radius + 1):
            occluded = torch.where(loop_mask(centres[:n], r), torch.tensor(color), image)
            if model(occluded[None]).argmax() != label:
                return n, r
    return None


@pytest.mark.parametrize(
    ("count", "radius", "color", "positions"),
    [
        (10, 4, "black", "regional"),
        (5, 2, "white", "regional"),
        (4, 3, "gray", "top_pixels"),
        (6, 4, "black", "lowest"),
        (3, 1, "white", "top_pixels"),
    ],
)
def test_fooled_and_first_success_are_the_loops(
    subset: Subset, count: int, radius: int, color: Any, positions: Any
) -> None:
    model, images, labels, maps = subset
    hit = occlude(model, images, labels, maps, count, radius, color, positions=positions)
    located = occlude(model, images, labels, maps, count, radius, color, positions=positions, locate=True, batch=5)
    assert located.images is not None
    assert located.count is not None
    assert located.radius is not None
    assert located.area is not None
    for i in sorted(set(range(16)) - set(hit.close_calls) - set(located.close_calls)):
        centres = loop_centres(maps[i].numpy(), positions)
        found = algorithm_1(model, images[i], labels[i], centres, count, radius, COLORS[color])
        assert bool(hit.fooled[i]) == bool(located.fooled[i]) == (found is not None)
        n, r = found or (count, radius)
        mask = loop_mask(centres[:n], r)
        assert (int(located.count[i]), int(located.radius[i]), int(located.area[i])) == (n, r, int(mask.sum()))
        assert torch.equal(located.images[i], torch.where(mask, torch.tensor(COLORS[color]), images[i]))
    assert len(hit.close_calls) < 3
    assert hit.forwards.sum() <= located.forwards.sum()


@pytest.mark.parametrize("positions", ["random", "separate"])
def test_verdicts_at_random_and_at_separate_places_are_the_loops(subset: Subset, positions: Any) -> None:
    model, images, labels, maps = subset
    ids = list(range(40, 56))
    hit = occlude(model, images, labels, maps, 6, 4, "white", positions=positions, ids=ids, seed=7)
    verdicts = []
    for i in sorted(set(range(16)) - set(hit.close_calls)):
        if positions == "random":  # the places belong to the image: drawn for it alone
            centres = [
                (r, c) for r, c in patch_centres(maps[i : i + 1], positions="random", ids=[ids[i]], seed=7)[0].tolist()
            ]
        else:
            centres = loop_separate(loop_centres(maps[i].numpy(), "regional"), 4)
        found = algorithm_1(model, images[i], labels[i], centres, 6, 4, 1.0) is not None
        assert bool(hit.fooled[i]) == found
        verdicts.append(found)
    assert 0 < sum(verdicts) < len(verdicts)


@pytest.mark.parametrize(("positions", "color"), [("regional", "black"), ("top_pixels", "white"), ("separate", "gray")])
def test_every_mask_of_the_grid_has_the_outcome_of_the_loop(subset: Subset, positions: Any, color: Any) -> None:
    model, images, labels, maps = subset
    every = grid_outcomes(model, images, labels, maps, 5, 3, color, positions=positions, batch=50)
    assert every.fooled.shape == every.close.shape == (16, 2)  # 15 masks in 16 bits
    fooled, close = (unpack_grid(bits, 5, 3) for bits in (every.fooled, every.close))
    assert fooled.shape == (16, 5, 3) and 0 < fooled.sum() < fooled.size
    for i in range(16):
        ordered = loop_centres(maps[i].numpy(), "top_pixels" if positions == "top_pixels" else "regional")
        centres = loop_separate(ordered, 3) if positions == "separate" else ordered
        for n, r in np.ndindex(5, 3):
            occluded = torch.where(loop_mask(centres[: n + 1], r + 1), COLORS[color], images[i])
            bit = every.fooled[i, (n * 3 + r) // 8] >> (7 - (n * 3 + r) % 8) & 1
            assert fooled[i, n, r] == bit
            assert close[i, n, r] or fooled[i, n, r] == (model(occluded[None]).argmax() != labels[i]).item()
    assert not every.close_at_start.any() and (every.forwards <= 1 + 15).all()


def test_every_budget_and_search_follows_from_the_outcomes_of_the_grid(subset: Subset) -> None:
    every = grid_outcomes(*subset, 6, 4, "white")
    fooled = torch.from_numpy(unpack_grid(every.fooled, 6, 4))
    for count, radius in ((6, 4), (5, 2), (1, 4), (6, 1)):
        best = occlude(*subset, count, radius, "white")
        located = occlude(*subset, count, radius, "white", locate=True)
        largest = occlude(*subset, count, radius, "white", search="single")
        part = fooled[:, :count, :radius].flatten(1)
        assert torch.equal(part.any(1), best.fooled) and not best.close_calls
        assert torch.equal(fooled[:, count - 1, radius - 1], largest.fooled)
        first = part.int().argmax(1)[best.fooled]
        assert located.count is not None and located.radius is not None
        assert torch.equal(first // radius + 1, located.count[best.fooled])
        assert torch.equal(first % radius + 1, located.radius[best.fooled])


def test_the_settings_of_the_oracle_are_not_trivial(subset: Subset) -> None:
    hit = occlude(*subset, 5, 2, "white")
    assert 0 < hit.fooled.sum() < 16


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
    model, images, labels, maps = subset
    assert occlude(model, images, labels, maps, 2, 2).close_calls == ()
    model.network[-1].weight *= 1e-6  # type: ignore[index]
    model.network[-1].bias *= 1e-6  # type: ignore[index]
    hit = occlude(model, images, labels, maps, 2, 2)
    assert hit.close_calls == tuple(range(16))
    assert (hit.forwards == 5).all()  # no success was clear, so every mask was tried
    assert noise_outcomes(model, images, labels, maps, [10], draws=1).close_calls == tuple(range(16))


def test_forwards_are_counted_and_batches_bounded(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, labels, maps = subset
    sizes: list[int] = []
    folds: list[nn.Module] = []

    def fold(model: nn.Module) -> Any:
        folds.append(model)

        def network(x: Tensor) -> Tensor:
            sizes.append(len(x))
            return model(x)

        return network

    monkeypatch.setattr(referee, "fold_batch_norm", fold)
    hit = occlude(model, images, labels, maps, 3, 3, batch=6)
    assert len(folds) == 1
    assert max(sizes) <= 6
    assert sum(sizes) == hit.forwards.sum() + 1  # one more to count the classes
    sizes.clear()
    full = occlude(model, images, labels, maps, 3, 3, batch=32)
    assert torch.equal(full.forwards, hit.forwards)  # what the search needs, not what fills its batches
    assert hit.forwards.sum() + 1 < sum(sizes) and len(sizes) < 1 + 1 + 9  # fewer batches than masks
    sizes.clear()
    every = grid_outcomes(model, images, labels, maps, 3, 3, batch=6)
    assert sum(sizes) == every.forwards.sum() + 1
    assert sizes.count(6) >= len(sizes) - 2 - 3  # all but the class count's, the last and those of the clean images
    sizes.clear()
    noise_outcomes(model, images, labels, maps, [5, 50], draws=3, batch=6)
    assert max(sizes) <= 6
    assert sum(sizes) == 1 + 16 * (1 + 2 * 3)


def test_one_mask_instead_of_the_best_of_the_grid(subset: Subset) -> None:
    model, images, labels, maps = subset
    hit = occlude(model, images, labels, maps, 3, 2, "white", search="single", locate=True)
    for i in range(16):
        occluded = torch.where(loop_mask(loop_centres(maps[i].numpy(), "regional")[:3], 2), 1.0, images[i])
        assert i in hit.close_calls or hit.fooled[i] == (model(occluded[None]).argmax() != labels[i])
        assert torch.equal(hit.images[i], occluded)  # type: ignore[index]
    assert (hit.forwards == 2).all()
    assert not (hit.fooled & ~occlude(model, images, labels, maps, 3, 2, "white").fooled).any()


# geometry


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
    assert mask.shape == (1, 1, 12, 9)
    assert mask[0, 0].tolist() == expected
    area = data.draw(st.integers(1, int(mask.sum())))
    cut = area_mask(torch.tensor([places]), radius, area, 12, 9)
    assert cut.sum() == area
    assert not (cut & ~mask).any()


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
    maps = torch.randn(50, 3, 32, 32)
    centres = patch_centres(maps, positions="separate", max_radius=4)
    masks = [patch_mask(centres[:, k : k + 1], 4, 32, 32) for k in range(centres.shape[1])]
    assert torch.stack(masks).sum(0).max() == 1
    kept = (centres[:, :, 0] >= 0).sum(1)
    assert kept.min() >= 8  # each kept centre rules out at most nine of 64 blocks
    assert kept.max() <= 16


def test_random_centres_belong_to_the_image() -> None:
    maps = torch.zeros(6, 3, 32, 32)
    centres = patch_centres(maps, positions="random", ids=[5, 9, 2, 7, 0, 1], seed=3)
    alone = patch_centres(maps[:1], 10, positions="random", ids=[2], seed=3)
    assert torch.equal(alone[0], centres[2, :10])
    assert all(len({tuple(place) for place in row}) == 64 for row in centres.tolist())
    assert len({str(row) for row in centres.tolist()}) == 6
    assert not torch.equal(patch_centres(maps, positions="random", seed=4), patch_centres(maps, positions="random"))


def test_centre_search_needs_one_forward_a_radius(subset: Subset) -> None:
    model, images, labels, maps = subset
    hit = occlude(model, images, labels, maps, 10, 4, positions="centre")
    assert hit.forwards.max() <= 1 + 4
    assert torch.equal(hit.fooled, occlude(model, images, labels, maps, 1, 4, positions="centre").fooled)


def test_equal_area(subset: Subset) -> None:
    model, images, labels, maps = subset
    for positions in ("regional", "random", "lowest", "top_pixels"):
        hit = occlude_area(model, images, labels, maps, 77, 2, "white", positions=positions, ids=list(range(16)))
        assert hit.area is not None
        assert hit.area.tolist() == [77] * 16
        hidden = (hit.images == 1).all(1).sum((1, 2)) - (images == 1).all(1).sum((1, 2))  # type: ignore[union-attr]
        assert (hidden <= 77).all()
        assert torch.equal(hit.fooled, model(hit.images).argmax(1) != labels)
    with pytest.raises(ValueError, match="between 1 and 16 pixels"):
        occlude_area(model, images, labels, maps, 17, 2, positions="centre")


def test_minimum_color_is_the_smallest_normalised_value(subset: Subset) -> None:
    model, images, labels, maps = subset
    hit = occlude(model, images, labels, maps, 2, 2, preset="released", search="single", locate=True)
    lowest = model.normalise(images).flatten(1).amin(1)
    for i in range(16):
        mask = loop_mask(loop_centres(maps[i].numpy(), "top_pixels")[:2], 2)
        inside = model.normalise(hit.images)[i][:, mask]
        assert torch.allclose(inside, lowest[i].expand_as(inside), atol=1e-5)


# noise


@pytest.mark.parametrize("budget", [1, 10, 300, 3072])
@pytest.mark.parametrize("kind", ["type_1", "type_2"])
@pytest.mark.parametrize("positions", ["top", "lowest", "random"])
def test_exactly_the_budget_changes(subset: Subset, budget: int, kind: Any, positions: Any) -> None:
    model, images, _, maps = subset
    noisy = perturb_with_noise(model, images, maps, budget, kind, positions=positions)
    changed = (noisy != images).flatten(1)
    assert (changed.sum(1) == budget).all()
    flat = maps.flatten(1)
    for row, values in zip(changed, flat, strict=True):
        if positions == "top" and budget < 3072:
            assert values[row].min() >= values[~row].max()
        if positions == "lowest" and budget < 3072:
            assert values[row].max() <= values[~row].min()


def test_random_positions_are_not_the_top_and_depend_on_the_draw(subset: Subset) -> None:
    model, images, _, maps = subset
    places = [
        perturb_with_noise(model, images, maps, 300, positions=positions, draw=draw) != images
        for positions, draw in (("top", 0), ("random", 0), ("random", 1))
    ]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        overlap = (places[i] & places[j]).flatten(1).sum(1).double().mean()
        assert 300 * 300 / 3072 / 2 < overlap < 2 * 300 * 300 / 3072


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(-2, 2), min_size=12, max_size=12), budget=st.integers(1, 11))
def test_ties_go_by_index(values: list[int], budget: int) -> None:
    model, images = Classifier(nn.Flatten()).eval(), torch.full((1, 3, 2, 2), 0.5)
    maps = torch.tensor(values, dtype=torch.float32).view(1, 3, 2, 2) * -1.0  # has negative zeros
    exact = (perturb_with_noise(model, images, maps, budget) != images).flatten().nonzero().flatten().tolist()
    assert exact == sorted(sorted(range(12), key=lambda i: (values[i], i))[:budget])
    released = perturb_with_noise(model, images, maps, budget, "type_1", distribution="normal", threshold=True)
    limit = sorted(values)[budget]
    assert (released != images).flatten().tolist() == [value <= limit for value in values]


def test_noise_is_equation_5_in_normalised_space(subset: Subset) -> None:
    model, images, _, maps = subset
    everywhere = {kind: perturb_with_noise(model, images, maps, 3072, kind) for kind in ("type_1", "type_2")}
    added = model.normalise(everywhere["type_1"]) - model.normalise(images)
    replaced = model.normalise(everywhere["type_2"])
    assert torch.allclose(added, replaced, atol=1e-5)  # the same noise, on top of the image and instead of it
    assert abs(added.mean()) < 0.02
    assert abs(added.std() - 1) < 0.02
    assert everywhere["type_1"].min() < 0  # not clamped
    pixel = perturb_with_noise(model, images, maps, 3072, "type_2", space="pixel")
    assert torch.allclose(pixel, replaced, atol=1e-5)
    clamped = perturb_with_noise(model, images, maps, 3072, "type_1", clamp=True)
    assert torch.equal(clamped, everywhere["type_1"].clamp(0, 1))


def test_noise_belongs_to_seed_image_and_draw(subset: Subset) -> None:
    model, images, _, maps = subset
    ids = list(range(100, 116))
    together = perturb_with_noise(model, images, maps, seed=4, draw=2, ids=ids)
    alone = perturb_with_noise(model, images[5:6], maps[5:6], seed=4, draw=2, ids=[105])
    assert torch.equal(together[5:6], alone)
    fewer = perturb_with_noise(model, images, maps, budget=50, seed=4, draw=2, ids=ids)
    assert torch.equal(fewer[fewer != images], together[fewer != images])  # a smaller budget uses the same values
    for other in ({"seed": 5}, {"draw": 1}, {"ids": list(range(16))}):
        arguments: dict[str, Any] = {"seed": 4, "draw": 2, "ids": ids} | other
        assert not torch.equal(perturb_with_noise(model, images, maps, **arguments), together)


@pytest.mark.parametrize("kind", ["type_1", "type_2"])
def test_energy_is_exact(subset: Subset, kind: Any) -> None:
    model, images, _, maps = subset
    wanted = torch.linspace(0.5, 8, 16)
    noisy = perturb_with_noise(model, images, maps, 100, kind, energy=wanted, positions="random")
    assert torch.allclose((noisy - images).flatten(1).norm(dim=1), wanted, rtol=1e-5)
    plain = perturb_with_noise(model, images, maps, 100, kind, positions="random")
    cosine = nn.functional.cosine_similarity((noisy - images).flatten(1), (plain - images).flatten(1))
    assert torch.allclose(cosine, torch.ones(16), atol=1e-5)


def test_released_noise(subset: Subset) -> None:
    model, images, _, maps = subset
    noisy = perturb_with_noise(model, images, maps, 300, "type_2", preset="released")
    assert ((noisy != images).flatten(1).sum(1) == 301).all()
    low, high = model.normalise(images).flatten(1).aminmax(dim=1)
    after = model.normalise(perturb_with_noise(model, images, maps, 3071, preset="released")).flatten(1)
    assert (after >= low[:, None] - 1e-5).all()
    assert (after <= high[:, None] + 1e-5).all()
    spread = (model.normalise(noisy) - low.view(-1, 1, 1, 1)) / (high - low).view(-1, 1, 1, 1)
    changed = spread[noisy != images]
    assert abs(changed.mean() - 0.5) < 0.03  # uniform on the image's range
    assert abs(changed.std() - 12**-0.5) < 0.02


def test_noise_outcomes_are_single_predictions(subset: Subset) -> None:
    model, images, labels, maps = subset
    ids, budgets = list(range(50, 66)), (20, 300, 1000)
    every: list[dict[str, Any]] = [{}, {"positions": "random"}, {"preset": "released"}]
    for options in every:
        found = noise_outcomes(
            model,
            images,
            labels,
            maps,
            budgets,
            "type_2",
            1,
            draws=2,
            ids=ids,
            batch=5,
            **options,
        )
        assert found.fooled.shape == (16, 3, 2)
        assert 0 < found.fooled.sum() < found.fooled.numel()
        for column, budget in enumerate(budgets):
            for draw in range(2):
                noisy = perturb_with_noise(model, images, maps, budget, "type_2", 1, draw=draw, ids=ids, **options)
                expected = torch.cat([model(x[None]).argmax(1) for x in noisy]) != labels
                differ = (found.fooled[:, column, draw] != expected).nonzero().flatten().tolist()
                assert set(differ) <= set(found.close_calls)
    energy = torch.full((16, 1), 1e-3)
    assert not noise_outcomes(model, images, labels, maps, [300], draws=1, energy=energy).fooled.any()


def test_noise_of_type_1_is_the_loop(subset: Subset) -> None:
    """One image at a time: the k largest signed values get a number each, in normalised space, and nothing is clamped."""
    model, images, labels, maps = subset
    budget = 300
    found = noise_outcomes(model, images, labels, maps, [budget], "type_1", 3, draws=1, ids=list(range(60, 76)))
    verdicts = []
    for i in sorted(set(range(16)) - set(found.close_calls)):
        everywhere = perturb_with_noise(model, images[i : i + 1], maps[i : i + 1], 3072, "type_2", 3, ids=[60 + i])
        numbers = model.normalise(everywhere)[0].flatten()  # type II everywhere is the noise itself
        noisy, values = model.normalise(images[i : i + 1])[0].flatten(), maps[i].flatten().tolist()
        for place in sorted(range(3072), key=lambda j, values=values: (-values[j], j))[:budget]:
            noisy[place] += numbers[place]
        logits = model.network(noisy.view(1, 3, 32, 32))
        assert bool(found.fooled[i, 0, 0]) == (logits.argmax() != labels[i])
        verdicts.append(bool(found.fooled[i, 0, 0]))
    assert 0 < sum(verdicts) < len(verdicts)


# bad input


def test_bad_images_labels_and_maps(subset: Subset) -> None:
    model, images, labels, maps = subset
    wrong = labels.clone()
    wrong[[2, 5]] = (wrong[[2, 5]] + 1) % 10
    broken = maps.clone()
    broken[3, 0, 0, 0] = torch.nan
    for attack in (occlude, noise_outcomes):
        cases: list[tuple[str, tuple[Tensor, Tensor, Tensor]]] = [
            (r"shape \(N, 3, height, width\), got \(3, 32, 32\)", (images[0], labels, maps)),
            ("the subset is empty", (images[:0], labels[:0], maps[:0])),
            (r"pixels must lie in \[0, 1\], got 0 to 255", ((images * 255).round(), labels, maps)),
            (r"pixels must lie in \[0, 1\]", (images * torch.nan, labels, maps)),
            (r"have shape \(16, 3, 32, 32\), got \(15, 3, 32, 32\)", (images, labels, maps[:15])),
            ("map of image 3 .*has NaN", (images, labels, broken)),
            ("16 int64 values", (images, labels[:4], maps)),
            ("16 int64 values", (images, labels.float(), maps)),
            (r"labels must lie in 0..9, got \d to 10", (images, labels.index_fill(0, torch.tensor(0), 10), maps)),
            ("labels must lie in 0..9, got -1", (images, labels.index_fill(0, torch.tensor(0), -1), maps)),
            (r"misclassifies 2 images before any attack \(from 0\): 2, 5", (images, wrong, maps)),
        ]
        for message, arguments in cases:
            with pytest.raises(ValueError, match=message):
                attack(model, *arguments)
        with pytest.raises(ValueError, match="16 images need as many ids, got 3"):
            attack(model, images, labels, maps, ids=[1, 2, 3])
        with pytest.raises(ValueError, match="batch must be at least 1"):
            attack(model, images, labels, maps, batch=0)
        model.train()
        with pytest.raises(ValueError, match=r"call model.eval\(\)"):
            attack(model, images, labels, maps)
        model.eval()


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("between 1 and 3072 subpixels, got 3073", {"budget": 3073}),
        ("between 1 and 3071 subpixels, got 3072", {"budget": 3072, "preset": "released"}),
        ("got 0", {"budget": 0}),
        ("unknown kind 'type_3'; known: type_1, type_2", {"kind": "type_3"}),
        ("unknown preset 'mine'; known: paper, released", {"preset": "mine"}),
        ("unknown positions 'middle'; known: top, random, lowest", {"positions": "middle"}),
        ("unknown space 'rgb'; known: normalised, pixel", {"space": "rgb"}),
        ("unknown distribution 'cauchy'; known: normal, uniform", {"distribution": "cauchy"}),
        ("unknown option sigma; known: positions", {"sigma": 2}),
        ("choose one", {"energy": 1.0, "clamp": True}),
        ("energy must be positive", {"energy": 0.0}),
    ],
)
def test_bad_noise_options(subset: Subset, message: str, options: dict[str, Any]) -> None:
    model, images, _, maps = subset
    with pytest.raises(ValueError, match=message):
        perturb_with_noise(model, images, maps, **options)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("unknown color 'red'; known: black, gray, white, minimum", {"color": "red"}),
        ("unknown positions 'top'; known: regional, top_pixels", {"positions": "top"}),
        ("unknown search 'all'; known: grid, single", {"search": "all"}),
        ("64 places of 4x4 pixels, got a count of 65", {"max_count": 65}),
        ("regions of 5x5 do not tile", {"region": 5}),
        ("at least 1, got 10 and 0", {"max_radius": 0}),
        ("at least 1, got 0 and 4", {"max_count": 0}),
    ],
)
def test_bad_occlusion_options(subset: Subset, message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        occlude(*subset, **options)


def test_bad_noise_measurements(subset: Subset) -> None:
    with pytest.raises(ValueError, match="at least one draw"):
        noise_outcomes(*subset, draws=0)
    with pytest.raises(ValueError, match=r"energy has shape \(16, 9\), got \(16,\)"):
        noise_outcomes(*subset, energy=torch.ones(16))
