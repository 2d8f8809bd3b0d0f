"""Batches that become smaller when the memory does not suffice."""

import gc
import sys
from collections.abc import Callable

import torch
from tqdm import tqdm

SMALL = 64 * 64  # pixels of images for which the callers' numbers were chosen
LEAST = 8  # below that a CPU is slower


def rows_for(device: torch.device, pixels: int, *, small: int) -> int:
    """Images in one pass through a network: ``small`` of up to 64x64 pixels, fewer of larger ones on a CPU.

    On a GPU the number may be too large: ``for_batches`` halves it when the memory is used up.
    """
    return small if device.type != "cpu" or pixels <= SMALL else max(LEAST, small * 32 * 32 // pixels)


def for_batches(
    count: int,
    rows: int,
    work: Callable[[slice, int], None],
    *,
    rows_per_item: int = 1,
    description: str = "",
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
                    raise MemoryError(
                        "the memory does not suffice for a single image: close other programs"
                    ) from problem
                rows //= 2
                bar.write(
                    f"{description or 'prediction'}: out of memory, going on with {rows} at once", file=sys.stderr
                )
            else:
                bar.update(part.stop - start)
                start = part.stop
                continue
            release()  # outside of the handler: the error's traceback would keep the tensors alive
    return rows


def is_out_of_memory(problem: RuntimeError) -> bool:
    """Whether PyTorch's allocator, on a GPU or a CPU, is out of memory."""
    return isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in str(problem)


def release() -> None:
    """Free what a failed batch left behind, and the GPU memory that PyTorch keeps for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
