"""The promise: Imagenette is verified whatever its source, what is wrong with a copy is said, and networks learn from it."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fails
from PIL import Image
from torch import Generator, Tensor
from torchvision.datasets import Imagenette

from inequality_phenomenon import global_gini, regional_gini, train
from inequality_phenomenon._support import paths
from inequality_phenomenon.datasets import DataError, load_cifar10_bytes
from inequality_phenomenon.imagenette import data, images
from inequality_phenomenon.imagenette.data import CLASSES, decoded, imagenette_files, load_imagenette
from inequality_phenomenon.imagenette.images import CROPS, ImagenetteSet, TrainingPhotographs
from inequality_phenomenon.imagenette.readings import maps_of_the_slice, readings
from inequality_phenomenon.imagenette.resolution import at_every_side, at_resolution
from inequality_phenomenon.measure.image_sets import CIFAR10
from inequality_phenomenon.measure.measurements import noise, occlusion
from inequality_phenomenon.measure.multiverse import plan
from inequality_phenomenon.measure.sample import Sample
from inequality_phenomenon.networks import IMAGENET_STD, REGISTRY, build, checkpoint_of, load_checkpoint, network_of
from inequality_phenomenon.training.data import first_of_each_class
from inequality_phenomenon.training.registration import train_and_register
from inequality_phenomenon.training.settings import TrainingSettings
from inequality_phenomenon.verdicts.multiverse import slice_effects

EACH = {"train": 53, "val": 4}
CPU = torch.device("cpu")


def photograph(pixels: Tensor, mode: str = "RGB", side: int = 224) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).resize((side, side)).convert(mode).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.fileMode=true"]
    command = ["git", *names, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path) -> None:
    """The layout of the real repository, with CIFAR-10's photographs at 224 pixels, 53 a class to train on."""
    for split, source in (("train", "train"), ("val", "test")):
        pixels, labels = load_cifar10_bytes(source)
        for label, name in enumerate(CLASSES):
            own = (labels == label).nonzero().flatten()[: EACH[split]].tolist()
            (folder / split / name).mkdir(parents=True)
            for place, image_id in enumerate(own):
                file = folder / split / name / f"ILSVRC2012_val_{image_id:08d}.JPEG"
                file.write_bytes(photograph(pixels[image_id], "L" if place == 1 else "RGB"))
                file.chmod(0o755)
    for command in ("init --quiet", "add .", "commit --quiet -m photographs"):
        git(folder, *command.split())


@pytest.fixture(scope="module")
def repository(once: Callable[..., Path]) -> Path:
    return once("imagenette", write)


@pytest.fixture
def small(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the photographs that this test may change, with what git says of them as what is pinned."""
    for module in (data, images):
        monkeypatch.setattr(module, "COUNTS", {split: 10 * each for split, each in EACH.items()})
    monkeypatch.setattr(data, "TREES", {split: git(repository, "rev-parse", f"HEAD:{split}") for split in EACH})
    monkeypatch.setattr(data, "COMMIT", git(repository, "rev-parse", "HEAD"))
    monkeypatch.setattr(data, "REPOSITORY", repository.as_uri())
    folder = shutil.copytree(repository, tmp_path / "own", ignore=shutil.ignore_patterns(".git"))
    monkeypatch.setenv("INEQUALITY_IMAGENETTE", str(folder))
    yield folder
    data._files.cache_clear()


def first(folder: Path, split: str = "val") -> Path:
    return min((folder / split / "n01440764").iterdir())


def test_the_photographs_come_by_class_and_name_as_bytes_whatever_a_system_leaves_beside_them(small: Path) -> None:
    pixels, labels = load_imagenette("val")
    assert pixels.shape == (40, 3, 224, 224) and pixels.dtype == torch.uint8
    assert labels.tolist() == [label for label in range(10) for _ in range(4)]
    with Image.open(first(small)) as picture:
        assert torch.equal(pixels[0], torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    assert (pixels[1] == pixels[1, :1]).all() and not (pixels[0] == pixels[0, :1]).all()  # the second is gray
    (small / "val" / ".DS_Store").touch()
    (small / "val" / "n01440764" / "._x.JPEG").touch()
    first(small).chmod(0o644)
    assert len(imagenette_files("val")[0]) == 40


@pytest.mark.parametrize(("damage", "words"), [
    (lambda folder: first(folder).write_bytes(first(folder).read_bytes() + b"x"), "not those of the pinned commit: tree"),
    (lambda folder: first(folder).rename(first(folder).with_name("a.JPEG")), "not those of the pinned commit"),
    (lambda folder: shutil.rmtree(folder / "val" / "n03888257"), "1 of 10 classes are missing in .*: n03888257"),
    (lambda folder: first(folder).unlink(), "has 39 photographs, Imagenette has 40"),
    (lambda folder: shutil.rmtree(folder / "val"), "has no folder 'val'"), (shutil.rmtree, "is no Imagenette folder"),
])  # fmt: skip
def test_a_folder_that_differs_is_refused_and_what_is_needed_is_said(small: Path, damage, words: str) -> None:
    damage(small)
    with pytest.raises(DataError, match=words) as refused:
        load_imagenette("val")
    assert "Needed are the folders train and val of file://" in str(refused.value)


def test_a_photograph_that_is_cut_off_or_of_another_size_is_named(small: Path) -> None:
    file = first(small)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    fails(DataError, f"{file.name} cannot be read", decoded, [file])
    file.write_bytes(photograph(torch.zeros(32, 32, 3, dtype=torch.uint8), side=200))
    fails(DataError, "has 200 x 200 pixels, not 224 x 224", decoded, [file])
    for split in ("test", 3, None):
        fails(ValueError, r"unknown split .*; known: train, val", load_imagenette, split)


def test_without_a_folder_the_pinned_commit_is_cloned_verified_and_kept(small, data_copy: Path, monkeypatch) -> None:
    monkeypatch.delenv("INEQUALITY_IMAGENETTE")
    assert not paths.imagenette_is_here() and len(load_imagenette("val")[1]) == 40 and paths.imagenette_is_here()
    assert sorted(path.name for path in (data_copy / "imagenette").iterdir()) == ["train", "val"]
    monkeypatch.setattr(data, "REPOSITORY", "file:///nowhere")  # not asked again
    assert len(load_imagenette("train")[1]) == 530


@pytest.mark.parametrize(("problem", "words"), [
    (lambda patch: patch.setattr(data, "REPOSITORY", "file:///nowhere"), "`git fetch` failed.*INEQUALITY_IMAGENETTE"),
    (lambda patch: patch.setattr(data, "COMMIT", "0" * 40), "`git fetch` failed"),
    (lambda patch: patch.setattr(data, "TREES", dict.fromkeys(EACH, "0" * 40)), "not those of the pinned commit"),
    (lambda patch: patch.setenv("PATH", ""), "fetched with git, and there is none"),
    (lambda patch: patch.setattr(data, "BYTES", 2**60), "needs .* MB in .*, and there is less"),
])  # fmt: skip
def test_a_source_that_fails_is_said_and_leaves_nothing(small, data_copy, monkeypatch, problem, words: str) -> None:
    monkeypatch.delenv("INEQUALITY_IMAGENETTE")
    before = sorted(data_copy.iterdir())
    problem(monkeypatch)
    fails(DataError, words, load_imagenette, "val")
    assert sorted(data_copy.iterdir()) == before and not paths.imagenette_is_here()


def test_the_official_archive_is_verified_unpacked_once_and_its_middle_is_taken(small, tmp_path, monkeypatch) -> None:
    assert Imagenette._ARCHIVES["full"][1] == data.ARCHIVE_MD5
    for file in (small / "val").rglob("*.JPEG"):  # wider than high, as photographs are
        with Image.open(file) as picture:
            picture.convert("RGB").resize((500, 375)).save(file, "JPEG", quality=95)
    archive = tmp_path / "downloads" / "imagenette2.tgz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(small, "imagenette2")
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INEQUALITY_IMAGENETTE", str(archive.parent))
    fails(DataError, "is not the official archive: its MD5 is not fe2fc210", load_imagenette, "val")
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(data, "ARCHIVE_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    pixels, labels = load_imagenette("val")
    assert pixels.shape == (40, 3, 224, 224) and labels.bincount().tolist() == [4] * 10
    with Image.open(first(small)) as picture:
        usual = np.array(picture.resize((299, 224), Image.Resampling.BILINEAR), float)[:, 37:261]
    assert np.abs(pixels[0].permute(1, 2, 0).numpy() - usual).mean() < 3
    archive.write_bytes(b"gone")  # it is not read again
    assert "official archive" in ImagenetteSet(224).provenance() and torch.equal(load_imagenette("val")[0], pixels)


def test_smaller_sets_show_the_same_photographs_resized_as_torchvision_does(small: Path) -> None:
    from torchvision.transforms.functional import resize

    ids = [7, 3, 20]
    for side, region in ((224, 16), (128, 8), (64, 4)):
        found = ImagenetteSet(side)
        pixels, labels = found.load(ids, CPU)
        usual = resize(load_imagenette("val")[0][ids], [side, side], antialias=True)
        assert pixels.shape == (3, 3, side, side) and labels.tolist() == [1, 0, 5] and found.region == region
        assert (pixels * 255 - usual).abs().max() <= 1
    assert sorted(found.shuffled()) == list(found.everything()) and list(found.shuffled()) != list(found.everything())


def test_held_out_photographs_are_fifty_a_class_and_never_trained_on(small: Path) -> None:
    labels = imagenette_files("train")[1]
    places = first_of_each_class(torch.tensor(labels), 50).tolist()
    assert np.bincount(np.array(labels)[places]).tolist() == [50] * 10
    found = TrainingPhotographs(64, 10, CPU)
    assert set(found.kept.tolist()) == set(range(530)) - set(places) and len(found) == 3
    few, own = found.held_out(1.0)
    assert few.shape == (100, 3, 64, 64) and np.bincount(own).tolist() == [10] * 10


def test_batches_are_crops_and_flips_of_the_side_of_the_moment_and_belong_to_their_seed(small: Path) -> None:
    found = TrainingPhotographs(224, 10, CPU)
    for progress, side in ((0.0, 128), (0.74, 128), (0.75, 224)):
        one, again = ([*found.batches(Generator().manual_seed(1), progress)] for _ in range(2))
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(one, again, strict=True))
        order = found.kept[torch.randperm(30, generator=Generator().manual_seed(1))]
        whole = decoded([found.files[place] for place in order], side).float() / 255
        for index, (batch, labels) in enumerate(one):
            own, crop = whole[10 * index : 10 * index + 10], batch.shape[-1]
            assert crop in {round(side * share) for share in CROPS}
            assert batch.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(labels, found.labels[order[10 * index : 10 * index + 10]])
            windows = own.unfold(2, crop, 1).unfold(3, crop, 1)[0]  # of the first photograph
            both = (batch[0], batch[0].flip(2))
            assert any((windows == image[:, None, None]).flatten(3).all(-1).all(0).any() for image in both)


def test_a_training_that_is_killed_ends_with_the_same_weights(small: Path, tmp_path: Path) -> None:
    values = {
        "title": "small", "dataset": "imagenette64", "arguments": {"width": 4, "stem": "imagenet"}, "epochs": 2,
        "batch_size": 10, "norm": "linf", "epsilon": "8/255", "attack": "pgd", "attack_steps": 2, "attack_step": 0.75,
        "precision": "float32",
    }  # fmt: skip
    settings = TrainingSettings.model_validate(values)
    whole = train(settings, tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "killed", progress=False, after_epoch=Mock(side_effect=KeyboardInterrupt))
    again = train(settings, tmp_path / "killed", progress=False)
    torch.testing.assert_close(dict(again.model.state_dict()), dict(whole.model.state_dict()), rtol=0, atol=0)
    assert whole.epoch == again.epoch == 2


def test_a_network_is_registered_with_its_data_set_and_found_by_its_name(small: Path, tmp_path, move) -> None:
    move(CHECKPOINTS=tmp_path / "checkpoints", TRAINING=tmp_path / "training", LOCKS=tmp_path)
    (tmp_path / "checkpoints").mkdir()
    name = "imagenette64-resnet18w32-standard-s0"
    text = "title: small\ndataset: imagenette64\narguments: {width: 4, stem: imagenet}\nepochs: 1\nbatch_size: 10\n"
    (paths.CHECKPOINTS / f"{name}.yaml").write_text(text)
    entry = train_and_register(name, progress=False)
    assert entry.test_clean.n == 40 and (paths.CHECKPOINTS / "imagenette64.yaml").exists()
    assert name not in list(REGISTRY) and REGISTRY[name] == entry
    assert load_checkpoint(name)(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_the_stem_of_imagenet_sees_a_sixteenth_of_the_places_and_names_say_the_data_set() -> None:
    model = build("resnet18", width=4, stem="imagenet")
    assert torch.allclose(model.normalise.std.flatten(), torch.tensor(IMAGENET_STD))
    assert model.network[:4](torch.zeros(1, 3, 224, 224)).shape == (1, 4, 56, 56)
    fails(ValueError, "unknown stem 'vit'; known: cifar10, imagenet", build, "resnet18", stem="vit")
    name = checkpoint_of("resnet18", "linf", 8, dataset="imagenette")
    assert name == "imagenette-resnet18w32-linf8-s0" and network_of(name) == "resnet18"


def seen(side: int, n: int = 6) -> Sample:
    """Photographs at one side under the network that ships, labelled as it sees them."""
    name, found = "imagenette-resnet18w32-linf8-s0", ImagenetteSet(side)
    pixels, _ = found.load(range(n), CPU)
    model = load_checkpoint(name)
    with torch.no_grad():
        return Sample(name, model, pixels, model(pixels).argmax(1), list(range(n)), found)


def test_at_each_side_a_budget_is_the_same_number_or_the_same_share(small: Path) -> None:
    asked = {"budgets": (500, 5000), "patch": (3, 10), "draws": 2}
    sample = seen(64)
    columns, maps = at_resolution(sample, **asked), sample.maps()
    assert torch.equal(columns["global_gini"], global_gini(maps))
    assert torch.equal(columns["regional_gini"], regional_gini(maps, 4))
    kinds = {"random": {"positions": "random"}, "type_1": {"kind": "type_1"}, "type_2": {"kind": "type_2"}}
    for form, (few, many), radius in (("number", (500, 5000), 10), ("share", (41, 408), 3)):
        for kind, options in kinds.items():
            alone = noise(sample, budgets=(few, many), draws=2, **options)
            assert torch.equal(columns[f"failure_{kind}_500_{form}"], alone[f"failure_{few}"])
            assert torch.equal(columns[f"failure_{kind}_5000_{form}"], alone[f"failure_{many}"])
        alone = occlusion(sample, max_count=3, max_radius=radius, color="black")
        assert torch.equal(columns[f"fooled_{form}"], alone["fooled"])
    large = at_resolution(seen(224, 2), budgets=(500,), patch=(1, 10), draws=1)
    assert all(torch.equal(own, large[name.replace("share", "number")]) for name, own in large.items())


def test_each_checkpoint_sees_the_photographs_at_its_own_side(small: Path) -> None:
    names = at_every_side(["imagenette-resnet18w32-standard-s0"])
    assert names[64] == ["imagenette64-resnet18w32-standard-s0"]
    assert names[224] == ["imagenette-resnet18w32-standard-s0"] and at_every_side(["imagenette-mine"]) == {}
    found = ImagenetteSet(224)
    assert [found.of(name).side for (name,) in names.values()] == list(names) and found.of("mine") is found
    assert CIFAR10.of(names[64][0]) is CIFAR10


def test_the_slice_has_every_reading_of_the_plan_and_each_is_what_it_says(small: Path) -> None:
    sample = seen(64)
    chosen = {name: plan()["at_224_pixels"][name] for name in ("order", "kind", "color")}
    asked = chosen | {"budget": [500, 1000, 2000, 3000, 5000], "count": [1, 2], "radius": 3, "seed": 0}
    tables = [
        pd.DataFrame(readings(who, **own, **asked)).assign(checkpoint=name, condition=label, image_id=range(6))
        for label, own in maps_of_the_slice().items()
        for name, who in (("standard", sample), ("robust", sample.at([5, 4, 3, 2, 1, 0])))
    ]
    maps = {"method": "integrated_gradients", "baseline": "zero", "space": "pixel"}
    own = readings(sample, attribution=maps, **asked)
    best = occlusion(sample, attribution=maps, max_count=2, max_radius=3, color="white")
    assert torch.equal(own["patches|signed|white|best|2"], best["fooled"])
    single = occlusion(sample, attribution=maps, max_count=1, max_radius=3, color="gray", search="single")
    assert torch.equal(own["patches|signed|gray|largest|1"], single["fooled"])
    noisy = noise(sample, attribution=maps, budgets=(2000,), kind="type_2", draws=1)["failure_2000"]
    assert torch.equal(own["noise|signed|type_2|2000"].double(), noisy)
    found = slice_effects(pd.concat(tables), ("standard", "robust"))
    counts = {"index": 12, "regional": 12, "noise": 60, "black": 24, "gray": 24, "white": 24}
    assert found.claim.value_counts().to_dict() == counts and len(found) == 156
    assert np.allclose(found.effect, 0)  # the same photographs in another order: no difference in any mean
