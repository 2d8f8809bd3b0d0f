"""Damage that tests do to files and to processes."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def flip_bit(file: Path, place: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def single_bit_flips(file: Path, count: int, within: int | None = None) -> Iterator[int]:
    """Flip one random bit of the file, or of its first bytes, at a time and give its place; then it is put back."""
    chance = random.Random(0)
    with file.open("r+b", buffering=0) as stream:
        for bit in (chance.randrange(8 * (within or file.stat().st_size)) for _ in range(count)):
            stream.seek(bit // 8)
            byte = stream.read(1)[0]
            for value in (byte ^ 1 << bit % 8, byte):
                stream.seek(bit // 8)
                stream.write(bytes([value]))
                if value != byte:
                    yield bit


def killed_at_random(start: Callable[[Path], Any], folder: Path, kills: int, check: Callable[[Path], None]) -> None:
    """Start work in ``folder``/whole undisturbed, and in others, killed at random moments until all have ended.

    ``check`` compares what they left with ``folder``/whole.
    """
    started = time.monotonic()
    (whole := start(folder / "whole")).join()
    seconds = time.monotonic() - started
    assert whole.exitcode == 0
    chance, killed, runs = random.Random(0), 0, 0
    while killed < kills:
        own = folder / f"run{runs}"
        while True:
            process = start(own)
            process.join(timeout=chance.uniform(0, seconds) if killed < kills else None)
            if process.exitcode is not None:
                assert process.exitcode == 0, "what was killed does not go on"
                break
            process.kill()
            process.join()
            killed += 1
        check(own)
        runs += 1
