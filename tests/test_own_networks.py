"""Promises: a user's own network is inspected by a command, stands in every chapter by name, and needs no clone."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import torch
from conftest import fails
from safetensors.torch import save_file

from inequality_phenomenon import REGISTRY, load_checkpoint
from inequality_phenomenon._support import paths
from inequality_phenomenon.cli import main
from inequality_phenomenon.foreign import classifier_of, make_network, register_own
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import CIFAR10_MEAN, CIFAR10_STD, CheckpointError, dataset_of, named
from inequality_phenomenon.show.style import look

SPACE = (CIFAR10_MEAN, CIFAR10_STD)
MODULE = """from inequality_phenomenon import build

def make_network():
    return build("resnet18", width=4).network
"""
SIX_LINES = """from inequality_phenomenon import *
from inequality_phenomenon._support import paths
images, labels = load_cifar10("test")
model = load_checkpoint("cifar10-resnet18w16-linf8-s0")
images, labels = images[correct_subset(4)], labels[correct_subset(4)]
maps = attribute(model, images, labels, method="input_x_gradient")
global_gini(maps), regional_gini(maps, region=4, reduce="sum_of_absolute")
noisy = perturb_with_noise(model, images, maps, budget=300, kind="type_1", seed=0)
hit = occlude(model, images, labels, maps, max_count=2, max_radius=2, color="black")
assert not paths.CLONED and "site-packages" in str(paths.ROOT)
for kind in ("standard", "linf1", "linf2", "linf4", "l2_0.5", "l2_1.0", "linf8_cutout"):
    load_checkpoint(f"cifar10-resnet18w16-{kind}-s0")
report = inspect_network(model, images, labels, n_images=4)
print(report.networks, len(report.summary))
try:
    load_checkpoint("cifar10-resnet18w16-linf8_pgd3-s0")
except Exception as problem:
    print(problem)"""


@pytest.fixture
def own(tmp_path, trained, monkeypatch, move):
    move(CACHE=tmp_path / "cache")
    (tmp_path / "mine.py").write_text(MODULE)
    save_file(trained.network.state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.setenv("INEQUALITY_REGISTRY", str(tmp_path / "networks.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_weights_are_read_without_running_code(own, trained, images) -> None:
    torch.save({"state_dict": trained.network.state_dict()}, own / "weights.pt")
    for file in ("weights.safetensors", "weights.pt"):
        network = classifier_of(make_network("mine.py:make_network", file), images, *SPACE)
        torch.testing.assert_close(network(images), trained(images), rtol=1e-4, atol=1e-4)
    torch.save({"evil": pytest.fail}, own / "evil.pt")
    fails(ValueError, r"evil\.pt .*only tensors are read", make_network, "mine.py:make_network", "evil.pt")
    for factory, weights, problem in [
        ("mine.py", None, "named like module.py:make_network"), ("mine.py:nothing", None, "must have a function nothing"),
        ("other.py:make_network", None, "a file that exists"), ("mine.py:make_network", "none.pt", "does not fit"),
    ]:  # fmt: skip
        fails(ValueError, problem, make_network, factory, weights)


def test_the_command_writes_a_card_and_goes_on_where_it_was(own, capsys) -> None:
    command = ["inspect", "mine.py:make_network", "--weights", "weights.safetensors", "--n", "12", "--out", "card.html"]
    command += ["--mean", *map(str, CIFAR10_MEAN), "--std", *map(str, CIFAR10_STD), "--name", "mine"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "The global Gini index" in said and "card.html" in said
    before = {file: file.stat().st_mtime_ns for file in (own / "cache").rglob("*.bin")}
    (own / "card.html").unlink()
    assert len(before) > 8 and main(command) == 0 and (own / "card.html").exists()
    assert {file: file.stat().st_mtime_ns for file in (own / "cache").rglob("*.bin")} == before
    assert main([*command, "--data", "nothing"]) == 1 and "data is cifar10" in capsys.readouterr().err


def test_a_private_registry_names_networks_for_every_chapter(own, trained, images) -> None:
    entry = register_own("mine", "mine.py:make_network", "weights.safetensors", *SPACE, title="My method", n_images=50)
    assert REGISTRY["mine"].sha256 == entry.sha256 and "mine" not in list(REGISTRY)
    assert (named("mine"), dataset_of("mine"), look("mine")["marker"]) == ("My method", "cifar10", "*")
    torch.testing.assert_close(load_checkpoint("mine")(images), trained(images), rtol=1e-4, atol=1e-4)
    beside = open_run("01_inequality_test", "smoke", models=["mine"])
    assert beside.models[-1] == "mine" and len(beside.models) > 2 and beside.own_models
    two = ("mine", beside.models[0])
    assert open_run("01_inequality_test", "smoke", models=[*two]).models == two
    (own / "mine.py").write_text(MODULE + "# changed\n")
    fails(CheckpointError, "altered since it was registered", load_checkpoint, "mine")
    for name in ("cifar10-resnet18w16-standard-s0", "a b"):
        fails(ValueError, "a name has letters", register_own, name, "mine.py:make_network", None, None, None)
    (own / "networks.yaml").write_text("nonsense: 1\n")
    fails(ValueError, "is no private registry", REGISTRY.__getitem__, "mine")


@pytest.mark.slow
@pytest.mark.parametrize("chapter", [f"{number:02}" for number in range(1, 15)])
def test_every_chapter_takes_an_own_network(chapter, own, move) -> None:
    move(EXECUTED=own / "executed")
    register_own("mine", "mine.py:make_network", "weights.safetensors", *SPACE, n_images=50)
    (script,) = paths.NOTEBOOKS.glob(f"{chapter}_*.py")
    code = script.read_text("utf-8").replace('profile: str = "laptop"', 'profile = "smoke"')
    code = code.replace("\nmodels: list[str] | None = None", '\nmodels = ["mine"]')
    assert code.count('"smoke"') == code.count('["mine"]') == 1
    found: dict = {"__name__": "chapter"}
    exec(compile(code, script, "exec"), found)
    assert "mine" in found["run"].models and any("mine" in set(t.checkpoint) for t in found["run"].records.values())


@pytest.mark.slow
def test_an_installed_package_works_from_any_folder(tmp_path: Path) -> None:
    """With the wheel in a fresh environment, which sees this one's other packages."""
    folder, source = tmp_path, tmp_path / "source"
    for part in ("src", "checkpoints", "results"):
        shutil.copytree(paths.ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(paths.ROOT / part, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < 30e6
    shutil.rmtree(source)
    venv.create(folder / "env", symlinks=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(os.pathsep.join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    installed = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", installed, "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    home = {"HOME": tmp_path / "home", "INEQUALITY_CACHE": tmp_path / "cache", "INEQUALITY_DATA": paths.data_folder()}
    plain = {key: value for key, value in os.environ.items() if key not in ("INEQUALITY_ROOT", "PYTHONPATH")} | home
    (empty := tmp_path / "empty").mkdir()

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([installed, *command], cwd=empty, env=plain, capture_output=True, text=True)

    done = run("-c", SIX_LINES)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "cifar10-resnet18w16-standard-s0" in done.stdout and "clone the project" in done.stdout
    for command in (["build", "book"], ["execute", "01_inequality_test", "x.ipynb"], ["train", "some"], ["release"]):
        refused = run("-m", "inequality_phenomenon.cli", *command)
        assert refused.returncode == 1 and "clone the project" in refused.stderr, command
    made = "def make():\n    return library.load_checkpoint('cifar10-resnet18w16-linf8-s0')\n"
    (empty / "mine.py").write_text(f"import inequality_phenomenon as library\n\n{made}")
    card = run("-m", "inequality_phenomenon.cli", "inspect", "mine.py:make", "--n", "4", "--out", "card.html")
    assert card.returncode == 0 and (empty / "card.html").exists(), card.stderr[-3000:]
    assert {file.name for file in empty.iterdir()} <= {"mine.py", "__pycache__", "card.html"}
