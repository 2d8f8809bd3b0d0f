"""Promise: a wrong call is answered with a message of ours, never with a traceback from inside torch and never with a number.

For each public function stands a valid call, and for each of its arguments what is wrong for it; a generated one has one.
"""

import contextlib
import inspect
import io
import linecache
import os
import string
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest
import torch
import yaml
from conftest import fails
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from papermill.iorw import load_notebook_node
from pydantic import ValidationError
from torch import Generator, Tensor, nn

import inequality_phenomenon as library
from inequality_phenomenon._support import paths
from inequality_phenomenon._support.profiles import Profile, ProfileError, load_profile
from inequality_phenomenon.book.strict_engine import ParameterError, check_parameters
from inequality_phenomenon.book.workflow import chapters
from inequality_phenomenon.cli import main
from inequality_phenomenon.measure.run import open_run
from inequality_phenomenon.networks import REGISTRY, CheckpointError, Classifier
from inequality_phenomenon.robustness import Threat
from inequality_phenomenon.training.settings import TrainingSettings, load_settings

SOURCE = str(Path(library.__file__).parent)
KNOWN_ERRORS = (ValueError, TypeError, CheckpointError, ProfileError)


def little() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))).eval()


MODEL = little()
IMAGES = torch.rand(2, 3, 8, 8, generator=Generator().manual_seed(0))
LABELS = MODEL(IMAGES).argmax(1)
MAPS = torch.randn(2, 3, 8, 8, generator=Generator().manual_seed(1))


def with_value(tensor: Tensor, value: float) -> Tensor:
    changed = tensor.clone()
    changed[(0,) * tensor.ndim] = value
    return changed


words = st.text(string.ascii_letters + "_-./ äé\0", max_size=300)
things = st.sampled_from(
    [None, "abc", b"abc", [], [1, 2], {}, object(), 1j, np.zeros((2, 3, 8, 8)), torch.zeros(1).to_sparse]
)
not_finite = st.sampled_from([float("nan"), float("inf"), -float("inf")])


def not_whole(*allowed: object) -> SearchStrategy[Any]:
    """No whole number; ``None`` where that is not the default."""
    kinds = st.floats(0.01, 0.99) | not_finite | st.sampled_from(["1", "", [1], (2,), {}, True, 2.0, 1j])
    return kinds | st.none() if None not in allowed else kinds


def not_between(least: int, most: int | None = None, *allowed: object) -> SearchStrategy[Any]:
    below = st.integers(max_value=least - 1)
    return not_whole(*allowed) | (below if most is None else below | st.integers(min_value=most + 1))


def no_name(*known: str | None) -> SearchStrategy[Any]:
    names = words.filter(lambda text: text not in known) | st.sampled_from([0, 1.5, ["top"], {}, True])
    return names if None in known else names | st.none()


floats = [
    IMAGES[0], IMAGES[:, :1], IMAGES[:0], IMAGES[:, :, :0], IMAGES[..., None], torch.zeros(2, 4, 8, 8), torch.zeros(()),
    IMAGES.to(torch.complex64), with_value(IMAGES, float("nan")),
]  # fmt: skip
no_images = things | st.sampled_from(
    [*floats, IMAGES * 255, IMAGES - 2, (IMAGES * 255).byte(), IMAGES.double(), IMAGES.half(), IMAGES.round().long(),
     with_value(IMAGES, float("inf")), with_value(IMAGES, 1.001), with_value(IMAGES, -0.001)]
)  # fmt: skip
no_labels = things | st.sampled_from(
    [LABELS[:1], LABELS[:0], LABELS.float(), LABELS.int(), LABELS[:, None], LABELS.bool(), LABELS + 10, LABELS - 10,
     LABELS.to(torch.complex64), torch.tensor(3)]
)  # fmt: skip
no_maps = things | st.sampled_from([*floats, MAPS[:1], MAPS[:, :, :4], with_value(MAPS, float("-inf"))])
no_maps_of_gini = things | st.sampled_from(
    [MAPS[0], MAPS[..., None], MAPS.to(torch.complex64), torch.zeros(2, 3, 8, 8), MAPS * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1),
     with_value(MAPS, float("nan")), torch.zeros(()), MAPS[:, :, :0]]
)  # fmt: skip
no_values = things | st.sampled_from(
    [torch.tensor([1.0, -1.0]), torch.zeros(3), torch.tensor([]), torch.tensor(1.0), torch.tensor([1.0, float("nan")]),
     torch.tensor([[1.0], [0.0]]), torch.tensor([1j]), torch.zeros(2, 0)]
)  # fmt: skip
no_sample = st.sampled_from(
    [None, "abc", ["a", "b"], [1.0], [], [1.0, float("nan")], np.zeros((2, 2)), 3.0, [1.0, None], {"a": 1},
     [[1], [1, 2]]]
)  # fmt: skip
no_outcomes = st.sampled_from(
    [None, "ab", ["yes", "no"], [0.2, 0.7], [1, 2], [True], [], np.ones((2, 2)), [True, None], [0, float("nan")], 1]
)
no_model = st.sampled_from([None, "cifar10", nn.Sequential, little().double(), 3])
no_threat = st.sampled_from([None, "linf 8/255", 0.03, ("linf", 0.1), {}])
no_ids = st.sampled_from(
    [[0], [0, 1, 2], ["a", "b"], [0.5, 1.5], [-1, 2], 3, "01", [None, 1], torch.tensor([0.5, 1]), True]
)
no_device = st.sampled_from(["tpu", "cpus", "cuda:99", "meta", None, 3.5, [], {}, ""])
no_region = st.sampled_from([3, 5, 6, 7])

VALID = {"model": MODEL, "images": IMAGES, "labels": LABELS, "maps": MAPS}
WRONG = {  # for an argument of this name, where a function does not say otherwise
    "model": no_model, "images": no_images, "labels": no_labels, "maps": no_maps, "threat": no_threat, "values": no_values,
    "ids": no_ids, "seed": not_between(0), "device": no_device, "preset": no_name("paper", "released"),
    "space": no_name("normalised", "pixel"), "region": no_region | not_between(1, 8), "batch": not_between(1, None, None),
    "resamples": not_between(2),
    **dict.fromkeys(("steps", "samples", "power", "restarts", "draws", "classes", "max_radius", "n"), not_between(1)),
}  # fmt: skip


def call(function: Callable[..., Any], also: str = "", /, *, wrong: dict[str, Any], **valid: Any) -> tuple[str, Any]:
    """A function's name with a valid call, and what is wrong for its arguments and for those that it ``also`` hands on."""
    names = [*inspect.signature(function).parameters, *also.split()]
    valid = {name: VALID[name] for name in names if name in VALID} | valid
    return function.__qualname__, (function, valid, {name: WRONG[name] for name in names if name in WRONG} | wrong)


CALLS = dict([
    call(library.gini, values=torch.rand(4), wrong={}),
    call(library.global_gini, wrong={"maps": no_maps_of_gini, "sign": no_name("absolute", "positive")}),
    call(library.regional_gini, region=4, wrong={
        "maps": no_maps_of_gini,
        "reduce": no_name("sum_of_absolute", "sum_of_positive", "positive_of_sum", "absolute_of_sum", "no_blocks_positive"),
    }),
    call(library.region_sums, region=4, wrong={
        "maps": things | st.sampled_from([MAPS[0], MAPS[..., None], MAPS.to(torch.complex64)]),
    }),
    call(library.lorenz_curve, values=torch.rand(4), wrong={"points": not_between(2)}),
    call(library.top_share, values=torch.rand(4), counts=[1, 2], wrong={
        "counts": st.sampled_from([[], [0], [5], [-1], [1.5], ["1"], [None], None, 3, "12", [1, 9], [True]]),
    }),
    call(library.attribute, "samples steps power seed space", method="smoothgrad", samples=2, wrong={
        "model": no_model | st.just(nn.Linear(3, 10)),
        "method": no_name("integrated_gradients", "input_x_gradient", "gradient", "smoothgrad", "smoothgrad_squared", "gradient_shap"),
        "sigma": not_finite | st.floats(max_value=-0.01) | st.sampled_from(["0.1", None, [], 1j, True]),
        "baseline": no_name("normal", "zero", "black", "mean", "blur"),
        "inner": no_name("gradient", "integrated_gradients"), "sample": st.integers(),  # misspelled
    }),
    call(library.perturb_with_noise, "space", budget=5, wrong={
        "budget": not_between(1, 192), "kind": no_name("type_1", "type_2"), "draw": not_between(0),
        "positions": no_name("top", "random", "lowest"), "distribution": no_name("normal", "uniform"),
        "energy": not_finite | st.floats(max_value=0) | st.sampled_from(["1", [], {}, torch.zeros(2), torch.ones(3), 1j]),
        "colour": words,  # unknown
    }),
    call(library.occlude, "seed ids", max_count=2, max_radius=2, wrong={
        "labels": no_labels | st.just((LABELS + 1) % 10), "max_count": not_between(1, 4),
        "color": no_name("black", "gray", "white", "minimum", None), "search": no_name("grid", "single"),
        "positions": no_name("regional", "top_pixels", "random", "lowest", "centre", "separate", None),
        "region": not_between(1, 8, None) | no_region,
    }),
    call(library.pgd, threat=Threat("linf", 0.1), steps=2, generator=Generator(), wrong={
        "step": not_finite | st.floats(max_value=-0.01) | st.sampled_from(["0.1", [], 1j, True]),
        "generator": st.sampled_from([None, 0, "seed"]),
    }),
    call(library.robust_accuracy, "steps restarts seed", threat=Threat("l2", 0.1), steps=2, wrong={"batch": not_between(1)}),
    call(Threat, norm="linf", epsilon=0.1, wrong={
        "norm": no_name("linf", "l2"),
        "epsilon": not_finite | st.floats(max_value=-1e-9) | st.sampled_from(["8/255", None, [], 1j, True]),
    }),
    call(Threat.parse, text="linf 8/255", wrong={"text": words | st.sampled_from(["linf", "l2 a", "linf 1/0", "linf -1"])}),
    call(library.build, "classes", architecture="resnet18", width=2, wrong={
        "architecture": no_name("resnet18", "densenet_bc"), "depth": st.integers(),  # of another architecture
        "width": not_between(1) | st.sampled_from([[1, 2], [0, 1, 1, 1], "12"]),
    }),
    call(library.load_checkpoint, name="cifar10-resnet18w16-standard-s0", wrong={"name": no_name(*REGISTRY)}),
    call(library.correct_subset, n_images=5, wrong={"n_images": not_between(1, 1000)}),
    call(
        library.inspect_network, images=nn.functional.interpolate(IMAGES, size=28), n_images=2, draws=1, mean=(0, 0, 0),
        std=(1, 1, 1), wrong={
            "model": st.sampled_from([None, "cifar10", nn.Sequential, 3, little().train(), nn.Conv2d(3, 3, 3).eval()]),
            "mean": st.sampled_from([None, "abc", 3, (0.5,), (0, 0, "x"), {}]), "n_images": not_between(2),
            "threat": words.filter(bool) | st.sampled_from([3, ["linf 8/255"], ("linf", 0.1)]),
        },
    ),
    call(library.load_cifar10, split="test", wrong={"split": no_name("train", "test")}),
    call(library.load_profile, name="laptop", wrong={
        "name": no_name("smoke", "laptop", "full", "imagenet", "gpu") | st.just("../setup"),
    }),
    call(load_settings, name="cifar10-resnet18w16-standard-s0", wrong={
        "name": words | st.sampled_from(["../x-s0", "-s1", "cifar10-s²"]),
    }),
    call(library.wilson, successes=1, n=3, wrong={
        "successes": not_between(0, 3),
        "confidence": not_finite | st.floats(max_value=0) | st.floats(min_value=1) | st.sampled_from(["0.95", None, []]),
    }),
    call(library.bootstrap_mean, values=[1.0, 2.0], resamples=99, wrong={"values": no_sample}),
    call(library.mcnemar, a=[True, False], b=[True, True], resamples=99, wrong={"a": no_outcomes, "b": no_outcomes}),
    call(open_run, chapter="01_inequality_test", profile="smoke", wrong={
        "chapter": no_name(*chapters()), "profile": no_name("smoke", "laptop", "full", "imagenet", "gpu"),
        "device": no_name("auto", "cpu", "cuda"), "n_images": not_between(2, None, None), "seed": not_between(0, None, None),
        "models": st.sampled_from([["vgg"], "cifar10", [3], [None], 3, [["a"]]]),
    }),
    call(TrainingSettings, title="fuzz", wrong={
        "norm": no_name("none", "linf", "l2"), "attack": no_name("none"), "precision": no_name("float32", "bfloat16"),
        "epsilon": st.floats(min_value=0.001) | st.sampled_from(["8/0", "a", None, [], "-1"]),
        "epochs": st.integers(max_value=0) | st.sampled_from(["many", None, 1.5]),
        **dict.fromkeys(("attack_steps", "batch_size"), st.integers(max_value=0)),
        **dict.fromkeys(("cutout", "seed"), st.integers(max_value=-1)),
        **dict.fromkeys(("warm_up", "momentum"), not_finite | st.floats(max_value=0) | st.floats(min_value=1)),
        "peak_rate": not_finite | st.floats(max_value=0), "average_from": not_finite | st.floats(min_value=1),
        "weight_decay": not_finite | st.floats(max_value=-1e-9), "pruned": st.floats(min_value=0.01),
        "learning_rate": st.floats(),
    }),
])  # fmt: skip


def assert_ours(problem: BaseException) -> None:
    """Raised by our code with a message, or by Python or pydantic because the call does not fit what is declared."""
    __tracebackhide__ = True
    assert isinstance(problem, KNOWN_ERRORS), f"{type(problem).__name__}: {problem}"
    assert str(problem).strip(), "no message"
    if isinstance(problem, ValidationError):
        return
    last = traceback.extract_tb(problem.__traceback__)[-1]  # where it was raised
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    unexpected = isinstance(problem, TypeError) and "argument" in str(problem)
    ours = last.filename.startswith(SOURCE) and line.startswith("raise")
    assert ours or unexpected, f"{type(problem).__name__}: {problem}\nat {last.filename}: {line}"


@st.composite
def wrong_calls(draw: st.DrawFn) -> tuple[str, str, Any]:
    name = draw(st.sampled_from(sorted(CALLS)))
    argument = draw(st.sampled_from(sorted(CALLS[name][2])))
    return name, argument, draw(CALLS[name][2][argument])


def refuses(wrong: tuple[str, str, Any]) -> None:
    name, argument, value = wrong
    function, valid, _ = CALLS[name]
    try:
        found = function(**valid | {argument: value})
    except BaseException as problem:
        assert_ours(problem)
    else:
        pytest.fail(f"{name}({argument}={value!r}) gave {found!r}")


quickly = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
many = pytest.param(settings(quickly, max_examples=1200), marks=pytest.mark.faults, id="many")
tried = pytest.mark.parametrize("effort", [pytest.param(quickly, id="few"), many])


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_that_are_made_wrong_are_valid_before(name: str) -> None:
    function, valid, wrong = CALLS[name]
    function(**valid)
    parameters = inspect.signature(function).parameters
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        assert set(wrong) <= {*parameters, "learning_rate"}  # which none has


@tried
def test_wrong_calls_are_refused(effort: settings) -> None:
    effort(given(wrong_calls())(refuses))()


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, a name that it does not know, and sometimes options that it does not have."""
    word = st.text(string.ascii_letters + "/.äé-", max_size=300).map(lambda text: f"no-{text}")
    options = st.sampled_from(["--images", "--profle", "--all=3", "--device=tpu", "--full=no", "-x"])
    commands = st.sampled_from(["verify", "train", "run", "grid", "doctor", "reference", "scoreboard", "daat", ""])
    return [draw(commands), draw(word), *draw(st.lists(options | word, max_size=2))]


def refuses_line(line: list[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code: Any = main(line)
        except SystemExit as end:
            code = end.code
    assert code in (1, 2), f"{line}: {code}"
    assert err.getvalue().strip() and "Traceback" not in err.getvalue()


@pytest.mark.parametrize("lines", [20, pytest.param(300, marks=pytest.mark.faults)])
def test_wrong_command_lines_are_refused(lines: int) -> None:
    settings(quickly, max_examples=lines)(given(command_lines())(refuses_line))()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
profile_keys = st.sampled_from(["name", "n_images", "seed", "bootstrap", "chapters", "dataset", "n_imges"])
profile_values = st.dictionaries(profile_keys, json_values, max_size=5) | json_values
profile_texts = profile_values.map(yaml.safe_dump) | st.text(max_size=60)
profile_files = profile_texts.map(str.encode) | st.binary(max_size=60)


@tried
def test_a_profile_is_valid_or_refused(tmp_path: Path, move: Callable[..., None], effort: settings) -> None:
    move(PROFILES=tmp_path)

    def gives_a_profile_or_refuses(content: bytes) -> None:
        (tmp_path / "fuzz.yaml").write_bytes(content)
        try:
            found = load_profile("fuzz")
        except ProfileError as problem:
            assert str(problem).startswith("fuzz.yaml")  # noqa: PT017 - either answer is right
        else:
            assert isinstance(found, Profile) and found.n_images >= 2 and found.bootstrap >= 99

    effort(given(profile_files)(gives_a_profile_or_refuses))()


NOTEBOOK = load_notebook_node(jupytext.read(paths.NOTEBOOKS / "01_inequality_test.py", fmt="py:percent"))
wrong_parameters = st.one_of(
    st.fixed_dictionaries({"profile": st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2)}),
    st.fixed_dictionaries({"n_images": st.text(max_size=5) | st.floats() | st.booleans()}),
    st.fixed_dictionaries({"models": st.text(max_size=5) | st.integers() | st.lists(st.integers(), min_size=1)}),
    st.fixed_dictionaries({"seed": st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.booleans()}),
    st.dictionaries(st.text(max_size=8).map(lambda text: f"no_{text}"), json_values, min_size=1, max_size=2),
)


@tried
def test_wrong_parameters_of_a_notebook_are_refused(effort: settings) -> None:
    def refuses_parameters(values: dict[str, Any]) -> None:
        fails(ParameterError, r"unknown parameter|must be", check_parameters, NOTEBOOK, values)

    effort(given(wrong_parameters)(refuses_parameters))()


def test_the_fuzzed_functions_are_the_public_ones() -> None:
    """All but the registry, which is a mapping, and what takes objects made by the functions tried here."""
    elsewhere = {"REGISTRY", "compare", "measure", "train"}
    assert set(library.__all__) - elsewhere <= set(CALLS) and os.path.isdir(SOURCE)
