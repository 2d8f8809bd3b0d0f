"""The noise attack against a plain loop, one image at a time, on a trained model and real images."""

import itertools
from typing import Any

import pytest
import torch
from conftest import Subset, fails
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inequality_phenomenon.attacks import noise_outcomes, perturb_with_noise
from inequality_phenomenon.networks import Classifier


@pytest.mark.parametrize("budget", [1, 10, 300, 3072])
@pytest.mark.parametrize("kind", ["type_1", "type_2"])
@pytest.mark.parametrize("positions", ["top", "lowest", "random"])
def test_exactly_the_budget_changes(subset: Subset, budget: int, kind: Any, positions: Any) -> None:
    model, images, _, maps = subset
    changed = (perturb_with_noise(model, images, maps, budget, kind, positions=positions) != images).flatten(1)
    assert (changed.sum(1) == budget).all()
    if positions != "random" and budget < 3072:
        for row, values in zip(changed, (1 if positions == "top" else -1) * maps.flatten(1), strict=True):
            assert values[row].min() >= values[~row].max()


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


def test_noise_is_equation_5_in_normalised_space_and_the_released_one_uniform(subset: Subset) -> None:
    model, images, _, maps = subset
    everywhere = {kind: perturb_with_noise(model, images, maps, 3072, kind) for kind in ("type_1", "type_2")}
    added = model.normalise(everywhere["type_1"]) - model.normalise(images)
    replaced = model.normalise(everywhere["type_2"])
    assert torch.allclose(added, replaced, atol=1e-5)  # the same noise, on top of the image and instead of it
    assert abs(added.mean()) < 0.02 and abs(added.std() - 1) < 0.02
    assert everywhere["type_1"].min() < 0  # not clamped
    pixel = perturb_with_noise(model, images, maps, 3072, "type_2", space="pixel")
    assert torch.allclose(pixel, replaced, atol=1e-5)
    clamped = perturb_with_noise(model, images, maps, 3072, "type_1", clamp=True)
    assert torch.equal(clamped, everywhere["type_1"].clamp(0, 1))
    noisy = perturb_with_noise(model, images, maps, 300, "type_2", preset="released")
    assert ((noisy != images).flatten(1).sum(1) == 301).all()
    low, high = (ends.view(-1, 1, 1, 1) for ends in model.normalise(images).flatten(1).aminmax(dim=1))
    after = model.normalise(perturb_with_noise(model, images, maps, 3071, preset="released"))
    assert (after >= low - 1e-5).all() and (after <= high + 1e-5).all()
    changed = ((model.normalise(noisy) - low) / (high - low))[noisy != images]
    assert abs(changed.mean() - 0.5) < 0.03 and abs(changed.std() - 12**-0.5) < 0.02  # uniform on the image's range


def test_noise_and_random_positions_belong_to_seed_image_and_draw(subset: Subset) -> None:
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
    every = [("top", 0), ("random", 0), ("random", 1)]
    places = [perturb_with_noise(model, images, maps, 300, positions=name, draw=draw) != images for name, draw in every]
    for one, other in itertools.combinations(places, 2):
        overlap = (one & other).flatten(1).sum(1).double().mean()
        assert 300 * 300 / 3072 / 2 < overlap < 2 * 300 * 300 / 3072


@pytest.mark.parametrize("kind", ["type_1", "type_2"])
def test_energy_is_exact(subset: Subset, kind: Any) -> None:
    model, images, _, maps = subset
    wanted = torch.linspace(0.5, 8, 16)
    scaled, plain = (
        (perturb_with_noise(model, images, maps, 100, kind, positions="random", **energy) - images).flatten(1)
        for energy in ({"energy": wanted}, {})
    )
    assert torch.allclose(scaled.norm(dim=1), wanted, rtol=1e-5)
    assert torch.allclose(nn.functional.cosine_similarity(scaled, plain), torch.ones(16), atol=1e-5)


def test_noise_outcomes_are_single_predictions_and_those_of_type_1_the_loop(subset: Subset) -> None:
    model, images, labels, maps = subset
    ids, budgets = list(range(50, 66)), (20, 300, 1000)
    for options in ({}, {"positions": "random"}, {"preset": "released"}):
        found = noise_outcomes(model, images, labels, maps, budgets, "type_2", 1, draws=2, ids=ids, batch=5, **options)
        assert found.fooled.shape == (16, 3, 2) and 0 < found.fooled.sum() < found.fooled.numel()
        for column, budget in enumerate(budgets):
            for draw in range(2):
                noisy = perturb_with_noise(model, images, maps, budget, "type_2", 1, draw=draw, ids=ids, **options)
                expected = torch.cat([model(x[None]).argmax(1) for x in noisy]) != labels
                differ = (found.fooled[:, column, draw] != expected).nonzero().flatten().tolist()
                assert set(differ) <= set(found.close_calls)
    assert not noise_outcomes(*subset, [300], draws=1, energy=torch.full((16, 1), 1e-3)).fooled.any()
    found = noise_outcomes(*subset, [300], "type_1", 3, draws=1, ids=list(range(60, 76)))
    verdicts = []
    for i in sorted(set(range(16)) - set(found.close_calls)):
        everywhere = perturb_with_noise(model, images[i : i + 1], maps[i : i + 1], 3072, "type_2", 3, ids=[60 + i])
        numbers = model.normalise(everywhere)[0].flatten()  # type II everywhere is the noise itself
        noisy, values = model.normalise(images[i : i + 1])[0].flatten(), maps[i].flatten().tolist()
        for place in sorted(range(3072), key=lambda j, values=values: (-values[j], j))[:300]:
            noisy[place] += numbers[place]
        assert bool(found.fooled[i, 0, 0]) == (model.network(noisy.view(1, 3, 32, 32)).argmax() != labels[i])
        verdicts.append(bool(found.fooled[i, 0, 0]))
    assert 0 < sum(verdicts) < len(verdicts)


def test_bad_noise_options_and_measurements(subset: Subset) -> None:
    model, images, _, maps = subset
    for message, options in [
        ("between 1 and 3072 subpixels, got 3073", {"budget": 3073}),
        ("between 1 and 3071 subpixels, got 3072", {"budget": 3072, "preset": "released"}), ("got 0", {"budget": 0}),
        ("unknown kind 'type_3'; known: type_1, type_2", {"kind": "type_3"}),
        ("unknown preset 'mine'; known: paper, released", {"preset": "mine"}),
        ("unknown positions 'middle'; known: top, random, lowest", {"positions": "middle"}),
        ("unknown space 'rgb'; known: normalised, pixel", {"space": "rgb"}),
        ("unknown distribution 'cauchy'; known: normal, uniform", {"distribution": "cauchy"}),
        ("unknown option sigma; known: clamp, distribution, positions", {"sigma": 2}), ("choose one", {"energy": 1.0, "clamp": True}),
        ("energy must be positive", {"energy": 0.0}),
    ]:  # fmt: skip
        fails(ValueError, message, perturb_with_noise, model, images, maps, **options)
    fails(ValueError, "at least one draw", noise_outcomes, *subset, draws=0)
    fails(ValueError, r"energy has shape \(16, 9\), got \(16,\)", noise_outcomes, *subset, energy=torch.ones(16))
