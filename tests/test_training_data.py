"""Promise: training shows every image once an epoch, changed as the settings say, and attacked within its bound."""

import pytest
import torch
from test_training import CPU, standard, tiny
from torch import Generator, Tensor

from inequality_phenomenon.networks import Classifier
from inequality_phenomenon.training.data import TrainingImages
from inequality_phenomenon.training.loop import craft


@pytest.fixture(scope="module")
def data() -> TrainingImages:
    return TrainingImages(standard(train_images=500, batch_size=100), CPU)


def test_an_epoch_shows_every_image_once_as_crop_and_flip(data: TrainingImages) -> None:
    """Each augmented image is found again, bit for bit, among the 81 crops of its original or of its mirror image."""
    generator = Generator().manual_seed(0)
    seen, offsets, flips = [], [], []
    order = torch.randperm(500, generator=Generator().manual_seed(0))
    for index, (images, labels) in enumerate(data.batches(generator)):
        ids = order[100 * index : 100 * (index + 1)]
        assert images.shape == (100, 3, 32, 32) and images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels, data.labels[ids])
        padded = data.padded[ids].float().div(255).permute(0, 3, 1, 2)
        crops = padded.unfold(2, 32, 1).unfold(3, 32, 1)  # (100, 3, 9, 9, 32, 32)
        for flip, candidates in ((0, crops), (1, crops.flip(-1))):
            equal = (candidates == images[:, :, None, None]).all(-1).all(-1).all(1)
            for image, row, column in equal.nonzero().tolist():
                seen.append(int(ids[image]))
                offsets.append((row, column))
                flips.append(flip)
    assert set(seen) == set(range(500)) and len(seen) < 520  # a symmetric image may be found twice
    assert {row for row, _ in offsets} == {column for _, column in offsets} == set(range(9))
    assert 0.4 < sum(flips) / len(flips) < 0.6


def test_short_last_batch_is_dropped_and_a_batch_is_never_larger_than_the_set() -> None:
    for images, expected in {250: [100, 100], 100: [100], 30: [30]}.items():
        data = TrainingImages(standard(train_images=images, batch_size=100), CPU)
        assert [len(labels) for _, labels in data.batches(Generator().manual_seed(0))] == expected
        assert len(data) == len(expected)


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


L2 = {"norm": "l2", "epsilon": 0.5}


@pytest.mark.parametrize(
    "settings",
    [tiny(), *(tiny(attack="pgd", attack_steps=steps, **own) for steps, own in ((1, {}), (3, {}), (3, L2)))],
    ids=lambda s: f"{s.norm}-{s.attack}{s.attack_steps}",
)
def test_crafted_examples_are_images_within_their_bound_and_raise_the_loss(settings, trained, test_set) -> None:
    images, labels = test_set[0][:200], test_set[1][:200]
    trained.train().requires_grad_(True)
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    found = craft(trained, images, labels, settings, Generator().manual_seed(0))
    assert found.min() >= 0 and found.max() <= 1 and found.shape == images.shape and not found.requires_grad
    difference = found - images
    if settings.norm == "l2":
        assert difference.flatten(1).norm(dim=1).max() <= 0.5 * (1 + 1e-5)
    else:  # N-FGSM: noise of twice the budget and one step of the budget, on purpose not projected
        bound = (3 if settings.attack == "nfgsm" else 1) * 8 / 255
        assert difference.abs().max() <= bound + 1e-6
        assert difference.abs().max() > 0.9 * bound
    assert trained.training and all(p.requires_grad and p.grad is None for p in trained.parameters())
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())  # batch norm saw nothing
    trained.eval()
    noise = torch.empty_like(images).uniform_(-8 / 255, 8 / 255, generator=Generator().manual_seed(1))
    shown = (images, (images + noise).clamp(0, 1), found)
    loss = [torch.nn.functional.cross_entropy(trained(x), labels) for x in shown]
    assert loss[2] > max(loss[:2]) + 0.1


def test_standard_training_uses_the_images_themselves(trained: Classifier, images: Tensor, labels: Tensor) -> None:
    assert craft(trained, images, labels, standard(), Generator().manual_seed(0)) is images
