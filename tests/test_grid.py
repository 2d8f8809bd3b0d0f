"""Promise: a grid is measured cell by cell, here or on a cluster; no stale or damaged record stands for one."""

import math
import os
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROBUST, STANDARD, fails, python

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import DamagedFile
from inequality_phenomenon.cli import main
from inequality_phenomenon.measure import grid as grids
from inequality_phenomenon.networks import REGISTRY, register
from inequality_phenomenon.training import registration
from inequality_phenomenon.training.settings import load_settings

SMALL = grids.Grid(networks=("resnet18w16",), epsilons=(0, 8), seeds=(0,), attributions=("gradient",), n_images=6)


def test_the_shipped_grid_has_all_combinations_and_settings_for_each() -> None:
    grid = grids.load_grid()
    cells = grid.cells()
    axes = (grid.networks, grid.epsilons, grid.seeds, grid.attributions)
    assert len(set(cells)) == len(cells) == math.prod(map(len, axes))
    assert {cell.checkpoint for cell in cells} >= {STANDARD, ROBUST}
    for cell in cells:
        assert load_settings(cell.checkpoint).seed == cell.seed
        assert load_settings(cell.checkpoint).epsilon == pytest.approx(cell.epsilon_255 / 255)


@pytest.mark.parametrize(("text", "message"), [
    ("networks: [a]\nepsilon: [8]", r"epsilon: Extra inputs.*Valid keys: networks, epsilons"),
    ("networks: [a]\nepsilons: [many]\nseeds: [0]\nattributions: [b]", r"epsilons\.0: .*integer"),
    ("networks: [", "grid.yaml is not YAML"), ("", "grid.yaml lists no values. Valid keys: networks"),
])  # fmt: skip
def test_a_wrong_grid_is_refused_with_the_valid_keys(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    fails(grids.GridError, message, grids.load_grid, tmp_path / "grid.yaml")
    fails(grids.GridError, "is missing", grids.load_grid, tmp_path / "other.yaml")


def test_a_partial_grid_gives_a_partial_table_that_says_so(folder: Path) -> None:
    first, second = SMALL.cells()
    measured = grids.measure_cell(first, SMALL)
    table = grids.gather(SMALL)
    assert list(table.state) == ["measured", "missing"]
    assert table.global_gini[0] == pytest.approx(measured.global_gini.mean())
    assert table.global_gini_low[0] <= table.global_gini[0] <= table.global_gini_high[0]
    assert table.iloc[1].isna()[["n", "global_gini", "regional_gini_sum_of_absolute"]].all()
    assert grids.summary(table) == f"Partial: 1 of 2 cells are measured. Not measured: {ROBUST} gradient"
    grids.measure_cell(second, SMALL)
    assert grids.summary(grids.gather(SMALL)) == "The grid is complete: 2 cells."


def test_a_damaged_record_and_one_of_other_settings_or_of_another_network_are_no_measurement(folder: Path) -> None:
    cell = SMALL.cells()[0]
    grids.measure_cell(cell, SMALL)
    whole = cell.record.read_bytes()
    cell.record.write_bytes(whole[:-1])
    fails(DamagedFile, r"gradient\.record is damaged", grids.gather, SMALL)
    cell.record.write_bytes(whole)
    assert list(grids.gather(SMALL.model_copy(update={"n_images": 7})).state) == ["stale", "missing"]
    REGISTRY._entries[STANDARD] = REGISTRY[STANDARD].model_copy(update={"sha256": "another"})
    assert list(grids.gather(SMALL).state) == ["stale", "missing"]
    grids.forget_stale(SMALL)
    assert not cell.record.exists()


def test_a_network_is_trained_only_where_it_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(registration, "train_and_register", lambda name, device: asked.append(name))
    grids.train_if_missing(STANDARD)
    assert asked == []
    grids.train_if_missing("cifar10-resnet18w16-linf8-s7")
    REGISTRY[STANDARD].file.unlink()
    grids.train_if_missing(STANDARD)
    assert asked == ["cifar10-resnet18w16-linf8-s7", STANDARD]


def test_a_wrong_name_is_answered_with_the_known_ones(folder: Path, capsys) -> None:
    for job, message in (("paint", "unknown job 'paint'; known: train NAME"), (f"measure {STANDARD} x", "no cell")):
        assert main(["grid", *job.split()]) == 1 and message in capsys.readouterr().err
    words = "unknown method 'nonsense'; known: integrated_gradients"
    fails(ValueError, words, grids.measure_cell, grids.GridCell("resnet18w16", 0, 0, "nonsense"), SMALL)


@pytest.fixture
def project(folder: Path) -> Path:
    """A project folder whose grid has two networks, of which one is neither there nor has settings."""
    root = folder / "project"
    (root / "checkpoints").mkdir(parents=True)
    (root / ".cache").mkdir()
    (root / ".cache" / "cifar10.fetched").touch()
    shutil.copy(paths.ROOT / "Snakefile", root)
    shutil.copytree(paths.PROFILES, root / "profiles")
    register(REGISTRY[STANDARD], root / "checkpoints" / "registry.yaml")
    shutil.copy(paths.CHECKPOINTS / f"{STANDARD}.safetensors", root / "checkpoints")
    shutil.copy(folder / "subset.json", root / "checkpoints" / "common_subset.json")
    (root / "profiles" / "grid.yaml").write_text(yaml.safe_dump(SMALL.model_dump(mode="json")))
    return root


def make_grid(root: Path, *options: str) -> str:
    environment = {"INEQUALITY_ROOT": str(root), "INEQUALITY_CACHE": str(root / ".cache")}
    environment["PATH"] = os.pathsep.join([str(root / "bin"), os.environ["PATH"]])
    done = python("-m", "inequality_phenomenon.cli", "build", "grid", *options, cwd=root, status=1, **environment)
    return done.stdout + done.stderr


def test_cells_are_submitted_to_a_cluster_and_gathered(project: Path) -> None:
    """A stand-in submit command runs the script that it is given in the background, as a scheduler would."""
    (project / "bin").mkdir()
    submit = 'for script; do :; done; echo "$@" >>submitted; sh "$script" >>jobs 2>&1 & echo $$'
    (project / "bin" / "qsub").write_text(f"#!/bin/sh\n{submit}\n")
    (project / "bin" / "qsub").chmod(0o755)
    profile = project / "profiles" / "cluster-generic" / "config.yaml"
    profile.write_text(profile.read_text().replace("retries: 1", "retries: 0\nseconds-between-status-checks: 1"))
    done = make_grid(project, "--cluster", "cluster-generic")
    submitted = (project / "submitted").read_text()
    assert all(f"-l nodes=1:gpus=1,mem=8000mb,walltime={minutes}:00" in submitted for minutes in (480, 30))
    assert "no settings for checkpoint 'cifar10-resnet18w16-linf8-s0'" in (project / "jobs").read_text()
    assert f"Partial: 1 of 2 cells are measured. Not measured: {ROBUST} gradient" in done
    assert "some cells failed" in done
    assert (project / "_build" / "grid" / "table.csv").read_text().count(",measured,6,") == 1


def test_the_slurm_profile_asks_for_what_a_job_needs_and_what_is_wrong_is_named(project: Path) -> None:
    options = ["grid", "--workflow-profile", "profiles/slurm", "--dry-run"]
    done = python("-m", "snakemake", *options, cwd=project, INEQUALITY_ROOT=str(project))
    resources = [set(line.replace(",", "").split()) for line in done.stdout.splitlines() if "resources:" in line]
    asked = {"slurm_partition=gpu", "gpu=1", "mem_mb=8000"}
    assert all(any({*asked, f"runtime={minutes}"} <= own for own in resources) for minutes in (480, 30))
    assert "unknown cluster 'nonsense'; known: cluster-generic, slurm" in make_grid(project, "--cluster", "nonsense")
    record = project / "_build" / "grid" / STANDARD / "gradient.record"
    record.parent.mkdir(parents=True)
    record.write_bytes(b"no seal")
    said = make_grid(project)
    assert f"{record} is damaged" in said and "Traceback" not in said
