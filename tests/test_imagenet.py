"""The promise: any usual validation folder gives the same images and labels, and what is wrong with one is said by name."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import fails
from miniature import CLASSES, ROBUST, STANDARD, Miniature, name_of, picture, pictures
from PIL import Image
from scipy.io import savemat
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from inequality_phenomenon import networks
from inequality_phenomenon._support import paths
from inequality_phenomenon.datasets import DataError
from inequality_phenomenon.imagenet import data, public_networks
from inequality_phenomenon.imagenet.data import class_names, decode, load_imagenet, select_common, wordnet_ids
from inequality_phenomenon.imagenet.images import ImageNetSet
from inequality_phenomenon.measure.image_sets import Cifar10, evaluation_set

IDS = data.candidate_ids()[: len(CLASSES)]


@pytest.fixture
def by_class(setup: Miniature) -> Path:
    return setup.images


@pytest.fixture
def copy(setup: Miniature, tmp_path: Path) -> Path:
    return shutil.copytree(setup.images, tmp_path / "val")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / "flat"
    folder.mkdir()
    for image_id, content in zip(IDS, pictures(), strict=True):
        (folder / name_of(image_id)).write_bytes(content)
    return folder


def test_candidates_are_what_the_seed_draws_and_classes_in_the_order_of_the_logits() -> None:
    committed = json.loads(paths.IMAGENET_CANDIDATES.read_text())
    drawn = np.random.default_rng(0).permutation(50_000)[:5000].tolist()
    assert committed == {"seed": 0, "images": 50_000, "ids": drawn}
    assert len(wordnet_ids()) == len(class_names()) == 1000 and list(wordnet_ids()) == sorted(wordnet_ids())
    known = {0: ("n01440764", "tench"), 207: ("n02099601", "golden retriever"), 999: ("n15075141", "toilet tissue")}
    assert {place: (wordnet_ids()[place], class_names()[place]) for place in known} == known


def load(data: data.ImageNet, ids: Sequence[int], **options: bool) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels of those that can be read."""
    pixels, bad = data.decode(ids, **options)
    kept = [place for place, image_id in enumerate(ids) if image_id not in bad]
    return pixels[kept].float() / 255, torch.tensor([data.labels[ids[place]] for place in kept])


def test_pictures_of_every_kind_are_the_usual_evaluation_crop_in_the_order_asked_for(by_class: Path) -> None:
    data = load_imagenet(by_class)
    images, labels = load(data, IDS)
    assert images.shape == (8, 3, 224, 224) and images.dtype == torch.float32 and labels.tolist() == list(CLASSES)
    assert images.min() >= 0 and images.max() <= 1
    usual = Compose([Resize(256), CenterCrop(224), PILToTensor()])
    for image_id, label, own in zip(IDS, CLASSES, images, strict=True):
        with Image.open(by_class / wordnet_ids()[label] / name_of(image_id)) as file:
            assert torch.equal((own * 255).round().byte(), usual(file.convert("RGB")))
    gray = images[1]
    assert torch.equal(gray[0], gray[1]) and torch.equal(gray[0], gray[2])
    backwards = load(data, IDS[::-1])
    assert torch.equal(backwards[0], images.flip(0)) and torch.equal(backwards[1], labels.flip(0))


def test_cmyk_has_the_colours_of_its_rgb_original_and_a_rotation_mark_is_ignored(by_class: Path, tmp_path) -> None:
    cmyk, marked = (by_class / wordnet_ids()[CLASSES[k]] / name_of(IDS[k]) for k in (2, 3))
    for number in (2, 3):
        picture(number).save(tmp_path / f"{number}.jpg", quality=92)
    with Image.open(cmyk) as file:
        assert file.mode == "CMYK"
    assert np.abs(decode(cmyk).astype(int) - decode(tmp_path / "2.jpg").astype(int)).mean() < 6
    assert np.array_equal(decode(marked), decode(tmp_path / "3.jpg"))


def write_kaggle(folder: Path) -> None:
    lines = ["ImageId,PredictionString"]
    for image_id, label in zip(IDS, CLASSES, strict=True):
        boxes = f"{wordnet_ids()[label]} 10 20 30 40 {wordnet_ids()[label]} 1 2 3 4 "
        lines.append(f"{name_of(image_id).removesuffix('.JPEG')},{boxes}")
    (folder / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")


def write_caffe(folder: Path) -> None:
    lines = [f"{name_of(image_id)} {label}" for image_id, label in zip(IDS, CLASSES, strict=True)]
    (folder / "val.txt").write_text("\n".join(lines) + "\n")


def write_devkit(folder: Path) -> None:
    """The development kit counts the classes in an order of its own, from 1; its inner nodes are no classes."""
    own_order = np.random.default_rng(1).permutation(1000).tolist()  # place in the kit -> class
    rows = [(place, wordnet_ids()[label], "a word", 0) for place, label in enumerate(own_order, 1)]
    rows += [(1001, "n00001740", "entity", 3), (1002, "n00002137", "abstraction", 2)]
    synsets = np.array(rows, dtype=[(name, "O") for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")])
    savemat(folder / "meta.mat", {"synsets": synsets[:, None]})
    lines = ["1"] * 50_000
    for image_id, label in zip(IDS, CLASSES, strict=True):
        lines[image_id] = str(own_order.index(label) + 1)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("write", [write_kaggle, write_caffe, write_devkit])
@pytest.mark.parametrize("place", [".", "..", "ILSVRC2012_devkit_t12/data"])
def test_a_flat_folder_gives_the_same_images_and_labels(by_class: Path, flat: Path, write, place: str) -> None:
    (flat / place).mkdir(parents=True, exist_ok=True)
    write(flat / place)
    found = load_imagenet(flat)
    assert found.layout.startswith("flat, labels from ")
    images, labels = load(found, IDS)
    expected = load(load_imagenet(by_class), IDS)
    assert torch.equal(images, expected[0]) and torch.equal(labels, expected[1])


@pytest.mark.parametrize("named", [".", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC/val"])
def test_kaggles_archive_is_found_as_it_unzips(flat: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    top = flat.parent / "kaggle"
    val = top / "ILSVRC/Data/CLS-LOC/val"
    (val.parent / "train" / "n01440764").mkdir(parents=True)
    (top / "ILSVRC/ImageSets/CLS-LOC").mkdir(parents=True)
    (top / "ILSVRC/ImageSets/CLS-LOC/val.txt").write_text("ILSVRC2012_val_00000001 1\n")  # no labels, but Caffe's name
    flat.rename(val)
    write_kaggle(top)
    found = load_imagenet(top / named)
    assert (found.root, found.layout) == (val, "flat, labels from LOC_val_solution.csv")
    assert found.labels == dict(zip(IDS, CLASSES, strict=True))
    assert found.files == {image_id: val / name_of(image_id) for image_id in IDS}
    (flat.parent / "link").symlink_to(top / named)
    assert load_imagenet(flat.parent / "link").labels == found.labels
    monkeypatch.chdir(top / named)
    assert load_imagenet(".") == found
    fails(DataError, rf"Is it {val}\?", load_imagenet, val.parent)


def litter(folder: Path) -> None:
    """What macOS, Windows, network disks and notebooks leave behind."""
    for name in (".DS_Store", f"._{name_of(0)}", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (folder / name / "n01440764").mkdir(parents=True)


def test_files_of_an_operating_system_are_passed_over_and_no_others(by_class, copy: Path, flat: Path, tmp_path) -> None:
    write_caffe(flat)
    for folder in (copy, copy / "n01440764", copy / "n15075141", flat):
        litter(folder)
    expected, found = load_imagenet(by_class), load_imagenet(copy)
    assert len(found.files) == 1004 and found.labels == expected.labels
    assert {i: copy / file.relative_to(by_class) for i, file in expected.files.items()} == found.files
    assert load_imagenet(flat).labels == dict(zip(IDS, CLASSES, strict=True))
    (copy / "n15075141" / "notes.txt").touch()
    fails(DataError, r"n15075141/notes\.txt is not named like", load_imagenet, copy)
    above = tmp_path / "above"
    above.mkdir()
    litter(above)
    copy.rename(above / "Images")  # before __MACOSX by name
    fails(DataError, rf"Is it {above / 'Images'}\?", load_imagenet, above)


def test_wrong_folders_a_missing_class_and_a_ground_truth_far_above_are_named(by_class, copy, flat, tmp_path) -> None:
    fails(DataError, "nowhere does not exist", load_imagenet, tmp_path / "nowhere")
    fails(DataError, rf"is no ImageNet validation folder.*Is it {by_class}\?", load_imagenet, by_class.parent)
    fails(DataError, r"no ground truth in it or beside it: LOC_val_solution\.csv, val\.txt, or", load_imagenet, flat)
    ten = tmp_path / "ten"
    for number, name in enumerate(wordnet_ids()[:10]):
        (ten / name).mkdir(parents=True)
        (ten / name / name_of(number)).touch()
    missing = r"990 of 1000 classes are missing in .*: n01530575, n01531178, .* and 985 more"
    fails(DataError, missing, load_imagenet, ten)
    (ten / "n01440764" / name_of(3)).touch()
    fails(DataError, r"image 4 is there twice: .*n01440764.* and .*n01491361", load_imagenet, ten)
    (ten / "n01440764" / name_of(3)).rename(ten / "n01440764" / "tench.jpg")
    fails(DataError, r"tench\.jpg is not named like ILSVRC2012_val_00000001\.JPEG", load_imagenet, ten)
    shutil.rmtree(copy / "n02119789")
    for _ in range(2):  # not there, then empty
        fails(DataError, r"1 of 1000 classes are missing in .*: n02119789", load_imagenet, copy)
        (copy / "n02119789").mkdir(exist_ok=True)
    write_kaggle(flat.parent)
    (flat.parent / "my").mkdir()
    deeper = flat.rename(flat.parent / "my" / "val")
    fails(DataError, "no ground truth in it or beside it", load_imagenet, deeper)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("val.txt", "", "val.txt has no label for 8 images: ILSVRC2012_val_"),
    ("val.txt", "one 2\n", "val.txt is not the ground truth that its name promises"),
    ("val.txt", "ILSVRC2012_val_00000001.JPEG 1000\n", r"is not the ground truth .*outside 0, \.\.\., 999"),
    ("LOC_val_solution.csv", "a,b\nILSVRC2012_val_00000001,n99999999 1 2 3 4\n", "n99999999"),
    ("ILSVRC2012_validation_ground_truth.txt", "1\n2\n", r"needs meta\.mat of the development kit beside it"),
])  # fmt: skip
def test_a_broken_ground_truth_is_said_by_name(flat: Path, name: str, content: str, message: str) -> None:
    (flat / name).write_text(content)
    fails(DataError, message, load_imagenet, flat)


def test_unreadable_images_are_named_counted_and_skipped_only_if_asked(flat: Path) -> None:
    """Cut off, no picture, empty, and of an absurd size."""
    write_caffe(flat)
    whole, png = ((flat / name_of(IDS[place])).read_bytes() for place in (0, 7))
    header = png[12:16] + struct.pack(">II", 60_000, 60_000) + png[24:29]
    bomb = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    for place, content in ((0, whole[: len(whole) // 2]), (4, b"no picture at all"), (6, b""), (7, bomb)):
        (flat / name_of(IDS[place])).write_bytes(content)
    data = load_imagenet(flat)
    with pytest.raises(DataError, match=rf"{name_of(IDS[7])} .*decompression bomb") as caught:
        load(data, IDS)
    message = str(caught.value)
    assert message.startswith("4 images cannot be read: ") and "set skip_unreadable to leave them out" in message
    assert all(name_of(IDS[place]) in message for place in (0, 4, 6, 7)) and name_of(IDS[1]) not in message
    images, labels = load(data, IDS, skip_unreadable=True)
    assert len(images) == 4 and labels.tolist() == [CLASSES[place] for place in (1, 2, 3, 5)]
    (flat / name_of(IDS[1])).unlink()
    fails(DataError, f"1 images are not in {flat}: {name_of(IDS[1])}", load, load_imagenet(flat), IDS)


@pytest.fixture
def registered(setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in setup.environment(tmp_path / "data").items():
        if name.startswith("INEQUALITY") and os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(paths, "PUBLIC_MODELS", setup.root / "checkpoints" / "imagenet.yaml")
    public_networks.cache_clear()
    yield setup
    public_networks.cache_clear()


NAMES, CPU = (STANDARD, ROBUST), torch.device("cpu")


def networks_of() -> dict[str, torch.nn.Module]:
    return {name: networks.load_checkpoint(name) for name in NAMES}


def test_the_selection_is_right_recorded_and_not_made_twice(registered, tmp_path: Path) -> None:
    data = load_imagenet(registered.images)
    found = select_common(data, networks_of(), 3)
    assert tuple(found.ids) == IDS  # both networks classify all eight, and those beyond three came along
    assert found.examined == 100 and len(found.missing) == 92 and found.correct == dict.fromkeys(NAMES, 8)
    images, labels = load(data, found.ids)
    assert all(torch.equal(networks.load_checkpoint(name)(images).argmax(1), labels) for name in NAMES)
    (file,) = (tmp_path / "data" / "imagenet-subsets").glob("*.json")
    assert type(found).model_validate_json(file.read_text()) == found
    written = file.stat().st_mtime_ns
    assert select_common(data, networks_of(), 8) == found and file.stat().st_mtime_ns == written
    too_few = "of the 5000 candidates 8 could be read and 8 are classified correctly"
    fails(DataError, too_few, select_common, data, networks_of(), 9)
    file.write_text("{")
    fails(DataError, "is damaged: delete it", select_common, data, networks_of(), 3)


def test_labels_of_other_images_are_noticed(registered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inequality_phenomenon.imagenet.data._PLAUSIBLE_AFTER", 8)
    for name in NAMES:
        monkeypatch.setitem(public_networks(), name, networks.REGISTRY[name].model_copy(update={"top1": 90.0}))
    data = load_imagenet(registered.images)
    select_common(data, networks_of(), 3)
    shifted = {image_id: (label + 1) % 1000 for image_id, label in data.labels.items()}
    words = r"classifies 0 of 8 images correctly; published are 90\.0 %"
    fails(DataError, words, select_common, replace(data, labels=shifted), networks_of(), 3)


def test_images_that_change_after_the_selection_are_noticed(registered, copy: Path, monkeypatch) -> None:
    monkeypatch.setenv("INEQUALITY_IMAGENET", str(copy))
    assert tuple(ImageNetSet(NAMES, False).common(8, CPU)) == IDS
    changed = copy / wordnet_ids()[CLASSES[4]] / name_of(IDS[4])
    changed.write_bytes(pictures()[0])
    fails(DataError, f"1 images have changed since .* the first is {changed}", ImageNetSet(NAMES, False).common, 8, CPU)


def test_an_unreadable_candidate_stops_the_selection_unless_allowed(registered, copy: Path, monkeypatch) -> None:
    (copy / wordnet_ids()[CLASSES[2]] / name_of(IDS[2])).write_bytes(b"broken")
    data = load_imagenet(copy)
    fails(DataError, "1 images cannot be read", select_common, data, networks_of(), 3)
    found = select_common(data, networks_of(), 3, skip_unreadable=True)
    assert list(found.unreadable) == [IDS[2]] and len(found.ids) == 7
    monkeypatch.setenv("INEQUALITY_IMAGENET", str(copy))
    own = ImageNetSet(NAMES, True)
    assert own.correct(NAMES[0], own.model(NAMES[0], CPU), IDS, CPU) == found.ids


def test_without_a_folder_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INEQUALITY_IMAGENET", raising=False)
    with pytest.raises(DataError, match="set INEQUALITY_IMAGENET to your validation folder"):
        _ = ImageNetSet(NAMES, False).data
    assert isinstance(evaluation_set("cifar10"), Cifar10)
