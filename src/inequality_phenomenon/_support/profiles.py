"""Profiles: how much to compute. A profile is a list of values in ``profiles/NAME.yaml``; notebooks never ask for its name."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import paths


class ProfileError(ValueError):
    """A profile that does not exist or has a key or value that is not allowed."""


class ChapterPlan(BaseModel):
    """What one notebook computes; ``options`` are the values of the notebook's own parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    models: tuple[str, ...]
    dataset: str | None = None  # where it is not the profile's
    n_images: int | None = Field(default=None, ge=2)
    options: dict[str, Any] = Field(default_factory=dict)


class Profile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    dataset: str = "cifar10"  # or an image set that registered itself, see plugins
    common: tuple[str, ...] = ()  # ImageNet: the models that must all be right about an image of the common subset
    skip_unreadable: bool = False  # ImageNet: leave out images that cannot be read, and name them, instead of stopping
    n_images: int = Field(ge=2)
    seed: int = 0
    bootstrap: int = Field(default=9999, ge=99)  # resamples behind an interval
    order: tuple[str, ...] = ()  # networks to train and chapters to execute one by one, see pieces
    chapters: dict[str, ChapterPlan]


def profile_names() -> list[str]:
    return sorted(file.stem for file in paths.PROFILES.glob("*.yaml") if file.name != paths.GRID_FILE.name)


def load_profile(name: str) -> Profile:
    """The profile ``profiles/NAME.yaml``; unknown names, keys and ill-typed values raise ``ProfileError``."""
    known = profile_names()
    if name not in known:
        raise ProfileError(f"unknown profile {name!r}; known: {', '.join(known)}")
    return read_settings(paths.PROFILES / f"{name}.yaml", Profile, ProfileError, name=name)


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(file: Path, model: type[Settings], error: type[Exception], **given: Any) -> Settings:
    """A YAML file of settings; ``error`` names the file and what in it is not allowed. ``given``: further values."""
    valid = f"Valid keys: {', '.join(model.model_fields)}"
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise error(f"{file.name} is not YAML: {problem}") from None
    if not isinstance(values, dict):
        raise error(f"{file.name} lists no values. {valid}")
    try:
        return model.model_validate(given | values)
    except ValidationError as problem:
        raise error(f"{file.name}: {problems_of(problem)}. {valid}") from None


def problems_of(problem: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors())
