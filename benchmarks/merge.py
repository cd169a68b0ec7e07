"""python -m benchmarks.merge A B --out C: two labs' runs of one suite as one folder."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from benchmarks.cli import console, exit_code_of, printed_warnings, read_options
from mosaic.fl.errors import InputError, not_a_choice


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: the folder is written; 1: it is, without a part of the report; 2: a wrong
        option or folder, or cells with other numbers, and nothing is written; 128 + signal:
        stopped.
    """
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.merge",
        description="Unite two folders of one suite, and write tables and figures of the union.",
    )
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="a suite's folder")
    add("second", type=Path, metavar="B", help="the other one")
    add("--out", type=Path, required=True, metavar="C", help="the folder to write")
    add("--prefer", metavar="A|B", help="whose record to take of a cell that differs")
    return read_options(parser, argv)


def _command(options: argparse.Namespace) -> int:
    if options.prefer not in (None, "A", "B"):
        raise not_a_choice("--prefer", options.prefer, ("A", "B"))
    for folder in (options.first, options.second):
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}; give a suite's folder of results.")

    # pandas and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.reporting.parts import failure_lines
    from benchmarks.running.merge_folders import merge

    with printed_warnings():
        merged = merge(options.first, options.second, options.out, options.prefer)
    for conflict in merged.conflicts:
        _print("yellow", f"{options.prefer}'s record is taken of {conflict.text}")
    counts = ", ".join(f"{n} of {side}" for side, n in merged.counts.items())
    _print("green", f"wrote {options.out}: {counts}")
    for line in failure_lines(merged.failures):
        _print("red", f"missing: {line}")
    return 1 if merged.failures else 0


def _print(style: str, text: str) -> None:
    console.print(f"[{style}]{escape(text)}[/]", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
