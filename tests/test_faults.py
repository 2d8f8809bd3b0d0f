"""Promise: whatever happens, nothing is lost but the work in hand, nothing false is kept, and the message says what to do."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from conftest import ROBUST, STANDARD, fails, forkserver, python
from damage import killed_at_random, single_bit_flips
from torch import Tensor

from inequality_phenomenon import REGISTRY, attribute, datasets, global_gini, load_checkpoint, occlude
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import DamagedFile, write_sealed
from inequality_phenomenon.book.workflow import chapters
from inequality_phenomenon.cli import main
from inequality_phenomenon.datasets import DataError, load_cifar10, load_cifar10_bytes
from inequality_phenomenon.measure import grid as grids
from inequality_phenomenon.measure.cache import cached
from inequality_phenomenon.measure.grid import Grid, gather, measure_cell
from inequality_phenomenon.measure.reference import MANIFEST, load_reference
from inequality_phenomenon.measure.run import Run
from inequality_phenomenon.networks import CheckpointError, Classifier, read_registry, register
from inequality_phenomenon.show.foot import foot

METHODS = ("gradient", "input_x_gradient")
GRID = Grid(networks=("resnet18w16",), epsilons=(0, 8), seeds=(0,), attributions=METHODS, n_images=12)
Context = forkserver("inequality_phenomenon.training.loop", "inequality_phenomenon.measure.measurements")


@pytest.mark.parametrize("flips", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_any_flipped_bit_of_a_record_or_of_a_checkpoint_is_found(folder: Path, move, flips: int) -> None:
    chapter, cell, weights = "08_class_inequality", GRID.cells()[0], REGISTRY[STANDARD].file
    measure_cell(cell, GRID)
    reference = shutil.copytree(paths.REFERENCE / chapter, folder / chapter) / "class_inequality.parquet"
    shutil.copy(paths.REFERENCE / MANIFEST, folder)
    move(REFERENCE=folder)
    for file, read, error, words in (
        (cell.record, partial(gather, GRID), DamagedFile, str(cell.record)),
        (reference, partial(load_reference, chapter), RuntimeError, f"{reference.name} was altered"),
        (weights, partial(load_checkpoint, STANDARD), CheckpointError, f"{weights.name} was altered"),
    ):
        for _ in single_bit_flips(file, flips):
            fails(error, words, read)
    assert gather(GRID).state[0] == "measured" and load_reference(chapter) and load_checkpoint(STANDARD)


@pytest.mark.parametrize("flips", [pytest.param(200, marks=pytest.mark.faults)])
def test_any_flipped_bit_of_the_data_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flips: int) -> None:
    """A quarter of the flips in the header; a bit is of the training part or of the test part."""
    store = shutil.copy(datasets.cifar10_file(), tmp_path / "cifar10.safetensors")
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path))
    for count, within in ((flips // 4, 512), (flips - flips // 4, None)):
        for _ in single_bit_flips(store, count, within):
            with pytest.raises(DataError, match=f"delete {store}"):
                [load_cifar10_bytes(split) for split in ("test", "train")]
    assert all(len(load_cifar10_bytes(split)[0]) for split in ("test", "train"))


def start(work: Callable[..., None], *arguments: Any) -> Any:
    process = Context.Process(target=work, args=arguments)
    process.start()
    return process


def measure_all(folder: Path, entries: dict[str, Any]) -> None:
    """All cells of the grid, in a process that knows nothing of the tests' patches."""
    torch.set_num_threads(1)
    paths.CHECKPOINTS, paths.CACHE = folder.parent, folder / "cache"
    paths.GRID, paths.COMMON_SUBSET = folder / "grid", folder.parent / "subset.json"
    REGISTRY._entries = entries
    for cell in GRID.cells():
        if not cell.record.exists():
            measure_cell(cell, GRID)


def records(folder: Path, kind: str = "*.record") -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob(kind))}


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.faults)])
def test_measuring_killed_at_random_moments_gives_the_same_records(folder: Path, kills: int) -> None:
    entries = dict(REGISTRY._entries or {})

    def check(own: Path) -> None:
        assert len(records(own)) == len(GRID.cells()) and records(own) == records(folder / "whole")

    killed_at_random(lambda own: start(measure_all, own, entries), folder, kills, check)


CHAPTER = '# %% tags=["parameters"]\nprofile: str = "laptop"\n\n# %%\nprint(sum(range(10**6)))\n'


def kill_at_random(command: list[str], folder: Path, kills: int, result: Callable[[], Any]) -> None:
    """Kill ``command`` with its process group; whatever it left behind, the next run gives what an undisturbed one does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"INEQUALITY_ROOT": str(folder), "PATH": path}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options: dict[str, Any] = {"cwd": folder, "env": environment, **quiet}
    started = time.monotonic()
    assert subprocess.run(command, **options).returncode == 0
    seconds, expected = time.monotonic() - started, result()
    chance, killed = random.Random(0), 0
    while killed < kills:
        shutil.rmtree(folder / "_build")
        process = subprocess.Popen(command, start_new_session=True, **options)
        try:
            process.wait(timeout=chance.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            assert subprocess.run(command, **options).returncode == 0
        assert result() == expected


@pytest.mark.parametrize("kills", [pytest.param(10, marks=pytest.mark.faults)])
def test_executing_killed_at_random_moments_gives_the_same_chapter(tmp_path: Path, kills: int) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_sum.py").write_text(CHAPTER)

    def result() -> list[tuple[str, Any]]:
        (file,) = (path for path in (tmp_path / "_build").iterdir() if not path.name.startswith("."))
        return [(cell.source, cell.get("outputs")) for cell in nbformat.read(file, as_version=4).cells]

    command = [sys.executable, "-m", "inequality_phenomenon.cli", "execute", "01_sum", "_build/01_sum.ipynb"]
    kill_at_random(command, tmp_path, kills, result)
    assert result()[-1][1][0].text == "499999500000\n"


@pytest.mark.parametrize("kills", [pytest.param(10, marks=pytest.mark.faults)])
def test_building_killed_at_random_moments_gives_the_same_page(tmp_path: Path, kills: int) -> None:
    shutil.copy(Path(paths.ROOT) / "Snakefile", tmp_path)
    for name in ("notebooks", "book/_generated", "profiles", "checkpoints", "results", "src"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("profiles/laptop.yaml", "checkpoints/registry.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "_config.yml").write_text('title: One page\nexecute:\n  execute_notebooks: "off"\n')
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book" / "index.md").write_text("# One page\n\nThe text of the page.\n")
    for name in ("scoreboard.md", "scoreboard_claims.csv", "scoreboard_values.csv", "pieces.txt"):
        (tmp_path / "book" / "_generated" / name).write_text("---\norphan: true\n---\n# Scoreboard\n")

    def result() -> dict[str, str]:
        html = tmp_path / "_build" / "html"
        return {str(file.relative_to(html)): file.read_text() for file in html.rglob("*.html")}

    options = ["--cores", "1", "--nolock", "--rerun-incomplete", "--quiet", "all"]
    command = [sys.executable, "-m", "snakemake", "_build/html/index.html", "--allowed-rules", "build", *options]
    kill_at_random(command, tmp_path, kills, result)
    assert "The text of the page." in result()["book/index.html"] and "index.html" in result()


def test_a_full_disk_is_named_and_the_measurement_goes_on_when_there_is_space(small_disk: Path, move) -> None:
    move(CACHE=small_disk)
    content = bytes(400_000)
    first, _ = cached("maps", {"a": 1}, lambda: content)
    full = r"cannot write .*/maps/.*No space left on device|No space left.*cannot write .*/maps/"
    fails(OSError, full, cached, "maps", {"a": 2}, lambda: content)
    assert len(list(small_disk.rglob("*"))) == 2, "a half-written file was left"
    assert cached("maps", {"a": 1}, lambda: b"")[0] == first
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    assert cached("maps", {"a": 2}, lambda: content)[0] == content


def test_a_folder_that_may_only_be_read_is_read_and_named(small_disk: Path, move) -> None:
    move(CACHE=small_disk)
    cached("maps", {"a": 1}, lambda: b"content")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert cached("maps", {"a": 1}, lambda: b"")[0] == b"content"
    fails(OSError, r"Read-only file system: .*/maps/", cached, "maps", {"a": 2}, lambda: b"content")


def test_the_command_line_says_in_one_message_what_it_cannot_write(monkeypatch, capsys) -> None:
    monkeypatch.setattr(grids, "write_table", lambda *_: write_sealed(Path("/dev/full/table.csv"), b""))
    assert main(["grid"]) == 1
    error = capsys.readouterr().err
    assert "/dev/full" in error and "the same command goes on from here" in error and "Traceback" not in error


def test_registrations_at_once_lose_no_entry(folder: Path) -> None:
    known, file = REGISTRY._entries, folder / "registry.yaml"
    named = [REGISTRY[STANDARD].model_copy(update={"name": str(number)}) for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda entry: register(entry, file), named))
    REGISTRY._entries = known
    assert len(read_registry(file)) == 16


def test_two_processes_that_measure_the_same_give_the_same_records(folder: Path) -> None:
    entries = dict(REGISTRY._entries or {})
    for process in [start(measure_all, folder / "both", entries) for _ in range(2)]:
        process.join()
        assert process.exitcode == 0
    measure_all(folder / "one", entries)
    assert records(folder / "both") == records(folder / "one")


def test_a_clock_that_was_moved_back_changes_no_measurement(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached("x", {"a": 1}, lambda: b"content")
    (file,) = (folder / "cache").glob("x/*.bin")
    os.utime(file, (4e9, 4e9))  # a file of the year 2096
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert cached("x", {"a": 1}, lambda: b"another")[0] == first[0]
    assert cached("x", {"a": 2}, lambda: b"another")[1]["seconds"] >= 0


def test_without_a_network_everything_that_is_here_works(folder: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("a network namespace is not permitted here")
    code = f"""import socket
from inequality_phenomenon import attribute, load_checkpoint, load_cifar10, global_gini
try: socket.create_connection(('192.0.2.1', 80), timeout=1)
except OSError as problem: print(problem.errno)
images, labels = load_cifar10('test')
print(float(global_gini(attribute(load_checkpoint({STANDARD!r}), images[:2], labels[:2], 'gradient')).mean()))"""
    command = ["unshare", "-rn", sys.executable, "-c", code]
    unreachable, index = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert unreachable == "101" and 0 < float(index) < 1


@pytest.mark.faults
def test_two_runs_give_byte_identical_records(tmp_path: Path) -> None:
    def measured(root: Path) -> dict[str, bytes]:
        root.mkdir()
        for part in ("notebooks", "profiles", "checkpoints", "results"):
            (root / part).symlink_to(paths.ROOT / part)
        own = {"INEQUALITY_ROOT": str(root), "INEQUALITY_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1"}
        python("-m", "inequality_phenomenon.cli", "run", "laptop", "--device", "cpu", **own)
        return records(root / "book/_executed/records/laptop", "*.parquet")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(measured, (tmp_path / "first", tmp_path / "second"))
    assert {Path(name).parts[0] for name in first} == set(chapters()) and first == second


def maps_and_verdicts(name: str, images: Tensor, labels: Tensor, threads: int, batch: int) -> tuple[Tensor, Any]:
    before, model = torch.get_num_threads(), load_checkpoint(name)
    torch.set_num_threads(threads)
    try:
        maps = attribute(model, images, labels, batch=batch)
        return global_gini(maps), occlude(model, images, labels, maps, 5, 2, batch=batch)
    finally:
        torch.set_num_threads(before)


@pytest.mark.faults
@pytest.mark.parametrize("name", [STANDARD, ROBUST])
def test_threads_and_batches_change_no_index_and_no_clear_verdict(name: str) -> None:
    images, labels = (part[:100] for part in load_cifar10("test"))
    right = (load_checkpoint(name)(images).argmax(1) == labels).nonzero().flatten()[:40]
    images, labels = images[right], labels[right]
    gini, verdicts = maps_and_verdicts(name, images, labels, threads=1, batch=400)
    for threads, batch in ((2, 400), (1, 20), (2, 60)):
        other, again = maps_and_verdicts(name, images, labels, threads, batch)
        assert (gini - other).abs().max() < 1e-4
        flipped = (verdicts.fooled != again.fooled).nonzero().flatten().tolist()
        assert set(flipped) <= {*verdicts.close_calls, *again.close_calls}


def test_the_footer_names_no_secret_of_the_environment_and_escapes_what_it_shows(run: Run, monkeypatch) -> None:
    secrets = ("SOME_API_KEY", "k3y-that-must-not-leak"), ("HF_TOKEN", "t0ken-that-must-not-leak")
    for secret in secrets:
        monkeypatch.setenv(*secret)
    run.options = {"color": "<script>alert(1)</script>"}
    run.profile = run.profile.model_copy(update={"name": "o'clock"})
    footer = foot(run, None).html
    assert not any(text in footer for pair in secrets for text in pair)
    assert "<script>" not in footer and "&lt;script&gt;" in footer and "data-profile='o&#x27;clock'" in footer


def test_a_sealed_file_is_json_and_parquet_and_no_pickle(folder: Path) -> None:
    cell = GRID.cells()[0]
    measure_cell(cell, GRID)
    _, facts, content = cell.record.read_bytes().split(b"\n", 2)
    assert set(json.loads(facts)) >= {"checkpoint", "code", "n_images"} and content.startswith(b"PAR1")
    write_sealed(cell.record, facts + b"\n" + b"\x80\x04cos\nsystem\n")
    fails(ValueError, r"[Pp]arquet", gather, GRID)
    assert isinstance(load_checkpoint(STANDARD), Classifier)
