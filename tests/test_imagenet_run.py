"""The promise: on the miniature folder and networks in the published format, every chapter of the imagenet profile comes out."""

import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
import torch
import yaml
from miniature import CLASSES, ROBUST, STANDARD, Miniature, decode, name_of

from inequality_phenomenon import attribute, global_gini
from inequality_phenomenon._support import paths
from inequality_phenomenon.imagenet.data import wordnet_ids
from inequality_phenomenon.imagenet.pickles import read_state
from inequality_phenomenon.networks import IMAGENET_MEAN, IMAGENET_STD, Classifier, Normalise, build

CHAPTERS = tuple(yaml.safe_load((paths.PROFILES / "imagenet.yaml").read_text())["chapters"])
pytestmark = pytest.mark.slow
STEPS = 2  # of Integrated Gradients, in the miniature's chapter 01


def start(setup: Miniature, chapter: str) -> subprocess.Popen[str]:
    environment = setup.environment(setup.root.parent / "data") | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    target = setup.root.parent / f"{chapter}.ipynb"
    options = [chapter, str(target), "-p", "profile", "imagenet"]
    command = [sys.executable, "-m", "inequality_phenomenon.cli", "execute", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def executed(setup: Miniature, chapter: str) -> nbformat.NotebookNode:
    target = setup.root.parent / f"{chapter}.ipynb"
    if not target.exists():
        process = start(setup, chapter)
        output, _ = process.communicate()
        assert process.returncode == 0, output[-5000:]
    return nbformat.read(target, 4)


def records(setup: Miniature, chapter: str) -> dict[str, pd.DataFrame]:
    folder = setup.root / "book" / "_executed" / "records" / "imagenet" / chapter
    return {file.stem: pd.read_parquet(file) for file in folder.glob("*.parquet")}


def maps_kept(setup: Miniature) -> dict[Path, int]:
    files = (setup.root.parent / "data" / "cache").rglob("*")
    return {file: file.stat().st_mtime_ns for file in files if file.is_file() and not file.name.startswith(".")}


def test_a_chapter_killed_after_its_first_maps_goes_on_with_them(setup: Miniature) -> None:
    process = start(setup, CHAPTERS[0])
    while not (kept := maps_kept(setup)):
        assert process.poll() is None, process.communicate()[0][-5000:]
        time.sleep(0.01)
    for own in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        own.kill()  # the kernel first: it is what computes
    process.communicate()
    assert not records(setup, CHAPTERS[0])
    executed(setup, CHAPTERS[0])
    later = maps_kept(setup)
    assert {file: later[file] for file in kept} == kept and len(later) > len(kept)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_comes_out_with_a_record_for_every_image(setup: Miniature, chapter: str) -> None:
    notebook = executed(setup, chapter)
    shown = "".join(str(output) for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "Traceback" not in shown and "ImageNet validation images (by class), decoded to 224x224" in shown
    assert re.search(r"of 8 correct under all of 2 models", shown)
    found = records(setup, chapter)
    wanted = set(setup.ids if chapter.startswith("08") else setup.ids[:2])
    assert found
    for name, table in found.items():
        assert set(table["checkpoint"]) <= {STANDARD, ROBUST} and len(table), name
        assert all(set(own["image_id"]) == wanted for _, own in table.groupby("checkpoint")), name


def test_chapter_01_measures_what_a_plain_computation_from_the_published_files_gives(setup: Miniature) -> None:
    (plain,) = setup.published.glob("*.pth")
    executed(setup, CHAPTERS[0])
    table = records(setup, CHAPTERS[0])["inequality"]
    ids, labels = setup.ids[:2], torch.tensor(CLASSES[:2])
    files = [setup.images / wordnet_ids()[label] / name_of(i) for i, label in zip(ids, CLASSES, strict=False)]
    images = torch.stack([torch.tensor(decode(file)) for file in files]).float() / 255
    for checkpoint, file in ((STANDARD, plain), (ROBUST, setup.published / "resnet18_linf_eps8.0.ckpt")):
        network = build("resnet18", width=4, classes=1000).network
        state = read_state(file)[0]
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith("normaliser")})
        model = Classifier(network, Normalise(IMAGENET_MEAN, IMAGENET_STD)).eval()
        expected = global_gini(attribute(model, images, labels, steps=STEPS, ids=list(ids)))
        own = table[table["checkpoint"] == checkpoint].set_index("image_id")["global_gini"]
        assert own.loc[list(ids)].to_numpy() == pytest.approx(expected.numpy(), abs=2e-3)


def test_every_picture_has_an_alternative_text(setup: Miniature) -> None:
    for chapter in CHAPTERS:
        outputs = [output for cell in executed(setup, chapter).cells for output in cell.get("outputs", ())]
        html = "".join(str(output.get("data", {}).get("text/html", "")) for output in outputs)
        pictures = re.findall(r"<img\b[^>]*>", html)
        assert pictures and all(re.search(r"\balt=(['\"])\s*\S", picture) for picture in pictures), chapter
