"""The ``inequality`` command: parsing only. ``cli.yaml`` lists the commands; what one does is imported when it is called."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import yaml

IMAGENET = "imagenet"
COMMANDS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
TYPES = {"int": int, "float": float, "path": click.Path(path_type=Path)}


class Commands(click.Group):
    """Answers an unknown command with the known ones."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        from ._support import paths

        try:
            found = super().resolve_command(context, arguments)
            if not COMMANDS[str(found[0])].get("anywhere") and not paths.CLONED:
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
    except (ValueError, RuntimeError) as problem:
        print(f"inequality: {problem}", file=sys.stderr)
    except OSError as problem:  # a full disk, a folder that may only be read
        print(f"inequality: {problem}. What was finished is kept; the same command goes on from here", file=sys.stderr)
    return 1


def _command(name: str, calls: str, help: str, parameters: Sequence[list[Any]] = (), **facts: Any) -> click.Command:
    """The command of an entry of ``cli.yaml``."""

    def call(**given: Any) -> int:
        room, _, function = calls.rpartition(":")
        called = getattr(import_module(f".{room}", __package__), function) if room else globals()[function]
        return int(bool(called(**given)) is facts.get("fails_if"))

    return click.Command(name, callback=call, help=help, params=[_parameter(*entry) for entry in parameters])


def _parameter(*entry: Any) -> click.Parameter:
    names, options = ([*entry[:-1]], dict(entry[-1])) if isinstance(entry[-1], dict) else ([*entry], {})
    variable, kind, choice = (options.pop(key, None) for key in ("sets", "type", "choice"))
    options["type"] = click.Choice(choice) if choice else TYPES.get(kind)
    if variable:  # a folder, given as in the environment variable of the same meaning
        options |= {"expose_value": False, "callback": lambda context, option, folder: _set(variable, folder)}
    return (click.Option if names[0].startswith("-") else click.Argument)(names, **options)


def _set(variable: str, folder: str | None) -> None:
    if folder:
        os.environ[variable] = str(Path(folder).expanduser().resolve())


def _data() -> None:
    from ._support import paths
    from .datasets import load_cifar10

    for split in ("train", "test"):
        images, _ = load_cifar10(split)
        print(f"CIFAR-10 {split}: {len(images)} images, digests verified, in {paths.data_folder()}")


def _train(name: str, device: str) -> None:
    from .training.registration import train_and_register

    entry = train_and_register(name, device=device)
    robust = ", ".join(f"{threat} {accuracy.rate:.2%}" for threat, accuracy in entry.test_robust.items())
    print(f"registered {entry.name}: clean {entry.test_clean.rate:.2%}, {robust}")


def _subset() -> None:
    from .datasets import choose_common_subset
    from .networks import LADDER, REGISTRY, load_checkpoint

    ladder = [name for name in REGISTRY if name in LADDER]
    ids = choose_common_subset(
        {name: load_checkpoint(name) for name in ladder}, {name: REGISTRY[name].sha256 for name in ladder}
    )
    print(f"{len(ids)} images, correct under {', '.join(ladder)}")


def _verify(name: str | None, everything: bool, images: int, full: bool) -> bool:
    from .measure.verification import TEST_IMAGES, verify_and_say
    from .networks import REGISTRY

    if everything == (name is not None):
        raise ValueError(f"name a checkpoint or use --all; known: {', '.join(REGISTRY)}")
    return verify_and_say([name] if name else list(REGISTRY), TEST_IMAGES if full else images)


def _inspect(factory: str, weights: str | None, data: str, out: Path, device: str, **options: Any) -> None:
    from .show.card import inspect_file

    report = inspect_file(factory, weights, data, device, **options)
    print("\n".join(report.sentences()))
    print(f"The card is {report.save_page(out) if out.suffix == '.html' else report.save(out)}")


def _register(name: str, **options: Any) -> None:
    from .foreign import register_own

    entry = register_own(name, **options)
    robust = ", ".join(f"{threat} {accuracy.rate:.1%}" for threat, accuracy in entry.test_robust.items())
    print(f"registered {name}: clean {entry.test_clean.rate:.1%}, {robust}, n = {entry.test_clean.n}")


def _doctor(what: str | None, device: str) -> bool:
    if what == IMAGENET:
        from .imagenet.doctor import is_ready

        return is_ready(device)
    from .book.doctor import is_complete

    return is_complete()


def _execute(chapter: str, target: Path, parameters: Sequence[tuple[str, str]]) -> None:
    from .book.execution import execute_and_say

    execute_and_say(chapter, target, **{name: yaml.safe_load(value) for name, value in parameters})


def _run(profile: str, chapters: Sequence[str], device: str) -> bool:
    from .book.execution import chosen_chapters, execute_chapter

    values, chosen = chosen_chapters(profile, chapters)
    if values.dataset == IMAGENET and not _doctor(IMAGENET, device):
        return False
    for chapter in chosen:
        print(f"{chapter}: executing")
        print(f"{chapter}: {execute_chapter(chapter, profile, device)}")
    return True


def _grid(job: Sequence[str]) -> None:
    from .measure.grid import do

    do(*job)


def _release(course: str) -> None:
    from .classroom.course import release

    to_hand_out, to_work_on = release(course)
    print("To hand out:", *to_hand_out, sep="\n  ")
    print("To work on, never overwritten:", *to_work_on, sep="\n  ")


def _grade(**options: Any) -> bool:
    from .classroom.grading import grade

    report = grade(**options)
    print(report)
    if report.not_graded:
        print("Not graded:", *report.not_graded, sep="\n  ", file=sys.stderr)
    return bool(report.not_graded)


commands = Commands(
    help="The inequality phenomenon in l_inf adversarial training, measured again.",
    commands={name: _command(name, **entry) for name, entry in COMMANDS.items()},
)

if __name__ == "__main__":
    sys.exit(main())
