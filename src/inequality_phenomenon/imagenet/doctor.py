"""What an ImageNet run needs, checked before hours are spent: images, models, disk, and how long it will take.

Times are computed from the number of passes through each network and from a short measurement of this machine.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from .._support import paths
from .._support.batching import rows_for
from .._support.checks import device_of
from .._support.profiles import Plan, Profile, load_profile
from ..attribution import resolve_options
from ..datasets import DataError
from ..networks import REGISTRY, CheckpointError, build, fold_batch_norm, load_checkpoint
from .data import IMAGES, SIDE, ImageNet, candidate_ids, load_imagenet, unreadable_text
from .public_networks import NOT_KNOWN, PublicModel

State = Literal["ok", "note", "PROBLEM"]
MAP_BYTES = 2 * 3 * SIDE**2  # half precision


@dataclass(frozen=True)
class Line:
    """One finding."""

    subject: str
    text: str
    state: State = "ok"

    def __str__(self) -> str:
        first, *rest = self.text.splitlines() or [""]
        return "\n".join([f"{self.state:8s}{self.subject:12s}{first}", *(f"{'':20s}{line}" for line in rest)])


def is_ready(device: str) -> bool:
    """Print every finding; whether none of them would stop a run."""
    problems = 0
    for line in examine(device=device):
        print(line, flush=True)
        problems += line.state == "PROBLEM"
    print(f"{problems} problems" if problems else "ready: inequality run imagenet")
    return not problems


def examine(profile: str = "imagenet", device: str = "auto") -> Iterator[Line]:
    """All findings, each as soon as it is known. Published model files that are here are converted, which checks them."""
    values = load_profile(profile)
    place = device_of(device.replace("auto", "cuda" if torch.cuda.is_available() else "cpu"))
    yield from _images(values)
    models = [REGISTRY[name] for name in planned_models(values)]
    for model in models:
        yield _model(model)
    yield _device(place)
    yield from _disk(values, models)
    yield from _time(values, place)


def planned_models(profile: Profile) -> list[str]:
    """Every model that the profile names, once."""
    return list(dict.fromkeys([*profile.common, *(name for c in profile.chapters.values() for name in c.models)]))


# --- images ----------------------------------------------------------------------------------------------------


def _images(profile: Profile) -> Iterator[Line]:
    folder = paths.imagenet_folder()
    if folder is None:
        yield Line("images", "no folder is named: --data FOLDER, or set INEQUALITY_IMAGENET", "PROBLEM")
        return
    try:
        data = load_imagenet(folder)
    except (DataError, OSError) as problem:
        yield Line("images", str(problem), "PROBLEM")
        return
    found = f"{folder}: {data.layout}, {len(data.files)} images of {len(set(data.labels.values()))} classes"
    if len(data.files) < IMAGES:
        found += f"\nA complete folder has {IMAGES} images; the common subset may differ from its"
    yield Line("images", found, "ok" if len(data.files) == IMAGES else "note")
    yield from _candidates(data, profile)


def _candidates(data: ImageNet, profile: Profile) -> Iterator[Line]:
    here = [image_id for image_id in candidate_ids() if image_id in data.files]
    bad: dict[int, str] = {}
    for start in tqdm(range(0, len(here), 100), desc="decoding candidates", unit="x 100", leave=False):
        bad |= data.decode(here[start : start + 100])[1]
    state: State = "ok" if len(here) == len(candidate_ids()) else "note"
    if len(here) - len(bad) < profile.n_images:
        state = "PROBLEM"
    text = f"{len(here)} of {len(candidate_ids())} are here, {len(bad)} cannot be read; {profile.n_images} images are wanted"
    yield Line("candidates", text, state)
    if bad:
        yield Line("", unreadable_text(data.files, bad), "note" if profile.skip_unreadable else "PROBLEM")


# --- models ----------------------------------------------------------------------------------------------------


def _model(model: PublicModel) -> Line:
    try:
        if model.conversion is None and not model.published_file.exists():
            where = "Hugging Face" if model.origin == "huggingface" else "torchvision"
            text = f"{model.name}: not here, {model.megabytes:g} MB will be fetched from {where}"
            return Line("model", text, "note")
        load_checkpoint(model.name)
    except (CheckpointError, OSError) as problem:
        return Line("model", str(problem), "PROBLEM")
    done = model.conversion
    assert done
    known = model.sha256_of_source
    words = "its published hash is not known" if known == NOT_KNOWN else "as published"
    left = f"; left unread: {len(done.left_unread)} names of its training state" if done.left_unread else ""
    return Line("model", f"{model.name}: SHA-256 {done.source_sha256[:16]}…, {words}; converted{left}")


# --- the machine -----------------------------------------------------------------------------------------------


def _device(device: torch.device) -> Line:
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return Line(
            "device", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB; batches are halved where they do not fit"
        )
    text = f"no GPU, {torch.get_num_threads()} CPU threads: only a few images are practicable (-p n_images 5)"
    return Line("device", text, "note")


def _disk(profile: Profile, models: list[PublicModel]) -> Iterator[Line]:
    """What the downloads, the converted models and the attribution maps need, folder by folder."""
    need: dict[Path, float] = defaultdict(float)
    for model in models:
        if not model.file.exists():
            half = 0.5 if model.origin == "huggingface" else 1.0  # those files hold the optimiser's state as well
            need[paths.converted_folder()] += 1e6 * half * model.megabytes
            if not model.published_file.exists():
                need[paths.models_folder()] += 1e6 * model.megabytes
    kept = sum(
        file.stat().st_size for file in (paths.CACHE / "maps").glob("*.bin")
    )  # else a run could not go on at its end
    need[paths.CACHE] += max(0.0, MAP_BYTES * maps_of(profile) * 1.02 - kept)
    names = {
        paths.models_folder(): "downloads",
        paths.converted_folder(): "models as safetensors",
        paths.CACHE: "attribution maps",
    }
    together: dict[int, float] = defaultdict(float)  # by file system
    for folder, size in need.items():
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(existing).free
        together[disk := existing.stat().st_dev] += size
        text = f"{names[folder]}: {size / 1e9:.1f} GB needed in {folder}, {free / 1e9:.0f} GB free"
        if free > together[disk]:
            yield Line("disk", text)
        else:
            yield Line(
                "disk", f"{text}\nWith what stands above, this disk must take {together[disk] / 1e9:.1f} GB", "PROBLEM"
            )


# --- how much there is to compute ------------------------------------------------------------------------------


@dataclass
class Work:
    """Passes through one network."""

    gradients: float = 0  # forward and backward
    forwards: float = 0


def gradients_of(method: str = "integrated_gradients", **options: Any) -> int:
    """Forward and backward passes of one attribution map."""
    chosen = resolve_options(method, **options)
    if method == "integrated_gradients":
        return chosen.steps
    if method.startswith("smoothgrad"):
        return chosen.samples * (chosen.steps if chosen.inner == "integrated_gradients" else 1)
    return chosen.samples if method == "gradient_shap" else 1


def work_of(chapter: str, values: Plan, n: int) -> dict[str, Work]:
    """Passes through each network of a chapter, at most: an occlusion search stops at the first clear success.

    Maps that an earlier chapter made are counted there: the chapters share them.
    """
    found = {name: Work() for name in values.models}
    pair = pair_of(values.models)
    options = values.options
    for name, work in found.items():
        in_pair = name in pair
        if chapter.startswith("01"):
            work.gradients += (n + options["own_images"]) * options["steps"]
        if chapter.startswith("02"):
            kinds, controls = 3 * len({*options["budgets"], options["budget"]}), 13 * in_pair
            work.forwards += options["draws"] * (n * (kinds + controls) + options["own_images"] * 3)
            work.gradients += options["own_images"] * gradients_of()
        if chapter.startswith("03"):
            small, large = options["max_count"] * options["max_radius"], options["large"][0] * options["large"][1]
            attack = (small + large * options["ladder_large"]) * len(options["ladder_colors"])
            own = options["own_images"]
            work.forwards += n * attack + own * (small * len(options["colors"]) + 3)
            work.gradients += own * gradients_of()
            if in_pair:
                work.forwards += n * (5 * small + 2 * large + 3 + 2 * (len(options["areas"]) + 1))
        if chapter.startswith("04") and in_pair:
            _add_ablation(work, options, n)
    return found


def _add_ablation(work: Work, options: dict[str, Any], n: int) -> None:
    from ..measure.ablation import PAPER_SETTINGS, SHARES, VARIANTS

    masks = options["patches"][0] * options["patches"][1]
    attacks = 2 * options["draws"] + masks * len(options["colors"])
    for settings in PAPER_SETTINGS.values():
        extra = {"samples": 20} if settings["method"] == "gradient_shap" else {}
        work.gradients += n * gradients_of(**settings, **extra)  # type: ignore[arg-type]
        work.forwards += n * attacks
    for name in options["variants"]:
        few = options["slow_images"] if name == "SmoothGrad, released" else options["variant_images"]
        work.gradients += few * gradients_of(**VARIANTS[name])
        work.forwards += few * attacks
    work.gradients += 4 * sum(options["steps"]) * options["grid_images"]
    work.forwards += 2 * (len(SHARES) + 2) * 6 * options["variant_images"]


def maps_of(profile: Profile) -> int:
    """Attribution maps that the profile keeps: each model's once for the chapters that share them, and chapter 04's."""
    n = profile.n_images
    own = [chapter.options.get("own_images", 0) * len(chapter.models) for chapter in profile.chapters.values()]
    total = n * len(planned_models(profile)) + max(own)
    for name, chapter in profile.chapters.items():
        options, pair = chapter.options, len(pair_of(chapter.models))
        if name.startswith("04"):
            slow = options["slow_images"] * ("SmoothGrad, released" in options["variants"])
            total += pair * (3 * n + len(options["variants"]) * options["variant_images"] + slow)
            total += pair * 4 * len(options["steps"]) * options["grid_images"]
    return total


def pair_of(models: Iterable[str]) -> tuple[str, ...]:
    """The standard and the most robust model of a chapter's first network."""
    listed = list(models)
    same = [name for name in listed if name.split("-")[1] == listed[0].split("-")[1]]
    return same[0], same[-1]


def rates(model: PublicModel, device: torch.device) -> tuple[float, float]:
    """Images a second, forward and backward, and forward alone: a few seconds' measurement; weights do not matter."""
    network = fold_batch_norm(build(model.architecture, **model.arguments).eval()).to(device)
    rows = rows_for(device, SIDE**2, small=64)
    images = torch.rand(rows, 3, SIDE, SIDE, device=device).contiguous(memory_format=torch.channels_last)

    def seconds(backward: bool) -> float:
        for measured in (False, True):
            started = time.perf_counter()
            inputs = images.clone().requires_grad_(backward)
            with torch.set_grad_enabled(backward):
                total = network(inputs)[:, 0].sum()
            if backward:
                total.backward()
            total.item()  # waits for the GPU
            if measured:
                return time.perf_counter() - started
        raise AssertionError

    return rows / seconds(True), rows / seconds(False)


def _time(profile: Profile, device: torch.device) -> Iterator[Line]:
    measured = {}
    for name in planned_models(profile):
        network = REGISTRY[name].architecture
        if network not in measured:
            measured[network] = rates(REGISTRY[name], device)
            both, forward = measured[network]
            text = f"{network}: {both:.1f} images/s forward and backward, {forward:.1f} forward (measured now)"
            yield Line("speed", text)
    whole = 0.0
    for chapter, values in profile.chapters.items():
        n = values.n_images or profile.n_images
        seconds = sum(
            work.gradients / measured[REGISTRY[name].architecture][0]
            + work.forwards / measured[REGISTRY[name].architecture][1]
            for name, work in work_of(chapter, values, n).items()
        )
        whole += seconds
        yield Line("time", f"{chapter}: {in_words(seconds)} at most for {n} images, if nothing is cached")
    yield Line("time", f"all chapters: {in_words(whole)} at most")


def in_words(seconds: float) -> str:
    """Seconds up to two minutes, minutes up to two hours, else hours."""
    unit, length = next(((u, n) for u, n, most in _UNITS if seconds < most), ("hours", 3600))
    return f"{seconds / length:.0f} {unit}"


_UNITS = (("seconds", 1, 120), ("minutes", 60, 7200))
