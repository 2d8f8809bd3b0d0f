"""The ``inequality`` command: data, train, subset, verify, run, reference, doctor."""

import argparse
import sys
from collections.abc import Callable

import torch

from .datasets import DataError, choose_common_subset, load_cifar10
from .files import DamagedFile, atomic_path
from .models import REGISTRY, CheckpointError, fold_batch_norm, load_checkpoint
from .paths import BOOK, CHECKPOINTS, HEADLINE_FIGURE, ROOT, data_folder
from .profiles import ProfileError
from .robustness import Threat, correct, robust_correct
from .statistics import wilson

VERIFY_IMAGES = 1000  # the first test images: fixed, about a minute on two cores


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; expected failures print one message and return 1."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (DataError, CheckpointError, DamagedFile, ProfileError, ValueError, RuntimeError) as problem:
        print(f"inequality: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("inequality: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inequality", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    add("data", _data, "fetch and verify CIFAR-10")
    train = add("train", _train, "train a checkpoint by checkpoints/NAME.yaml, measure it and register it; resumes")
    train.add_argument("name")
    train.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    add("subset", _subset, "draw the common evaluation subset from the registered ResNet-18 ladder")
    verify = add("verify", _verify, "measure a registered checkpoint again and compare with its registry entry")
    verify.add_argument("name", nargs="?")
    verify.add_argument("--all", action="store_true", help="every registered checkpoint")
    verify.add_argument(
        "--images", type=int, default=VERIFY_IMAGES, help=f"the first so many test images ({VERIFY_IMAGES})"
    )
    verify.add_argument("--full", action="store_true", help="all 10,000 test images")
    reference = add("reference", _reference, "make the records of the last run the committed reference")
    reference.add_argument("--profile", default="full")
    add("doctor", _doctor, "say what is here and what is missing")
    return parser


def _data(options: argparse.Namespace) -> int:
    for split in ("train", "test"):
        images, _ = load_cifar10(split)
        print(f"CIFAR-10 {split}: {len(images)} images, digests verified, in {data_folder()}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from .training import train_and_register

    entry = train_and_register(options.name, device=options.device)
    print(f"registered {entry.name}: clean {entry.test_clean.rate:.2%}, " + _robust_text(entry.test_robust))
    return 0


def _robust_text(robust: dict) -> str:
    return ", ".join(f"{threat} {accuracy.rate:.2%}" for threat, accuracy in robust.items())


def _subset(options: argparse.Namespace) -> int:
    ladder = [name for name in REGISTRY if name in LADDER]
    ids = choose_common_subset(
        {name: load_checkpoint(name) for name in ladder}, {name: REGISTRY[name].sha256 for name in ladder}
    )
    print(f"{len(ids)} images, correct under {', '.join(ladder)}")
    return 0


LADDER = tuple(f"cifar10-resnet18w16-{kind}-s0" for kind in ("standard", "linf1", "linf2", "linf4", "linf8"))


def _verify(options: argparse.Namespace) -> int:
    names = list(REGISTRY) if options.all else [options.name]
    if names == [None]:
        raise ValueError(f"name a checkpoint or use --all; known: {', '.join(REGISTRY)}")
    images, labels = load_cifar10("test")
    if not options.full:
        images, labels = images[: options.images], labels[: options.images]
    return max(_verify_one(name, images, labels) for name in names)


def _verify_one(name: str, images: torch.Tensor, labels: torch.Tensor) -> int:
    """Print both accuracies beside the registered ones; 1 where an interval misses the registered rate."""
    entry = REGISTRY[name]
    model = load_checkpoint(name)
    measured = {"clean": (correct(fold_batch_norm(model), images, labels), entry.test_clean)}
    for text, registered in entry.test_robust.items():
        survives = robust_correct(model, images, labels, Threat.parse(text), progress=True)
        measured[text] = (survives, registered)
    missed = 0
    for text, (found, registered) in measured.items():
        estimate = wilson(int(found.sum()), len(found))
        inside = estimate.low <= registered.rate <= estimate.high
        missed += not inside
        print(
            f"{name}  {text:12s} {estimate.value:7.2%} [{estimate.low:.2%}, {estimate.high:.2%}] n={estimate.n}"
            f"  registered {registered.rate:.2%} n={registered.n}  {'ok' if inside else 'OUTSIDE THE INTERVAL'}"
        )
    return int(missed > 0)


def _reference(options: argparse.Namespace) -> int:
    from .results import save_reference

    save_reference(options.profile)
    write_headline()
    return 0


def write_headline() -> None:
    """Put the reference run's numbers and figure into README and welcome page, between their markers."""
    from .figures import headline_figure, headline_markdown

    figure = headline_figure()
    assert figure.png
    with atomic_path(HEADLINE_FIGURE) as temporary:
        temporary.write_bytes(figure.png)
    for page, picture in ((ROOT / "README.md", "book/static/headline.png"), (BOOK / "index.md", "static/headline.png")):
        block = f"![{figure.alt}]({picture})\n\n{headline_markdown()}"
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        with atomic_path(page) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")


BEGIN, END = "<!-- headline: written by `inequality reference` -->", "<!-- end of headline -->"


def _doctor(options: argparse.Namespace) -> int:
    """One line a thing; 1 where something that `make book` needs is missing."""
    print(f"project folder   {ROOT}")
    print(f"torch            {torch.__version__}, {torch.get_num_threads()} threads, GPU: {torch.cuda.is_available()}")
    try:
        load_cifar10("test")
        print(f"CIFAR-10         verified in {data_folder()}")
    except DataError as problem:
        print(f"CIFAR-10         {problem}")
        return 1
    for name in REGISTRY:
        load_checkpoint(name)
        print(f"checkpoint       {name} verified")
    planned = sorted(path.stem for path in CHECKPOINTS.glob("cifar10-*.yaml") if path.stem not in REGISTRY)
    for name in planned:
        print(f"not trained yet  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
