"""A whole ImageNet set-up in small, written from nothing: 1000 class folders, and two networks in the published formats.

The networks are random ResNet-18 of width 4 whose last layers are solved: both classify the eight pictures as labelled.
"""

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from public_format import write_public
from torch import nn

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.imagenet.data import candidate_ids, decode, wordnet_ids
from inequality_phenomenon.networks import IMAGENET_MEAN, IMAGENET_STD, Normalise, build

STANDARD, ROBUST = "imagenet-resnet18-standard-torchvision", "imagenet-resnet18-linf8-public"
WIDTH = 4
CLASSES = (1, 1, 5, 5, 500, 500, 900, 900)  # two animals and two objects, two pictures each


@dataclass(frozen=True)
class Miniature:
    images: Path  # by class
    published: Path  # the two models' files
    root: Path  # what INEQUALITY_ROOT names: the project with a registry of these two models
    ids: tuple[int, ...]

    def environment(self, data: Path) -> dict[str, str]:
        places = {"ROOT": self.root, "IMAGENET": self.images, "MODELS": self.published}
        places |= {"DATA": data, "CACHE": data / "cache"}
        return os.environ | {f"INEQUALITY_{name}": str(place) for name, place in places.items()}


def name_of(image_id: int) -> str:
    return f"ILSVRC2012_val_{image_id + 1:08d}.JPEG"


def picture(seed: int, size: tuple[int, int] = (320, 260)) -> Image.Image:
    """Smooth colours and some edges, so that JPEG and resizing change little."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    left, top = (int(side) for side in draw.integers(40, 120, 2))
    coarse.paste(tuple(int(value) for value in draw.integers(0, 256, 3)), (left, top, left + 90, top + 70))
    return coarse


def jpeg(image: Image.Image, orientation: int | None = None) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image.save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


def pictures() -> list[bytes]:
    """Eight files: plain, gray, CMYK, two with a camera's rotation mark, upright and wide formats, a PNG under the name of a JPEG."""
    png = io.BytesIO()
    picture(7).save(png, "PNG")
    return [
        jpeg(picture(0)), jpeg(picture(1).convert("L")), jpeg(picture(2).convert("CMYK")),
        jpeg(picture(3), orientation=6), jpeg(picture(4), orientation=3), jpeg(picture(5, (260, 420))),
        jpeg(picture(6, (500, 375))), png.getvalue(),
    ]  # fmt: skip


def network(seed: int, inputs: torch.Tensor) -> nn.Module:
    """A network whose batch norm has seen the inputs and whose last layer gives each of them its class by a clear margin."""
    model = build("resnet18", seed=seed, width=WIDTH, classes=1000).network
    *body, classify = model
    with torch.no_grad():
        model(inputs)
        features = nn.Sequential(*body).eval()(inputs).double()
        wanted = 8 * nn.functional.one_hot(torch.tensor(CLASSES), 1000).double()
        classify.weight.copy_(torch.linalg.lstsq(features, wanted, driver="gelsd").solution.T)
        classify.bias.zero_()
    return model.eval()


def at(folder: Path) -> Miniature:
    return Miniature(folder / "val", folder / "published", folder / "project", candidate_ids()[: len(CLASSES)])


def write(folder: Path) -> Miniature:
    made = at(folder)
    made.published.mkdir(parents=True)
    write_images(made.images, made.ids)
    files = [made.images / wordnet_ids()[label] / name_of(i) for i, label in zip(made.ids, CLASSES, strict=True)]
    pixels = torch.from_numpy(np.stack([decode(file) for file in files])).float() / 255
    inputs = Normalise(IMAGENET_MEAN, IMAGENET_STD)(pixels)
    torch.save(network(1, inputs).state_dict(), plain := made.published / "new.pth")
    plain = plain.rename(plain.with_name(f"resnet18-{sha256_of(plain)[:8]}.pth"))
    write_public(network(2, inputs), made.published / "resnet18_linf_eps8.0.ckpt")
    write_project(made.root, plain.name)
    return made


def write_images(images: Path, ids: tuple[int, ...]) -> None:
    """By class; those without one of the eight pictures get a tiny one each."""
    tiny, others = jpeg(Image.new("RGB", (8, 8))), iter(sorted(set(range(50_000)) - set(candidate_ids())))
    for label, wordnet_id in enumerate(wordnet_ids()):
        (images / wordnet_id).mkdir(parents=True)
        if label not in CLASSES:
            (images / wordnet_id / name_of(next(others))).write_bytes(tiny)
    for image_id, label, content in zip(ids, CLASSES, pictures(), strict=True):
        (images / wordnet_ids()[label] / name_of(image_id)).write_bytes(content)


def write_project(root: Path, plain: str) -> None:
    """The project's own files, with a registry of the two models and a profile that computes little."""
    others = shutil.ignore_patterns("imagenet.yaml")
    shutil.copytree(paths.ROOT / "checkpoints", root / "checkpoints", ignore=others, copy_function=os.symlink)
    for name in ("notebooks", "results"):
        (root / name).symlink_to(paths.ROOT / name)
    rows = yaml.safe_load((paths.ROOT / "checkpoints" / "imagenet.yaml").read_text("utf-8"))
    mine = {row["name"]: row for row in rows if row["name"] in (STANDARD, ROBUST)}
    for row in mine.values():
        row |= {"architecture": "resnet18", "arguments": {"width": WIDTH, "classes": 1000}}
    mine[STANDARD] |= {"source": plain, "sha256": plain.removeprefix("resnet18-").removesuffix(".pth")}
    (root / "checkpoints" / "imagenet.yaml").write_text(yaml.safe_dump(list(mine.values())), "utf-8")
    profile = yaml.safe_load((paths.ROOT / "profiles" / "imagenet.yaml").read_text("utf-8"))
    profile |= {"n_images": len(CLASSES), "bootstrap": 99, "common": [STANDARD, ROBUST]}
    for chapter in profile["chapters"].values():
        chapter["models"] = [STANDARD, ROBUST]
        chapter["options"] = {key: LITTLE.get(key, value) for key, value in chapter["options"].items()}
        chapter["n_images"] = 2  # but all eight in the chapter on classes
    profile["chapters"]["01_inequality_test"]["options"]["steps"] = 2
    profile["chapters"]["08_class_inequality"]["n_images"] = len(CLASSES)
    (root / "profiles").mkdir()
    (root / "profiles" / "imagenet.yaml").write_text(yaml.safe_dump(profile, sort_keys=False), "utf-8")


LITTLE = {  # the chapters' options where the shipped values would compute for hours
    "steps": [2, 4], "budgets": [500, 20000], "draws": 1, "max_count": 1, "max_radius": 2, "large": [1, 3], "colors": ["black"],
    "ladder_colors": ["black"], "ladder_large": False, "own_images": 2, "patches": [1, 2], "variants": ["Gradient"],
    "variant_images": 2, "slow_images": 2, "grid_images": 2,
}  # fmt: skip
