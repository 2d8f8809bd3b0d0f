"""Batches: how many images at once, and fewer where the memory does not suffice."""

import gc
import sys
from collections.abc import Callable
from typing import Literal

import torch
from tqdm import tqdm

Work = Literal["gradient", "prediction"]

SMALL = 64 * 64  # pixels up to which the numbers for 32x32 hold
LEAST = 8  # below that a CPU is slower
ON_GPU = {"gradient": 400, "prediction": 1000}  # ``for_batches`` halves them where the memory is used up

# Rows that a CPU is fastest with at 32x32, measured as its time a row, with one thread: their activations stay in its
# cache. By ``Classifier.kind``. DenseNet-121 was not measured; it has those of the unknown.
ON_CPU: dict[str, dict[Work, int]] = {
    "resnet18 width=16": {"gradient": 60, "prediction": 128},
    "resnet18 width=64": {"gradient": 60, "prediction": 64},
    "densenet_bc depth=40 growth=12": {"gradient": 40, "prediction": 64},
    "densenet_bc depth=[6, 12, 24, 16] growth=32": {"gradient": 40, "prediction": 64},
}
UNKNOWN: dict[Work, int] = {"gradient": 40, "prediction": 64}


def rows_for(device: torch.device, pixels: int, kind: str, work: Work) -> int:
    """Images in one pass through a network of this ``kind``: the measured number, or one that no network is slow with.

    On a CPU fewer of images of more than 64x64 ``pixels``, down to 8, so that as much is computed at once.
    """
    if device.type != "cpu":
        return ON_GPU[work]
    rows = ON_CPU.get(kind, UNKNOWN)[work]
    return rows if pixels <= SMALL else max(LEAST, rows * 32 * 32 // pixels)


def for_batches(
    count: int,
    rows: int,
    work: Callable[[slice, int], None],
    *,
    rows_per_item: int = 1,
    description: str = "prediction",
    progress: bool = False,
) -> int:
    """Call ``work(part, rows)`` for consecutive parts of ``count`` items; returns the number of rows that fitted.

    A part has as many items as ``rows`` rows of a batch hold, at least one; the bar counts items. After an out-of-memory
    error rows are halved and the same part is tried again, so ``work`` must not leave anything half done. Raises
    ``MemoryError`` where a single row does not fit.
    """
    start = 0
    with tqdm(total=count, desc=description, unit="image", disable=not progress, leave=False) as bar:
        while start < count:
            part = slice(start, min(count, start + max(1, rows // rows_per_item)))
            try:
                work(part, rows)
            except RuntimeError as problem:
                if not is_out_of_memory(problem):
                    raise
                if rows == 1:
                    raise MemoryError("memory does not suffice for a single image: close other programs") from problem
                rows //= 2
                bar.write(f"{description}: out of memory, going on with {rows} at once", file=sys.stderr)
            else:
                bar.update(part.stop - start)
                start = part.stop
                continue
            free_memory()  # outside of the handler: the error's traceback would keep the tensors alive
    return rows


def is_out_of_memory(problem: RuntimeError) -> bool:
    """Whether PyTorch's allocator, on a GPU or a CPU, is out of memory."""
    return isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in str(problem)


def free_memory() -> None:
    """Free what a failed batch left behind, and the GPU memory that PyTorch keeps for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
