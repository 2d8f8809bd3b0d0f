"""Where things live. No other module builds a path from the repository root or a user folder."""

import os
from pathlib import Path


def chosen(variable: str) -> Path | None:
    """The path that an environment variable names, ``~`` and all; ``None`` where it is unset or empty."""
    text = os.environ.get(variable)
    return Path(text).expanduser().absolute() if text else None


_TREE = Path(__file__).resolve().parents[3]
CLONED = bool(chosen("INEQUALITY_ROOT")) or (_TREE / "pyproject.toml").exists()
# An installed package carries what measuring needs, see ``book.wheel``; all else stands in a clone of the repository.
ROOT = chosen("INEQUALITY_ROOT") or (_TREE if CLONED else Path(__file__).resolve().parents[1] / "_data")
NOT_CLONED = "the installed package does not carry this: clone the project, and run it there"

CHECKPOINTS = ROOT / "checkpoints"
REGISTRY_FILE = CHECKPOINTS / "registry.yaml"
PROFILES = ROOT / "profiles"
GRID_FILE = PROFILES / "grid.yaml"  # of `make grid`; no profile
GRID = ROOT / "_build" / "grid"  # records of its cells, and their table
LOCKS = ROOT / ".locks"
NOTEBOOKS = ROOT / "notebooks"
ASSIGNMENTS = ROOT / "assignments"
CLASSROOM = ROOT / "classroom"  # student files, submissions and grades, never tracked
BOOK = ROOT / "book"
EXECUTED = BOOK / "_executed"
GENERATED = BOOK / "_generated"
VENDOR = BOOK / "static" / "vendor"  # JavaScript fetched at build time, never tracked
HEADLINE_FIGURE = BOOK / "static" / "headline.png"
REFERENCE = ROOT / "results" / "reference"
PAPER_SCALE = ROOT / "results" / "reference-gpu"  # the same of the full-size networks, and their training logs
PUBLISHED_VALUES = ROOT / "results" / "published_values.csv"
CLAIMS = ROOT / "results" / "claims.yaml"
MULTIVERSE = ROOT / "results" / "multiverse.yaml"
TEXT_AND_SCRIPTS = ROOT / "results" / "text_and_scripts.yaml"
COMMON_SUBSET = CHECKPOINTS / "common_subset.json"
PUBLIC_MODELS = CHECKPOINTS / "imagenet.yaml"
IMAGENET_CLASSES = CHECKPOINTS / "imagenet_classes.txt"
IMAGENETTE_SUBSET = CHECKPOINTS / "imagenette_subset.json"
IMAGENET_CANDIDATES = CHECKPOINTS / "imagenet_candidates.json"
TRAINING = ROOT / ".training"  # states of unfinished trainings, never tracked


def data_folder() -> Path:
    """Folder of the data sets: ``$INEQUALITY_DATA``, else a folder in the user's cache."""
    users = chosen("XDG_CACHE_HOME") or Path.home() / ".cache"
    return chosen("INEQUALITY_DATA") or users / "inequality-phenomenon"


CACHE = chosen("INEQUALITY_CACHE") or (ROOT / ".cache" if CLONED else data_folder() / "measurements")


def own_registry() -> Path | None:
    """The user's private registry of networks: ``$INEQUALITY_REGISTRY``; there is no default."""
    return chosen("INEQUALITY_REGISTRY")


def imagenet_folder() -> Path | None:
    """Folder of the ImageNet validation images: ``$INEQUALITY_IMAGENET``; there is no default."""
    return chosen("INEQUALITY_IMAGENET")


def imagenette_folder() -> Path:
    """Folder with Imagenette's ``train`` and ``val``: ``$INEQUALITY_IMAGENETTE``; else it lies in the data folder."""
    return chosen("INEQUALITY_IMAGENETTE") or data_folder() / "imagenette"


def imagenette_is_here() -> bool:
    """Whether there is such a folder: then its photographs are read without a network."""
    return imagenette_folder().is_dir()


def converted_folder() -> Path:
    """Where public models are kept as safetensors, and the selections of ImageNet images."""
    return data_folder() / "imagenet-models"


def models_folder() -> Path:
    """Where public models are looked for and downloaded to: ``$INEQUALITY_MODELS``, else ``converted_folder()``."""
    return chosen("INEQUALITY_MODELS") or converted_folder()
