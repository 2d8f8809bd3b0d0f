"""Promise: a model is what its name and seed say; a checkpoint is loaded only if it is the registered file."""

import math
from pathlib import Path

import pytest
import torch
from conftest import entry, fails
from damage import flip_bit
from safetensors.torch import load_file
from torch import Tensor, nn

from inequality_phenomenon import REGISTRY, build, load_checkpoint, networks
from inequality_phenomenon.networks import CheckpointError, Classifier, RegistryEntry, fold_batch_norm, register


@pytest.mark.parametrize(("architecture", "arguments", "count"), [
    ("resnet18", {}, 11_173_962),  # as in the usual CIFAR ResNet-18
    ("resnet18", {"width": 16}, 701_466),
    ("densenet_bc", {}, 176_122),  # 0.18 M in Huang et al. 2017's family
    # DenseNet-121: 7.98 M with 1000 classes and its stem
    ("densenet_bc", {"depth": [6, 12, 24, 16], "growth": 32}, 6_956_298),
])  # fmt: skip
def test_parameter_counts(architecture: str, arguments: dict[str, int], count: int) -> None:
    assert sum(p.numel() for p in build(architecture, **arguments).parameters()) == count


@pytest.mark.parametrize(("name", "own"), [("resnet18", {"width": 4}), ("densenet_bc", {"depth": 10, "growth": 4})])
@pytest.mark.parametrize("classes", [10, 7])
def test_logits_have_one_column_a_class(name: str, own: dict[str, int], classes: int, images: Tensor) -> None:
    model = build(name, classes=classes, **own)
    assert model.training and model.eval()(images[:3]).shape == (3, classes)
    assert name != "resnet18" or model.network[:-3](images[:1]).shape == (1, 32, 4, 4)  # before pooling


def test_normalisation_is_inside_and_undone_by_its_inverse(images: Tensor, test_set: tuple[Tensor, Tensor]) -> None:
    model = build("resnet18", width=4).eval()
    mean, std = torch.tensor([[0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]])[..., None, None]
    by_hand = (images - mean) / std
    torch.testing.assert_close(model.normalise(images), by_hand)
    torch.testing.assert_close(model(images), model.network(by_hand))
    torch.testing.assert_close(model.normalise.inverse(by_hand), images, atol=1e-6, rtol=0)
    assert not any("normalise" in key for key in model.state_dict())
    normalised = networks.Normalise()(test_set[0][:2000])
    assert normalised.mean((0, 2, 3)).abs().max() < 0.1 and (normalised.std((0, 2, 3)) - 1).abs().max() < 0.1


def test_unknown_architectures_are_refused_and_initial_weights_depend_on_the_seed_alone() -> None:
    fails(ValueError, r"'vgg'; known: densenet_bc, .*, resnet18", build, "vgg")
    fails(ValueError, "6 n \\+ 4, not 41", build, "densenet_bc", depth=41)
    torch.manual_seed(1)
    first = build("resnet18", width=4, seed=5).state_dict()
    after_first = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), after_first)
    second, other = build("resnet18", width=4, seed=5).state_dict(), build("resnet18", width=4, seed=6).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["network.0.weight"], other["network.0.weight"])


def test_folded_model_is_the_same_function_with_the_same_gradient(trained: Classifier, images: Tensor) -> None:
    folded = fold_batch_norm(trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    expected = folded(images)
    torch.testing.assert_close(expected, trained(images), atol=1e-4, rtol=1e-4)
    assert torch.equal(fold_batch_norm(folded)(images), expected)
    x, double = images.double().requires_grad_(), trained.double()
    logits = [model(x) for model in (double, fold_batch_norm(double))]
    torch.testing.assert_close(*logits, atol=1e-12, rtol=1e-12)
    gradients = [torch.autograd.grad(values[:, 3].sum(), x)[0] for values in logits]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=1e-10)
    model = build("densenet_bc", depth=10, growth=4)
    model(images)  # running means and variances that are not 0 and 1
    model.eval().double()
    torch.testing.assert_close(fold_batch_norm(model)(images.double()), model(images.double()), atol=1e-12, rtol=1e-10)


def test_folding_leaves_the_model_as_it_was(trained: Classifier) -> None:
    trained.train().requires_grad_(True)
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    folded = fold_batch_norm(trained)
    assert trained.training and all(p.requires_grad for p in trained.parameters())
    assert not folded.training and not any(p.requires_grad for p in folded.parameters())
    for parameter in folded.parameters():
        parameter.zero_()
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())


def test_a_frozen_model_is_folded_once_and_again_when_it_changes(trained: Classifier, images: Tensor) -> None:
    with torch.inference_mode():
        once = fold_batch_norm(trained)
    assert fold_batch_norm(trained) is once
    x = images[:2].clone().requires_grad_()
    once(x).sum().backward()  # the copy made above is no inference tensor's
    assert x.grad is not None
    trained.network[0].weight.mul_(2)
    again = fold_batch_norm(trained)
    assert again is not once
    torch.testing.assert_close(again(images), trained(images), atol=1e-4, rtol=1e-4)
    assert fold_batch_norm(trained.double()) is not again
    trained.requires_grad_(True)
    assert fold_batch_norm(trained) is not fold_batch_norm(trained)  # a model in training may change at any step


@pytest.fixture
def registered(trained: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move) -> RegistryEntry:
    move(CHECKPOINTS=tmp_path)
    for function in (networks.read_registry, networks.register):
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "registry.yaml",))
    monkeypatch.setattr(REGISTRY, "_entries", None)
    clean = networks.Accuracy(correct=3500, n=10_000)
    small = entry("small", trained, tmp_path, training={"epsilon": 8 / 255}, test_clean=clean)
    register(small)
    return small


def test_registered_checkpoint_comes_back_in_half_precision(registered: RegistryEntry, trained, images: Tensor) -> None:
    model = load_checkpoint("small")
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    for key, value in model.state_dict().items():
        expected = trained.state_dict()[key]
        assert value.dtype == expected.dtype
        assert torch.equal(value, expected.half().float() if expected.is_floating_point() else expected), key
    torch.testing.assert_close(model(images), trained(images), atol=0.05, rtol=0.05)
    stored = load_file(registered.file)
    assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
    assert not any("normalise" in key for key in stored)


def test_altered_missing_and_unknown_checkpoints_are_refused_with_what_helps(registered: RegistryEntry) -> None:
    flip_bit(registered.file)
    hashes = f"SHA-256 {networks.sha256_of(registered.file)}, registered {registered.sha256}"
    fails(CheckpointError, f"{registered.file} was altered: {hashes}", load_checkpoint, "small")
    registered.file.unlink()
    fails(CheckpointError, "make train NAME=small", load_checkpoint, "small")
    fails(networks.UnknownCheckpoint, "^[^\"].*'large'; known: small", load_checkpoint, "large")
    assert issubclass(networks.UnknownCheckpoint, ValueError)
    assert "large" not in REGISTRY and "small" in REGISTRY and REGISTRY.get("large") is None


def test_weights_that_do_not_ship_are_looked_up_but_not_listed(registered, trained, tmp_path, move) -> None:
    move(TRAINING=tmp_path / "training")
    large = registered.model_copy(update={"name": "large", "remake": "inequality train large --device cuda"})
    register(large)
    assert "remake" not in (tmp_path / "registry.yaml").read_text().partition("name: small")[2]
    assert list(REGISTRY) == ["small"] and len(REGISTRY) == 1 and REGISTRY.unshipped == ["large"]
    assert REGISTRY["large"] == large
    remake = "do not ship with this project; `inequality train large --device cuda`"
    fails(CheckpointError, remake, load_checkpoint, "large")
    networks.save_checkpoint(trained, large.file)  # whoever makes them can use them
    assert load_checkpoint("large")(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_registry_round_trip_is_exact_and_sorted_and_unknown_fields_are_refused(registered, tmp_path) -> None:
    other = registered.model_copy(update={"name": "another", "test_robust": {}})
    register(other)
    assert list(REGISTRY) == ["another", "small"]  # at once, in the same process
    assert REGISTRY["small"] == registered and REGISTRY["another"] == other
    replaced = registered.model_copy(update={"title": "ℓ∞ 8/255"})
    register(replaced)
    assert networks.read_registry(tmp_path / "registry.yaml") == {"another": other, "small": replaced}
    assert registered.test_clean.rate == 0.35
    file = tmp_path / "registry.yaml"
    file.write_text(file.read_text() + "  accuracy: 0.99\n")
    fails(ValueError, "accuracy", networks.read_registry, file)


@pytest.mark.parametrize("value", [7e4, -7e4, math.inf, math.nan])
def test_weight_that_half_precision_cannot_hold_is_refused(trained: Classifier, tmp_path: Path, value: float) -> None:
    trained.network[0].weight[0, 0, 0, 0] = value
    refused = r"network\.0\.weight does not fit into half precision"
    fails(CheckpointError, refused, networks.save_checkpoint, trained, tmp_path / "overflow.safetensors")
    assert not list(tmp_path.iterdir())
    fails(CheckpointError, refused, networks.half_precision, trained.state_dict())
