"""Promise: an evaluation that may be an artefact is flagged: each flag by a case that really shows it, and by no other."""

import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from test_robustness import linear_classifier
from torch import Tensor, nn

from inequality_phenomenon._support import paths
from inequality_phenomenon.measure.robustness_flags import FLAGS, check, evaluate
from inequality_phenomenon.networks import Classifier
from inequality_phenomenon.robustness import Threat, auto_attack, pgd, robust_correct

THREAT = Threat("linf", 2 / 255)


class Changed(nn.Module):
    def __init__(self, model: nn.Module, change) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.change(x))


def quantised(x: Tensor) -> Tensor:
    return torch.round(x * 8) / 8


@pytest.fixture
def batch(test_set: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return test_set[0][:80], test_set[1][:80]


def raised(evidence: dict) -> set[str]:
    return {finding.flag.name for finding in check(evidence) if finding.raised}


@pytest.mark.parametrize("threat", [THREAT, Threat("linf", 8 / 255), Threat("l2", 0.25)], ids=str)
def test_an_honest_evaluation_raises_no_flag(trained: Classifier, batch, threat: Threat) -> None:
    evidence = evaluate(trained, *batch, threat, steps=10)
    assert raised(evidence) == set()
    assert len(check(evidence)) == len(FLAGS) - 1  # the last one needs AutoAttack
    assert 0 < evidence["robust"].mean() < evidence["clean"].mean()  # there was something to find


def test_the_outcome_is_that_of_robust_correct_and_the_model_is_left_as_it_was(trained: Classifier, batch) -> None:
    evidence = evaluate(trained, *batch, THREAT, steps=5, batch=30, seed=3)
    expected = robust_correct(trained, *batch, THREAT, steps=5, batch=30, seed=3).numpy()
    assert (evidence["robust"] != expected).sum() <= 1  # which folds the batch norms: rounding
    assert all(values.shape == (80,) for values in evidence.values())
    before = {name: values.clone() for name, values in trained.train().state_dict().items()}
    evaluate(trained, *batch, THREAT, steps=1)
    assert trained.training and all(torch.equal(values, before[name]) for name, values in trained.state_dict().items())


def test_probabilities_random_outputs_a_loss_that_is_not_a_number_and_training_mode(trained: Classifier, batch) -> None:
    model = nn.Sequential(trained, nn.Softmax(dim=1)).eval()
    assert raised(evaluate(model, *batch, THREAT, steps=10)) == {"Probabilities instead of logits"}
    generator = torch.Generator().manual_seed(0)
    model = Changed(trained, lambda x: x + 0.02 * torch.randn(x.shape, generator=generator)).eval()
    model.__deepcopy__ = lambda memo: model  # a generator cannot be copied
    assert "Randomised model" in raised(evaluate(model, *batch, THREAT, steps=2))
    model = Changed(trained, lambda x: torch.where(x.mean((1, 2, 3), keepdim=True) > 0.5, torch.nan, x)).eval()
    assert "Zero gradients" in raised(evaluate(model, *batch, THREAT, steps=2))
    model = nn.Sequential(nn.Dropout(0.0), trained).eval()
    model[0].train()  # without any effect: only the mode tells
    assert raised(evaluate(model, *batch, THREAT, steps=2)) == {"Training mode"}
    assert "Training mode" in raised(evaluate(trained.train(), *batch, THREAT, steps=2))


def test_a_model_that_optimises_its_input_and_one_without_gradients(trained: Classifier, batch) -> None:
    def purified(x: Tensor) -> Tensor:
        with torch.enable_grad():
            variable = x.detach().requires_grad_()
            return x + torch.autograd.grad(trained(variable).softmax(1).amax(1).sum(), variable)[0].sign() / 255

    assert raised(evaluate(Changed(trained, purified).eval(), *batch, THREAT, steps=5)) == {"Gradients at inference"}
    threat = Threat("linf", 8 / 255)
    evidence = evaluate(Changed(trained, quantised).eval(), *batch, threat, steps=5)
    assert raised(evidence) == {"Zero gradients", "An unlimited attack fails"} and evidence["zero_gradient"].all()
    honest = evaluate(trained, *batch, threat, steps=5)
    assert evidence["robust"].mean() > honest["robust"].mean() + 0.1  # this is how large the artefact is


def test_an_attack_beyond_its_budget_or_the_range_of_pixels_and_steps_too_small(trained: Classifier, batch) -> None:
    def greedy(model, images, labels, threat, **options):
        return pgd(model, images, labels, Threat(threat.norm, 1.01 * threat.epsilon), **options)

    def unclamped(model, images, labels, threat, **options):
        return images + threat.epsilon * (pgd(model, images, labels, threat, **options) - images).sign()

    for threat in (THREAT, Threat("l2", 0.25)):
        assert raised(evaluate(trained, *batch, threat, attack=greedy, steps=5)) == {"Budget exceeded"}
    assert "Budget exceeded" in raised(evaluate(trained, *batch, THREAT, attack=unclamped, steps=5))
    timid = partial(pgd, step=THREAT.epsilon / 1000)
    assert "One step beats many" in raised(evaluate(trained, *batch, THREAT, attack=timid, steps=5))


def test_square_finds_what_vanishing_gradients_hide_and_one_step_beats_many_on_a_rugged_loss(batch) -> None:
    images, labels = batch[0][:20], batch[1][:20]
    outcome = auto_attack(Changed(linear_classifier(10), quantised).eval(), images, labels, Threat("linf", 16 / 255))
    assert raised({"fooled_by": np.array(outcome.fooled_by)}) == {"Black box beats gradients"}
    lattice = lambda x: x + torch.sin(2 * math.pi * 255 * x) / 255  # noqa: E731 - exact on pixels, slopes of random sign
    evidence = evaluate(Changed(linear_classifier(10), lattice).eval(), *batch, THREAT)
    assert raised(evidence) == {"One step beats many"}


def test_square_may_fool_one_image_of_500_and_evidence_that_is_not_a_number_raises() -> None:
    for fooled, flagged in ((0, False), (1, False), (2, True)):
        evidence = {"fooled_by": np.array(["square"] * fooled + ["nothing"] * 200 + ["apgd-ce"] * (300 - fooled))}
        assert raised(evidence) == ({"Black box beats gradients"} if flagged else set())
    assert raised({"deviation": np.array([0.0, np.nan])}) == {"Randomised model"}


def test_the_page_says_what_the_code_does_and_its_example_runs(capsys) -> None:
    text = (paths.BOOK / "robustness_flags.md").read_text("utf-8")
    parts = (r"## (.+)", r"\*\*Raised if:\*\* (.+)", r"\*\*What it means:\*\* .+", r"\*\*What to do:\*\* .+\n")
    sections = re.findall("^" + r"\n\n".join(parts), text, re.M)
    assert [name for name, _ in sections] == [flag.name for flag in FLAGS]
    for flag, (_, rule) in zip(FLAGS, sections, strict=True):
        assert not flag.limit or (f"{100 * flag.limit:g} %" if flag.percent else f"{flag.limit:g} ") in rule + " "
    assert text.count("\n## ") == len(FLAGS)
    (code,) = re.findall(r"```python\n(.+?)```", text, re.S)
    exec(code.replace(":100", ":8"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FLAGS) - 1
    assert all(line.startswith(flag.name) for line, flag in zip(lines, FLAGS, strict=False))
