"""Writes ``book/static/doctor/``: what ``inequality doctor imagenet`` says of a missing, a broken and a good set-up.

``python tests/doctor_examples.py`` runs it on a miniature that ``miniature.py`` writes. Folders are shortened in the text.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import miniature
from damage import flip_bit
from public_format import write_public

from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import atomic_path
from inequality_phenomenon.imagenet.data import wordnet_ids
from inequality_phenomenon.networks import build

FOLDER = paths.BOOK / "static" / "doctor"
CASES = ("missing", "broken", "good")


def doctor(made: miniature.Miniature, case: str, work: Path) -> subprocess.CompletedProcess[str]:
    """Run the command on a set-up, or on one without images and models, or on a broken copy of it."""
    quiet = {"TQDM_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment = made.environment(work / f"kept-{case}") | quiet
    if case == "missing":
        del environment["INEQUALITY_IMAGENET"]
        environment["INEQUALITY_MODELS"] = str(work / "empty")
    if case == "broken":
        environment |= {"INEQUALITY_IMAGENET": str(work / "val"), "INEQUALITY_MODELS": str(work / "models")}
        damage(made, work)
    command = [str(Path(sys.executable).with_name("inequality")), "doctor", "imagenet"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def damage(made: miniature.Miniature, work: Path) -> None:
    """A cut-off image, one network's file under another's name, and one byte changed in the other file."""
    images, models = shutil.copytree(made.images, work / "val"), shutil.copytree(made.published, work / "models")
    cut = images / wordnet_ids()[miniature.CLASSES[0]] / miniature.name_of(made.ids[0])
    cut.write_bytes(cut.read_bytes()[:2000])
    write_public(build("densenet_bc", depth=10, classes=1000).network, models / "resnet18_linf_eps8.0.ckpt")
    flip_bit(next(models.glob("*.pth")))


def shortened(text: str, made: miniature.Miniature, work: Path) -> str:
    for place in (made.root.parent, work):
        text = text.replace(f"{place}/", "/data/")
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made, work = miniature.write(Path(first) / "miniature"), Path(second)
        for case in CASES:
            text = shortened(doctor(made, case, work).stdout, made, work)
            with atomic_path(FOLDER / f"{case}.txt") as temporary:
                temporary.write_text("$ inequality doctor imagenet\n" + text, "utf-8")
