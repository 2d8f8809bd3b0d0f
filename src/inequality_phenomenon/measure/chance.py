"""What chance and geometry give: the index of a map's parts, of its permutation, and of networks that have not learnt."""

import copy
from typing import Any

import pandas as pd
import torch
from torch import nn

from .._support.randomness import uniform_images
from ..attribution import attribute
from ..inequality import global_gini, regional_gini
from ..networks import LADDER, Classifier
from .run import Run
from .sample import Sample, measure

_PERMUTED = 9  # second part of a random key; see ``readings``
SMALL = (0.01, 0.05)  # of the largest |a|
LAYERS = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)  # shares of the layers made random, from the output on


def measure_chance(run: Run) -> None:
    """The records ``chance``, of the run's first two networks and the ladder, and ``cascade``, of these two, on the first
    ``chance_images`` (an option) of the test set."""
    pair, n = run.models[:2], run.options["chance_images"]
    for name, function, models in (("chance", parts_of_maps, [*pair, *LADDER]), ("cascade", randomised, pair)):
        found = [measure(function, run.test_images(model, n), run, seed=run.seed) for model in models]
        run.record(name, pd.concat(found, ignore_index=True))


def parts_of_maps(sample: Sample, *, region: int = 4, seed: int = 0) -> dict[str, Any]:
    """Gini indices of |a| for Integrated Gradients from black, (x - x') times a mean gradient, and of what it is made of.

    ``measured``; ``step``: |x - x'| alone; ``gradient``: the input's gradient alone; ``regional`` and, of the same values at
    permuted places, ``regional_permuted``; ``below_k``: the share of subpixels with |a| below k percent of the largest
    (Chalasani et al. 2020 show that adversarial training shrinks them).
    """
    options: dict[str, Any] = {"space": "pixel", "baseline": "zero"}
    maps, gradients = sample.maps(seed=seed, **options), sample.maps("gradient", space="pixel", seed=seed)
    start, _ = sample.baseline(**options)
    step = sample.images - start
    order = uniform_images(sample.ids, tuple(maps.shape[1:]), seed, _PERMUTED, 0).flatten(1).argsort(1).to(maps.device)
    permuted = maps.flatten(1).gather(1, order).view_as(maps)
    relative = maps.abs().flatten(1) / maps.abs().flatten(1).amax(1, keepdim=True)
    columns = {"measured": global_gini(maps), "step": global_gini(step), "gradient": global_gini(gradients)}
    columns |= {"regional": regional_gini(maps, region), "regional_permuted": regional_gini(permuted, region)}
    return columns | {f"below_{100 * share:.0f}": (relative < share).double().mean(1) for share in SMALL}


def randomised(sample: Sample, *, seed: int = 0) -> dict[str, Any]:
    """The Gini index of Integrated Gradients from black as ever more layers forget (Adebayo et al. 2018, cascading).

    ``random_k``: with the k percent of the layers next to the output newly initialised. A map that keeps its index did not
    owe it to what the network learnt.
    """
    columns = {}
    for share in LAYERS:
        model = with_random_layers(sample.model, share, seed)
        maps = attribute(model, sample.images, sample.labels, space="pixel", baseline="zero", ids=sample.ids)
        columns[f"random_{100 * share:.0f}"] = global_gini(maps)
    return columns


def with_random_layers(model: Classifier, share: float, seed: int) -> Classifier:
    """A copy of a network whose layers next to the output, this share of all that have weights, are as before training."""
    own = copy.deepcopy(model)
    layers = [module for module in own.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for layer in layers[len(layers) - round(share * len(layers)) :]:
            layer.reset_parameters()
    return own.eval().requires_grad_(False)
