"""Records, tables of one row an image, as files: those of the reference run, which are committed, and of the last run."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .._support import paths
from .._support.files import atomic_path, sha256_of, write_whole
from .._support.profiles import load_profile
from ..networks import FULL_SIZE, REGISTRY, network_name

MANIFEST = "manifest.yaml"  # in a folder of reference records: chapter -> table -> facts


def manifest(folder: Path) -> dict[str, Any]:
    """What is known of a folder's records: chapter -> table -> facts."""
    file = folder / MANIFEST
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
        again = f"`git checkout` or `inequality reference --profile {profile}` brings it back"
        raise RuntimeError(f"{file} was altered: SHA-256 {found}, manifest {sha256}; {again}")
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
    """Records with the names of the shipped networks, which tables and claims have, for full-size ones, unless both are there."""
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
    write_whole(folder / MANIFEST, yaml.safe_dump(known, sort_keys=True))


@cache
def commit() -> str:
    """The commit that was checked out when this process first asked, marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no git"


def stacked(tables: Mapping[str, pd.DataFrame], names: Sequence[str]) -> pd.DataFrame | None:
    """Those of the named records that exist, one below the other, with a ``condition`` in each row; rows measured twice are
    kept once. ``None`` without any."""
    known = [tables[name] for name in names if name in tables]
    found = [table if "condition" in table else table.assign(condition="") for table in known]
    if not found:
        return None
    keys = ["checkpoint", "condition", "image_id"]
    return pd.concat(found, ignore_index=True).drop_duplicates(keys, ignore_index=True)
