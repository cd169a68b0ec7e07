"""python -m benchmarks.report FOLDER [FOLDER ...]: records as one page, report.html."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from benchmarks.cli import console, exit_code_of, printed_warnings, read_options
from benchmarks.reporting.paper_styles import STYLE_HELP, check_style
from mosaic.fl.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from benchmarks.planning.suite import Suite
    from benchmarks.reporting.page.sources import Sources


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: the page is written; 1: it is, without a part that could not be made; 2: a
        wrong option or folder; 128 + signal: stopped.
    """
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Write the records of one or several suites' folders as one page. It opens by "
        "double click and needs no network.",
    )
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="a suite's folder")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html in the folder; of several folders: in this one)",
    )
    add("--reference", metavar="LABEL", help="the method that the others are compared with")
    add("--style", default="", help=STYLE_HELP)
    return read_options(parser, argv)


def _command(options: argparse.Namespace) -> int:
    check_style(options.style)

    # pandas and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.reporting.figures.papers import write_paper_figures
    from benchmarks.reporting.page.sources import read_folders
    from benchmarks.reporting.page.write import NAME, write_page
    from benchmarks.reporting.parts import Failures, failure_lines, part

    with printed_warnings():
        sources = read_folders(options.folders)
        reference = _reference(options.reference, sources)
        path = options.out
        if path is None:
            path = (sources.folders[0] if len(sources.folders) == 1 else Path()) / NAME
        if not path.resolve().parent.is_dir() or path.is_dir():
            raise InputError(f"cannot write {path}; give --out FILE in a folder that exists.")
        failures: Failures = []
        write_page(sources, reference, path, failures)
        if options.style:
            figures = path.parent / "figures"
            with part("the figures for a paper", failures):
                write_paper_figures(sources.records, figures, options.style, failures=failures)
                text = f"wrote {figures / options.style}, figures for a paper"
                console.print(escape(text), highlight=False, soft_wrap=True)

    size = path.stat().st_size / 1e6
    text = f"wrote {path} ({size:.1f} MB); open it in a browser"
    console.print(escape(text), highlight=False, soft_wrap=True)
    for line in failure_lines(failures):
        console.print(f"[red]missing:[/] {escape(line)}", highlight=False, soft_wrap=True)
    return 1 if failures else 0


def _reference(given: str | None, sources: "Sources") -> str:
    """The label that was given, or that a suite of the folders compares with.

    Raises:
        InputError: no record has the given label.
    """
    from benchmarks.reporting.comparison import REFERENCE

    labels = [str(label) for label in sources.records["label"].unique()]
    if given is not None:
        if given not in labels:
            raise did_you_mean("label in these records", given, labels)
        return given
    for suite in _suites(sources):
        if suite.reference in labels:
            return suite.reference
    return REFERENCE


def _suites(sources: "Sources") -> Iterator["Suite"]:
    """The suites of the folders, and then those of this package that the records name."""
    from benchmarks.planning.suite import read_suite, suite_names
    from benchmarks.running.suite_folder import ENDING, known_suite

    for folder in sources.folders:
        suite = known_suite(folder)
        if suite is not None:
            yield suite
    for name in sources.records["suite"].dropna().unique():
        builtin = str(name).removesuffix(ENDING)
        if builtin in suite_names():
            yield read_suite(builtin)[1]


if __name__ == "__main__":
    sys.exit(main())
