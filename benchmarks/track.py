"""python -m benchmarks.track FOLDER --to mlflow: the records of a suite into a tracker."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import exit_code_of, printed_warnings, read_options
from benchmarks.tracking.names import check_tracker
from mosaic.fl.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: all cells are in the tracker; 1: some could not be written; 2: a wrong
        option or folder, or a tracker that cannot be opened; 128 + signal: stopped.
    """
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.track",
        description="Write the cells of suites' folders into a tracker. Cells that are there "
        "already are not written again.",
    )
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="a suite's folder")
    add(
        "--to",
        required=True,
        metavar="TRACKER",
        help="mlflow[:URI] | tensorboard[:DIR] | wandb (docs/other-tools.md)",
    )
    return read_options(parser, argv)


def _command(options: argparse.Namespace) -> int:
    check_tracker(options.to, "--to")

    # pandas and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.running.records import all_records
    from benchmarks.tracking.tracking import Tracking, open_tracker

    paths = []
    with printed_warnings():
        for folder in options.folders:
            found = all_records(folder)
            if not found:
                raise InputError(
                    f"{folder} has no records; give a suite's folder, as results/mine."
                )
            paths += found
        out = options.folders[0].resolve().parent
        tracking = Tracking(open_tracker(options.to, out, "--to"))
        return 0 if tracking.finish(paths) else 1


if __name__ == "__main__":
    sys.exit(main())
