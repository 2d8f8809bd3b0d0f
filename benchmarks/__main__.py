"""``python -m benchmarks``: all of them, one after the other; ``python -m benchmarks training``: that one."""

import sys
from importlib import import_module

from . import page

NAMES = ("integrated_gradients", "occlusion", "training", "imagenet", "gpu", "grid")


def main(chosen: list[str]) -> None:
    if unknown := set(chosen) - set(NAMES):
        raise SystemExit(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    for name in chosen or NAMES:
        import_module(f"benchmarks.{name}").main()
    page.write()


if __name__ == "__main__":
    main(sys.argv[1:])
