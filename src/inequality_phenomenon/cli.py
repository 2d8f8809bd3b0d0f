"""The ``inequality`` command: parsing only. What a command does stands in the room that it imports, when it is called."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click

ANYWHERE = ("data", "inspect", "register")  # commands that need no clone of the repository


class Commands(click.Group):
    """Answers an unknown command with the known ones."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        from ._support import paths

        try:
            found = super().resolve_command(context, arguments)
            if found[0] not in ANYWHERE and not paths.CLONED:
                raise click.ClickException(f"{found[0]}: {paths.NOT_CLONED}")
            return found
        except click.UsageError as problem:
            known = ", ".join(self.list_commands(context))
            raise click.UsageError(f"{problem.message} Known: {known}.", context) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. An expected failure is one message, without a traceback."""
    try:
        return commands.main(arguments, prog_name="inequality", standalone_mode=False) or 0
    except click.Abort:
        print("inequality: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (ValueError, RuntimeError, OSError) as problem:
        kept = ". What was finished is kept; the same command goes on from here"  # after a full disk
        print(f"inequality: {problem}{kept if isinstance(problem, OSError) else ''}", file=sys.stderr)
    return 1


@click.group(cls=Commands)
def commands() -> None:
    """The inequality phenomenon in l_inf adversarial training, measured again."""


def several(*options: Callable[..., Any]) -> Callable[..., Any]:
    """One decorator for several of click's."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def on_device(default: str, *others: str) -> Callable[..., Any]:
    return click.option("--device", default=default, show_default=True, type=click.Choice([default, *others]))


def profile(default: str, text: str | None = None) -> Callable[..., Any]:
    return click.option("--profile", default=default, show_default=True, help=text)


def folder(option: str, variable: str, text: str) -> Callable[..., Any]:
    """An option that sets what the environment ``variable`` does."""

    def use(context: click.Context, option: click.Parameter, given: str | None) -> None:
        if given:
            os.environ[variable] = str(Path(given).expanduser().resolve())

    return click.option(option, callback=use, expose_value=False, help=f"{text} ({variable}).")


folders = several(
    on_device("auto", "cpu", "cuda"),
    folder("--data", "INEQUALITY_IMAGENET", "The ImageNet validation folder"),
    folder("--models", "INEQUALITY_MODELS", "Folder of the public models' files"),
)
own_network = several(
    click.argument("factory", metavar="MODULE.py:FUNCTION"),
    click.option("--weights", help="safetensors, or a state dict of torch.save, of which no code runs."),
    click.option("--mean", nargs=3, type=float, help="What the network expects; without, pixels in [0, 1]."),
    click.option("--std", nargs=3, type=float),
)
image_set = click.argument("what", default="cifar10", type=click.Choice(["cifar10", "imagenette"]))
course_folder = click.option("--course", default="", help="The course folder (default: classroom).")


def say_registered(entry: Any) -> None:
    rates = {"clean": entry.test_clean} | entry.test_robust
    found = ", ".join(f"{threat} {accuracy.rate:.2%}" for threat, accuracy in rates.items())
    print(f"registered {entry.name}: {found}, n = {entry.test_clean.n}")


@commands.command("data")
@image_set
def _data(what: str) -> None:
    """Fetch and verify the images: CIFAR-10, or with ``imagenette`` the photographs of chapter 16, 160 MB."""
    from ._support import paths
    from .datasets import load_cifar10

    if what == "imagenette":
        from .imagenette import fetch_and_say

        fetch_and_say()
        return
    for split in ("train", "test"):
        images, _ = load_cifar10(split)
        print(f"CIFAR-10 {split}: {len(images)} images, digests verified, in {paths.data_folder()}")


@commands.command("train")
@click.argument("name")
@on_device("cpu", "cuda")
def _train(name: str, device: str) -> None:
    """Train a checkpoint by checkpoints/NAME.yaml, measure it and register it; resumes."""
    from .training.registration import train_and_register

    say_registered(train_and_register(name, device=device))


@commands.command("subset")
@image_set
def _subset(what: str) -> None:
    """Draw the common evaluation subset from the registered ResNet-18 ladder, or from the networks at 224 pixels."""
    from ._support import paths
    from .datasets import choose_common_subset, load_cifar10
    from .networks import LADDER, REGISTRY

    if what == "imagenette":
        from .imagenette import choose_photographs

        print(f"{len(choose_photographs())} photographs")
        return
    ladder = [name for name in REGISTRY if name in LADDER]
    ids = choose_common_subset(ladder, *load_cifar10("test"), paths.COMMON_SUBSET)
    print(f"{len(ids)} images, correct under {', '.join(ladder)}")


@commands.command("verify")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every registered checkpoint.")
@click.option("--images", default=1000, show_default=True, help="The first so many test images.")
@click.option("--full", is_flag=True, help="All 10,000 test images.")
def _verify(name: str | None, everything: bool, images: int, full: bool) -> int:
    """Measure a registered checkpoint again: registered rates, quality floors, flags of the evaluation.

    Exit code 0: all passed; 1: a check failed or a file is missing or altered; 2: wrong command line.
    """
    from .measure.verification import TEST_IMAGES, verify_and_say
    from .networks import REGISTRY

    if everything == (name is not None):
        raise ValueError(f"name a checkpoint or use --all; known: {', '.join(REGISTRY)}")
    return int(not verify_and_say([name] if name else list(REGISTRY), TEST_IMAGES if full else images))


@commands.command("inspect")
@own_network
@click.option("--data", default="cifar10", show_default=True, help="Or a safetensors file of images and labels.")
@click.option("--n", "n_images", default=300, show_default=True, help="Images that are measured.")
@click.option("--name", default="your network", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="card.html", show_default=True, help="Page, or folder.")
@on_device("auto", "cpu", "cuda")
def _inspect(factory: str, weights: str | None, data: str, out: Path, device: str, **options: Any) -> None:
    """Measure your own network as this book does its own; write a card, and say its verdict.

    FUNCTION, without arguments, returns the network. MODULE.py is imported, which runs its code: name only a file that you
    would run. A killed command goes on from where it was.
    """
    from .show.card import inspect_file

    report = inspect_file(factory, weights, data, device, **options)
    print("\n".join(report.sentences()))
    print(f"The card is {report.save_page(out) if out.suffix == '.html' else report.save(out)}")


@commands.command("register")
@click.argument("name")
@own_network
@click.option("--title", default="", help="As tables show it (default: NAME).")
@click.option("--n", "n_images", default=1000, show_default=True, help="Test images for its accuracies.")
def _register(name: str, **options: Any) -> None:
    """Put your own network for CIFAR-10 into the private registry INEQUALITY_REGISTRY: chapters take it by NAME.

    Its accuracies are measured first. MODULE.py is imported, now and whenever the network is used, which runs its code.
    """
    from .foreign import register_own

    say_registered(register_own(name, **options))


@commands.command("doctor")
@click.argument("what", required=False, type=click.Choice(["imagenet"]))
@folders
def _doctor(what: str | None, device: str) -> int:
    """Say what is here and what is missing. ``imagenet``: check an ImageNet set-up instead, and estimate it."""
    if what:
        from .imagenet.doctor import is_ready

        return int(not is_ready(device))
    from .book.doctor import is_complete

    return int(not is_complete())


@commands.command("execute")
@click.argument("chapter")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME YAML")
def _execute(chapter: str, target: Path, parameters: Sequence[tuple[str, str]]) -> None:
    """Execute one chapter into the file TARGET and say how long it took."""
    import yaml

    from .book.execution import execute

    execute(chapter, target, **{name: yaml.safe_load(value) for name, value in parameters})


@commands.command("run")
@click.argument("profile")
@click.argument("chapters", nargs=-1)
@folders
def _run(profile: str, chapters: Sequence[str], device: str) -> int:
    """Execute the chapters of a profile one by one, ImageNet's after a check; a killed run goes on.

    CHAPTERS: such as 01 03 (default: all of the profile).
    """
    from .book.execution import chosen_chapters, execute_chapter

    values, chosen = chosen_chapters(profile, chapters)
    if values.dataset == "imagenet":
        from .imagenet.doctor import is_ready

        if not is_ready(device):
            return 1
    for chapter in chosen:
        print(f"{chapter}: {execute_chapter(chapter, profile, device)}")
    return 0


@commands.command("grid")
@click.argument("job", nargs=-1)
def _grid(job: Sequence[str]) -> None:
    """Gather the records of the grid into one table, which says what is missing.

    JOB: what the workflow runs: train CHECKPOINT, measure CHECKPOINT ATTRIBUTION.
    """
    from .measure.grid import do

    do(*job)


@commands.command("build")
@click.argument("target", type=click.Choice(["book", "chapters", "grid"]))
@profile("laptop", "A file in profiles/, without its ending.")
@click.option("--cluster", default="", help="For the grid: a folder in profiles/, such as slurm; else this machine.")
def _build(target: str, profile: str, cluster: str) -> None:
    """Make what is not up to date of the chapters, of the whole book, or of the grid's cells."""
    from .book.workflow import make

    make(target, profile, cluster)


@commands.command("pieces")
@click.argument("profile", default="gpu")
@click.option("--minutes", type=float, help="Start no further piece after this time; 0 only lists them.")
@click.option("--only", metavar="PIECE", help="One network or chapter, again even if it is finished.")
@on_device("cuda", "cpu")
def _pieces(profile: str, **options: Any) -> int:
    """Train the networks and execute the chapters of a profile; finished ones are skipped."""
    from .book.pieces import work

    return int(bool(work(profile, **options)))


@commands.command("reference")
@profile("full")
def _reference(profile: str) -> None:
    """Make the last run's records the reference."""
    from .book.headline import make_reference

    make_reference(profile)


@commands.command("scoreboard")
@profile("laptop")
def _scoreboard(profile: str) -> None:
    """Write the scoreboard's page and CSV files."""
    from .book.headline import write_scoreboard

    write_scoreboard(profile)


@commands.command("pdf")
def _pdf() -> None:
    """Print the book into one PDF; needs a Chromium, and says what to do without."""
    from .book.printing import print_book

    print_book()


@commands.command("site")
def _site() -> None:
    """Put all that is published of the built book into _build/site."""
    from .book.publishing import assemble

    assemble()


@commands.command("release")
@course_folder
def _release(course: str) -> None:
    """Make the student notebooks of a class, and copies to work on."""
    from .classroom.course import release

    to_hand_out, to_work_on = release(course)
    print("To hand out:", *to_hand_out, sep="\n  ")
    print("To work on, never overwritten:", *to_work_on, sep="\n  ")


@commands.command("grade")
@course_folder
@click.argument("submissions")
@click.option("--jobs", type=int, help="Notebooks at a time (default: one for each core).")
@click.option("--cell-seconds", type=float, default=60, show_default=True, help="For one cell.")
@click.option("--notebook-seconds", type=float, default=900, show_default=True, help="For one notebook.")
@click.option("--memory", type=float, default=4, show_default=True, help="GiB a process.")
def _grade(**options: Any) -> int:
    """Grade SUBMISSIONS, a folder that has a folder for each student, into grades.csv of the course.

    Exit code 0: all graded; 1: something could not be graded, and is named.
    """
    from .classroom.grading import grade

    report = grade(**options)
    print(report)
    if report.not_graded:
        print("Not graded:", *report.not_graded, sep="\n  ", file=sys.stderr)
    return int(bool(report.not_graded))


if __name__ == "__main__":
    sys.exit(main())
