"""What an ImageNet run needs, checked before hours are spent: images, models, disk, and how long it will take."""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from tqdm import tqdm

from .._support import paths
from .._support.batching import LEAST
from .._support.checks import device_of
from .._support.profiles import Profile, load_profile
from ..datasets import DataError
from ..networks import REGISTRY, CheckpointError, build, fold_batch_norm, load_checkpoint
from .data import IMAGES, SIDE, candidate_ids, load_imagenet, unreadable_text
from .public import NOT_KNOWN, PublicModel

State = Literal["ok", "note", "PROBLEM"]
MAP_BYTES = 2 * 3 * SIDE**2  # half precision


@dataclass(frozen=True)
class Line:
    subject: str
    text: str
    state: State = "ok"

    def __str__(self) -> str:
        return f"{self.state:8s}{self.subject:12s}" + self.text.replace("\n", f"\n{'':20s}")


def is_ready(device: str) -> bool:
    """Print every finding; whether none of them would stop a run."""
    problems = 0
    for line in checkup(device=device):
        print(line, flush=True)
        problems += line.state == "PROBLEM"
    print(f"{problems} problems" if problems else "ready: inequality run imagenet")
    return not problems


def checkup(profile: str = "imagenet", device: str = "auto") -> Iterator[Line]:
    """All findings, each as soon as it is known. Published model files that are here are converted, which checks them."""
    values = load_profile(profile)
    place = device_of(device.replace("auto", "cuda" if torch.cuda.is_available() else "cpu"))
    models = [REGISTRY[name] for name in models_of(values)]
    yield from _images(values)
    yield from map(_model, models)
    yield _device(place)
    yield from _disk(values, models)
    yield from _time(values, place)


def models_of(profile: Profile) -> list[str]:
    return list(dict.fromkeys([*profile.common, *(name for c in profile.chapters.values() for name in c.models)]))


def _images(profile: Profile) -> Iterator[Line]:
    folder = paths.imagenet_folder()
    try:
        if folder is None:
            raise DataError("no folder is named: --data FOLDER, or set INEQUALITY_IMAGENET")
        data = load_imagenet(folder)
    except (DataError, OSError) as problem:
        yield Line("images", str(problem), "PROBLEM")
        return
    found = f"{data.root}: {data.layout}, {len(data.files)} images of {len(set(data.labels.values()))} classes"
    if incomplete := len(data.files) < IMAGES:
        found += f"\nA complete folder has {IMAGES} images; the common subset may differ from its"
    yield Line("images", found, "note" if incomplete else "ok")
    candidates = candidate_ids()
    here, bad = [image_id for image_id in candidates if image_id in data.files], dict[int, str]()
    for start in tqdm(range(0, len(here), 100), desc="decoding candidates", unit="x 100", leave=False):
        bad |= data.decode(here[start : start + 100], skip_unreadable=True)[1]
    state: State = "ok" if len(here) == len(candidates) else "note"
    enough = len(here) - len(bad) >= profile.n_images
    text = f"{len(here)} of {len(candidates)} are here, {len(bad)} cannot be read; {profile.n_images} images are wanted"
    yield Line("candidates", text, state if enough else "PROBLEM")
    if bad:
        yield Line("", unreadable_text(data.files, bad), "note" if profile.skip_unreadable else "PROBLEM")


def _model(model: PublicModel) -> Line:
    try:
        if model.conversion is None and not model.published_file.exists():
            where = "Hugging Face" if model.origin == "huggingface" else "torchvision"
            return Line("model", f"{model.name}: not here, {model.megabytes:g} MB will be fetched from {where}", "note")
        load_checkpoint(model.name)
    except (CheckpointError, OSError) as problem:
        return Line("model", str(problem), "PROBLEM")
    done = model.conversion
    assert done
    words = "its published hash is not known" if model.sha256_of_source == NOT_KNOWN else "as published"
    left = f"; left unread: {len(done.left_unread)} names of its training state" if done.left_unread else ""
    return Line("model", f"{model.name}: SHA-256 {done.source_sha256[:16]}…, {words}; converted{left}")


def _device(device: torch.device) -> Line:
    if device.type == "cpu":
        text = f"no GPU, {torch.get_num_threads()} CPU threads: only a few images are practicable (-p n_images 5)"
        return Line("device", text, "note")
    facts = torch.cuda.get_device_properties(device)
    return Line("device", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB; batches are halved where they do not fit")


def _disk(profile: Profile, models: list[PublicModel]) -> Iterator[Line]:
    """What the downloads, the converted models and the attribution maps need, folder by folder."""
    to_convert = [model for model in models if not model.file.exists()]
    to_fetch = sum(model.megabytes for model in to_convert if not model.published_file.exists())
    # Hugging Face's files hold the optimiser's state as well.
    converted = sum(model.megabytes * (0.5 if model.origin == "huggingface" else 1) for model in to_convert)
    # What is kept counts: else a run could not go on at its end.
    kept = sum(file.stat().st_size for file in (paths.CACHE / "maps").glob("*.bin"))
    maps = max(0.0, MAP_BYTES * maps_planned(profile) * 1.02 - kept)
    together: dict[int, float] = defaultdict(float)  # by file system
    for what, folder, size in (
        ("models as safetensors", paths.converted_folder(), 1e6 * converted),
        ("downloads", paths.models_folder(), 1e6 * to_fetch),
        ("attribution maps", paths.CACHE, maps),
    ):
        if not size and folder != paths.CACHE:
            continue
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(existing).free
        together[disk := existing.stat().st_dev] += size
        text = f"{what}: {size / 1e9:.1f} GB needed in {folder}, {free / 1e9:.0f} GB free"
        if free <= together[disk]:
            text += f"\nWith what stands above, this disk must take {together[disk] / 1e9:.1f} GB"
        yield Line("disk", text, "ok" if free > together[disk] else "PROBLEM")


# What a chapter asks of each of its networks for each image, at most, with the options of profiles/imagenet.yaml: forward
# and backward passes, forward passes alone, and attribution maps that are kept (the chapters share those of 01).
PASSES = {
    "01_inequality_test": (20.0, 0.0, 1.0),
    "02_noise_attack": (0.0, 101.0, 0.0),
    "03_occlusion_attack": (20.0, 1166.6, 1.0),
    "04_attribution_ablation": (211.4, 957.6, 5.65),
    "08_class_inequality": (0.0, 0.0, 0.0),
}


def passes_of(profile: Profile) -> Iterator[tuple[str, int, tuple[float, float, float]]]:
    """Plan, number of images, and ``PASSES`` times that number, for each network of the chapter."""
    for chapter, values in profile.chapters.items():
        n = values.n_images or profile.n_images
        both, forward, maps = PASSES[chapter]
        yield chapter, n, (n * both, n * forward, n * maps)


def maps_planned(profile: Profile) -> float:
    return sum(maps * len(profile.chapters[chapter].models) for chapter, _, (_, _, maps) in passes_of(profile))


def rates(model: PublicModel, device: torch.device) -> tuple[float, float]:
    """Images a second, forward and backward, and forward alone: a few seconds' measurement; weights do not matter."""
    network = fold_batch_norm(build(model.architecture, **model.arguments).eval()).to(device)
    rows, seconds = LEAST if device.type == "cpu" else 64, []
    images = torch.rand(rows, 3, SIDE, SIDE, device=device).contiguous(memory_format=torch.channels_last)
    for backward in (True, True, False, False):  # the first of each warms up
        started = time.perf_counter()
        with torch.set_grad_enabled(backward):
            total = network(images.requires_grad_(backward))[:, 0].sum()
        if backward:
            torch.autograd.grad(total, images)
        total.item()  # waits for the GPU
        seconds.append(time.perf_counter() - started)
    return rows / seconds[1], rows / seconds[3]


def _time(profile: Profile, device: torch.device) -> Iterator[Line]:
    """An upper bound for each chapter, from the speeds that are measured now."""
    architectures = {REGISTRY[name].architecture: REGISTRY[name] for name in models_of(profile)}
    speed, whole = {name: rates(model, device) for name, model in architectures.items()}, 0.0
    for chapter, n, (gradients, forwards, _) in passes_of(profile):
        networks = [speed[REGISTRY[name].architecture] for name in profile.chapters[chapter].models]
        seconds = sum(gradients / both + forwards / forward for both, forward in networks)
        whole += seconds
        yield Line("time", f"{chapter}: {in_words(seconds)} at most for {n} images, if nothing is cached")
    yield Line("time", f"all chapters: {in_words(whole)} at most, with the options that ship")


def in_words(seconds: float) -> str:
    length, unit = (1, "seconds") if seconds < 120 else (60, "minutes") if seconds < 7200 else (3600, "hours")
    return f"{seconds / length:.0f} {unit}"
