"""How much of a GPU is used at the paper's network size, ResNet-18 of width 64.

Aims: a PGD-10 epoch in under 8 s on a current data-centre card; Integrated Gradients and occlusion close to the rate of
nothing but passes through the folded network; occlusion at least 100 times faster than the loop over single images on the
same card. The weights are random: speed does not depend on them. Without a GPU nothing is measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from inequality_phenomenon.attacks import occlude
from inequality_phenomenon.attribution import attribute
from inequality_phenomenon.datasets import load_cifar10
from inequality_phenomenon.networks import Classifier, build, fold_batch_norm
from inequality_phenomenon.training.data import TrainingImages
from inequality_phenomenon.training.loop import train_epoch, training_step
from inequality_phenomenon.training.settings import TrainingSettings
from inequality_phenomenon.training.state import fresh_state

from .measure import Row, table, write_csv
from .occlusion import loop

STEPS, MASK = 20, (10, 4)  # of Integrated Gradients; patches and radius of the occlusion


@dataclass(frozen=True)
class Sizes:
    """What is timed: the network's width, the images of each part, the side of the matrices."""

    width: int = 64
    train_images: int = 49_500
    batch: int = 512
    images: int = 1000  # at most half of the test set
    single: int = 20  # images of the loop
    matrix: int = 8192
    repeats: int = 3


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median of ``repeats`` runs after one that is not counted; waits for the GPU."""
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return median(found[1:])


def matrix_rate(device: torch.device, sizes: Sizes) -> float:
    """Operations a second of a bfloat16 matrix product, ten at once: what the card reaches, not what its sheet says."""
    a, b = (torch.randn(sizes.matrix, sizes.matrix, device=device, dtype=torch.bfloat16) for _ in range(2))
    taken = seconds(lambda: [a @ b for _ in range(10)], device, sizes.repeats)
    return 10 * 2 * sizes.matrix**3 / taken


def epoch(device: torch.device, sizes: Sizes) -> tuple[float, float]:
    """Seconds of a PGD-10 epoch as the settings files have it, and the operations of its convolutions and products."""
    values = {
        "title": "benchmark", "arguments": {"width": sizes.width}, "norm": "linf", "epsilon": 8 / 255, "attack": "pgd",
        "attack_steps": 10, "batch_size": sizes.batch, "train_images": sizes.train_images, "compile": device.type == "cuda",
    }  # fmt: skip
    settings = TrainingSettings.model_validate(values)
    state, data = fresh_state(settings, device), TrainingImages(settings, device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():  # before it is compiled: it sees single operations
        state.model(torch.zeros(sizes.batch, 3, 32, 32, device=device))
    # A gradient costs as much as a forward pass: of the input in ten passes, of input and weights in the last one.
    operations = counter.get_total_flops() * len(data) * (10 * 2 + 3)
    if settings.compile:
        state.model.compile(options={"deterministic": True})
    step = training_step(state, settings, data)
    taken = seconds(lambda: train_epoch(state, settings, data, step, progress=False), device, sizes.repeats)
    return taken, operations


def passes(network: nn.Module, images: Tensor, total: int, batch: int, *, backward: bool) -> None:
    """``total`` images through the network, to the input's gradient and back if asked, and nothing else."""
    for start in range(0, total, batch):
        part = images[torch.arange(start, min(start + batch, total), device=images.device) % len(images)]
        part = part.contiguous(memory_format=torch.channels_last)
        if backward:
            part.requires_grad_()
            torch.autograd.grad(network(part)[:, 0].sum(), part)
        else:
            with torch.inference_mode():
                network(part)


@torch.no_grad()
def classified(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """The half of the images that the network is surest about, and its own answers as their labels.

    So that a random network is right about all of them, in batches and one by one, and an attack has something to do.
    """
    logits = torch.cat([model(part) for part in images.split(500)])
    first, second = logits.topk(2).values.T
    surest = (first - second).argsort(descending=True)[: len(images) // 2]
    return images[surest], logits[surest].argmax(1)


def run(device: torch.device, sizes: Sizes | None = None) -> list[Row]:
    """One row a measure: ours, the bound, and the share of it that is reached (for the loop: how many times faster)."""
    sizes = sizes or Sizes()
    taken, operations = epoch(device, sizes)
    model = build("resnet18", width=sizes.width).to(device).eval().requires_grad_(False)
    network = fold_batch_norm(model)
    images, labels = classified(model, load_cifar10("test")[0][: 2 * sizes.images].to(device))
    maps = attribute(model, images, labels, steps=STEPS)
    few = slice(0, sizes.single)

    def timed(work: Callable[[], object]) -> float:
        return seconds(work, device, sizes.repeats)

    integrated = timed(lambda: attribute(model, images, labels, steps=STEPS))
    backward = timed(lambda: passes(network, images, sizes.images * STEPS, sizes.batch, backward=True))
    spent = int(occlude(model, images, labels, maps).forwards.sum())
    occlusion = timed(lambda: occlude(model, images, labels, maps))
    forward = timed(lambda: passes(network, images, spent, sizes.batch, backward=False))
    single = timed(lambda: loop(model, images[few], labels[few], maps[few], *MASK)) / sizes.single
    n, rate = sizes.images, matrix_rate(device, sizes)
    return [
        row("PGD-10 epoch: TFLOP/s", operations / taken / 1e12, rate / 1e12, "bfloat16 matrix products on this card"),
        row("PGD-10 epoch: seconds", taken, operations / rate, "at that rate", smaller=True),
        row("Integrated Gradients: images/s", n / integrated, n / backward, "forward and backward passes"),
        row("occlusion (10, 4): images/s", n / occlusion, n / forward, "as many forward passes"),
        row("occlusion (10, 4): images/s", n / occlusion, 1 / single, "no bound: the loop over single images"),
    ]


def row(name: str, ours: float, bound: float, note: str, *, smaller: bool = False) -> Row:
    return {
        "name": name,
        "ours": ours,
        "bound": bound,
        "ratio": bound / ours if smaller else ours / bound,
        "note": note,
    }


def main() -> None:
    if not torch.cuda.is_available():
        print("Utilisation of a GPU: no GPU here: not measured\n")
        return
    device = torch.device("cuda")
    rows: list[Row] = [line | {"device": torch.cuda.get_device_name()} for line in run(device)]
    print(f"Utilisation of a GPU: {torch.cuda.get_device_name()}")
    print(table(rows))
    print(f"written to {write_csv('gpu', rows)}\n")


if __name__ == "__main__":
    main()
