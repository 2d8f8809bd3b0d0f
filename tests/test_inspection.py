"""Promises: anybody's network gets this paper's numbers or one sentence why not; a shipped one gets the book's."""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROBUST, STANDARD, fails
from torch import nn
from torch.nn import functional as F

from inequality_phenomenon import correct_subset, inspect_network, load_checkpoint, load_cifar10
from inequality_phenomenon.foreign import classifier_of
from inequality_phenomenon.measure.inspection import BOOK, NetworkRefused, Plan
from inequality_phenomenon.measure.reference import load_reference, stacked
from inequality_phenomenon.networks import CIFAR10_MEAN, CIFAR10_STD, fold_batch_norm

NORMALISED = {"mean": CIFAR10_MEAN, "std": CIFAR10_STD}


class Wrapped(nn.Module):
    def __init__(self, network, before=lambda x: x, after=lambda scores: scores):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x):
        return self.after(self.network(self.before(x)))


@pytest.fixture
def cache(tmp_path, move):
    move(CACHE=tmp_path / "cache")


def inspect(network, images, labels, **options):
    return inspect_network(network, images, labels, **NORMALISED | {"n_images": 12, "draws": 1} | options)


@pytest.mark.parametrize(("checkpoint", "count"), [
    (ROBUST, 8), *(pytest.param(name, 300, marks=pytest.mark.slow) for name in (ROBUST, STANDARD)),
])  # fmt: skip
def test_the_card_of_a_shipped_network_has_the_books_numbers(checkpoint, count, test_set, cache) -> None:
    images, labels = test_set
    report = inspect(load_checkpoint(checkpoint).network, images, labels, n_images=count, draws=5)
    assert set(report.records["inequality"].image_id) == set(correct_subset(count))
    compared = 0
    for name, (chapter, tables) in BOOK.items():
        own = report.records[name][report.records[name].checkpoint == "your network"]
        book = stacked(load_reference(chapter), tables)
        book = book[book.checkpoint == checkpoint].replace({"condition": {"PGD-20, linf 8/255": ""}})
        both = own.merge(book, on=["condition", "image_id"], suffixes=("", "_book"))
        assert len(both) == len(own) and set(both.condition) == set(own.condition)
        close = both.get("close_call", pd.Series(False, both.index)).to_numpy(bool)
        columns = [c for c in own if c in ("fooled", "clean", "robust") or c.startswith("failure_") or "gini" in c]
        compared += len(columns)
        for column in columns:
            ours, theirs = (both[c].to_numpy(float) for c in (column, f"{column}_book"))
            if "gini" in column:
                np.testing.assert_allclose(ours, theirs, atol=1e-4, equal_nan=True)
            elif column == "robust":  # its random starts are the same, but nothing marks its close calls
                assert np.abs(ours - theirs).mean() <= 0.01
            else:
                np.testing.assert_array_equal(ours[~close], theirs[~close], err_msg=column)
    assert compared == 15 and report.networks[1:] == [STANDARD, ROBUST]


def test_budgets_are_shares_of_the_image_and_those_of_the_book_at_32_pixels() -> None:
    book = Plan(32, "linf 8/255", 5, 0)
    assert (book.budgets, book.region, book.radius) == ((10, 20, 102, 204, 408), 4, 2)
    large = Plan(224, "linf 4/255", 5, 0)
    assert (large.budgets[2], large.region, large.radius) == (102 * 49, 28, 14)
    assert all(side % Plan(side, "linf 4/255", 5, 0).region == 0 for side in range(28, 400))


def test_other_images_stand_alone_and_a_likely_wrong_normalisation_is_pointed_out(trained, test_set, cache) -> None:
    images, labels = F.interpolate(test_set[0][:40], size=28), test_set[1][:40]
    report = inspect(trained.network, images.clamp(0, 1), labels, n_images=10)
    assert report.networks == ["your network"] and "no multiple of 8" in report.notes[-1]
    assert "no network of ours" in report.to_html() and len(report.summary) == 11
    report = inspect_network(trained.network, *(part[:64] for part in test_set), n_images=10, draws=1)
    assert "with CIFAR-10's mean and std" in report.notes[-1]


def test_what_was_measured_is_not_measured_again_but_for_another_network(trained, test_set, cache, monkeypatch) -> None:
    images, labels = (part[:40] for part in test_set)
    network = Wrapped(trained.network).eval()
    first = inspect(network, images, labels).to_frame()
    refuse = lambda *_, **__: pytest.fail("measured again")  # noqa: E731
    monkeypatch.setattr("inequality_phenomenon.measure.sample.attribute", refuse)
    pd.testing.assert_frame_equal(first, inspect(network, images, labels).to_frame())
    network.after = lambda scores: scores + scores.roll(1, 1) / 3  # neither weights nor structure tell it apart
    fails(pytest.fail.Exception, "measured again", inspect, network, images, labels)


def test_the_report_is_one_page_and_files_of_data(trained, test_set, cache, tmp_path) -> None:
    report = inspect(trained.network, *test_set, name="mine 1.0", draws=5)
    folder = report.save(tmp_path / "report")
    page = (folder / "card.html").read_text("utf-8")
    assert page.count("<img src='data:image/svg+xml;base64,") == 2 and "mine 1.0: the inequality test" in page
    assert page.count("http") == page.count("openreview") == 1
    assert "CITATION.cff" in page and "PGD-20, 2 restarts, linf 8/255" in page
    assert len(pd.read_csv(folder / "summary.csv")) == len(report.summary) == 33
    assert {file.suffix for file in folder.iterdir()} == {".html", ".csv", ".parquet"}
    frame = report.to_frame()
    assert set(frame.columns) == {"network", "image_id", "quantity", "value"} and frame.value.notna().all()
    fails(ValueError, "a name has letters", inspect, trained.network, *test_set, name="<b>")


def test_the_same_network_however_it_is_written(trained, images) -> None:
    plain, normalise = trained.network, trained.normalise
    expected = trained(images)
    ways = {
        "outside": (plain, NORMALISED), "ours": (trained, {}), "inside": (Wrapped(plain, normalise), {}),
        "in place": (Wrapped(plain, lambda x: x.sub_(normalise.mean).div_(normalise.std)), {}),
        "logits": (Wrapped(plain, after=lambda scores: SimpleNamespace(logits=scores)), NORMALISED),
        "channels last": (copy.deepcopy(plain).to(memory_format=torch.channels_last), NORMALISED),
        "untraceable": (Wrapped(plain, lambda x: x if x.mean() < 9 else 2 * x), NORMALISED),
    }  # fmt: skip
    before = images.clone()
    for way, (network, options) in ways.items():
        found = classifier_of(network, images, **options)
        for one in (found, fold_batch_norm(found)):
            torch.testing.assert_close(one(images), expected, rtol=1e-3, atol=1e-3, msg=way)
    half = classifier_of(copy.deepcopy(plain).half(), images, **NORMALISED)(images)
    torch.testing.assert_close(half, expected, rtol=0.05, atol=0.05)
    assert torch.equal(images, before) and not any(p.requires_grad for p in plain.parameters())

    shared, one, two = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    two.running_mean += 5
    twice = nn.Sequential(shared, one, shared, two, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = classifier_of(twice.eval(), images)
    torch.testing.assert_close(fold_batch_norm(found)(images), found(images))


def test_the_network_is_left_as_it_was_and_the_report_says_what_was_done_to_it(trained, test_set, cache) -> None:
    images, labels = (part[:40] for part in test_set)
    network = copy.deepcopy(trained.network).half().requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    assert "float16; they were measured in float32" in inspect(network, images, labels).notes[0]
    assert all(p.dtype == torch.float16 and p.requires_grad for p in network.parameters())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda n: Wrapped(n, after=lambda s: s.softmax(1)), "Softmax outputs"),
    (lambda n: Wrapped(n, after=lambda s: s.log_softmax(1)), "Softmax outputs"),
    (lambda n: copy.deepcopy(n).train(), "Training mode"),
    (lambda n: Wrapped(n, lambda x: F.dropout(x)), "Random outputs"),
    (lambda n: Wrapped(n, lambda x: x + 30), "Wrong normalisation"),
    (lambda n: Wrapped(n, after=lambda s: s / 0), "Non-finite outputs"),
    (lambda n: Wrapped(n, after=lambda s: s + (s - s.detach()).sqrt()), "Non-finite gradients"),
    (lambda n: Wrapped(n, lambda x: x.round()), "Dead gradients"),
    (lambda n: Wrapped(n, after=lambda s: s.detach()), "Dead gradients"),
])  # fmt: skip
def test_what_would_give_artefacts_is_refused_in_one_sentence(change, reason, trained, test_set) -> None:
    network = change(trained.network)
    network = network if reason == "Training mode" else network.eval()
    with pytest.raises(NetworkRefused, match=f"^{reason}.*: .*[^.]\\.$") as refused:
        inspect(network, *(part[:64] for part in test_set))
    assert str(refused.value).count(". ") == 0


def test_wrong_input_is_refused(trained, test_set) -> None:
    (images, labels), network = (part[:20] for part in test_set), trained.network
    fails(TypeError, "divide bytes by 255", inspect, network, (255 * images).byte(), labels)
    fails(ValueError, "28 or more", inspect, network, images[..., :27, :27], labels)
    fails(ValueError, "mean and std are three numbers", inspect_network, network, images, labels, mean=CIFAR10_MEAN)
    fails(ValueError, "must return logits", inspect, nn.Conv2d(3, 3, 3).eval(), images, labels)


def zoo():
    import timm
    import torchvision
    import transformers

    vit = {"image_size": 32, "patch_size": 8}
    hf_vit = transformers.ViTConfig(**vit, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=10)  # fmt: skip
    hf_resnet = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=10)  # fmt: skip
    tv_vit = vit | {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64, "num_classes": 10, "dropout": 0.1}
    return {
        "torchvision ShuffleNet": lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10),
        "torchvision ViT": lambda: torchvision.models.VisionTransformer(**tv_vit),
        "timm ResNet": lambda: timm.create_model("test_resnet", num_classes=10),
        "timm ConvNeXt": lambda: timm.create_model("test_convnext", num_classes=10),
        "transformers ViT": lambda: transformers.ViTForImageClassification(hf_vit),
        "transformers ResNet": lambda: transformers.ResNetForImageClassification(hf_resnet),
    }


def briefly_trained(network, epochs=2):
    images, labels = (part[:4000] for part in load_cifar10("train"))
    optimiser = torch.optim.AdamW(network.train().parameters(), 2e-3)
    for _ in range(epochs):
        for part in torch.randperm(len(images)).split(100):
            scores = network((images[part] - 0.5) / 0.25)
            optimiser.zero_grad()
            F.cross_entropy(getattr(scores, "logits", scores), labels[part]).backward()
            optimiser.step()
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision ShuffleNet", "torchvision ViT", "timm ResNet", "timm ConvNeXt", "transformers ViT", "transformers ResNet"])  # fmt: skip
def test_networks_of_other_libraries_get_a_card(name, test_set, cache) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = briefly_trained(zoo()[name]())
    report = inspect(network, *test_set, mean=(0.5,) * 3, std=(0.25,) * 3, n_images=24, name=name)
    own = report.summary[report.summary.network == name].set_index("quantity").value
    assert 0.3 < own["global Gini index"] < 0.95 and own["accuracy"] > 0.15
    assert not any("normalisation" in note for note in report.notes)
    against = report.differences.against.value_counts()  # the book has no noise of a single draw
    assert f"{name}: the inequality test" in report.to_html() and sorted(against) == [3, 5, 5]
