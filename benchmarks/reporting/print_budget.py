"""What each method was given, as Markdown: ``python -m benchmarks.reporting.print_budget FILE``."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Print the page of the records in a CSV file as Markdown."""
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _print(options.records))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reporting.print_budget",
        description="Print what each method was given as Markdown.",
    )
    parser.add_argument("records", metavar="FILE", help="a suite's records.csv")
    return parser.parse_args(argv)


def _print(path: str) -> int:
    # pandas takes half a second, which --help and a mistyped option need not wait for
    from benchmarks.reporting.frames import read_csv
    from benchmarks.reporting.pages.budget import budget_page
    from benchmarks.reporting.table import markdown

    print(markdown(budget_page(read_csv(Path(path)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
