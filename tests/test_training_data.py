"""Promise: settings that cannot be meant are refused, images are changed as they say, and pruning removes the share asked for."""

import pytest
import torch
from conftest import fails
from pydantic import ValidationError
from test_training import CPU, STANDARD, standard, tiny
from torch import Generator

from inequality_phenomenon._support import paths
from inequality_phenomenon.networks import build
from inequality_phenomenon.robustness import Threat
from inequality_phenomenon.training.data import TrainingImages
from inequality_phenomenon.training.loop import craft
from inequality_phenomenon.training.pruning import keep_zeros, prune_filters, prune_weights, sparsity
from inequality_phenomenon.training.settings import learning_rate, load_settings


def test_an_epoch_shows_every_image_once_as_crop_and_flip() -> None:
    """Each augmented image is found again, bit for bit, among the 81 crops of its original or of its mirror image."""
    data = TrainingImages(standard(train_images=500, batch_size=100), CPU)
    order = torch.randperm(500, generator=Generator().manual_seed(0))
    found = []  # (image, row, column, flip)
    for ids, (images, labels) in zip(order.split(100), data.batches(Generator().manual_seed(0)), strict=True):
        assert images.shape == (100, 3, 32, 32) and images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels, data.labels[ids])
        padded = data.padded[ids].float().div(255).permute(0, 3, 1, 2)
        crops = padded.unfold(2, 32, 1).unfold(3, 32, 1)  # (100, 3, 9, 9, 32, 32)
        for flip, candidates in ((0, crops), (1, crops.flip(-1))):
            equal = (candidates == images[:, :, None, None]).all(-1).all(-1).all(1)
            found += [(int(ids[image]), row, column, flip) for image, row, column in equal.nonzero().tolist()]
    seen, rows, columns, flips = zip(*found, strict=True)
    assert set(seen) == set(range(500)) and len(seen) < 520  # a symmetric image may be found twice
    assert set(rows) == set(columns) == set(range(9)) and 0.4 < sum(flips) / len(flips) < 0.6


def test_short_last_batch_is_dropped_and_a_batch_is_never_larger_than_the_set(trained, images, labels) -> None:
    for images, expected in {250: [100, 100], 100: [100], 30: [30]}.items():
        data = TrainingImages(standard(train_images=images, batch_size=100), CPU)
        assert [len(labels) for _, labels in data.batches(Generator().manual_seed(0))] == expected
        assert len(data) == len(expected)
    assert craft(trained, images, labels, standard(), Generator().manual_seed(0)) is images


@pytest.mark.parametrize("side", [8, 16])
def test_cutout_is_one_square_of_the_mean_colour_with_its_centre_anywhere(side: int) -> None:
    """Against the same epoch without Cutout is not possible (the generator moves on), so the hole is found by its colour."""
    data = TrainingImages(standard(train_images=2000, batch_size=2000, cutout=side), CPU)
    ((images, _),) = data.batches(Generator().manual_seed(0))
    colour = torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None]
    hole = (images == colour).all(1)  # no pixel k / 255 has exactly this colour
    rows, columns = hole.any(2), hole.any(1)
    assert torch.equal(hole, rows[:, :, None] & columns[:, None, :])  # a rectangle
    height, width = rows.sum(1), columns.sum(1)
    assert height.max() == width.max() == side and height.min() == width.min() == side // 2  # cut off at the border
    assert all((mask[:, 1:] != mask[:, :-1]).sum(1).max() <= 2 for mask in (rows, columns))  # in one piece
    # Whole holes: the centre is uniform over the 33 - side places where nothing is cut off; so over all 32 places.
    for length, mask in ((height, rows), (width, columns)):
        whole = length == side
        assert whole.double().mean().item() == pytest.approx((33 - side) / 32, abs=0.05)
        tops = mask[whole].int().argmax(1).bincount(minlength=33 - side)
        mean = tops.double().mean()
        assert len(tops) == 33 - side and tops.min() > 0.5 * mean and tops.max() < 1.6 * mean
    assert hole.double().mean((1, 2)).max() == side**2 / 1024


@pytest.mark.parametrize("settings", [
    tiny(), tiny(attack="pgd", attack_steps=1), tiny(attack="pgd", attack_steps=3),
    tiny(attack="pgd", attack_steps=3, norm="l2", epsilon=0.5),
], ids=lambda s: f"{s.norm}-{s.attack}{s.attack_steps}")  # fmt: skip
def test_crafted_examples_are_images_within_their_bound_and_raise_the_loss(settings, trained, test_set) -> None:
    images, labels = (part[:200] for part in test_set)
    trained.train().requires_grad_(True)
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    found = craft(trained, images, labels, settings, Generator().manual_seed(0))
    assert found.min() >= 0 and found.max() <= 1 and found.shape == images.shape and not found.requires_grad
    difference = found - images
    if settings.norm == "l2":
        assert difference.flatten(1).norm(dim=1).max() <= 0.5 * (1 + 1e-5)
    else:  # N-FGSM: noise of twice the budget and one step of the budget, on purpose not projected
        bound = (3 if settings.attack == "nfgsm" else 1) * 8 / 255
        assert difference.abs().max() <= bound + 1e-6 and difference.abs().max() > 0.9 * bound
    assert trained.training and all(p.requires_grad and p.grad is None for p in trained.parameters())
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())  # batch norm saw nothing
    trained.eval()
    noise = torch.empty_like(images).uniform_(-8 / 255, 8 / 255, generator=Generator().manual_seed(1))
    shown = (images, (images + noise).clamp(0, 1), found)
    loss = [torch.nn.functional.cross_entropy(trained(x), labels) for x in shown]
    assert loss[2] > max(loss[:2]) + 0.1


def test_epsilon_is_read_as_a_fraction_and_the_learning_rate_is_one_triangle() -> None:
    assert tiny(epsilon="8/255").epsilon == 8 / 255 and tiny(epsilon="0.5/255").epsilon == 0.5 / 255
    assert tiny(epsilon=0.25).epsilon == tiny(epsilon="0.25").epsilon == 0.25
    assert tiny(epsilon="8/255").threat == Threat("linf", 8 / 255) and standard().threat is None
    settings = standard(peak_rate=0.2, warm_up=0.25)
    rates = [learning_rate(settings, progress) for progress in (0, 0.125, 0.25, 0.625, 1)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])
    fails(ValueError, r"'cifar10-vgg'; known: .*cifar10-resnet18w16-standard-s0", load_settings, "cifar10-vgg")


@pytest.mark.parametrize(("change", "message"), [
    ({"learning_rate": 0.1}, "learning_rate"), ({"epsilon": "8/0"}, "divides by zero"),
    ({"epsilon": "eight"}, "epsilon"), ({"epsilon": 0}, "norm linf does not go with epsilon 0"),
    ({"norm": "l1"}, "'none', 'linf' or 'l2'"), ({"norm": "l2"}, "norm l2 goes with attack pgd, not nfgsm"),
    ({"attack": "none"}, "norm linf goes with attack nfgsm or pgd, not none"),
    ({"norm": "none"}, "norm none goes with attack none, not nfgsm"),
    ({"norm": "none", "attack": "none"}, "norm none does not go with epsilon"), ({"epochs": 0}, "epochs"),
    ({"train_images": 0}, "train_images"), ({"precision": "float64"}, "precision"), ({"distillation": 1}, "teacher"),
    ({"teacher": STANDARD}, "teacher"),
    ({"teacher": STANDARD, "distillation": 1, "compile": True}, "compile does not go with a teacher"),
    ({"pruning": "weights", "start_from": STANDARD}, "pruning weights does not go with pruned 0"),
    ({"pruned": 0.5}, "pruning none does not go with pruned 0.5"),
    ({"pruning": "filters", "pruned": 0.5}, "start_from"),
])  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, object], message: str) -> None:
    fails(ValidationError, message, tiny, **change)


@pytest.mark.parametrize("name", sorted(path.stem for path in paths.CHECKPOINTS.glob("cifar10-*.yaml")))
def test_every_committed_settings_file_is_valid(name: str) -> None:
    settings = load_settings(name)
    build(settings.architecture, **settings.arguments)
    assert ("linf" in name) == (settings.norm == "linf") and ("l2_" in name) == (settings.norm == "l2")
    assert name.endswith(f"-s{settings.seed}")


def test_the_smallest_weights_of_the_whole_network_become_zero_and_return_after_a_step() -> None:
    model = build("resnet18", width=4)
    layers = [m for m in model.modules() if hasattr(m, "stride") or m is model.network[-1]]
    before = torch.cat([layer.weight.detach().flatten() for layer in layers])
    prune_weights(model, 0.75)
    after = torch.cat([layer.weight.detach().flatten() for layer in layers])
    assert sparsity(model) == pytest.approx(0.75, abs=1e-4) and torch.equal(after[after != 0], before[after != 0])
    assert before[after == 0].abs().max() <= before[after != 0].abs().min()
    assert not [name for name, _ in model.named_buffers() if "mask" in name]  # an ordinary network again
    model = build("resnet18", width=4)
    prune_weights(model, 0.5)
    restore, share = keep_zeros(model), sparsity(model)
    for parameter in model.parameters():
        parameter.data.add_(1.0)
    assert sparsity(model) < share
    restore()
    assert sparsity(model) == share
    for fraction in (-0.1, 1.0, float("nan")):
        for prune in (prune_weights, prune_filters):
            fails(ValueError, r"must lie in \[0, 1\)", prune, build("resnet18", width=4), fraction)


@pytest.mark.parametrize(("fraction", "widths"), [(0.25, [6, 12, 24, 48]), (0.5, [4, 8, 16, 32])])
def test_filters_of_least_norm_leave_every_layer(fraction: float, widths: list[int]) -> None:
    model = build("resnet18", width=8)
    block = model.network[3]
    norms = block.conv1.weight.detach().abs().sum((1, 2, 3))
    for parameter in (block.conv1.weight, block.bn1.weight):  # the first two filters are the weakest of all
        parameter.data[:2] *= 1e-3
    kept = block.conv1.weight.detach()[2:].clone()
    prune_filters(model, fraction)
    narrow = build("resnet18", width=widths)
    narrow.load_state_dict(model.state_dict())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    left = model.network[3].conv1.weight.detach()
    assert len(left) == widths[0] < len(norms)
    assert left.abs().sum((1, 2, 3)).min() > kept.abs().max() * 0.5  # no weak filter among them
