"""The commands behind ``make assignments`` and ``make grade``: ``python -m inequality_phenomenon.classroom``."""

import argparse
import sys
from collections.abc import Sequence

from ..datasets import DataError
from . import ClassroomError, grade, release


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``release`` or ``grade``. An expected failure prints one message and returns 1, as do submissions without marks."""
    parser = argparse.ArgumentParser(prog="classroom", description=__doc__)
    parser.add_argument("--course", default="", help="the course folder (classroom)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release", help="make the student files")
    grading = commands.add_parser("grade", help="grade submissions and write grades.csv")
    grading.add_argument("submissions", help="a folder that has a folder for each student")
    grading.add_argument("--jobs", type=int, help="notebooks at a time (one for each core)")
    grading.add_argument("--cell-seconds", type=float, help="for one cell (60)")
    grading.add_argument("--notebook-seconds", type=float, help="for one notebook (900)")
    grading.add_argument("--memory", type=float, help="GiB a process (4)")
    options = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        if options.pop("command") == "release":
            to_hand_out, to_work_on = release(**options)
            print("To hand out:", *to_hand_out, sep="\n  ")
            print("To work on, never overwritten:", *to_work_on, sep="\n  ")
            return 0
        report = grade(**options)
        print(report)
        if report.not_graded:
            print("Not graded:", *report.not_graded, sep="\n  ", file=sys.stderr)
        return int(bool(report.not_graded))
    except (ClassroomError, DataError, OSError) as problem:
        print(f"classroom: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("classroom: stopped; the next run goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
