"""Measurements as files: a cache that notices damage, records with provenance, and the comparison with the paper.

A measurement is a table with one row per image. Its cache key names everything that decides it: the function's
source and that of every module it stands on, the parameters, the images and the checkpoint.
"""

import ast
import hashlib
import html
import importlib
import inspect
import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Float32, Int64
from safetensors.torch import load, save
from torch import Tensor
from tqdm import tqdm

from .attribution import METHOD_TITLES, attribute, resolve_options
from .checks import whole
from .evaluation import CIFAR10, EvaluationSet, classes_of, evaluation_set
from .files import atomic_path, read_sealed, sha256_of, write_sealed
from .models import REGISTRY, Classifier
from .paths import CACHE, CHECKPOINTS, EXECUTED, PAPER_SCALE, PUBLISHED_VALUES, REFERENCE, ROOT
from .profiles import Chapter, Profile, ProfileError, load_profile
from .statistics import (
    Difference,
    Estimate,
    PairedTest,
    bootstrap_mean,
    holm,
    logistic_regression,
    mcnemar,
    mean_difference,
    paired_difference,
    rate_difference,
    ratio_of_ratios,
    wilson,
)

Verdict = Literal["reproduced", "same direction", "contradicted", "not reproduced", "not measured here"]


# --- the cache -------------------------------------------------------------------------------------------------


@cache
def code_hash(module: str) -> str:
    """SHA-256 of a module's source and of the package's modules that it imports, directly or not."""
    package = __package__ or ""
    todo, sources = [module], {}
    while todo:
        name = todo.pop()
        if name in sources:
            continue
        sources[name] = inspect.getsource(importlib.import_module(f"{package}.{name}"))
        imports = (node for node in ast.walk(ast.parse(sources[name])) if isinstance(node, ast.ImportFrom))
        for node in imports:
            if node.level == 1:
                todo += [node.module] if node.module else [alias.name for alias in node.names]
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def cached(name: str, key: dict[str, Any], compute: Callable[[], bytes]) -> tuple[bytes, dict[str, Any]]:
    """``compute()`` or what it gave before for the same key; also how long it took and whether it was cached.

    Raises ``files.DamagedFile`` naming the file where a stored result was altered.
    """
    text = json.dumps(key, sort_keys=True)
    file = CACHE / name / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.bin"
    if file.exists():
        payload = read_sealed(file)
        header, _, content = payload.partition(b"\n")
        return content, {"cached": True, **json.loads(header)}
    started = time.perf_counter()
    content = compute()
    facts = {"seconds": round(time.perf_counter() - started, 3)}
    write_sealed(file, json.dumps(facts).encode() + b"\n" + content)
    return content, {"cached": False, **facts}


# --- subjects and runs -----------------------------------------------------------------------------------------


@dataclass
class Subject:
    """One registered model and the images it is measured on: test images that it classifies correctly."""

    checkpoint: str
    model: Classifier
    images: Float32[Tensor, "n 3 h w"]
    labels: Int64[Tensor, " n"]
    ids: list[int]  # places in the test set
    data: EvaluationSet = CIFAR10

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, by label."""
        return self.data.classes

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the model and the images."""
        return {
            "checkpoint": REGISTRY[self.checkpoint].sha256,
            "data": self.data.digest(self.images),
            "ids": hashlib.sha256(np.array(self.ids, np.int64).tobytes()).hexdigest(),
            "device": self.images.device.type,
        }

    def seen_by(self, checkpoint: str) -> "Subject":
        """Another model on the same images, which it need not classify correctly."""
        return replace(self, checkpoint=checkpoint, model=self.data.model(checkpoint, self.images.device))

    def pieces(self) -> list["Subject"]:
        """The same model on parts of the images: what is computed and cached at once. On CIFAR-10 that is all of them."""
        size = self.data.piece(self.images.device) or len(self.ids)
        parts = [slice(start, start + size) for start in range(0, len(self.ids), size)]
        return [replace(self, images=self.images[p], labels=self.labels[p], ids=self.ids[p]) for p in parts]

    def maps(self, method: str = "integrated_gradients", **options: Any) -> Float32[Tensor, "n 3 h w"]:
        """Signed attribution maps from ``attribute`` with the same arguments, cached; on ImageNet in half precision."""
        options = self.data.defaults(method, options) | options
        return torch.cat([piece._maps(method, options) for piece in self.pieces()])

    def _maps(self, method: str, options: dict[str, Any]) -> Tensor:
        key = (
            self.key | asdict(resolve_options(method, **options)) | {"method": method, "code": code_hash("attribution")}
        )

        def compute() -> bytes:
            maps = attribute(self.model, self.images, self.labels, method, ids=self.ids, progress=True, **options).cpu()
            return save(halved(maps) if self.data.half_precision_maps else {"maps": maps})

        content, _ = cached("maps", key, compute)
        return restored(load(content)).to(self.images.device)


def halved(maps: Float32[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
    """Maps in half precision with a scale for each image, so that its largest value is half precision's 32768.

    Values keep a relative precision of 2^-11 down to 2e-9 of the largest; the absolute error below that is 2^-40 of it.
    """
    scale = maps.abs().flatten(1).amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 32768
    return {"maps": (maps / scale.view(-1, 1, 1, 1)).half(), "scale": scale}


def restored(stored: dict[str, Tensor]) -> Float32[Tensor, "n 3 h w"]:
    """What was stored whole or by ``halved``."""
    return stored["maps"].float() * stored["scale"].view(-1, 1, 1, 1) if "scale" in stored else stored["maps"]


@dataclass
class Run:
    """One execution of one chapter: its values, its models and images, and what was measured, for the footer."""

    chapter: str
    profile: Profile
    device: torch.device
    n_images: int
    seed: int
    models: tuple[str, ...]
    untrained: tuple[str, ...]  # models that the profile plans and the registry does not have yet
    options: dict[str, Any]
    overrides: dict[str, Any] = field(default_factory=dict)  # of the options and the seed: what the notebook was given
    own_models: bool = False  # named by the user, not by the profile
    as_planned: bool = True  # nothing overridden, neither images nor models: these records may stand for the profile
    steps: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def data(self) -> EvaluationSet:
        """The images that the profile measures on; with own models, those that all of these classify correctly."""
        judges = self.models if self.own_models else self.profile.common
        return evaluation_set(self.profile.dataset, judges, self.profile.skip_unreadable)

    @property
    def pair(self) -> tuple[str, str]:
        """The two models that the paper compares: the standard one, and of the l_inf ladder the one of largest epsilon."""
        standard = [name for name in self.models if training_of(name) == "standard"]
        ladder = [name for name in self.models if re.fullmatch(r"linf\d+", training_of(name))]
        if not standard or not ladder:
            raise ValueError(f"this chapter compares a standard and an l_inf model, got {', '.join(self.models)}")
        return standard[0], max(ladder, key=lambda name: int(training_of(name)[4:]))

    @cached_property
    def reference(self) -> dict[str, pd.DataFrame]:
        """The committed records of this chapter, by table; without those of other settings than the notebook was given.

        A table of which there are paper-scale records too says so: see ``paper_scale_of``.
        """
        tables = load_reference(self.chapter, self.overrides)
        same = {name: table[table.checkpoint.map(dataset_of) == self.data.name] for name, table in tables.items()}
        found = {name: table.reset_index(drop=True) for name, table in same.items() if len(table)}
        if self.data.name == CIFAR10.name:
            for name in found.keys() & load_reference(self.chapter, self.overrides, PAPER_SCALE).keys():
                found[name].attrs["paper_scale"] = [f"{self.chapter}/{name}"]
        return found

    def subject(self, checkpoint: str, n_images: int | None = None, own: bool | Sequence[str] = False) -> Subject:
        """The model on those of the first ``n_images`` of the common subset that it classifies correctly.

        ``own``: instead on the first ``n_images`` that this model alone, or all those named, classify correctly, in an
        order of all test images that is drawn once (seed 0).
        """
        data, count = self.data, self.n_images if n_images is None else n_images
        order = data.shuffled() if own else data.common(count, self.device)
        model = data.model(checkpoint, self.device)
        judges = {checkpoint: model} if isinstance(own, bool) else {name: data.model(name, self.device) for name in own}
        kept: list[int] = []
        for start in range(0, len(order), data.at_once):
            part = list(order[start : start + data.at_once])
            for name, judge in judges.items():
                part = data.correct(name, judge, part, self.device)
            kept = (kept + part)[:count]
            if len(kept) == count:
                break
        return Subject(checkpoint, model, *data.load(kept, self.device), kept, data)

    def test_images(self, checkpoint: str, n_images: int | None = None) -> Subject:
        """The model on the first ``n_images`` of the test set, whether or not it classifies them correctly."""
        count = self.n_images if n_images is None else n_images
        if count > len(ids := self.data.everything()):
            raise ValueError(f"n_images must be at most {len(ids)}, the size of the test set; got {count}")
        model, first = self.data.model(checkpoint, self.device), list(ids[:count])
        return Subject(checkpoint, model, *self.data.load(first, self.device), first, self.data)

    def measure(
        self,
        function: Callable[..., dict[str, Any]],
        conditions: dict[str, dict[str, Any]] | None = None,
        *,
        n_images: int | None = None,
        models: tuple[str, ...] | None = None,
        name: str | None = None,
        own: bool | Sequence[str] = False,
        **parameters: Any,
    ) -> pd.DataFrame:
        """``function(subject, **parameters)`` for every model: one row per model, condition and image.

        ``function`` returns columns of one value an image. ``conditions`` maps a label, kept in the column ``condition``,
        to further parameters. ``own``: as for ``subject``. Each model's and condition's table is cached by itself, so a killed run goes on. The
        whole is the run's record ``name`` (default: the function's), written beside the executed notebooks as ``record``
        says.
        """
        frames = []
        for checkpoint in self.models if models is None else models:
            subject = self.subject(checkpoint, n_images, own)
            for condition, further in (conditions or {"": {}}).items():
                table = measure(function, subject, self, **parameters, **further)
                frames.append(table.assign(condition=condition) if conditions else table)
        return self.record(name or function.__name__, pd.concat(frames, ignore_index=True))

    def record(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Keep a table as the run's record ``name``, in records/PROFILE/CHAPTER/ beside the executed notebooks.

        A run with own parameters writes to records/own/CHAPTER/, so that it never passes for the profile's.
        """
        self.records[name] = table
        folder = self.profile.name if self.as_planned else "own"
        with atomic_path(EXECUTED / "records" / folder / self.chapter / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        return table


def open_run(
    chapter: str,
    profile: str = "laptop",
    device: str = "auto",
    n_images: int | None = None,
    seed: int | None = None,
    models: list[str] | None = None,
    **options: Any,
) -> Run:
    """A chapter's run from a notebook's parameters; ``None`` means the profile's value.

    Models that the profile plans and the registry lacks are left out and named in ``untrained``. Raises
    ``ProfileError`` for an unknown profile, ``ValueError`` for an unknown model, device or number of images.
    """
    values = load_profile(profile)
    if not isinstance(chapter, str) or chapter not in values.chapters:
        raise ProfileError(f"profile {profile!r} has no chapter {chapter}; it has: {', '.join(values.chapters)}")
    own: Chapter = values.chapters[chapter]
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; known: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no GPU; use -p device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False  # float32 on every device: records of a GPU mean the same
    if n_images is not None:
        whole("n_images", n_images)
    if seed is not None:
        whole("seed", seed, 0)
    if models is not None and not isinstance(models, (list, tuple)):
        raise TypeError(f"models must be a list of checkpoint names, got {models!r}")
    for name in models or ():
        REGISTRY[name]  # raises with the known names
    planned = tuple(models or own.models)
    count = next(n for n in (n_images, own.n_images, values.n_images) if n is not None)
    if count < 2:
        raise ValueError(f"n_images must be at least 2, since an interval needs a spread; got {count}")
    given = {key: value for key, value in options.items() if value is not None}
    return Run(
        chapter=chapter,
        profile=values,
        device=torch.device(device),
        n_images=count,
        seed=values.seed if seed is None else seed,
        models=tuple(name for name in planned if name in REGISTRY),
        untrained=tuple(name for name in planned if name not in REGISTRY),
        options=own.options | given,
        overrides=given if seed is None else given | {"seed": seed},
        own_models=models is not None,
        as_planned=not given and n_images is None and seed is None and models is None,
    )


def measure(
    function: Callable[..., dict[str, Any]], subject: Subject, run: Run | None = None, **parameters: Any
) -> pd.DataFrame:
    """The per-image record of ``function(subject, **parameters)``, cached; adds checkpoint and image id.

    A function that leaves images out returns the ids of those it kept as the column ``image_id``. Each of the subject's
    pieces is cached by itself: on ImageNet a killed run goes on there, and a bar counts the images.
    """
    pieces, found = subject.pieces(), []
    description = f"{function.__name__} of {named(subject.checkpoint)}"
    with tqdm(total=len(subject.ids), desc=description, unit="image", disable=len(pieces) == 1) as bar:
        for piece in pieces:
            found.append(_measure(function, piece, parameters))
            bar.update(len(piece.ids))
    if run is not None:
        facts = {"seconds": sum(f["seconds"] for _, f in found), "cached": all(f["cached"] for _, f in found)}
        run.steps.append({"step": function.__name__, "checkpoint": subject.checkpoint, "n": len(subject.ids)} | facts)
    return pd.concat([table for table, _ in found], ignore_index=True) if len(found) > 1 else found[0][0]


def _measure(
    function: Callable[..., dict[str, Any]], subject: Subject, parameters: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    module = function.__module__.rpartition(".")[2]
    key = subject.key | {"function": function.__name__, "parameters": parameters, "code": code_hash(module)}
    key["others"] = {name: REGISTRY[name].sha256 for name in sorted(_words(parameters)) if name in REGISTRY}

    def compute() -> bytes:
        columns = function(subject, **parameters)
        table = pd.DataFrame({"checkpoint": subject.checkpoint, "image_id": subject.ids} | columns)
        buffer = BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()

    content, facts = cached(function.__name__, key, compute)
    return pd.read_parquet(BytesIO(content)), facts


def _words(value: Any) -> set[str]:
    """All texts in nested parameters: the names of other checkpoints are among them."""
    if isinstance(value, dict):
        return set().union(*map(_words, [*value, *value.values()]))
    if isinstance(value, (list, tuple)):
        return set().union(*map(_words, value))
    return {value} if isinstance(value, str) else set()


# --- reference records -----------------------------------------------------------------------------------------

MANIFEST = REFERENCE / "manifest.yaml"


def manifest(folder: Path) -> dict[str, Any]:
    """What is known of a folder's records: chapter -> table -> facts."""
    file = MANIFEST if folder == REFERENCE else folder / MANIFEST.name
    return yaml.safe_load(file.read_text("utf-8")) if file.exists() else {}


def load_reference(
    chapter: str, overrides: dict[str, Any] | None = None, folder: Path | None = None
) -> dict[str, pd.DataFrame]:
    """The committed records of the reference run, or of that in another ``folder``, verified against their manifest.

    Left out, so that no number is shown beside one of another meaning: records of a model that has changed since, and
    tables measured under other settings than those in ``overrides``.
    """
    folder, tables = folder or REFERENCE, {}
    for name, facts in manifest(folder).get(chapter, {}).items():
        if any(facts["settings"].get(key) != value for key, value in (overrides or {}).items()):
            continue
        file = folder / chapter / f"{name}.parquet"
        table = _committed(file, facts["sha256"], facts["profile"], file.stat().st_mtime_ns)
        current = [n for n, sha in facts["checkpoints"].items() if n in REGISTRY and REGISTRY[n].sha256 == sha]
        tables[name] = table[table.checkpoint.isin(current)].reset_index(drop=True)
    return tables


@cache
def _committed(file: Path, sha256: str, profile: str, modified: int) -> pd.DataFrame:
    """A committed table, read and verified once for as long as its file is not ``modified``. Not to be written to."""
    if (found := sha256_of(file)) != sha256:
        raise RuntimeError(
            f"{file} was altered: SHA-256 {found}, manifest {sha256}; `git checkout` or "
            f"`inequality reference --profile {profile}` brings it back"
        )
    return pd.read_parquet(file)


def load_run(profile: str) -> dict[str, dict[str, pd.DataFrame]]:
    """The records that ``profile``'s last executed chapters wrote, by chapter and table."""
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for file in sorted((EXECUTED / "records" / profile).glob("*/*.parquet")):
        found.setdefault(file.parent.name, {})[file.stem] = pd.read_parquet(file)
    return found


def load_whole_reference(folder: Path | None = None) -> dict[str, dict[str, pd.DataFrame]]:
    """All committed records of the reference run, by chapter and table; as ``load_reference``."""
    folder = folder or REFERENCE
    return {chapter: load_reference(chapter, folder=folder) for chapter in manifest(folder)}


# Our networks of the paper's size, and those that stand for them where no large weights ship.
FULL_SIZE = {"resnet18w64": "resnet18w16", "densenet121": "densenetbc40"}


def as_shipped(records: pd.DataFrame) -> pd.DataFrame:
    """Records in which the full-size networks have the names of those that ship, unless these are in them too.

    Tables and claims name the shipped networks; so they read paper-scale records as well.
    """
    present = {network_name(name) for name in records.checkpoint.unique()}
    pairs = [(f"-{large}-", f"-{small}-") for large, small in FULL_SIZE.items() if {large} == present & {large, small}]

    def renamed(value: Any) -> Any:
        for large, small in pairs:
            value = value.replace(large, small) if isinstance(value, str) else value
        return value

    if not pairs:
        return records
    texts = {name: records[name].map(renamed) for name in ("checkpoint", "condition") if name in records}
    return records.assign(**texts).rename(columns=renamed)  # transfer has a column for each attacked network


def paper_scale_of(records: pd.DataFrame | None) -> pd.DataFrame | None:
    """The paper-scale records of the tables in ``records`` (of ``Run.reference``), ``as_shipped``; ``None`` without any."""
    places = records.attrs.get("paper_scale", []) if records is not None else []
    tables = {}
    for place in places:
        chapter, _, name = place.partition("/")
        tables[place] = load_reference(chapter, folder=PAPER_SCALE)[name]
    found = stacked(tables, places) if len(tables) > 1 else next(iter(tables.values()), None)
    if found is None or not len(found):
        return None
    return as_shipped(found if "condition" in found else found.assign(condition=""))


PAPER_SCALE_PROFILE = "gpu"


def reference_folder(profile: str) -> Path:
    """Where the records of a profile are kept as the reference: those of ``gpu`` are the paper-scale ones."""
    return PAPER_SCALE if profile == PAPER_SCALE_PROFILE else REFERENCE


def save_reference(profile: str, chapter: str = "*", *, cut_off: bool = False) -> None:
    """Make the records that ``profile`` wrote beside the executed notebooks the committed reference of their chapters.

    ``chapter``: of one only. ``cut_off``: its notebook did not come to its end, so some of its tables are not there.
    See ``reference_folder``.
    """
    folder = reference_folder(profile)
    known = manifest(folder)
    values, code = load_profile(profile), commit()  # before the first file changes
    for file in sorted((EXECUTED / "records" / profile).glob(f"{chapter}/*.parquet")):
        chapter = file.parent.name
        table = pd.read_parquet(file)
        target = folder / chapter / file.name
        with atomic_path(target) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
        known.setdefault(chapter, {})[file.stem] = {
            "sha256": sha256_of(target),
            "profile": profile,
            "settings": values.chapters[chapter].options | {"seed": values.seed},
            "rows": len(table),
            "checkpoints": {name: REGISTRY[name].sha256 for name in sorted(table.checkpoint.unique())},
            "commit": code,
        } | ({"whole": False} if cut_off else {})
    with atomic_path(folder / MANIFEST.name) as temporary:
        temporary.write_text(yaml.safe_dump(known, sort_keys=True), "utf-8")


def commit() -> str:
    """The commit that is checked out, marked if files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "no git"


# --- comparison with the paper ---------------------------------------------------------------------------------


def published_values(**where: Any) -> pd.DataFrame:
    """The paper's published values, one row a cell, restricted to ``column=value``."""
    table = pd.read_csv(PUBLISHED_VALUES, keep_default_na=False)
    for column, value in where.items():
        table = table[table[column] == value]
    return table


SHIPPED = {"resnet18": "resnet18w16", "densenet": "densenetbc40"}  # the paper's network -> the one that ships


def checkpoint_of(
    architecture: str, training: str, epsilon_255: int | str, seed: int = 0, dataset: str = "cifar10"
) -> str:
    """The name of our checkpoint for the paper's network and training, or of the public one on ImageNet; it need not exist."""
    kind = training if training == "standard" else f"{training}{epsilon_255}"
    if dataset == "imagenet":
        return f"imagenet-{architecture}-{kind}-{'torchvision' if kind == 'standard' else 'public'}"
    return f"cifar10-{SHIPPED[architecture]}-{kind}-s{seed}"


def dataset_of(checkpoint: str) -> str:
    """The data set in a checkpoint's name: cifar10 or imagenet."""
    return checkpoint.split("-")[0]


def network_of(checkpoint: str) -> str:
    """The paper's name of the network in a checkpoint's name: resnet18, densenet, resnet50, ..."""
    ours = {shipped: paper for paper, shipped in SHIPPED.items()}
    network = network_name(checkpoint)
    return ours.get(FULL_SIZE.get(network, network), network)


def network_name(checkpoint: str) -> str:
    """The network in a checkpoint's name, such as resnet18w16."""
    return checkpoint.split("-")[1]


def training_of(checkpoint: str) -> str:
    """The training in a checkpoint's name: standard, linf8, linf8_pgd3, ..."""
    return checkpoint.split("-")[2]


@dataclass(frozen=True)
class Cell:
    """One published value and where ours is found in the records.

    ``baseline``: the standard model's checkpoint and published value, for the paper's direction; ``None`` for its own row.
    """

    id: str
    label: str
    paper: float
    checkpoint: str
    column: str
    where: dict[str, Any] = field(default_factory=dict)
    spread: float | None = None  # the paper's +-
    baseline: tuple[str, float] | None = None
    dataset: str = "cifar10"  # of the published value
    network: str | None = None  # of the published value, where it, or the setting, may be another than ours

    @property
    def tolerance(self) -> float:
        return 0.03 if "gini" in self.column else 0.05

    @property
    def same_setting(self) -> bool:
        """Whether the published value is of our data set and network; else only its direction can be compared."""
        return self.dataset == dataset_of(self.checkpoint) and self.network in (None, network_of(self.checkpoint))


DEFAULT_MODELS = ("cifar10-resnet18w16-standard-s0",)
NETWORKS = {
    "resnet18": "ResNet-18",
    "densenet": "DenseNet",
    "resnet50": "ResNet-50",
    "wide_resnet50_2": "Wide ResNet-50-2",
}


def table1_cells(column: str, models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """The cells of the paper's Table 1 whose metric ``column`` measures, on the data set of ``models``.

    The network of the first of the models comes first, each in the order of epsilon.
    """
    metric = "global_gini" if column.startswith("global") else "regional_gini"
    dataset, network = dataset_of(models[0]), network_of(models[0])
    rows = _published_rows(table="table1", dataset=dataset, metric=metric)
    rows.sort(key=lambda row: row["architecture"] != network)
    standard = {row["architecture"]: float(row["value"]) for row in rows if row["training"] == "standard"}
    return [
        Cell(
            id=row["id"],
            label=f"{NETWORKS[row['architecture']]}, "
            + ("standard" if row["training"] == "standard" else f"ℓ∞ {row['epsilon_255']}/255"),
            paper=float(row["value"]),
            spread=float(row["sd"]),
            checkpoint=checkpoint_of(row["architecture"], row["training"], row["epsilon_255"], dataset=dataset),
            column=column,
            baseline=None
            if row["training"] == "standard"
            else (checkpoint_of(row["architecture"], "standard", 0, dataset=dataset), standard[row["architecture"]]),
            dataset=dataset,
        )
        for row in rows
    ]


def _carried_over(models: Sequence[str], training: str, epsilon_255: int | str) -> str:
    """The checkpoint that stands for the paper's ImageNet ResNet-50: of the first model's network, on its data set."""
    network = network_of(models[0]) if dataset_of(models[0]) == "imagenet" else "resnet18"
    return checkpoint_of(network, training, epsilon_255, dataset=dataset_of(models[0]))


def named(checkpoint: str) -> str:
    """The title of a checkpoint: registered, or from its settings; one without either is called by its training.

    Networks that differ in the seed alone share a title, so one of another seed than 0 has it added.
    """
    seed = checkpoint.rpartition("-s")[2]
    if dataset_of(checkpoint) == "cifar10" and seed.isdecimal() and seed != "0":
        return f"{named(checkpoint.removesuffix(seed) + '0')}, seed {seed}"
    if checkpoint in REGISTRY:
        return REGISTRY[checkpoint].title
    settings = CHECKPOINTS / f"{checkpoint}.yaml"
    if settings.exists():
        return str(yaml.safe_load(settings.read_text("utf-8"))["title"])
    training, _, variant = training_of(checkpoint).partition("_")
    name = training if training == "standard" else f"ℓ∞ {training.removeprefix('linf')}/255"
    return f"{name}, {variant}" if variant else name


def _published_rows(**where: Any) -> list[dict[Any, Any]]:
    """Published values as dictionaries; ``value`` in per cent becomes ``rate``."""
    rows = published_values(**where).sort_values("id", kind="stable").to_dict("records")
    return [row | {"rate": float(row["value"]) / 100} for row in rows]


def a10_cells() -> list[Cell]:
    """Appendix A.10: occlusion at N=10, R=4 on CIFAR-10. It states neither network nor epsilon: ResNet-18, 8/255 here."""
    rows = _published_rows(table="appendixA10")
    standard = {row["setting"]: row["rate"] for row in rows if row["training"] == "standard"}
    return [
        Cell(
            id=row["id"],
            label=f"{row['setting']}, {named(checkpoint_of('resnet18', row['training'], 8))}",
            paper=row["rate"],
            checkpoint=checkpoint_of("resnet18", row["training"], 8),
            column="fooled",
            where={"condition": row["setting"]},
            baseline=None
            if row["training"] == "standard"
            else (checkpoint_of("resnet18", "standard", 0), standard[row["setting"]]),
        )
        for row in sorted(rows, key=lambda row: row["setting"])
    ]


def table2_cells(budgets: dict[str, tuple[int, int]], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 2 (ImageNet, ResNet-50); on CIFAR-10 carried over to the ladder, where only its directions can be compared.

    ``models``: their data set and network are meant.
    ``budgets``: the paper's budget, such as "N=5 R=10" -> our (N, R). Paper's budgets that are not named are left out.
    """
    rows = [
        row | {"budget": row["setting"].rpartition(" ")[0], "color": row["setting"].rpartition(" ")[2]}
        for row in _published_rows(table="table2", metric="occlusion_error")
    ]
    standard = {row["setting"]: row["rate"] for row in rows if row["training"] == "standard"}
    cells = []
    for row in (row for row in rows if row["budget"] in budgets):
        checkpoint = _carried_over(models, row["training"], row["epsilon_255"])
        count, radius = budgets[row["budget"]]
        condition = f"N={count} R={radius} {row['color']}"
        cells.append(
            Cell(
                id=row["id"],
                label=f"{condition}, {named(checkpoint)}",
                paper=row["rate"],
                checkpoint=checkpoint,
                column="fooled",
                where={"condition": condition},
                baseline=None
                if row["training"] == "standard"
                else (_carried_over(models, "standard", 0), standard[row["setting"]]),
                dataset=row["dataset"],
                network=row["architecture"],
            )
        )
    return cells


_NOISE_SOURCES: dict[str, dict[str, str]] = {  # our condition -> where the paper has an error rate of both models
    "random": {"table": "section4.3", "setting": "random noise, largest budget"},
    "type I": {"table": "table3", "setting": "type I", "attribution": "integrated_gradients"},
    "type II": {"table": "table3", "setting": "type II", "attribution": "integrated_gradients"},
}


def noise_cells(budget: int, standard: str, robust: Sequence[str]) -> list[Cell]:
    """Failure under noise on ``budget`` subpixels beside the paper's ImageNet values (ResNet-50, standard and 8/255)."""
    cells = []
    for condition, source in _NOISE_SOURCES.items():
        rows = {row["training"]: row for row in _published_rows(**source)}
        for checkpoint in (standard, *(name for name in robust if dataset_of(name) == dataset_of(standard))):
            row = rows["standard" if checkpoint == standard else "linf"]
            cells.append(
                Cell(
                    id=f"{row['id']} {checkpoint}",
                    label=f"{condition}, {named(checkpoint)}",
                    paper=row["rate"],
                    checkpoint=checkpoint,
                    column=f"failure_{budget}",
                    where={"condition": condition},
                    baseline=None if checkpoint == standard else (standard, rows["standard"]["rate"]),
                    dataset=row["dataset"],
                    network=row["architecture"] if "largest" not in row["setting"] else "another budget",
                )
            )
    return cells


def table3_cells(budget: int, patches: tuple[int, int], models: Sequence[str] = DEFAULT_MODELS) -> list[Cell]:
    """Table 3 (ImageNet, ResNet-50, standard and 8/255); on CIFAR-10 only its directions can be compared.

    ``models``: their data set and network are meant.
    Conditions are the method's title, for the Gini index; with ", type I" or ", type II" for noise on ``budget``
    subpixels; with ", N=5 R=2 black" and so on for occlusion, where ``patches`` is our (N, R).
    """
    cells = []
    for row in _published_rows(table="table3"):
        title, setting = METHOD_TITLES[row["attribution"]], row["setting"]
        gini = row["metric"] == "global_gini"
        if row["metric"] == "occlusion_error":
            setting = f"N={patches[0]} R={patches[1]} {setting.rpartition(' ')[2]}"
        column = {"global_gini": "global_gini", "noise_error": f"failure_{budget}", "occlusion_error": "fooled"}
        same = {key: row[key] for key in ("table", "attribution", "metric", "setting")}
        (standard,) = _published_rows(**same, training="standard")
        condition = title if gini else f"{title}, {setting}"
        checkpoint, unperturbed = (_carried_over(models, r["training"], r["epsilon_255"]) for r in (row, standard))
        value = "value" if gini else "rate"
        cells.append(
            Cell(
                id=row["id"],
                label=f"{condition}, {named(checkpoint)}",
                paper=float(row[value]),
                checkpoint=checkpoint,
                column=column[row["metric"]],
                where={"condition": condition},
                baseline=None if checkpoint == unperturbed else (unperturbed, float(standard[value])),
                dataset=row["dataset"],
                network=row["architecture"],
            )
        )
    return cells


@dataclass(frozen=True)
class Compared:
    """A cell with our value, the difference from the standard model, and the verdict.

    ``paper_scale``: the same by the paper-scale records that stand beside those of the reference run.
    """

    cell: Cell
    ours: Estimate | None
    difference: PairedTest | None
    adjusted_p: float | None
    verdict: Verdict
    paper_scale: "Compared | None" = None


def compare(cells: list[Cell], records: pd.DataFrame | None, *, resamples: int = 9999, seed: int = 0) -> list[Compared]:
    """Each cell beside our records, tests adjusted by Holm over the given cells (one table).

    The verdicts were fixed before any value was seen: *reproduced*: our 95 % interval meets the paper's value
    +- 0.03 (Gini) or +- 5 points (rates); *same direction*: the paper's sign against the standard model, adjusted
    p < 0.05; *contradicted*: the opposite sign, adjusted p < 0.05; *not reproduced*: neither; else *not measured here*.
    """
    full_size = paper_scale_of(records)
    beside = [None] * len(cells) if full_size is None else compare(cells, full_size, resamples=resamples, seed=seed)
    records = pd.DataFrame({"checkpoint": []}) if records is None else records
    if not {cell.checkpoint for cell in cells} & set(records.checkpoint):
        records = as_shipped(records)
    ours = [_estimate(_column(records, cell, cell.checkpoint), resamples, seed) for cell in cells]
    tests = [_test(records, cell, resamples, seed) for cell in cells]
    adjusted = iter(holm([test.p for test in tests if test]))
    found = []
    for cell, value, test, large in zip(cells, ours, tests, beside, strict=True):
        p = next(adjusted) if test else None
        found.append(Compared(cell, value, test, p, _verdict(cell, value, test, p), large))
    return found


def _column(records: pd.DataFrame, cell: Cell, checkpoint: str) -> pd.Series:
    """Our per-image values of a cell, indexed by image id; without images that have none."""
    chosen = records[records.checkpoint == checkpoint]
    for column, value in cell.where.items():
        chosen = chosen[chosen[column] == value] if column in chosen else chosen[:0]
    if not len(chosen) or cell.column not in chosen:
        return pd.Series(dtype=float)
    values = chosen.set_index("image_id")[cell.column]
    return values.dropna().infer_objects()  # stacking makes objects of truth values


def _estimate(values: pd.Series, resamples: int, seed: int) -> Estimate | None:
    if len(values) < 2:
        return None
    if values.dtype == bool:
        return wilson(int(values.sum()), len(values))
    return bootstrap_mean(values.to_numpy(), resamples=resamples, seed=seed)


def _test(records: pd.DataFrame, cell: Cell, resamples: int, seed: int) -> PairedTest | None:
    if cell.baseline is None:
        return None
    both = pd.concat(
        [_column(records, cell, cell.checkpoint), _column(records, cell, cell.baseline[0])], axis=1, join="inner"
    )
    if len(both) < 2:
        return None
    a, b = both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()
    test = mcnemar if a.dtype == bool else paired_difference
    return test(a, b, resamples=resamples, seed=seed)


def _verdict(cell: Cell, ours: Estimate | None, test: PairedTest | None, p: float | None) -> Verdict:
    if ours is None:
        return "not measured here"
    if cell.same_setting and meets(ours, cell):
        return "reproduced"
    return direction(test, p, cell.paper - cell.baseline[1] if cell.baseline else None)


def meets(ours: Estimate, cell: Cell) -> bool:
    """Whether our 95 % interval meets the published value within its tolerance."""
    return ours.low <= cell.paper + cell.tolerance and ours.high >= cell.paper - cell.tolerance


def direction(test: Difference | None, p: float | None, expected: float | None) -> Verdict:
    """The verdict on a difference whose sign the paper states."""
    if test is None or p is None or p >= 0.05 or expected is None:
        return "not reproduced"
    same = np.sign(test.difference) == np.sign(expected)
    return "same direction" if same else "contradicted"


@dataclass(frozen=True)
class PublishedTable:
    """Cells of the paper whose values we measure, compared and adjusted together as in their chapter."""

    chapter: str
    records: tuple[str, ...]  # tables of the chapter that hold them
    cells: list[Cell]

    def compared(self, tables: dict[str, pd.DataFrame], resamples: int) -> list[Compared]:
        """The cells beside the chapter's records, as its own page has them."""
        only = self.records[0]
        records = tables.get(only) if len(self.records) == 1 else stacked(tables, self.records)
        return compare(self.cells, records, resamples=resamples)


def published_tables() -> list[PublishedTable]:
    """Published cells that a chapter measures on the paper's own data set, table by table.

    A chapter that compares its values with published ones adds its cells here: the scoreboard takes them from this list.
    """
    return [
        PublishedTable("01_inequality_test", ("inequality",), table1_cells("global_gini")),
        PublishedTable("01_inequality_test", ("inequality",), table1_cells("regional_gini_sum_of_absolute")),
        PublishedTable("03_occlusion_attack", ("pair", "ladder"), a10_cells()),
    ]


# --- contrasts: comparisons that the paper does not make -------------------------------------------------------

Term = tuple[str, str, str]  # checkpoint, condition, column


@dataclass(frozen=True)
class Contrast:
    """A difference between measured means on the same images.

    ``terms``: two, for a - b, or four, for (a - b) - (c - d), or any number with as many ``weights``. ``margin`` is
    subtracted: "less than 0.03 above" is a - b - 0.03 with ``expected`` -1, the sign that the paper's claim implies.
    ``trainings``: the first half of the terms are networks trained in one way, the second half in another; the
    difference is that of the two ways, tested over the networks' means (``statistics.mean_difference``) instead of over images.
    """

    label: str
    terms: tuple[Term, ...]
    expected: int | None = None
    weights: tuple[float, ...] | None = None
    margin: float = 0.0
    trainings: bool = False


@dataclass(frozen=True)
class Contrasted:
    """A contrast with its terms' means and the paired test, on the images that all terms share.

    ``paper_scale``: as in ``Compared``.
    """

    contrast: Contrast
    terms: tuple[Estimate, ...]
    difference: Difference | None
    adjusted_p: float | None
    verdict: Verdict
    paper_scale: "Contrasted | None" = None


def against_standard(
    standard: str, others: Sequence[str], cells: dict[str, tuple[str, str]], expected: int | None = None
) -> list[Contrast]:
    """Every other model minus the standard one, for each label -> (condition, column)."""
    return [
        Contrast(
            label if len(others) == 1 else f"{label}, {named(other)}", ((other, *place), (standard, *place)), expected
        )
        for label, place in cells.items()
        for other in others
    ]


def place_contrasts(pair: tuple[str, str], places: dict[str, str], column: str) -> list[Contrast]:
    """Does the *where* matter: for each condition and its control at random places, within each model and between both.

    ``pair``: the standard model and the other; ``places``: condition -> control. Three contrasts each.
    """
    found = []
    for chosen, at_random in places.items():
        terms = {name: ((name, chosen, column), (name, at_random, column)) for name in pair}
        found += [Contrast(f"{chosen}, chosen − random places, {named(name)}", terms[name]) for name in pair]
        found.append(
            Contrast(
                f"{chosen}, chosen − random places, {named(pair[1])} − {named(pair[0])}",
                terms[pair[1]] + terms[pair[0]],
                1,
            )
        )
    return found


def contrasted(
    contrasts: Sequence[Contrast], records: pd.DataFrame | None, *, resamples: int = 9999, seed: int = 0
) -> list[Contrasted]:
    """The contrasts tested on our records, p-values adjusted by Holm over all of them (one table).

    McNemar's test for two outcomes, Welch's over trainings, else a sign-flip test. What was not measured has no terms.
    """
    full_size = paper_scale_of(records)
    beside = (
        [None] * len(contrasts)
        if full_size is None
        else contrasted(contrasts, full_size, resamples=resamples, seed=seed)
    )
    records = pd.DataFrame({"checkpoint": [], "condition": []}) if records is None else records
    values = [_shared(contrast, records) for contrast in contrasts]
    tests = [
        _test_terms(contrast, columns, resamples, seed) if columns else None
        for contrast, columns in zip(contrasts, values, strict=True)
    ]
    adjusted = iter(holm([test.p for test in tests if test]))
    found = []
    for contrast, columns, test, large in zip(contrasts, values, tests, beside, strict=True):
        p = next(adjusted) if test else None
        terms = tuple(term for column in columns if (term := _estimate(column, resamples, seed)))
        verdict = direction(test, p, contrast.expected) if test else "not measured here"
        found.append(Contrasted(contrast, terms, test, p, verdict, large))
    return found


def ratios(
    contrasts: Sequence[Contrast], records: pd.DataFrame | None, *, resamples: int = 9999
) -> dict[str, Estimate]:
    """(a / b) / (c / d) of each measured contrast of four terms, by label; one with a mean of 0 is left out."""
    found = {}
    for contrast in contrasts:
        columns = _shared(contrast, records) if records is not None and len(contrast.terms) == 4 else []
        values = [column.to_numpy(float) for column in columns]
        if values and all(value.mean() > 0 for value in values):
            a, b, c, d = values
            found[contrast.label] = ratio_of_ratios(a, b, c, d, resamples=resamples)
    return found


def paired(
    contrast: Contrast, records: pd.DataFrame, *, resamples: int = 9999, seed: int = 0
) -> tuple[Difference, tuple[float, ...]] | None:
    """One contrast's test, its p-value not adjusted, and the means of its terms, of its two ways of training with
    ``trainings``; ``None`` where it was not measured."""
    columns = _shared(contrast, records)
    if not columns:
        return None
    means = np.array([column.mean() for column in columns], float)
    if contrast.trainings:
        means = np.array([half.mean() for half in np.split(means, 2)])
    return _test_terms(contrast, columns, resamples, seed), tuple(map(float, means))


def by_class(records: pd.DataFrame, checkpoint: str, column: str) -> dict[str, np.ndarray]:
    """A column's values for each class of which there are at least two images, in the order of the labels; needs ``label``."""
    rows = records[records.checkpoint == checkpoint]
    names = classes_of(dataset_of(checkpoint))
    classes = {name: rows[column][rows.label == label].to_numpy() for label, name in enumerate(names)}
    return {name: values for name, values in classes.items() if len(values) > 1}


@dataclass(frozen=True)
class BySubset:
    """One mean, and its difference from the standard model's, on the common subset and on each model's own images.

    Each pair: common subset, own images; ``None`` where not measured. The differences are paired on the common subset only.
    """

    label: str
    means: tuple[Estimate | None, Estimate | None]
    differences: tuple[Difference | None, Difference | None]


def by_subset(
    standard: str,
    others: Sequence[str],
    places: dict[str, tuple[str, str]],
    common: pd.DataFrame,
    own: pd.DataFrame,
    *,
    resamples: int = 9999,
) -> list[BySubset]:
    """The standard model and the others on both subsets, for each label -> (condition, column)."""
    found = []
    for label, (condition, column) in places.items():
        for name in (standard, *others):
            cell = Cell("", "", 0.0, name, column, {"condition": condition}, baseline=(standard, 0.0))
            shared, theirs = (_column(records, cell, name) for records in (common, own))
            means = (_estimate(shared, resamples, 0), _estimate(theirs, resamples, 0))
            differences: tuple[Difference | None, Difference | None] = (None, None)
            if name != standard:
                differences = (_test(common, cell, resamples, 0), _unpaired(theirs, _column(own, cell, standard)))
            found.append(BySubset(f"{label}, {named(name)}", means, differences))
    return found


def _unpaired(a: pd.Series, b: pd.Series) -> Difference | None:
    if min(len(a), len(b)) < 2:
        return None
    return (rate_difference if a.dtype == bool else mean_difference)(a.to_numpy(), b.to_numpy())


def _shared(contrast: Contrast, records: pd.DataFrame) -> list[pd.Series]:
    """Each term's values on the images that all terms have; nothing if fewer than two."""
    columns = []
    for checkpoint, condition, column in contrast.terms:
        rows = records[(records.checkpoint == checkpoint) & (records.condition == condition)]
        if not len(rows) or column not in rows:
            return []
        values = rows.set_index("image_id")[column]
        columns.append(values.dropna().infer_objects())  # stacking makes objects of truth values
    both = pd.concat(columns, axis=1, join="inner")
    return [both.iloc[:, i] for i in range(len(columns))] if len(both) > 1 else []


def _test_terms(contrast: Contrast, columns: list[pd.Series], resamples: int, seed: int) -> Difference:
    values = [column.to_numpy() for column in columns]
    if contrast.trainings:
        means = np.array([value.mean() for value in values])
        return mean_difference(*np.split(means, 2))
    plain = contrast.weights is None and contrast.margin == 0
    if plain and len(values) == 2 and all(value.dtype == bool for value in values):
        return mcnemar(values[0], values[1], resamples=resamples, seed=seed)
    weights = contrast.weights or (1, -1, -1, 1)[: len(values)]
    total = np.sum([weight * value.astype(float) for weight, value in zip(weights, values, strict=True)], axis=0)
    return paired_difference(total, np.full(len(total), contrast.margin), resamples=resamples, seed=seed)


def stacked(tables: dict[str, pd.DataFrame], names: Sequence[str]) -> pd.DataFrame | None:
    """Those of the named records that exist, one below the other; rows measured twice are kept once."""
    found = [tables[name] for name in names if name in tables]
    if not found:
        return None
    whole = pd.concat(found, ignore_index=True).drop_duplicates(
        ["checkpoint", "condition", "image_id"], ignore_index=True
    )
    whole.attrs["paper_scale"] = [place for table in found for place in table.attrs.get("paper_scale", [])]
    return whole


def explained(
    models: Sequence[str],
    condition: str,
    records: dict[str, pd.DataFrame],
    outcome: str,
    covariates: dict[str, tuple[str, str]],
    column: str = "fooled",
) -> dict[str, dict[str, Estimate]]:
    """Logistic regressions of ``column`` on the model alone, then with one covariate more each time.

    ``models``: the standard model (0) and the other (1), or one, of which there is no first regression; ``records``:
    tables by name; ``outcome``: the name of the one that has ``column``; ``covariates``: label -> (table, column). Empty
    where one of the tables or models is missing.
    """
    if any(name not in records for name in (outcome, *(table for table, _ in covariates.values()))):
        return {}
    table = records[outcome]
    keys = ["checkpoint", "image_id"]
    rows = table[(table.condition == condition) & table.checkpoint.isin(models)][[*keys, column]]
    for label, (name, covariate) in covariates.items():
        rows = rows.merge(records[name][[*keys, covariate]].rename(columns={covariate: label}), on=keys)
    if rows.checkpoint.nunique() < len(models):
        return {}
    outcomes, groups = rows[column].to_numpy(float), rows.image_id.to_numpy()
    predictors, found = {}, {}
    if len(models) == 2:
        predictors["model"] = (rows.checkpoint == models[1]).to_numpy(float)
        found["model"] = logistic_regression(outcomes, predictors, groups)
    for label in covariates:
        predictors = predictors | {label: rows[label].to_numpy(float)}
        found[" + ".join(predictors)] = logistic_regression(outcomes, predictors, groups)
    return found


# --- provenance ------------------------------------------------------------------------------------------------


def provenance(run: Run) -> str:
    """HTML footer: what was computed, from which files, on what, and how long it took."""
    rows = [
        ("chapter", run.chapter),
        ("commit", commit()),
        ("profile", f"{run.profile.name}, {run.n_images} images asked for, seed {run.seed}"),
        ("options", json.dumps(run.options, sort_keys=True)),
        ("device", f"{run.device} ({torch.get_num_threads()} threads), torch {torch.__version__}"),
        ("data", run.data.provenance()),
    ]
    rows += [("checkpoint", f"{name}, SHA-256 {REGISTRY[name].sha256[:16]}…") for name in run.models]
    rows += [("not trained yet", name) for name in run.untrained]
    rows += [
        (
            s["step"],
            f"{s['checkpoint']}: {s['n']} images, {s['seconds']:.1f} s{' (from the cache)' if s['cached'] else ''}",
        )
        for s in run.steps
    ]
    body = "".join(f"<tr><th scope='row'>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
    cached = sum(step["seconds"] for step in run.steps if step["cached"])
    threads = torch.get_num_threads()
    device = "a GPU" if run.device.type == "cuda" else f"{threads} CPU thread{'s' if threads > 1 else ''}"
    facts = f"data-profile='{html.escape(run.profile.name)}' data-device='{device}' data-cached-seconds='{cached:.1f}'"
    return (
        f"<details class='provenance' {facts}><summary>Provenance of every number on this page</summary>"
        f"<table>{body}</table></details>"
    )
