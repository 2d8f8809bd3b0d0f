"""Damage that tests do to files."""

import random
from collections.abc import Iterator
from pathlib import Path


def single_bit_flips(file: Path, count: int, within: int | None = None) -> Iterator[int]:
    """Flip one random bit of ``file`` at a time and give its place; it is back before the next one, and at the end.

    ``within``: only in so many bytes at its beginning.
    """
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
