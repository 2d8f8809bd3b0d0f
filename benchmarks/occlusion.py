"""Inductive occlusion at N=10, R=4 against the plain loop of Algorithm 1: one image and one mask at a time.

Claim: at least 5 times faster on 2 CPU cores with the same answers, and at least 90 % of the model's pure forward rate
for every mask tried; also where the outcome of every mask of the grid is kept. Both sides see the same model, images and maps; repetitions are interleaved, medians reported.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from inequality_phenomenon._support.batching import rows_for
from inequality_phenomenon.attacks import grid_outcomes, occlude
from inequality_phenomenon.attribution import attribute
from inequality_phenomenon.datasets import load_cifar10
from inequality_phenomenon.inequality import region_sums
from inequality_phenomenon.networks import Classifier, fold_batch_norm, load_checkpoint
from inequality_phenomenon.robustness import correct

from .measure import table, write_csv

MODELS = {  # with the images that suffice: a DenseNet takes ten times as long
    "cifar10-resnet18w16-standard-s0": 150,
    "cifar10-resnet18w16-linf8-s0": 150,
    "cifar10-densenetbc40-linf8-s0": 30,
}


@torch.inference_mode()
def loop(model: nn.Module, images: Tensor, labels: Tensor, maps: Tensor, count: int, radius: int) -> tuple[Tensor, int]:
    """Algorithm 1 as written (black): fooled (N,), and the predictions spent, the clean ones included."""
    fooled, forwards = torch.zeros(len(images), dtype=torch.bool), 0
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        forwards += 1
        if model(image[None]).argmax() != label:
            raise ValueError(f"image {i} is misclassified at the start")
        order = region_sums(maps[i : i + 1], 4).flatten().sort(descending=True, stable=True).indices.tolist()
        for n, r in ((n, r) for n in range(1, count + 1) for r in range(1, radius + 1)):
            occluded = image.clone()
            for block in order[:n]:
                row, column = block // 8 * 4 + 2, block % 8 * 4 + 2
                occluded[:, max(row - r, 0) : row + r, max(column - r, 0) : column + r] = 0
            forwards += 1
            if model(occluded[None]).argmax() != label:
                fooled[i] = True
                break
    return fooled, forwards


@torch.inference_mode()
def pure_forwards(network: nn.Module, images: Tensor, batch: int) -> None:
    for part in images.split(batch):
        network(part.contiguous(memory_format=torch.channels_last))


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, model: Classifier, n: int, repeats: int) -> list[dict[str, Any]]:
    """The rows of one model on the first ``n`` test images that it classifies correctly."""
    images, labels = (part[: 4 * n] for part in load_cifar10("test"))
    right = correct(fold_batch_norm(model), images, labels).nonzero().flatten()[:n]
    images, labels = images[right], labels[right]
    maps = attribute(model, images, labels)
    hit = occlude(model, images, labels, maps)  # also warms up
    spent, network = int(hit.forwards.sum()), fold_batch_norm(model)
    batch = rows_for(images.device, images[0, 0].numel(), model.kind, "prediction")
    same = images[torch.arange(spent) % len(images)]
    every = int(grid_outcomes(model, images[:30], labels[:30], maps[:30]).forwards.sum())
    as_many = images[torch.arange(every) % len(images)]
    ours, theirs, pure, grid, bare = [], [], [], [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: occlude(model, images, labels, maps)))
        pure.append(seconds(lambda: pure_forwards(network, same, batch)))
        grid.append(seconds(lambda: grid_outcomes(model, images[:30], labels[:30], maps[:30])))
        bare.append(seconds(lambda: pure_forwards(network, as_many, batch)))
        started = time.perf_counter()
        fooled, loop_spent = loop(model, images, labels, maps, 10, 4)
        theirs.append(time.perf_counter() - started)
    differ = (fooled != hit.fooled).nonzero().flatten().tolist()
    if set(differ) - set(hit.close_calls):
        raise AssertionError(f"{name}: the loop and ours disagree on images {differ}, close calls {hit.close_calls}")
    mine, other, bound = median(ours) / len(images), median(theirs) / len(images), median(pure) / len(images)
    rate = f"{hit.fooled.double().mean():.0%} fooled, {len(hit.close_calls)} close calls, n={len(images)}"
    return [
        row(f"occlusion (10, 4), {name}: ms per image", 1e3 * mine, 1e3 * other, other / mine, f"vs loop; {rate}"),
        row(
            f"occlusion (10, 4), {name}: forwards per image",
            spent / len(images),
            loop_spent / len(images),
            loop_spent / spent,
            "vs loop, in Algorithm 1's order with a stop at the first success",
        ),
        row(
            f"occlusion (10, 4), {name}: masks per second",
            spent / len(images) / mine,
            spent / len(images) / bound,
            bound / mine,
            "vs as many pure forward passes of the folded model in its best batches",
        ),
        row(
            f"every mask of the grid, {name}: masks per second",
            every / median(grid),
            every / median(bare),
            median(bare) / median(grid),
            "vs as many pure forward passes of the folded model in its best batches",
        ),
    ]


def row(name: str, ours: float, other: float, ratio: float, note: str) -> dict[str, Any]:
    return {"name": name, "ours": round(ours, 2), "other": round(other, 2), "ratio": round(ratio, 2), "note": note}


def run(repeats: int = 3) -> list[dict[str, Any]]:
    """A row for each measure and network: both ResNets of the claim, and the other architecture."""
    return [line for name, n in MODELS.items() for line in compare(name, load_checkpoint(name), n, repeats)]


def main() -> None:
    rows = run()
    print(__doc__.split("\n\n")[0])
    print(table(rows))
    print(f"written to {write_csv('occlusion', rows)}")


if __name__ == "__main__":
    main()
