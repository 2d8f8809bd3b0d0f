"""Where things live. No other module builds a path from the repository root or a user folder."""

import os
from pathlib import Path

ROOT = Path(os.environ.get("INEQUALITY_ROOT", Path(__file__).resolve().parents[2]))

CHECKPOINTS = ROOT / "checkpoints"
REGISTRY_FILE = CHECKPOINTS / "registry.yaml"
PROFILES = ROOT / "profiles"
NOTEBOOKS = ROOT / "notebooks"
BOOK = ROOT / "book"
EXECUTED = BOOK / "_executed"
VENDOR = BOOK / "static" / "vendor"  # JavaScript fetched at build time, never tracked
HEADLINE_FIGURE = BOOK / "static" / "headline.png"
REFERENCE = ROOT / "results" / "reference"
PUBLISHED_VALUES = ROOT / "results" / "published_values.csv"
COMMON_SUBSET = CHECKPOINTS / "common_subset.json"
TRAINING = ROOT / ".training"  # states of unfinished trainings, never tracked
CACHE = Path(os.environ.get("INEQUALITY_CACHE", ROOT / ".cache"))  # attributions and measurements


def data_folder() -> Path:
    """Folder of the data sets: ``$INEQUALITY_DATA``, else a folder in the user's cache."""
    if chosen := os.environ.get("INEQUALITY_DATA"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "inequality-phenomenon"
