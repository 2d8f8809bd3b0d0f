"""The promise: a profile is only what is written in it, and a wrong key or name is answered with the valid ones."""

from conftest import fails

from inequality_phenomenon._support.profiles import ProfileError, load_profile, profile_names
from inequality_phenomenon.book.workflow import chapters
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import REGISTRY
from inequality_phenomenon.training.settings import load_settings

NAMES = profile_names()


def test_models_of_profiles_have_settings_and_a_run_takes_the_profiles_values_unless_told_otherwise():
    for name in (name for name in NAMES if load_profile(name).dataset == "cifar10"):
        for chapter in load_profile(name).chapters.values():
            assert all(load_settings(model) for model in chapter.models)
    run = open_run("01_inequality_test", "smoke")
    assert run.n_images == load_profile("smoke").n_images and run.options["steps"] == 20
    assert all(name in REGISTRY for name in run.models)
    assert open_run("01_inequality_test", "smoke", n_images=5, steps=7).options["steps"] == 7
    chosen = [("device", "tpu", "known: auto, cpu, cuda"), ("models", ["nonsense"], "known: cifar10-")]
    for name, wrong, message in [*chosen, ("n_images", 0, "at least 2"), ("n_images", 1, "at least 2")]:
        fails(ValueError, message, open_run, "01_inequality_test", "smoke", **{name: wrong})
    for name in NAMES:  # other data sets have the chapters that are about both
        named, every = set(load_profile(name).chapters), set(chapters())
        assert named == every if load_profile(name).dataset == "cifar10" else named < every


def test_unknown_names_and_keys_are_answered_with_the_valid_ones(tmp_path, move):
    for name in ("lapdog", "grid"):  # grid.yaml beside the profiles is none
        fails(ProfileError, f"unknown profile '{name}'; known: full, gpu, imagenet, laptop, smoke", load_profile, name)
    move(PROFILES=tmp_path)
    (tmp_path / "bad.yaml").write_text("n_images: 4\nn_imges: 5\nchapters: {}\n")
    fails(ProfileError, r"bad.yaml: n_imges.*Valid keys: name, dataset, .*n_images", load_profile, "bad")
    (tmp_path / "worse.yaml").write_text("n_images: many\nchapters: {}\n")
    fails(ProfileError, "n_images", load_profile, "worse")
