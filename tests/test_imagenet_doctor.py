"""The promise: the doctor says what is wrong by name and changes nothing; the book shows its words; the page is up to date."""

import re
from pathlib import Path
from types import SimpleNamespace

import imagenet_page
import pytest
from doctor_examples import CASES, FOLDER, doctor, shortened
from miniature import Miniature

from inequality_phenomenon import REGISTRY, load_profile
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.files import sha256_of
from inequality_phenomenon.imagenet import doctor as imagenet_doctor
from inequality_phenomenon.verdicts.published import published_values

PROMISES = {
    "missing": ["PROBLEM images      no folder is named: --data FOLDER, or set INEQUALITY_IMAGENET", "note    model"],
    "broken": ["1 images cannot be read: ", "does not fit resnet18: ", "is not the published file: SHA-256 "],
    "good": ["ok      model", "ok      disk", "ready: inequality run imagenet"],
}


def without_the_machine(text: str) -> str:
    """Speeds, times, free space and hashes of what the miniature's random networks are."""
    text = re.sub(r"\b[0-9a-f]{8,64}\b", "HASH", text)
    text = re.sub(r"\b\d+ (seconds|minutes|hours)", "TIME", text)
    return re.sub(r"\b\d+(\.\d+)? (images/s|forward \(|GB free)", r"N \2", text)


@pytest.mark.parametrize("case", CASES)
def test_the_book_shows_what_the_doctor_says(setup: Miniature, tmp_path: Path, case: str) -> None:
    before = {file: sha256_of(file) for file in setup.published.iterdir()}
    done = doctor(setup, case, tmp_path)
    assert done.returncode == (case != "good"), done.stderr[-3000:]
    assert all(words in done.stdout for words in PROMISES[case]), done.stdout
    command, _, shown = (FOLDER / f"{case}.txt").read_text().partition("\n")
    assert command == "$ inequality doctor imagenet"
    assert without_the_machine(shortened(done.stdout, setup, tmp_path)) == without_the_machine(shown)
    assert {file: sha256_of(file) for file in setup.published.iterdir()} == before


def test_what_a_disk_must_take_is_added_up_and_kept_maps_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INEQUALITY_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10e9))
    profile = load_profile("imagenet")
    models = [REGISTRY[name] for name in imagenet_doctor.models_of(profile)]
    *first, last = imagenet_doctor._disk(profile, models)  # 2, 3.7 and 9.6 GB: each fits, all do not
    assert [line.state for line in first] == ["ok", "ok"] and last.state == "PROBLEM"
    assert re.search(r"this disk must take 15\.\d GB", last.text)
    (tmp_path / "cache" / "maps").mkdir(parents=True)
    with (tmp_path / "cache" / "maps" / "a.bin").open("wb") as kept:
        kept.truncate(6_000_000_000)  # takes no space
    assert [line.state for line in imagenet_doctor._disk(profile, models)] == ["ok", "ok", "ok"]


def test_what_cannot_be_opened_is_a_finding_and_a_gpu_that_is_not_there_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INEQUALITY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INEQUALITY_MODELS", str(tmp_path))
    model = REGISTRY["imagenet-resnet18-linf8-public"]
    model.published_file.mkdir()
    line = imagenet_doctor._model(model)
    assert line.state == "PROBLEM" and str(model.published_file) in line.text
    model.file.parent.mkdir(parents=True)
    model.file.touch()
    model.file.with_suffix(".json").write_text("{")
    line = imagenet_doctor._model(model)
    assert line.state == "PROBLEM" and "public.json is damaged: delete it" in line.text
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ValueError, match="device cuda was asked for, but torch sees 0 GPUs"):
        next(imagenet_doctor.checkup(device="cuda"))


def test_the_page_is_up_to_date_and_the_passes_are_those_of_the_shipped_profile() -> None:
    text = imagenet_page.PAGE.read_text()
    assert imagenet_page.with_blocks(text) == text
    rows = re.findall(r"^\| .* \| \|$", imagenet_page.published(), re.MULTILINE)
    assert len(rows) == len(published_values(dataset="imagenet")) > 50
    assert all((paths.NOTEBOOKS / f"{name}.py").exists() for name in re.findall(r"\(_executed/(\w+)\)", text))
    assert all((paths.BOOK / name).exists() for name in re.findall(r"\{literalinclude\} (\S+)", text))
    assert all(f"({label})=\n" in text for label in re.findall(r"\]\(([a-z-]+)\)", text))
    assert "book/imagenet\n" in (paths.BOOK.parent / "_toc.yml").read_text()
    profile = load_profile("imagenet")
    assert list(imagenet_doctor.PASSES) == list(profile.chapters) and len(imagenet_doctor.models_of(profile)) == 15
    assert imagenet_doctor.PASSES["01_inequality_test"][0] == profile.chapters["01_inequality_test"].options["steps"]
    noise = profile.chapters["02_noise_attack"]
    kinds, in_pair = 3 * len({*noise.options["budgets"], noise.options["budget"]}), 2 / len(noise.models)
    assert imagenet_doctor.PASSES["02_noise_attack"][1] == noise.options["draws"] * (kinds + 13 * in_pair)
    assert round(imagenet_doctor.maps_planned(profile)) == 31_300
    words = ["5 seconds", "5 minutes", "2 hours"]
    assert [imagenet_doctor.in_words(seconds) for seconds in (5, 300, 7200)] == words
