"""Aim: on a GPU, Integrated Gradients with 20 steps on a ResNet-50 at 224x224 reach at least 90 % of the rate of nothing but
forward and backward passes through the same network at its best batch size.

The weights are random: speed does not depend on them. What may be lost is drawing the baselines, building the path and adding
up. On a CPU the batches are small and the same ratio is printed; the images a second are what the book's estimates use.
"""

import torch
from torch import Tensor, nn

from inequality_phenomenon.attribution import attribute
from inequality_phenomenon.networks import build, fold_batch_norm

from .measure import Row, interleaved, table, write_csv

STEPS, AIM = 20, 0.9
SIZES = {"cpu": (2, (4, 8, 20), 1), "cuda": (100, (50, 100, 200, 400, 800), 3)}  # images, batches, repetitions


def passes(network: nn.Module, images: Tensor, batch: int, total: int) -> None:
    """``total`` forward and backward passes, to the input, and nothing else."""
    for start in range(0, total, batch):
        part = images[: min(batch, total - start)].clone().requires_grad_()
        torch.autograd.grad(network(part)[:, 0].sum(), part)
    if images.is_cuda:
        torch.cuda.synchronize()


def fits(network: nn.Module, images: Tensor, batch: int) -> bool:
    try:
        passes(network, images, batch, batch)
    except torch.OutOfMemoryError:
        return False
    return True


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count, batches, repetitions = SIZES[device]
    model = build("imagenet_resnet50").to(device).eval()
    network = fold_batch_norm(model.network)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 224, 224, generator=generator).to(device)
    labels = torch.zeros(count, dtype=torch.int64, device=device)
    rows = model.normalise(images).repeat(-(-max(batches) // count), 1, 1, 1)
    rows = rows.contiguous(memory_format=torch.channels_last)
    variants = {
        f"passes {batch}": lambda batch=batch: passes(network, rows, batch, count * STEPS)
        for batch in batches
        if fits(network, rows, batch)
    }

    def ours() -> None:
        attribute(model, images, labels, "integrated_gradients", steps=STEPS)

    seconds = interleaved({"ours": ours, **variants}, repetitions)
    best = min(variants, key=lambda name: seconds[name])
    row: Row = {
        "network": "ResNet-50",
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "images": count,
        "steps": STEPS,
        "best_batch": int(best.split()[1]),
        "passes_per_s": count * STEPS / seconds[best],
        "attribute_passes_per_s": count * STEPS / seconds["ours"],
        "ratio": seconds[best] / seconds["ours"],
    }
    print(f"Integrated Gradients on a ResNet-50 against pure forward and backward passes (aim on a GPU: {AIM})")
    print(table([row]))
    print(f"written to {write_csv('imagenet', [row])}\n")


if __name__ == "__main__":
    main()
