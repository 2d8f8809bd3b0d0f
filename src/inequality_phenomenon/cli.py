"""The ``inequality`` command: data, train, subset, verify, run, pieces, grid, reference, doctor."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from ._support import paths
from ._support.files import DamagedFile, atomic_path
from ._support.profiles import ProfileError, load_profile
from .datasets import DataError, choose_common_subset, load_cifar10
from .networks import LADDER, REGISTRY, CheckpointError, load_checkpoint

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
    except OSError as problem:  # a full disk, a folder that may only be read
        print(f"inequality: {problem}. What was finished is kept; the same command goes on from here", file=sys.stderr)
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
    verify = add(
        "verify",
        _verify,
        "measure a registered checkpoint again: registered rates, quality floors, flags of the evaluation. "
        "Exit code 0: all passed; 1: a check failed or a file is missing or altered; 2: wrong command line",
    )
    verify.add_argument("name", nargs="?")
    verify.add_argument("--all", action="store_true", help="every registered checkpoint")
    verify.add_argument(
        "--images", type=int, default=VERIFY_IMAGES, help=f"the first so many test images ({VERIFY_IMAGES})"
    )
    verify.add_argument("--full", action="store_true", help="all 10,000 test images")
    reference = add("reference", _reference, "make the records of the last run the committed reference")
    reference.add_argument("--profile", default="full")
    cells = add("grid", _grid, "gather the records of the grid into one table, which says what is missing")
    cells.add_argument(
        "job", nargs="*", help="what the workflow runs: train CHECKPOINT, measure CHECKPOINT ATTRIBUTION"
    )
    board = add("scoreboard", _scoreboard, "write the scoreboard page and its CSV files from the executed chapters")
    board.add_argument("--profile", default="laptop")
    run = add(
        "run", _run, "execute the chapters of a profile one by one, ImageNet's after a check; a killed run goes on"
    )
    run.add_argument("profile")
    run.add_argument("chapters", nargs="*", help="such as 01 03 (default: all of the profile)")
    pieces = add(
        "pieces",
        _pieces,
        "train the networks and execute the chapters of a profile one by one; finished ones are skipped",
    )
    pieces.add_argument("profile", nargs="?", default="gpu")
    pieces.add_argument("--minutes", type=float, help="start no further piece after this time; 0 only lists them")
    pieces.add_argument("--only", metavar="PIECE", help="one network or chapter, again even if it is finished")
    pieces.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    doctor = add("doctor", _doctor, "say what is here and what is missing")
    doctor.add_argument(
        "what", nargs="?", choices=["imagenet"], help="check an ImageNet set-up instead, and estimate it"
    )
    for command in (run, doctor):
        command.add_argument("--data", help="the ImageNet validation folder (INEQUALITY_IMAGENET)")
        command.add_argument("--models", help="folder of the public models' files (INEQUALITY_MODELS)")
        command.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    return parser


def _data(options: argparse.Namespace) -> int:
    for split in ("train", "test"):
        images, _ = load_cifar10(split)
        print(f"CIFAR-10 {split}: {len(images)} images, digests verified, in {paths.data_folder()}")
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


def _verify(options: argparse.Namespace) -> int:
    """0 where every check passed; 1 where one failed or a checkpoint could not be loaded. All are tried."""
    from .measure.verification import FOLDER_LIMIT, folder_size, verify

    if not 1 <= options.images <= 10_000:
        raise ValueError(f"--images must lie between 1 and 10000, the size of the test set; got {options.images}")
    if options.all == (options.name is not None):
        raise ValueError(f"name a checkpoint or use --all; known: {', '.join(REGISTRY)}")
    names = list(REGISTRY) if options.all else [options.name]
    own = [*REGISTRY, *REGISTRY.unshipped]
    if public := [name for name in names if name in REGISTRY and name not in own]:
        raise ValueError(f"{public[0]} does not ship with the project; `inequality doctor imagenet` checks its file")
    images, labels = load_cifar10("test")
    if not options.full:
        images, labels = images[: options.images], labels[: options.images]
    failed = []
    for name in names:
        try:
            checks = [(check.text, check.passed) for check in verify(name, images, labels)]
        except CheckpointError as problem:
            checks = [(str(problem), False)]
        for text, passed in checks:
            print(f"{name}  {text}  {'ok' if passed else 'FAILED'}", flush=True)
        failed += [] if all(passed for _, passed in checks) else [name]
    print(
        f"{len(names) - len(failed)} of {len(names)} checkpoints verified{': not ' if failed else ''}{', '.join(failed)}"
    )
    small = folder_size() <= FOLDER_LIMIT
    print(f"checkpoints/ {folder_size() / 1e6:.1f} MB of {FOLDER_LIMIT / 1e6:.0f} MB  {'ok' if small else 'FAILED'}")
    return int(bool(failed) or not small)


def _reference(options: argparse.Namespace) -> int:
    from .measure.results import reference_folder, save_reference
    from .verdicts.scoreboard import write_reference_frames

    save_reference(options.profile)
    write_reference_frames(folder := reference_folder(options.profile))
    if folder == paths.REFERENCE:
        write_headline()
    return 0


def _pieces(options: argparse.Namespace) -> int:
    from .book.pieces import work

    if options.device == "cuda" and options.minutes != 0 and not torch.cuda.is_available():
        raise ValueError("torch sees no GPU here; --minutes 0 lists the pieces, --device cpu would take days")
    failed = work(options.profile, device=options.device, minutes=options.minutes, only=options.only)
    return int(bool(failed))


def _grid(options: argparse.Namespace) -> int:
    from .measure.grid import load_grid, measure_cell, train_if_missing, write_table

    match options.job:
        case []:
            print(write_table())
        case ["train", checkpoint]:
            train_if_missing(checkpoint)
        case ["measure", checkpoint, attribution]:
            measure_cell((grid := load_grid()).cell(checkpoint, attribution), grid)
        case _:
            raise ValueError(
                f"unknown job {' '.join(options.job)!r}; known: train NAME, measure NAME ATTRIBUTION, or none"
            )
    return 0


def _scoreboard(options: argparse.Namespace) -> int:
    from .book.pieces import markdown
    from .measure.results import PAPER_SCALE_PROFILE
    from .show.scoreboard import page
    from .verdicts.scoreboard import beside, paper_scale_frames, reference_frames, run_frames, write_csv

    reference, this_run = reference_frames(), run_frames(options.profile)
    write_csv(beside(reference[0], this_run[0], ["claim", "test"]), paths.GENERATED / "scoreboard_claims.csv")
    write_csv(beside(reference[1], this_run[1], ["id"]), paths.GENERATED / "scoreboard_values.csv")
    with atomic_path(paths.GENERATED / "scoreboard.md") as temporary:
        temporary.write_text(page(reference, this_run, options.profile, paper_scale_frames()), "utf-8")
    with atomic_path(paths.GENERATED / "pieces.txt") as temporary:
        temporary.write_text(markdown(PAPER_SCALE_PROFILE), "utf-8")
    return 0


def write_headline() -> None:
    """Put the reference run's numbers and figure into README and welcome page, between their markers."""
    from .show import headline_figure, headline_markdown, one_mask_markdown
    from .show.panel import distillation_markdown
    from .show.scoreboard import counts_markdown, main_claims_markdown
    from .verdicts.scoreboard import paper_scale_frames, reference_frames

    figure, frames = headline_figure(), reference_frames()
    assert figure.png
    claims = main_claims_markdown(frames, paper_scale_frames())
    sentences = [one_mask_markdown(), distillation_markdown()]
    tables = "\n\n".join([headline_markdown(), claims, *filter(None, sentences), counts_markdown(frames)])
    with atomic_path(paths.HEADLINE_FIGURE) as temporary:
        temporary.write_bytes(figure.png)
    for page, picture in (
        (paths.ROOT / "README.md", "book/static/headline.png"),
        (paths.BOOK / "index.md", "static/headline.png"),
    ):
        block = f"![{figure.alt}]({picture})\n\n{tables}"
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        with atomic_path(page) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n\n{block}\n\n{END}{after}", "utf-8")


BEGIN, END = "<!-- headline: written by `inequality reference` -->", "<!-- end of headline -->"


def _use_folders(options: argparse.Namespace) -> None:
    """The folders of the command line, as the environment variables that the notebooks see too."""
    for variable, value in (("INEQUALITY_IMAGENET", options.data), ("INEQUALITY_MODELS", options.models)):
        if value:
            os.environ[variable] = str(Path(value).expanduser().resolve())


def _imagenet_doctor(device: str) -> int:
    """Print every finding; 1 where one of them would stop a run."""
    from .imagenet.doctor import examine

    problems = 0
    for line in examine(device=device):
        print(line, flush=True)
        problems += line.state == "PROBLEM"
    print(f"{problems} problems" if problems else "ready: inequality run imagenet")
    return int(problems > 0)


def _run(options: argparse.Namespace) -> int:
    """Into book/_executed/PROFILE/; progress with the time left goes to the terminal."""
    from .book.execution import execute_chapter

    _use_folders(options)
    profile = load_profile(options.profile)
    chosen = [name for name in profile.chapters if not options.chapters or name[:2] in options.chapters]
    if unknown := set(options.chapters) - {name[:2] for name in profile.chapters}:
        known = ", ".join(name[:2] for name in profile.chapters)
        raise ValueError(f"profile {profile.name} has no chapter {', '.join(sorted(unknown))}; it has: {known}")
    if profile.dataset == "imagenet" and _imagenet_doctor(options.device):
        return 1
    for chapter in chosen:
        print(f"{chapter}: executing")
        print(f"{chapter}: {execute_chapter(chapter, profile.name, options.device)}")
    return 0


def _lock_text() -> str:
    """How old the locked versions are: a list of known vulnerabilities does not ship with the project."""
    command = ["git", "log", "-1", "--format=%cs", "--", "requirements.lock"]
    try:
        day = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout.strip()
        age = (date.today() - date.fromisoformat(day)).days
    except (OSError, subprocess.CalledProcessError, ValueError):
        return "requirements.lock, of unknown age"
    return f"requirements.lock of {day}, {age} days old; `pip-audit --disable-pip -r requirements.lock` audits them"


def _doctor(options: argparse.Namespace) -> int:
    """One line a thing; 1 where something that `make book` needs is missing."""
    if options.what == "imagenet":
        _use_folders(options)
        return _imagenet_doctor(options.device)
    print(f"project folder   {paths.ROOT}")
    print(f"packages         {_lock_text()}")
    print(f"torch            {torch.__version__}, {torch.get_num_threads()} threads, GPU: {torch.cuda.is_available()}")
    try:
        load_cifar10("test")
        print(f"CIFAR-10         verified in {paths.data_folder()}")
    except DataError as problem:
        print(f"CIFAR-10         {problem}")
        return 1
    for name in REGISTRY:
        load_checkpoint(name)
        print(f"checkpoint       {name} verified")
    for name in REGISTRY.unshipped:
        print(f"not shipped      {name}: {REGISTRY[name].remake}")
    planned = sorted(path.stem for path in paths.CHECKPOINTS.glob("cifar10-*.yaml") if path.stem not in REGISTRY)
    for name in planned:
        print(f"not trained yet  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
