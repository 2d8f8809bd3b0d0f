"""The promise: after running out of memory a measurement goes on with smaller batches, and its result is the same."""

from typing import get_args
from unittest.mock import Mock, call

import torch
from conftest import fails, python

from inequality_phenomenon._support import batching
from inequality_phenomenon.networks import REGISTRY, build

CPU = torch.device("cpu")

# A network whose every layer needs 10 MB an image, in a process that may take 200 MB more than it has.
LIMITED = """import re, resource
import torch
from torch import nn
from inequality_phenomenon.attacks import occlude
from inequality_phenomenon.attribution import attribute
from inequality_phenomenon.networks import Classifier, Normalise

class Hungry(nn.Module):
    def forward(self, x):
        return (x.repeat(1, 200, 1, 1) * 2).relu().mean((2, 3)) + x.mean((1, 2, 3))[:, None]

torch.set_num_threads(1)
model = Classifier(Hungry(), Normalise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))).eval()
images = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
labels = torch.cat([model(image[None]).argmax(1) for image in images])
calls = {
    "steps": lambda batch: attribute(model, images, labels, steps=5, baseline="zero", batch=batch),
    "gradient": lambda batch: attribute(model, images, labels, "gradient", batch=batch),
    "noisy steps": lambda batch: attribute(
        model, images[:3], labels[:3], "smoothgrad", preset="released", steps=40, samples=2, batch=batch
    ),
    "occlusion": lambda batch: occlude(model, images, labels, images, 2, 2, batch=batch).fooled,
}
expected = {name: call(1) for name, call in calls.items()}
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
for name, call in calls.items():
    print(name, torch.allclose(call(60), expected[name]))"""


def test_parts_cover_everything_in_order_halve_after_running_out_and_keep_rows_of_one_item_together() -> None:
    seen, asked = [], []

    def work(part: slice, rows: int) -> None:
        asked.append(rows)
        if part.stop - part.start > 3:
            torch.empty(2**62, dtype=torch.uint8)  # more than there is: the real error
        seen.extend(range(part.start, part.stop))

    assert batching.for_batches(10, 16, work) == 2
    assert seen == list(range(10)) and asked[:3] == [16, 8, 4] and set(asked[3:]) == {2}
    for items, rows, expected in ((7, 40, [(0, 2), (2, 4), (4, 6), (6, 7)]), (2, 8, [(0, 1), (1, 2)])):
        parts = Mock()
        batching.for_batches(items, rows, parts, rows_per_item=20)
        assert parts.call_args_list == [call(slice(*part), rows) for part in expected]


def test_one_row_that_does_not_fit_ends_it_and_rows_are_those_measured_for_the_architecture() -> None:
    def too_large(part: slice, rows: int) -> None:
        torch.empty(2**62, dtype=torch.uint8)

    fails(MemoryError, "does not suffice for a single image", batching.for_batches, 3, 4, too_large)
    broken = Mock(side_effect=RuntimeError("shapes do not fit"))
    fails(RuntimeError, "shapes do not fit", batching.for_batches, 3, 4, broken)
    assert batching.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    for architecture, arguments in (("resnet18", {"width": 16}), ("densenet_bc", {"growth": 12, "depth": 40})):
        kind = build(architecture, **arguments).kind
        for work in get_args(batching.Work):
            assert batching.rows_for(CPU, 32 * 32, kind, work) == batching.ON_CPU[kind][work]
            assert batching.rows_for(torch.device("cuda"), 224 * 224, kind, work) == batching.ON_GPU[work]
            assert batching.rows_for(CPU, 224 * 224, kind, work) == batching.LEAST
    assert batching.rows_for(CPU, 32 * 32, "", "gradient") == batching.UNKNOWN["gradient"]
    kinds = {build(entry.architecture, **entry.arguments).kind for entry in REGISTRY.values()}
    assert kinds - set(batching.ON_CPU) <= {kind for kind in kinds if "width=[" in kind}  # pruned filters


def test_the_result_does_not_depend_on_the_memory() -> None:
    # Freed memory goes back at once, so that what the process may still take does not depend on what it did before.
    done = python("-c", LIMITED, MALLOC_ARENA_MAX="1", MALLOC_MMAP_THRESHOLD_="65536")
    assert done.stdout.split("\n")[:4] == ["steps True", "gradient True", "noisy steps True", "occlusion True"]
    names = ("integrated_gradients", "gradient", "smoothgrad", "prediction")
    assert all(f"{name}: out of memory, going on with" in done.stderr for name in names)
