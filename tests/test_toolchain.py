"""The three lists of dependencies agree, the set-up notices what it must, and packages are what they claim to be."""

import fcntl
import itertools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import fails, python, recipe
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmarks import page
from inequality_phenomenon._support import npm, paths
from inequality_phenomenon.book import installation, vendor

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
ASKED = map(Requirement, itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))
REQUIREMENTS = {canonicalize_name(requirement.name): requirement for requirement in ASKED}
LOCK = (paths.ROOT / "requirements.lock").read_text()
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch-cpu": "torch"}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_locked_within_its_range(name: str) -> None:
    versions = re.findall(rf"^{re.escape(name)}==(\S+)", LOCK, re.MULTILINE)
    assert versions and all(REQUIREMENTS[name].specifier.contains(version) for version in versions)


def test_lock_is_hashed_and_names_no_place() -> None:
    entries = re.split(r"^(?=\S)", re.sub(r"^\s*#.*\n", "", LOCK, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+( ;[^\\]*)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+$", entry), entry
    assert not re.search(r"://|--(extra-)?index|--find-links| @ ", LOCK)


def test_conda_environment_has_the_same_ranges() -> None:
    *conda, pip = yaml.safe_load((paths.ROOT / "environment.yml").read_text())["dependencies"]
    assert pip == {"pip": ["-e .[book]"]}  # brings every requirement that conda does not
    requirements = [Requirement(text.replace("python=3", "python==3")) for text in conda]
    listed = {requirement.name: requirement for requirement in requirements}
    python, _ = listed.pop("python"), listed.pop("pip")
    assert SpecifierSet(PROJECT["requires-python"]).contains(str(python.specifier).removeprefix("=="))
    ranges = {CONDA_NAMES.get(name, name): requirement.specifier for name, requirement in listed.items()}
    assert ranges == {name: REQUIREMENTS[name].specifier for name in ranges}
    assert {"torch", "torchvision"} <= set(ranges)  # of one channel: builds of two do not load together


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(paths.ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "requirements.lock").write_text("this is no requirement\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_up(before: str = "pass", status: int = 1) -> str:
    script = f"import runpy, sys; {before}; runpy.run_path({installation.__file__!r}, run_name='__main__')"
    done = python("-I", "-c", script, status=status)
    return done.stdout + done.stderr


def test_set_up_does_nothing_when_it_is_done_an_old_python_or_while_another_is_at_it(project: Path) -> None:
    assert "Python 3.11 or newer is needed, this is 3.9" in set_up("sys.version_info = (3, 9, 1)")
    with installation.alone():
        assert f"set-up is already running in this folder (process {os.getpid()})" in set_up()
    with (project / ".locks" / "set-up").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again
    (project / ".venv").mkdir()
    installation.STAMP.write_text(installation.wanted())
    assert set_up(status=0) == "" and list((project / ".venv").iterdir()) == [project / ".venv" / ".installed"]


@pytest.mark.parametrize("done", [False, True])
def test_set_up_starts_again_after_an_interruption_and_when_the_lock_changes(project: Path, done: bool) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "half").touch()
    if done:
        installation.STAMP.write_text(installation.wanted())
        (project / "requirements.lock").write_text("another line that is no requirement\n")
    assert "set-up failed (see above)" in set_up() and not installation.STAMP.exists()
    assert done or not (project / ".venv" / "half").exists()


@pytest.fixture
def commands(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What a set-up runs, without running it; uv fails where the project has a file ``broken``."""
    ran: list[list[str]] = []

    def run(command: list[object], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(list(map(str, command)))
        if ran[-1][1:3] == ["-m", "venv"]:
            Path(".venv").mkdir()
        if "uv" in ran[-1][0] and (project / "broken").exists():
            raise subprocess.CalledProcessError(1, ran[-1])
        settings = "global.index-url='https://mirror/simple'\n:env:.cert='/ca.pem'\n"
        return subprocess.CompletedProcess(command, 0, settings)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (project / "requirements.lock").write_text(LOCK)
    return ran


def test_set_up_brings_uv_by_its_hashes_and_installs_with_it(commands: list[list[str]]) -> None:
    installation.install()
    _, bring, settings, packages, package = commands
    entry = Path(bring[-1]).read_text()
    assert bring[1:4] == ["-m", "pip", "install"] and "--require-hashes" in bring
    assert entry in LOCK and entry.startswith("uv==") and LOCK.split(entry)[1].startswith("    # via")
    assert settings[-2:] == ["config", "list"] and packages[:3] == package[:3] == [".venv/bin/uv", "pip", "install"]
    assert packages[-3:] == ["--require-hashes", "-r", "requirements.lock"] and package[-2:] == ["-e", "."]
    assert installation.installed() == installation.wanted()
    found = installation.settings_for_uv([".venv/bin/python", "-m", "pip", "install"])
    assert found == {"UV_DEFAULT_INDEX": "https://mirror/simple", "SSL_CERT_FILE": "/ca.pem"}


def test_set_up_works_with_pip_alone(commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken").touch()
    installation.install()
    assert [command[1:4] for command in commands[-2:]] == [["-m", "pip", "install"]] * 2
    assert commands[-2][-3:] == ["--require-hashes", "-r", "requirements.lock"]
    assert "pip goes on alone" in capsys.readouterr().err and installation.installed() == installation.wanted()


def test_npm_comes_with_the_environment_and_an_altered_package_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "package-1.0.0.tgz").write_bytes(b"altered")
    words = r"package-1\.0\.0\.tgz has SHA-512 .*, expected pinned"
    fails(npm.PackageError, words, npm.verify, tmp_path / "package-1.0.0.tgz", "pinned")
    monkeypatch.setenv("PATH", "")
    version = subprocess.run([*npm.client(), "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version)


def test_without_a_network_the_book_loses_formulas_and_the_live_page_only(tmp_path: Path) -> None:
    unreachable = {"INEQUALITY_ROOT": str(tmp_path), "npm_config_registry": "http://127.0.0.1:9/"}
    done = python("-c", "from inequality_phenomenon.book import vendor; vendor.fetch_missing()", **unreachable)
    missing = ", ".join(library.package for library in vendor.LIBRARIES)
    lost = "formulas will not be drawn, or no network will run in a page: npm pack failed"
    assert f"warning: without {missing} {lost}" in done.stderr
    assert not list((tmp_path / "book" / "static" / "vendor").iterdir())


def test_the_performance_page_shows_what_the_benchmarks_wrote_and_make_finds_every_one():
    shown = page.PAGE.read_text("utf-8")
    assert page.render(shown) == shown, "`make bench` writes the page"
    tables, measured = {table.name for table in page.TABLES}, {file.stem for file in page.FOLDER.glob("*.csv")}
    assert measured <= tables
    missing = [table.missing for table in page.TABLES if table.name not in measured]
    assert all(shown.count(text) == missing.count(text) for text in {table.missing for table in page.TABLES})
    assert "-m benchmarks" in recipe("bench")
    modules = {path.stem for path in (paths.ROOT / "benchmarks").glob("*.py")}
    known = modules - {"__init__", "__main__", "measure", "page"}
    asked = python("-m", "benchmarks", "nonsense", cwd=paths.ROOT, status=1)
    assert all(name in asked.stderr for name in known)
