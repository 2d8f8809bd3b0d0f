"""A profile's networks and chapters in pieces, for a GPU that is there for minutes only: an end at any moment loses at most one.

What is finished is read from the committed files alone, so another machine goes on where the last one stopped.
"""

import time
from collections.abc import Iterable, Sequence

import torch

from .._support.profiles import Profile, ProfileError, load_profile
from ..measure.reference import PAPER_SCALE_PROFILE, manifest, reference_folder, save_reference
from ..measure.verification import meets_floor, own_threat
from ..networks import REGISTRY, named
from ..show.words import percent
from ..training.floors import floor_of
from ..training.registration import train_and_register
from ..verdicts.scoreboard import write_reference_frames
from .execution import execute_chapter


def load_pieces(profile: str) -> Profile:
    """The profile, which must have an ``order``; ``ProfileError`` otherwise."""
    if not (values := load_profile(profile)).order:
        raise ProfileError(f"profile {profile} has no order, so it is not made of pieces; {PAPER_SCALE_PROFILE} is")
    return values


def finished(piece: str, profile: Profile) -> bool:
    """Whether a network is registered, or a chapter has measured all of its networks that are, as they are now, whole."""
    if piece not in profile.chapters:
        return piece in REGISTRY
    tables = manifest(reference_folder(profile.name)).get(piece, {})
    if not all(facts.get("whole", True) for facts in tables.values()):
        return False
    measured = {pair for facts in tables.values() for pair in facts["checkpoints"].items()}
    wanted = {(name, REGISTRY[name].sha256) for name in profile.chapters[piece].models if name in REGISTRY}
    return bool(wanted) and wanted <= measured


def states(profile: Profile) -> dict[str, bool]:
    return {piece: finished(piece, profile) for piece in profile.order}


def work(profile: str, *, device: str, minutes: float | None = None, only: str | None = None) -> list[str]:
    """Do the unfinished pieces, or ``only`` one, and start none after ``minutes``; returns those that failed."""
    if device == "cuda" and minutes != 0 and not torch.cuda.is_available():
        raise ValueError("torch sees no GPU here; --minutes 0 lists the pieces, --device cpu would take days")
    values, started, failed = load_pieces(profile), time.monotonic(), []
    if only is not None and only not in values.order:
        raise ValueError(f"unknown piece {only!r}; known: {', '.join(states(values))}")
    for piece in values.order if only is None else [only]:
        if only is None and (finished(piece, values) or piece in failed):
            continue
        if minutes is not None and time.monotonic() - started >= 60 * minutes:
            break
        begun = time.monotonic()
        print(f"{piece}: started", flush=True)
        try:
            _do(piece, values, device)
        except RuntimeError as problem:
            failed.append(piece)
            print(f"{piece}: failed: {problem}", flush=True)
        else:
            print(f"{piece}: done in {time.monotonic() - begun:.0f} s", flush=True)
    for piece, done in states(values).items():
        print(f"{'done' if done else 'remains':9s}{piece}")
    return failed


def _do(piece: str, profile: Profile, device: str) -> None:
    if piece not in profile.chapters:
        train_and_register(piece, device=device)
        return
    execute_chapter(piece, profile.name, device)
    save_reference(profile.name, piece)
    write_reference_frames(reference_folder(profile.name))


def markdown(profile: str) -> str:
    values = load_pieces(profile)
    found = states(values)
    remaining = [piece for piece, done in found.items() if not done]
    measured = [piece for piece in values.chapters if found.get(piece)]
    in_part = [p for p in values.chapters if p not in measured and p in manifest(reference_folder(profile))]
    also = f", and in part {', '.join(in_part)}" if in_part else ""
    nothing = "" if measured or in_part else "**Nothing of it has been measured yet.** "
    share = f"{len(measured)} of {len(set(values.order) & set(values.chapters))} chapters{also}"
    done = f"{len(found) - len(remaining)} of {len(found)} pieces"
    lines = [f"Measured at paper scale: {share}. {nothing}Finished: {done}.", *_networks()]
    lines += ["", "What remains, in this order:", ""] if remaining else []
    lines += [f"- {'execute' if piece in values.chapters else 'train'} `{piece}`" for piece in remaining]
    return "\n".join([*lines, ""])


def _networks() -> list[str]:
    """The full-size networks that are registered, with their accuracies on the full test set and their floors."""
    rows = []
    for name in REGISTRY.unshipped:
        entry, own, floor = REGISTRY[name], own_threat(REGISTRY[name]), floor_of(name)
        robust = percent(entry.test_robust[own].rate) if own else "—"
        floors = [f"{100 * share:.0f} %" for share in (floor.clean, floor.robust) if share is not None] if floor else []
        least = (" and ".join(floors) or "none was set") + (": **missed**" if meets_floor(name) is False else "")
        made = f"{entry.machine}, {entry.training_seconds:.0f} s"
        rows.append([named(name), str(entry.training["epochs"]), percent(entry.test_clean.rate), robust, least, made])
    columns = ["Network", "Epochs", "Clean accuracy", "PGD-20 at its own ε", "Floor", "Trained on"]
    return ["", markdown_table(columns, rows)] if rows else []


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])
