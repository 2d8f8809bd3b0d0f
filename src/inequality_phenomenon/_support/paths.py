"""Where things live. No other module builds a path from the repository root or a user folder."""

import os
from pathlib import Path

ROOT = Path(os.environ.get("INEQUALITY_ROOT", Path(__file__).resolve().parents[3]))

CHECKPOINTS = ROOT / "checkpoints"
REGISTRY_FILE = CHECKPOINTS / "registry.yaml"
PROFILES = ROOT / "profiles"
GRID_FILE = ROOT / "grid.yaml"
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
COMMON_SUBSET = CHECKPOINTS / "common_subset.json"
PUBLIC_MODELS = CHECKPOINTS / "imagenet.yaml"
IMAGENET_CLASSES = CHECKPOINTS / "imagenet_classes.txt"
IMAGENET_CANDIDATES = CHECKPOINTS / "imagenet_candidates.json"
TRAINING = ROOT / ".training"  # states of unfinished trainings, never tracked
CACHE = Path(os.environ.get("INEQUALITY_CACHE", ROOT / ".cache"))  # attributions and measurements


def data_folder() -> Path:
    """Folder of the data sets: ``$INEQUALITY_DATA``, else a folder in the user's cache."""
    if chosen := os.environ.get("INEQUALITY_DATA"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "inequality-phenomenon"


def imagenet_folder() -> Path | None:
    """Folder of the ImageNet validation images: ``$INEQUALITY_IMAGENET``; there is no default."""
    chosen = os.environ.get("INEQUALITY_IMAGENET")
    return Path(chosen).expanduser() if chosen else None


def converted_folder() -> Path:
    """Where public models are kept as safetensors, and the selections of ImageNet images."""
    return data_folder() / "imagenet-models"


def models_folder() -> Path:
    """Where public models are looked for and downloaded to: ``$INEQUALITY_MODELS``, else ``converted_folder()``."""
    chosen = os.environ.get("INEQUALITY_MODELS")
    return Path(chosen).expanduser() if chosen else converted_folder()
