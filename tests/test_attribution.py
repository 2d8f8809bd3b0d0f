"""Promise: ``attribute`` is Captum's method on the very same function, only faster; its random parts belong to the image."""

import copy
import math

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from conftest import fails
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from inequality_phenomenon._support.randomness import normal_images, uniform_images
from inequality_phenomenon.attribution import METHODS, PAPER, RELEASED, Options, attribute, resolve_options
from inequality_phenomenon.inequality import global_gini
from inequality_phenomenon.networks import Classifier

Pair = tuple[Tensor, Tensor]
IDS = [7, 3, 5000, 12, 0, 9999, 41, 2]  # places in the test set, as a notebook passes them


@pytest.fixture
def chosen(test_set: Pair) -> Pair:
    return test_set[0][IDS], test_set[1][IDS]


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def gradient(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    x = inputs.detach().requires_grad_()
    return torch.autograd.grad(network(x).gather(1, labels[:, None]).sum(), x)[0]


@pytest.mark.parametrize("steps", [5, 20])
def test_integrated_gradients_equal_captums_on_the_unfolded_model(trained, chosen: Pair, steps: int) -> None:
    images, labels = chosen
    inputs, baseline = trained.normalise(images), normal_images(IDS, (3, 32, 32), 0)
    expected = IntegratedGradients(trained.network).attribute(inputs, baseline, target=labels, n_steps=steps)
    found = attribute(trained, images, labels, "integrated_gradients", ids=IDS, steps=steps)
    assert found.shape == images.shape and found.dtype == torch.float32 and relative(found, expected) < 1e-3
    assert (global_gini(found) - global_gini(expected)).abs().max() < 1e-4


def test_gradient_and_input_x_gradient_equal_captums_in_each_space_and_their_formulas(trained, chosen: Pair) -> None:
    """Pixel space: x g / std; normalised: (x - mean) / std times g."""
    images, labels = chosen
    inputs, g = trained.normalise(images), attribute(trained, images, labels, "gradient")
    products = [images * g / trained.normalise.std, inputs * g]
    spaces = (("pixel", trained, images, products[0]), ("normalised", trained.network, inputs, products[1]))
    for space, network, x, product in spaces:
        expected = Saliency(network).attribute(x.clone().requires_grad_(), target=labels, abs=False)
        assert relative(attribute(trained, images, labels, "gradient", space=space), expected) < 1e-3
        expected = InputXGradient(network).attribute(x.clone().requires_grad_(), target=labels).detach()
        found = attribute(trained, images, labels, "input_x_gradient", space=space)
        assert relative(found, expected) < 1e-3 and relative(found, product) < 1e-3
    assert relative(*products) > 0.1


@pytest.mark.parametrize(("method", "power"), [("smoothgrad", 1), ("smoothgrad_squared", 2)])
def test_smoothgrad_equals_a_plain_loop_and_without_noise_the_gradient(trained, chosen, method, power: int) -> None:
    images, labels = chosen
    quiet, g = attribute(trained, *chosen, method, sigma=0.0, samples=3), attribute(trained, *chosen, "gradient")
    assert relative(quiet, g**power) < 1e-5
    found = attribute(trained, images, labels, method, ids=IDS, samples=4, sigma=0.3, seed=9)
    trained.double()
    inputs = trained.normalise(images.double())
    total = torch.zeros_like(inputs)
    for sample in range(4):
        noise = 0.3 * normal_images(IDS, (3, 32, 32), 9, 1, sample).double()
        total += gradient(trained.network, inputs + noise, labels) ** power
    assert relative(found, total / 4) < 1e-3 and (power == 1 or (found >= 0).all())


def test_gradient_shap_equals_a_plain_loop_with_the_same_noise(trained: Classifier, chosen: Pair) -> None:
    images, labels = chosen
    options = {"samples": 4, "sigma": 0.1, "baseline": "normal", "seed": 9}
    found = attribute(trained, images, labels, "gradient_shap", ids=IDS, **options)
    trained.double()
    inputs, baseline = trained.normalise(images.double()), normal_images(IDS, (3, 32, 32), 9).double()
    total = torch.zeros_like(inputs)
    for sample in range(4):
        noisy = inputs + 0.1 * normal_images(IDS, (3, 32, 32), 9, 1, sample).double()
        place = uniform_images(IDS, (1, 1, 1), 9, 2, sample).double()
        total += (noisy - baseline) * gradient(trained.network, baseline + place * (noisy - baseline), labels)
    assert relative(found, total / 4) < 1e-3


def test_the_released_smoothgrad_averages_squared_integrated_gradients_of_noisy_images(trained, chosen: Pair) -> None:
    images, labels = chosen[0][:3], chosen[1][:3]
    found = attribute(trained, images, labels, "smoothgrad", preset="released", ids=IDS[:3], samples=2, steps=5, seed=9)
    inputs = trained.normalise(images)
    explain = IntegratedGradients(trained.network)
    total = torch.zeros_like(inputs)
    for sample in range(2):
        noisy = inputs + 0.2 * normal_images(IDS[:3], (3, 32, 32), 9, 1, sample)
        total += explain.attribute(noisy, torch.zeros_like(noisy), target=labels, n_steps=5).float() ** 2
    assert relative(found, total / 2) < 1e-3 and (found >= 0).all()


def test_a_baseline_of_zero_or_the_image_is_drawn_for_each_sample(trained: Classifier, chosen: Pair) -> None:
    """Without noise a sample from the image itself adds nothing, so a map is a share of samples from zero."""
    images, labels = chosen
    options = {"ids": IDS, "sigma": 0.0, "seed": 9}
    single = {"samples": 1} | options
    drawn = attribute(trained, images, labels, "gradient_shap", baseline="zero_or_image", **single)
    zero = attribute(trained, images, labels, "gradient_shap", baseline="zero", **single)
    kept = (drawn != 0).flatten(1).any(1)
    assert kept.any() and not kept.all() and relative(drawn[kept], zero[kept]) < 1e-6 and (drawn[~kept] == 0).all()
    many = attribute(trained, images, labels, "gradient_shap", baseline="zero_or_image", samples=40, **options)
    share = many.abs().sum() / attribute(trained, images, labels, "gradient_shap", samples=40, **options).abs().sum()
    assert 0.3 < share < 0.8


@pytest.mark.parametrize(
    "options", [{}, {"baseline": "zero"}, {"baseline": "black", "space": "pixel"}, {"baseline": "blur"}]
)
def test_integrated_gradients_add_up_to_the_change_of_the_logit(trained, chosen: Pair, options: dict[str, str]) -> None:
    """Completeness (Sundararajan et al. 2017, axiom 2), with enough steps for the kinks of the ReLUs."""
    images, labels = chosen
    maps = attribute(trained, images, labels, ids=IDS, steps=400, **options)
    baseline = {
        "normal": lambda: trained.normalise.inverse(normal_images(IDS, (3, 32, 32), 0)),
        "zero": lambda: trained.normalise.mean.expand_as(images),
        "black": lambda: torch.zeros_like(images),
        "blur": lambda: gaussian_blur(images, [11, 11], [3.0, 3.0]),
    }[options.get("baseline", "normal")]()
    change = (trained(images) - trained(baseline)).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(maps.sum((1, 2, 3)), change, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_map_of_an_image_does_not_depend_on_the_batch_or_the_order(trained, chosen: Pair, method: str) -> None:
    """Up to the order of float32 additions, which the matrix library may choose by the size of the batch."""
    images, labels = chosen
    options = {"steps": 6, "samples": 3}
    together = attribute(trained, images, labels, method, ids=IDS, **options)
    assert relative(attribute(trained, images, labels, method, ids=IDS, batch=7, **options), together) < 1e-3
    order = [5, 0, 7, 3]
    some = attribute(trained, images[order], labels[order], method, ids=[IDS[i] for i in order], **options)
    assert relative(some, together[order]) < 1e-3


@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad", "gradient_shap"])
def test_same_call_gives_the_same_bits_and_another_seed_another_map(trained, chosen: Pair, method: str) -> None:
    options = {"steps": 3, "samples": 2, "sigma": 0.2, "baseline": "normal"}
    torch.manual_seed(0)
    first = attribute(trained, *chosen, method, **options)
    torch.manual_seed(1)
    assert torch.equal(first, attribute(trained, *chosen, method, **options))
    assert relative(attribute(trained, *chosen, method, seed=1, **options), first) > 0.01


def test_ids_decide_the_random_baseline_which_is_standard_normal_and_differs_between_keys(trained, chosen) -> None:
    images, labels = chosen
    default = attribute(trained, images, labels, steps=3)
    assert torch.equal(default, attribute(trained, images, labels, steps=3, ids=list(range(8))))
    assert relative(attribute(trained, images, labels, steps=3, ids=IDS), default) > 0.01
    normal, uniform = normal_images(list(range(40)), (3, 32, 32), 0), uniform_images(list(range(40)), (3, 32, 32), 0)
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01
    assert abs(uniform.mean() - 0.5) < 0.005 and uniform.min() >= 0 and uniform.max() < 1
    assert torch.equal(normal[[3]], normal_images([3], (3, 32, 32), 0))
    assert abs(torch.corrcoef(normal.flatten(1)) - torch.eye(40)).max() < 0.1  # 3072 values: five standard errors


def test_model_is_left_as_it_was(trained: Classifier, chosen: Pair) -> None:
    trained.train().requires_grad_(True)
    before, images = copy.deepcopy(trained.state_dict()), chosen[0].clone()
    attribute(trained, images, chosen[1], steps=2)
    assert trained.training and all(p.requires_grad and p.grad is None for p in trained.parameters())
    torch.testing.assert_close(dict(trained.state_dict()), dict(before), rtol=0, atol=0)
    assert torch.equal(images, chosen[0]) and not images.requires_grad


def test_black_is_the_same_in_both_spaces_and_zero_is_black_or_the_mean_colour(trained, chosen: Pair) -> None:
    """The straight line is the same line, and the factor std cancels."""
    spaces = ("pixel", "normalised")
    black, zero = ([attribute(trained, *chosen, baseline=name, space=s) for s in spaces] for name in ("black", "zero"))
    assert relative(*black) < 1e-3 and relative(zero[0], black[0]) < 1e-6
    assert relative(zero[1], attribute(trained, *chosen, baseline="mean", space="normalised")) < 1e-3
    assert relative(*zero) > 0.1


def test_presets_are_the_papers_text_and_the_released_scripts() -> None:
    assert PAPER["integrated_gradients"] == Options(baseline="normal", steps=20, space="normalised", seed=0)
    assert (PAPER["smoothgrad"].samples, PAPER["smoothgrad"].sigma) == (20, 0.2)
    assert (PAPER["gradient_shap"].samples, PAPER["gradient_shap"].baseline) == (10, "zero")
    assert (RELEASED["integrated_gradients"].steps, RELEASED["integrated_gradients"].baseline) == (50, "zero")
    assert RELEASED["smoothgrad"] == Options(baseline="zero", steps=50, power=2, inner="integrated_gradients")
    assert RELEASED["gradient_shap"] == Options(baseline="zero_or_image", samples=50, sigma=0.01)
    assert PAPER["smoothgrad_squared"] == Options(power=2)
    assert resolve_options("integrated_gradients", "released", steps=7) == Options(baseline="zero", steps=7)
    assert set(PAPER) == set(RELEASED) == set(METHODS)


def test_wrong_choices_and_images_that_cannot_be_attributed_are_refused(trained, images, labels: Tensor) -> None:
    nan = images.clone()
    nan[3, 0, 0, 0] = math.nan
    for bad, other, message in [
        (images[0], labels[:1], r"shape \(N, 3, height, width\), got \(3, 32, 32\)"),
        (images[:, :1], labels, r"got \(24, 1, 32, 32\)"), (images[:0], labels[:0], "the subset is empty"),
        (images, labels[:5], "labels are 24 int64 values"), (nan, labels, r"pixels must lie in \[0, 1\], got nan"),
        (images * 255, labels, r"pixels must lie in \[0, 1\], got 0 to 255"),
        (images - 0.5, labels, r"pixels must lie in \[0, 1\], got -0.5"),
        (images, labels + 10, r"labels must lie in 0\.\.9, got 1[01] to 19"), (images, labels - 10, "labels must lie in"),
    ]:  # fmt: skip
        fails(ValueError, message, attribute, trained, bad, other)
    for options, message in [
        ({"method": "grad_cam"}, "unknown method 'grad_cam'; known: integrated_gradients, input_x_gradient"),
        ({"preset": "ours"}, "unknown preset 'ours'; known: paper, released"),
        ({"step": 3, "sed": 1}, "unknown option sed, step; known: baseline, inner, .*, seed, sigma, space, steps"),
        ({"inner": "saliency"}, "unknown inner 'saliency'; known: gradient, integrated_gradients"),
        ({"baseline": "zero_or_image"}, "drawn for each sample of gradient_shap; no other method has it"),
        ({"power": 0}, "at least 1"), ({"space": "latent"}, "unknown space 'latent'; known: normalised, pixel"),
        ({"baseline": "white"}, "unknown baseline 'white'; known: normal, zero, black, mean, blur, zero_or_image"),
        ({"steps": 0}, "at least 1"), ({"samples": 0}, "at least 1"), ({"sigma": -0.1}, "sigma must be at least 0"),
        ({"ids": [1, 2]}, "24 images need as many ids, got 2"),
    ]:  # fmt: skip
        fails(ValueError, message, attribute, trained, images, labels, **options)


def test_map_with_nan_names_the_image_by_its_id(trained: Classifier, chosen: Pair) -> None:
    with torch.no_grad():
        trained.network[-1].weight.fill_(math.inf)
    for order in ([0, 1, 2], [1, 2, 0]):
        some, words = (chosen[0][order], chosen[1][order]), f"image {IDS[order[0]]} has NaN or infinite values"
        fails(ValueError, words, attribute, trained, *some, "input_x_gradient", ids=[IDS[i] for i in order])


def test_integrated_gradients_equal_a_float64_sum_over_gauss_legendre_points(trained: Classifier, chosen: Pair) -> None:
    images, labels = chosen
    network, inputs = trained.network.double(), trained.double().normalise(images.double())
    baseline = normal_images(IDS, (3, 32, 32), 0).double()
    points, weights = np.polynomial.legendre.leggauss(20)
    mean = sum(
        weight / 2 * gradient(network, baseline + (1 + point) / 2 * (inputs - baseline), labels)
        for point, weight in zip(points, weights, strict=True)
    )
    assert relative(attribute(trained.float(), images, labels, ids=IDS), (inputs - baseline) * mean) < 1e-3


def test_positive_attribution_speaks_for_the_label(trained: Classifier, chosen: Pair) -> None:
    """A small step along the gradient map raises the logit of the label it was asked for."""
    images, _ = chosen
    for label in (0, 6):
        maps = attribute(trained, images, torch.full((len(images),), label), "gradient")
        moved = trained.normalise.inverse(trained.normalise(images) + 1e-3 * maps.sign())
        assert (trained(moved)[:, label] > trained(images)[:, label]).all()
