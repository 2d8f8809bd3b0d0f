"""The promise: paper scale is made in pieces; an interruption loses at most one, and what was measured stands in the book."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from conftest import fails, python, recipe

from inequality_phenomenon import chapter, compare
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.profiles import ProfileError, load_profile
from inequality_phenomenon.book import pieces
from inequality_phenomenon.cli import main
from inequality_phenomenon.measure.reference import as_shipped, manifest
from inequality_phenomenon.measure.verification import meets_floor
from inequality_phenomenon.networks import REGISTRY, CheckpointError, load_checkpoint, read_registry
from inequality_phenomenon.show import comparison_table, contrast_table
from inequality_phenomenon.show.scoreboard import claims_table, values_table
from inequality_phenomenon.verdicts import comparison, published, scoreboard

STANDARD, ROBUST = "cifar10-resnet18w64-standard-s0", "cifar10-resnet18w64-linf8-s0"
CHAPTER = "01_inequality_test"

# The command with fewer images to check a training on, and a limit that makes small networks too large to ship.
COMMAND = """import sys
from inequality_phenomenon import cli
from inequality_phenomenon.training import data, registration
held_out, load = data.held_out_images, data.load_cifar10
data.held_out_images = lambda: tuple(part[:10] for part in held_out())
data.load_cifar10 = lambda split: tuple(part[:20] for part in load(split))
registration.SHIPPABLE = 1000
sys.exit(cli.main(sys.argv[1:]))"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with two "full-size" networks that are a touch of training away from shipped ones, and one chapter."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("checkpoints", "results", "profiles"):
        (root / folder).mkdir()
        for file in (paths.ROOT / folder).iterdir():
            if file.stem not in ("registry", "reference-gpu", "gpu", STANDARD, ROBUST):
                (root / folder / file.name).symlink_to(file)
    (root / "notebooks").symlink_to(paths.ROOT / "notebooks")
    entries = yaml.safe_load((paths.CHECKPOINTS / "registry.yaml").read_text("utf-8"))
    shipped = [entry for entry in entries if entry["name"] not in (STANDARD, ROBUST)]
    (root / "checkpoints" / "registry.yaml").write_text(yaml.safe_dump(shipped), "utf-8")
    for name in (STANDARD, ROBUST):
        values = {
            "title": f"{name.split('-')[2]}, width 64", "start_from": name.replace("w64", "w16"), "epochs": 1,
            "batch_size": 32, "train_images": 64, "peak_rate": 1e-5,
        }  # fmt: skip
        if name == ROBUST:
            values |= {"norm": "linf", "epsilon": "8/255", "attack": "pgd", "attack_steps": 2}
        (root / "checkpoints" / f"{name}.yaml").write_text(yaml.safe_dump(values), "utf-8")
    chapter = {"models": [STANDARD, ROBUST], "options": {"region": 4, "steps": 2, "own_images": 0}}
    profile = {"n_images": 24, "bootstrap": 199, "order": [STANDARD, ROBUST, CHAPTER], "chapters": {CHAPTER: chapter}}
    (root / "profiles" / "gpu.yaml").write_text(yaml.safe_dump(profile), "utf-8")
    return root


@pytest.fixture(scope="module")
def story(project: Path) -> list[str]:
    """What two processes say, the first of which makes one piece only."""
    own = {"INEQUALITY_ROOT": str(project), "INEQUALITY_CACHE": str(project / ".cache")}
    command = ["-c", COMMAND, "pieces", "gpu", "--device", "cpu"]
    runs = [python(*command, *piece, **own) for piece in (["--only", STANDARD], [])]
    return [done.stdout + done.stderr for done in runs]


def test_each_piece_is_done_once_and_another_process_goes_on(story, project: Path) -> None:
    started = [[p for p in (STANDARD, ROBUST, CHAPTER) if f"{p}: started" in output] for output in story]
    assert started == [[STANDARD], [ROBUST, CHAPTER]] and [output.count("remains  ") for output in story] == [2, 0]
    manifest = yaml.safe_load((project / "results" / "reference-gpu" / "manifest.yaml").read_text())
    registry = read_registry(project / "checkpoints" / "registry.yaml")
    assert manifest[CHAPTER]["inequality"]["checkpoints"] == {n: registry[n].sha256 for n in (STANDARD, ROBUST)}
    for name in (STANDARD, ROBUST):  # the log is kept beside the records, the weights are not
        assert (project / "results" / "reference-gpu" / "logs" / f"{name}.csv").read_text().count("\n") == 2
        assert registry[name].remake == f"inequality train {name} --device cpu"
        assert not (project / "checkpoints" / f"{name}.safetensors").exists()
        assert (project / ".training" / name / "weights.safetensors").exists()


@pytest.fixture
def measured(story, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move) -> None:
    """This process, as if the project's paper-scale records were committed here, without weights that do not ship."""
    move(TRAINING=tmp_path, PAPER_SCALE=project / "results" / "reference-gpu")
    monkeypatch.setattr(REGISTRY, "_entries", read_registry(project / "checkpoints" / "registry.yaml"))


def test_weights_that_do_not_ship_are_listed_and_compared_with_the_paper(measured, capsys, project) -> None:
    words = f"do not ship .*`inequality train {STANDARD} --device cpu` makes them"
    fails(CheckpointError, words, load_checkpoint, STANDARD)
    assert main(["doctor"]) == 0
    assert f"not shipped      {STANDARD}: inequality train {STANDARD}" in capsys.readouterr().out
    records = pd.read_parquet(project / "results" / "reference-gpu" / CHAPTER / "inequality.parquet")
    found = compare(published.table1_cells("global_gini"), records, resamples=199)
    assert [bool(item.ours) for item in found[:5]] == [True, False, False, False, True]
    both = pd.concat([records, records.assign(checkpoint=STANDARD.replace("w64", "w16"))])
    assert as_shipped(both) is both  # names that are taken are not given twice


def test_full_size_networks_are_rows_below_the_reference_run_and_on_the_scoreboard(measured) -> None:
    ours = chapter.open(CHAPTER, {"profile": "smoke"}).ours
    large = ours.full_size["inequality"]
    assert set(large.checkpoint) == {STANDARD, ROBUST}
    found = ours.compare(published.table1_cells("global_gini"), "inequality")
    shown = {item.cell.label: item.full_size for item in found if item.full_size and item.full_size.ours}
    assert list(shown) == ["ResNet-18, standard", "ResNet-18, ℓ∞ 8/255"]
    for item in shown.values():
        rows = large[large.checkpoint == item.cell.checkpoint.replace("w16", "w64")]
        assert item.ours.value == pytest.approx(rows.global_gini.mean()) and item.ours.n == len(rows)
    html = comparison_table(found, name="t", caption="Caption.").html
    assert html.count("(full size:") == 2 and html.count("<tr>") == len(found) + 2 + 1
    names = [name.replace("w64", "w16") for name in (ROBUST, STANDARD)]
    asked = [comparison.minus("gap", *((name, "", "global_gini") for name in names), 1)]
    (gap,) = ours.contrast(asked, "inequality")
    means = large.groupby("checkpoint").global_gini.mean()  # the difference is that of shared images
    assert gap.full_size.difference.difference == pytest.approx(means[ROBUST] - means[STANDARD], abs=0.02)
    html = contrast_table([gap], name="t", caption="Caption.").html
    assert html.count("(full size:") == 1 and html.index("gap</th>") < html.index("gap <small>(full size: ")
    frames, reference = scoreboard.full_size_frames(), scoreboard.reference_frames()
    for make, part in ((claims_table, 0), (values_table, 1)):
        assert "(full size:" in make(reference[part], frames[part]).html
        assert "(full size:" not in make(reference[part]).html
    assert (frames[1].verdict != "not measured here").sum() == 4  # two networks, the global and the regional index


def test_without_records_tables_have_no_such_rows_and_the_book_says_that_nothing_is_measured(tmp_path, move) -> None:
    move(PAPER_SCALE=tmp_path)
    assert scoreboard.full_size_frames() is None
    ours = chapter.open(CHAPTER, {"profile": "smoke"}).ours
    assert ours.full_size == {}
    found = ours.compare(published.table1_cells("global_gini"), "inequality")
    assert "(full size:" not in comparison_table(found, name="t", caption="Caption.").html
    words = pieces.markdown("gpu")
    assert "Nothing of it has been measured yet" in words and f"- execute `{CHAPTER}`" in words


def test_a_chapter_that_was_cut_off_is_not_finished_and_measured_in_part(measured, monkeypatch, project: Path) -> None:
    profile = load_profile("gpu").model_copy(update={"chapters": {CHAPTER: load_profile("gpu").chapters[CHAPTER]}})
    assert pieces.finished(CHAPTER, profile)
    known = manifest(project / "results" / "reference-gpu")
    next(iter(known[CHAPTER].values()))["whole"] = False
    monkeypatch.setattr(pieces, "manifest", lambda folder: known)
    assert not pieces.finished(CHAPTER, profile) and f"and in part {CHAPTER}. " in pieces.markdown("gpu")


def test_the_floor_that_a_full_size_network_misses_is_named_and_all_networks_are_not_those() -> None:
    row = next(line for line in pieces.markdown("gpu").splitlines() if line.startswith("| ℓ∞ 8/255, width 64"))
    assert meets_floor(ROBUST) is False and row.count("**missed**") == 1
    every = recipe("train", "ALL=1")
    assert "cifar10-resnet18w16-linf8-s0" in every and "w64" not in every and "densenet121" not in every


def test_the_order_of_the_profile_trains_before_it_measures() -> None:
    profile = load_profile("gpu")
    left_out = {"07_sparse_models", "15_every_reading", "16_at_224_pixels"}  # need other networks
    assert set(profile.order) & set(profile.chapters) == set(profile.chapters) - left_out
    for name in profile.chapters.keys() - left_out:
        last = max((i for i, piece in enumerate(profile.order) if piece == name), default=len(profile.order))
        assert set(profile.chapters[name].models) <= set(profile.order[:last])


def test_without_time_nothing_is_started_but_listed_and_after_the_time_nothing_further(monkeypatch, capsys) -> None:
    monkeypatch.setattr(pieces, "_do", None)
    assert pieces.work("gpu", device="cpu", minutes=0) == []
    listed = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(dict.fromkeys(load_profile("gpu").order))
    done: list[str] = []
    monkeypatch.setattr(pieces.time, "monotonic", lambda: 300.0 * len(done))
    monkeypatch.setattr(pieces, "_do", lambda piece, *_: done.append(piece))
    monkeypatch.setattr(pieces, "finished", lambda piece, profile: piece in done)
    assert pieces.work("gpu", device="cpu", minutes=8) == [] and done == list(load_profile("gpu").order[:2])


def test_what_is_no_piece_is_refused_and_a_failed_one_does_not_stop_the_others(capsys, monkeypatch) -> None:
    fails(ProfileError, "laptop has no order", pieces.work, "laptop", device="cpu")
    known = f"unknown piece 'nonsense'; known: .*{CHAPTER}"
    fails(ValueError, known, pieces.work, "gpu", device="cpu", only="nonsense")
    if not torch.cuda.is_available():
        assert main(["pieces"]) == 1 and "torch sees no GPU" in capsys.readouterr().err
    asked: list[str] = []

    def do(piece: str, *_: object) -> None:
        asked.append(piece)
        if len(asked) == 1:
            raise RuntimeError("catastrophic overfitting")

    monkeypatch.setattr(pieces, "_do", do)
    monkeypatch.setattr(pieces, "finished", lambda piece, profile: piece in asked[1:])
    assert pieces.work("gpu", device="cpu") == asked[:1] and asked == list(dict.fromkeys(load_profile("gpu").order))
    assert f"{asked[0]}: failed: catastrophic overfitting" in capsys.readouterr().out
