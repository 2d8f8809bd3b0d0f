"""A chapter's run: its values, its networks and images, and what it measures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch

from .._support import paths
from .._support.checks import one_of, whole
from .._support.files import atomic_path
from .._support.profiles import ChapterPlan, Profile, ProfileError, load_profile
from ..networks import REGISTRY, training_of
from .image_sets import EvaluationSet, evaluation_set
from .reference import commit
from .sample import Measuring, Sample, measure


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
        plan = self.profile.chapters.get(self.chapter)
        dataset = plan.dataset if plan and plan.dataset else self.profile.dataset
        return evaluation_set(dataset, judges, self.profile.skip_unreadable)

    @property
    def pair(self) -> tuple[str, str]:
        """The two models that the paper compares: the standard one, and of the l_inf ladder the one of largest epsilon."""
        standard = [name for name in self.models if training_of(name) == "standard"]
        ladder = [name for name in self.models if re.fullmatch(r"linf\d+", training_of(name))]
        if not standard or not ladder:
            raise ValueError(f"this chapter compares a standard and an l_inf model, got {', '.join(self.models)}")
        return standard[0], max(ladder, key=lambda name: int(training_of(name)[4:]))

    @property
    def compared(self) -> tuple[str, ...]:
        """The pair, and the user's own networks that stand beside it."""
        return (*self.pair, *(name for name in self.models if name in REGISTRY.own))

    def sample(self, checkpoint: str, n_images: int | None = None, own: bool | Sequence[str] = False) -> Sample:
        """The model on those of the first ``n_images`` of the common subset that it classifies correctly.

        ``own``: instead on the first ``n_images`` that this model alone, or all those named, classify correctly, in an
        order of all test images that is drawn once (seed 0).
        """
        data, count = self.data.of(checkpoint), self.n_images if n_images is None else n_images
        order = data.shuffled() if own else data.common(count, self.device)
        judges = [checkpoint] if isinstance(own, bool) else own
        kept: list[int] = []
        for start in range(0, len(order), data.at_once):
            part = list(order[start : start + data.at_once])
            for name in judges:
                seen = self.data.of(name)
                part = seen.correct(name, seen.model(name, self.device), part, self.device)
            kept = (kept + part)[:count]
            if len(kept) == count:
                break
        return Sample(checkpoint, data.model(checkpoint, self.device), *data.load(kept, self.device), kept, data)

    def test_images(self, checkpoint: str, n_images: int | None = None) -> Sample:
        """The model on the first ``n_images`` of the test set, whether or not it classifies them correctly."""
        count = self.n_images if n_images is None else n_images
        if count > len(ids := self.data.everything()):
            raise ValueError(f"n_images must be at most {len(ids)}, the size of the test set; got {count}")
        model, first = self.data.model(checkpoint, self.device), list(ids[:count])
        return Sample(checkpoint, model, *self.data.load(first, self.device), first, self.data)

    def measure(
        self,
        function: Measuring,
        conditions: dict[str, dict[str, Any]] | None = None,
        *,
        n_images: int | None = None,
        models: tuple[str, ...] | None = None,
        name: str | None = None,
        own: bool | Sequence[str] = False,
        **parameters: Any,
    ) -> pd.DataFrame:
        """``function(sample, **parameters)`` for every model: one row per model, condition and image.

        ``conditions`` maps a label, kept in the column ``condition``, to further parameters. ``own``: as for ``sample``.
        Each model's and condition's table is cached by itself, so a killed run goes on. The whole is the run's record
        ``name`` (default: the function's), see ``record``.
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

    Models that the profile plans and the registry lacks are left out and named in ``untrained``. Where all ``models`` are
    of the user's private registry, they come after those of the profile. Raises ``ProfileError`` for an unknown profile,
    ``ValueError`` for an unknown model, device or number of images.
    """
    values = load_profile(profile)
    if not isinstance(chapter, str) or chapter not in values.chapters:
        raise ProfileError(f"profile {profile!r} has no chapter {chapter}; it has: {', '.join(values.chapters)}")
    own: ChapterPlan = values.chapters[chapter]
    one_of("device", device, ("auto", "cpu", "cuda"))
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
    if set(planned) <= REGISTRY.own.keys():  # a user's own networks alone: they stand beside the plan's
        planned = (*own.models, *planned)
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
