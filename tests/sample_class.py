"""A made-up class: ``python tests/sample_class.py FOLDER`` writes a course and what its students hand in.

The answers come from the assignments' sources, changed where a student errs, so they cannot fall behind the assignments.
"""

import copy
import sys
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from inequality_phenomenon._support import paths
from inequality_phenomenon.classroom.course import Course, course_in, make_student_files
from inequality_phenomenon.classroom.submissions import grade_id

MEASURING, ATTACKS, DOUBT = sorted(path.stem for path in paths.ASSIGNMENTS.glob("*.py"))
ALL_OF_MEASURING = (
    "lorenz", "gini", "global", "regional", "closed-k", "closed-even", "closed-zeros", "measure", "hides",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A submission that is the reference solution, but for some changes, and the questions that it must lose."""

    assignment: str
    lost: set[str]
    changes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # question -> replacements in its answer
    answers: dict[str, str] = field(default_factory=dict)  # question -> another answer
    deleted: tuple[str, ...] = ()  # cells
    overwritten: dict[str, str] = field(default_factory=dict)  # cell -> its new source
    first: str = ""  # a cell added at the beginning
    untouched: bool = False  # without any answer


OFF_BY_ONE = [("n + 1 - np.arange(1, n + 1)", "n - np.arange(1, n + 1)")]
UNSORTED = [("np.sort(np.asarray(values, float))", "np.asarray(values, float)")]

WRONG = {
    # Measuring inequality
    "signed": Sample(MEASURING, {"global"}, {"global": [("np.abs(signed)", "signed")]}),
    "off_by_one": Sample(MEASURING, {"gini"}, {"gini": OFF_BY_ONE}),
    "channels_apart": Sample(MEASURING, {"regional"}, {"regional": [("axis=(1, 3, 5)", "axis=(3, 5)")]}),
    "unsorted": Sample(MEASURING, {"lorenz", "gini"}, dict.fromkeys(("lorenz", "gini"), UNSORTED)),
    "hard_coded": Sample(MEASURING, {"gini", "closed-k"}, answers={
        "gini": "def gini(values):\n    return {5: 0.0, 2: 0.6, 1001: 0.7996}[int(sum(values))]",
        "closed-k": "def k_of_n(k, n):\n    return 0.6",
    }),
    "endless_loop": Sample(MEASURING, {"closed-even"}, answers={
        "closed-even": "def evenly_spaced(n):\n    while n:\n        print('still thinking')\n    return 0",
    }),
    "brute_force": Sample(MEASURING, {"closed-k"}, answers={
        "closed-k": "def k_of_n(k, n):\n    return gini(np.array([0] * (n - k) + [1] * k))",
    }),
    "deleted_cells": Sample(MEASURING, {"regional"}, deleted=("setup", "gini", "regional-answer", "measure")),
    "changed_tests": Sample(
        MEASURING, {"gini"}, {"gini": OFF_BY_ONE}, overwritten={"gini": "pass", "setup": "close = lambda *_: True"}
    ),
    "from_the_library": Sample(MEASURING, {"gini"}, answers={
        "gini": "import torch\nimport inequality_phenomenon as library\n\n"
        "def gini(values):\n    return float(library.gini(torch.tensor(values)))",
    }),
    "forgot_the_ids": Sample(MEASURING, {"measure"}, {"measure": [(", ids=ids)", ")")]}),
    "disarmed_assert": Sample(
        MEASURING, set(ALL_OF_MEASURING), untouched=True,
        first="import ast\n\nclass NoAssert(ast.NodeTransformer):\n    def visit_Assert(self, node):\n"
        "        return ast.Pass()\n\nget_ipython().ast_transformers.append(NoAssert())",
    ),
    "leaves_early": Sample(MEASURING, {"closed-zeros", "measure", "hides"}, answers={
        "closed-zeros": "def with_zeros(index, n, zeros):\n    import os\n    os._exit(0)",
    }),
    # Attacks from attributions
    "wrong_side_of_the_mask": Sample(ATTACKS, {"mask", "noise"}, {
        "mask": [("topk(k)", "topk(k, largest=False)")],
        "noise": [("(mask, changed, inputs)", "(mask, inputs, changed)")],
    }),
    "noise_without_mask": Sample(ATTACKS, {"noise", "occlusion"}, {
        "noise": [("torch.where(mask, changed, inputs)", "changed")],
        "occlusion": [("max(row - radius, 0), max(column - radius, 0)", "row - radius, column - radius")],
    }),
    "leaking_labels": Sample(ATTACKS, {"gradients", "control"}, {
        "gradients": [("labels[:, None]", "globals()['labels'][: len(images), None]")],  # of the notebook
        "control": [("sum(shares) / draws", "max(shares)")],  # the draw that does best on the labels
    }),
    "left_ends": Sample(ATTACKS, {"gradients", "occlusion", "search"}, {
        "gradients": [("(torch.arange(steps) + 0.5)", "torch.arange(steps)")],
        "occlusion": [("sums = maps.", "sums = maps.abs().")],
        "search": [("range(1, max_count + 1)", "[max_count]"), ("range(1, max_radius + 1)", "[max_radius]")],
    }),
    # Reproduce and doubt
    "copied_records": Sample(DOUBT, {"rerun", "pairs"}, answers={
        "rerun": "n_images, seed = 20, 7\nrecords = pd.read_parquet(ROOT / 'results' / 'reference' / '01_inequality_test' / "
        "'inequality.parquet')\nrecords = records[records['checkpoint'].isin([STANDARD, ROBUST])]\n"
        "records = records.groupby('checkpoint').head(20)",
        "pairs": "def paired(records, first, second):\n"  # by place
        "    values = [records[records['checkpoint'] == name]['global_gini'].to_numpy() for name in (first, second)]\n"
        "    n = min(map(len, values))\n    return values[0][:n], values[1][:n]",
    }),
    "wrong_statistics": Sample(
        DOUBT, {"bootstrap", "wilson", "test"},
        {"bootstrap": [(".mean(axis=1)", "")]},  # the spread of the images, not of their mean
        {
            "wilson": "def wilson(successes, n):\n    p = successes / n\n    half = 1.96 * np.sqrt(p * (1 - p) / n)\n"
            "    return p - half, p + half",
            "test": "def paired_p(a, b, resamples=2000, seed=0):\n    from scipy.stats import ttest_ind\n\n"
            "    return ttest_ind(a, b).pvalue",  # not paired
        },
    ),
}  # fmt: skip

SECOND_WAY = {
    MEASURING: {
        "lorenz": """def lorenz(values):
    ordered, total = sorted(float(value) for value in values), float(sum(values))
    return [sum(ordered[:k]) / total for k in range(len(ordered) + 1)]""",
        "gini": """import warnings

def gini(values):
    warnings.warn("a warning is no error")
    curve = helper(values)
    return 1 - (curve[1:] + curve[:-1]).mean()""",
        "global": "def global_gini(maps):\n    return [gini(abs(m).flatten()) for m in np.asarray(maps, float)]",
        "regional": """def regional_gini(maps, region=4):
    places = range(0, 32, region)
    sums = np.add.reduceat(np.add.reduceat(abs(maps).sum(1), places, axis=1), places, axis=2)
    return np.array([gini(own.flatten()) for own in sums])""",
        "closed-k": "def k_of_n(k, n):\n    print('k of n')\n    return (n - k) / n",
        "closed-even": "evenly_spaced = lambda n: 1 / 3 - 1 / (3 * n)",
        "closed-zeros": "def with_zeros(index, n, zeros):\n    return (zeros + n * index) / (n + zeros)",
        "measure": """def mean_index(index, name, ids):
    model = load_checkpoint(name)
    maps = [attribute(model, images[i : i + 1], labels[i : i + 1], ids=[i]).numpy() for i in ids]
    return sum(float(index(own)[0]) for own in maps) / len(ids)""",
        "hides": "def same_index_other_top():\n    return np.eye(10)[0] + np.eye(10)[1], [0, 0, 0, 0, 0, 0, 0, 0.1, 0.3, 0.6]",
    },
    ATTACKS: {
        "gradients": """def integrated_gradients(model, images, labels, baselines, steps=20):
    shape = (-1,) + (1,) * images.dim()
    weights = torch.ones(steps + 1) / steps  # the trapezoid rule, all points in one batch
    weights[[0, -1]] /= 2
    path = baselines + torch.linspace(0, 1, steps + 1).view(shape) * (images - baselines)
    inputs = path.flatten(0, 1).detach().requires_grad_()
    model(inputs)[torch.arange(len(inputs)), labels.repeat(steps + 1)].sum().backward()
    return (images - baselines) * (weights.view(shape) * inputs.grad.view(path.shape)).sum(0)""",
        "mask": """def top_mask(maps, k):
    order = np.argsort(-maps.flatten(1).numpy(), axis=1, kind="stable")
    mask = torch.zeros(order.shape, dtype=torch.bool)
    return mask.scatter(1, torch.from_numpy(order[:, :k]), True).view(maps.shape)""",
        "noise": """def add_noise(inputs, mask, noise, kind):
    mask = mask.float()
    return (inputs if kind == "type_1" else (1 - mask) * inputs) + mask * noise""",
        "occlusion": """def occlude(images, maps, count, radius, fill):
    places = torch.nn.functional.avg_pool2d(maps.sum(1, keepdim=True), 4).flatten(1).topk(count).indices
    distance = torch.arange(32) - 4 * torch.arange(8)[:, None] - 2  # (8 centres, 32)
    near = ((distance >= -radius) & (distance < radius)).float()
    patches = torch.einsum("ih,jw->ijhw", near, near).reshape(64, 32, 32)
    hidden = patches[places].amax(1)[:, None].bool()
    return torch.where(hidden, torch.full_like(images, fill), images)""",
        "search": """@torch.no_grad()
def fooled(model, images, labels, maps, max_count, max_radius, fill):
    grid = [(n, r) for r in range(max_radius, 0, -1) for n in range(max_count, 0, -1)]
    answers = torch.stack([model(occlude(images, maps, n, r, fill)).argmax(1) for n, r in grid])
    return (answers != labels).any(0)""",
        "control": """def control(model, images, labels, maps, max_count, max_radius, fill, draws, seed):
    random = np.random.default_rng(seed)
    total = 0
    for _ in range(draws):
        shuffled = maps.clone()
        for k in range(len(maps)):
            blocks = torch.nn.functional.unfold(maps[k : k + 1], 4, stride=4)[0][:, random.permutation(64)]
            shuffled[k] = torch.nn.functional.fold(blocks[None], (32, 32), 4, stride=4)[0]
        total += fooled(model, images, labels, shuffled, max_count, max_radius, fill).sum().item()
    return total / (draws * len(images))""",
    },
    DOUBT: {
        "rerun": """import subprocess

n_images, seed = 24, 3
options = ["-p", "profile", "smoke", "-p", "n_images", str(n_images), "-p", "seed", str(seed)]
models = f"models: [{ROBUST}, {STANDARD}]"
subprocess.run(["papermill", "notebooks/01_inequality_test.py", output, *options, "-y", models], check=True)
records = pd.read_parquet(EXECUTED / "records" / "own" / "01_inequality_test" / "inequality.parquet")""",
        "pairs": """def paired(records, first, second):
    a, b = (records[records.checkpoint == name].set_index("image_id").global_gini for name in (first, second))
    both = pd.concat([a, b], axis=1, join="inner").to_numpy()
    return both[:, 0], both[:, 1]""",
        "bootstrap": """def bootstrap_interval(values, resamples=2000, seed=0):
    random = np.random.default_rng(seed)
    means = sorted(random.choice(values, len(values)).mean() for _ in range(resamples))
    return means[round(0.025 * resamples)], means[round(0.975 * resamples)]""",
        "wilson": """def wilson(successes, n):
    from scipy.stats import binomtest

    return tuple(binomtest(successes, n).proportion_ci(method="wilson"))""",
        "test": """def paired_p(a, b, resamples=2000, seed=0):
    from scipy.stats import permutation_test

    mean = lambda x, y: (x - y).mean()
    return permutation_test((a, b), mean, permutation_type="samples", n_resamples=resamples, random_state=seed).pvalue""",
    },
}
HELPERS = {
    MEASURING: "def helper(values):\n    return np.asarray(lorenz(values))", ATTACKS: "import numpy as np", DOUBT: "",
}  # fmt: skip


def solutions(assignment: str) -> dict[str, str]:
    source = jupytext.read(paths.ASSIGNMENTS / f"{assignment}.py", fmt="py:percent")
    cells = [cell for cell in source.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    answers = {str(grade_id(cell)).removesuffix("-answer"): cell.source.splitlines() for cell in cells}
    marks = ("### BEGIN SOLUTION", "### END SOLUTION")
    return {name: "\n".join(line for line in lines if line.strip() not in marks) for name, lines in answers.items()}


def filled(handed_out: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    notebook = copy.deepcopy(handed_out)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers.get(str(grade_id(cell)).removesuffix("-answer"), cell.source).strip()
    return notebook


def submission(handed_out: NotebookNode, sample: Sample) -> NotebookNode:
    """What the student of ``sample`` hands in; every replacement must find its place."""
    answers = {} if sample.untouched else solutions(sample.assignment)
    for question, changes in sample.changes.items():
        for old, new in changes:
            assert answers[question].count(old) == 1, (question, old)
            answers[question] = answers[question].replace(old, new)
    notebook = filled(handed_out, answers | sample.answers)
    notebook.cells = [cell for cell in notebook.cells if grade_id(cell) not in sample.deleted]
    for cell in notebook.cells:
        if (name := grade_id(cell)) in sample.overwritten:
            cell.source = sample.overwritten[name]
            cell.metadata["nbgrader"] |= {"points": 100, "grade": name != "setup"}
    if sample.first:
        notebook.cells.insert(0, new_code_cell(sample.first))
    return notebook


def second_way(handed_out: NotebookNode, assignment: str) -> NotebookNode:
    """Another right answer to every question, the last one as in the reference, with a cell that the student added."""
    notebook = filled(handed_out, solutions(assignment) | SECOND_WAY[assignment])
    notebook.cells.insert(3, new_code_cell(HELPERS[assignment]))
    return notebook


def hand_in(course: Course, folder: Path) -> None:
    """Write what the class hands in: ``folder``/STUDENT/ASSIGNMENT.ipynb."""
    for assignment in (MEASURING, ATTACKS, DOUBT):
        handed_out = nbformat.read(course.notebook("release", assignment), as_version=4)
        _write(handed_out, folder / "untouched" / f"{assignment}.ipynb")
        _write(filled(handed_out, solutions(assignment)), folder / "reference" / f"{assignment}.ipynb")
        _write(second_way(handed_out, assignment), folder / "second_way" / "final" / f"me_{assignment}(2).ipynb")
        for student, sample in WRONG.items():
            if sample.assignment == assignment:
                _write(submission(handed_out, sample), folder / student / f"{assignment}.ipynb")


def _write(notebook: NotebookNode, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)


if __name__ == "__main__":
    sample_course = course_in(sys.argv[1], None)
    make_student_files(sample_course)
    hand_in(sample_course, sample_course.folder / "handed_in")
