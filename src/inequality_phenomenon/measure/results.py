"""Measurements as files: a chapter's run, its records with their provenance, and the reference run.

A measurement is a table with one row per image.
"""

import html
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from .._support import paths
from .._support.checks import whole
from .._support.files import atomic_path, sha256_of
from .._support.profiles import Chapter, Profile, ProfileError, load_profile
from ..networks import FULL_SIZE, REGISTRY, dataset_of, network_name, training_of
from .image_sets import CIFAR10, EvaluationSet, evaluation_set
from .sample import Sample, measure

# --- runs -----------------------------------------------------------------------------------------------------


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
            for name in found.keys() & load_reference(self.chapter, self.overrides, paths.PAPER_SCALE).keys():
                found[name].attrs["paper_scale"] = [f"{self.chapter}/{name}"]
        return found

    def sample(self, checkpoint: str, n_images: int | None = None, own: bool | Sequence[str] = False) -> Sample:
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
        return Sample(checkpoint, model, *data.load(kept, self.device), kept, data)

    def test_images(self, checkpoint: str, n_images: int | None = None) -> Sample:
        """The model on the first ``n_images`` of the test set, whether or not it classifies them correctly."""
        count = self.n_images if n_images is None else n_images
        if count > len(ids := self.data.everything()):
            raise ValueError(f"n_images must be at most {len(ids)}, the size of the test set; got {count}")
        model, first = self.data.model(checkpoint, self.device), list(ids[:count])
        return Sample(checkpoint, model, *self.data.load(first, self.device), first, self.data)

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
        """``function(sample, **parameters)`` for every model: one row per model, condition and image.

        ``function`` returns columns of one value an image. ``conditions`` maps a label, kept in the column ``condition``,
        to further parameters. ``own``: as for ``sample``. Each model's and condition's table is cached by itself, so a killed run goes on. The
        whole is the run's record ``name`` (default: the function's), written beside the executed notebooks as ``record``
        says.
        """
        frames = []
        for checkpoint in self.models if models is None else models:
            sample = self.sample(checkpoint, n_images, own)
            for condition, further in (conditions or {"": {}}).items():
                table = measure(function, sample, self, **parameters, **further)
                frames.append(table.assign(condition=condition) if conditions else table)
        return self.record(name or function.__name__, pd.concat(frames, ignore_index=True))

    def record(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Keep a table as the run's record ``name``, in records/PROFILE/CHAPTER/ beside the executed notebooks.

        A run with own parameters writes to records/own/CHAPTER/, so that it never passes for the profile's. The file's
        attributes say by what it was measured: ``commit``, ``device`` and ``torch``.
        """
        self.records[name] = table
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        stamped = table.copy(deep=False)
        stamped.attrs = {"commit": commit(), "device": device, "torch": torch.__version__}
        folder = self.profile.name if self.as_planned else "own"
        with atomic_path(paths.EXECUTED / "records" / folder / self.chapter / f"{name}.parquet") as temporary:
            stamped.to_parquet(temporary, index=False)
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


# --- reference records -----------------------------------------------------------------------------------------

MANIFEST = paths.REFERENCE / "manifest.yaml"


def manifest(folder: Path) -> dict[str, Any]:
    """What is known of a folder's records: chapter -> table -> facts."""
    file = MANIFEST if folder == paths.REFERENCE else folder / MANIFEST.name
    return yaml.safe_load(file.read_text("utf-8")) if file.exists() else {}


def load_reference(
    chapter: str, overrides: dict[str, Any] | None = None, folder: Path | None = None
) -> dict[str, pd.DataFrame]:
    """The committed records of the reference run, or of that in another ``folder``, verified against their manifest.

    Left out, so that no number is shown beside one of another meaning: records of a model that has changed since, and
    tables measured under other settings than those in ``overrides``.
    """
    folder, tables = folder or paths.REFERENCE, {}
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
    for file in sorted((paths.EXECUTED / "records" / profile).glob("*/*.parquet")):
        found.setdefault(file.parent.name, {})[file.stem] = pd.read_parquet(file)
    return found


def load_whole_reference(folder: Path | None = None) -> dict[str, dict[str, pd.DataFrame]]:
    """All committed records of the reference run, by chapter and table; as ``load_reference``."""
    folder = folder or paths.REFERENCE
    return {chapter: load_reference(chapter, folder=folder) for chapter in manifest(folder)}


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
        tables[place] = load_reference(chapter, folder=paths.PAPER_SCALE)[name]
    found = stacked(tables, places) if len(tables) > 1 else next(iter(tables.values()), None)
    if found is None or not len(found):
        return None
    return as_shipped(found if "condition" in found else found.assign(condition=""))


PAPER_SCALE_PROFILE = "gpu"


def reference_folder(profile: str) -> Path:
    """Where the records of a profile are kept as the reference: those of ``gpu`` are the paper-scale ones."""
    return paths.PAPER_SCALE if profile == PAPER_SCALE_PROFILE else paths.REFERENCE


def save_reference(profile: str, chapter: str = "*", *, cut_off: bool = False) -> None:
    """Make the records that ``profile`` wrote beside the executed notebooks the committed reference of their chapters.

    ``chapter``: of one only. ``cut_off``: its notebook did not come to its end, so some of its tables are not there.
    See ``reference_folder``.
    """
    folder = reference_folder(profile)
    known = manifest(folder)
    values = load_profile(profile)
    for file in sorted((paths.EXECUTED / "records" / profile).glob(f"{chapter}/*.parquet")):
        chapter = file.parent.name
        table = pd.read_parquet(file)
        measured_by, table.attrs = table.attrs, {}
        target = folder / chapter / file.name
        with atomic_path(target) as temporary:
            table.to_parquet(temporary, index=False, compression="zstd")
        known.setdefault(chapter, {})[file.stem] = {
            "sha256": sha256_of(target),
            "profile": profile,
            "settings": values.chapters[chapter].options | {"seed": values.seed},
            "rows": len(table),
            "checkpoints": {name: REGISTRY[name].sha256 for name in sorted(table.checkpoint.unique())},
            **measured_by,
        } | ({"whole": False} if cut_off else {})
    with atomic_path(folder / MANIFEST.name) as temporary:
        temporary.write_text(yaml.safe_dump(known, sort_keys=True), "utf-8")


@cache
def commit() -> str:
    """The commit that was checked out when this process first asked, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git"
    return found.stdout.strip()


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
