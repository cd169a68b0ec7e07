"""python -m benchmarks.verify FOLDER: check records, tables and figures; run some cells again."""

from benchmarks.running.stopping import hear_signals, on_stop_say, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from benchmarks.cli import console, exit_code_of, listed, read_options, safe_path
from benchmarks.planning.values import whole_number
from benchmarks.texts import one_line
from mosaic.fl.device_names import check_device_name
from mosaic.fl.errors import InputError

if TYPE_CHECKING:
    from benchmarks.verifying.verdict import Verdict

FOLDER_HELP = "a suite's folder, one with several of them, or an archive of benchmarks.share"
COLOURS = {"agrees": "green", "differs": "red", "cannot": "yellow", "note": "dim"}
WORDS = {"agrees": "agrees", "differs": "DIFFERS", "cannot": "not checked", "note": "note"}
ENDS = {
    0: "all that was checked agrees",
    1: "there are differences",
    2: "nothing that was checked differs, but not all could be checked",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: all agrees; 1: something differs; 2: something could not be checked, or a
        wrong option or folder; 128 + signal: stopped.
    """
    with stops_cleanly(ends_after=argv is None):
        on_stop_say(lambda: "nothing in the folder was changed, and nothing is left behind")
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verify",
        description="Check that a folder's records are whole and that its tables and figures are "
        "theirs; then run some of its cells again and compare. Nothing in the folder is changed.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help=FOLDER_HELP)
    add("--cells", default=3, help="so many cells are run again, 0: none (default: %(default)s)")
    add("--all", action="store_true", help="run all cells again")
    add("--seed", default=0, help="of the draw of the cells (default: %(default)s)")
    add(
        "--any-machine",
        action="store_true",
        help="accept differences within the tolerance also where the record names this machine's "
        "kind of processor and libraries",
    )
    _add_outside(parser)
    add("--jobs", type=int, help="processes (default: one per core; 1 on a GPU)")
    add("--device", default="auto", help="auto | cpu | cuda (default: auto, as the records say)")
    add("--data-dir", type=Path, help="the folder with the data sets; also MOSAIC_DATA")
    add("--inception-weights", default="auto", help="file for FID over Inception")
    return read_options(parser, argv)


def _add_outside(parser: argparse.ArgumentParser) -> None:
    """What the run had from outside: records have its names only."""
    add = parser.add_argument
    add("--suite", metavar="FILE", help="the suite's file, if it is none of this package's")
    add("--methods", metavar="FILES", help="files of your own methods, with commas between them")
    add("--datasets", metavar="FILES", help="folders or .npz files of your own data")
    add("--metrics", metavar="FILES", help="files of your own metrics")
    add("--model", metavar="FILE", help="the file of your own model")
    add("--partition", metavar="FILE", type=Path, help="the file of your own split")


def _command(options: argparse.Namespace) -> int:
    cells = whole_number("--cells", options.cells, least=0)
    seed = whole_number("--seed", options.seed, least=0)
    if options.jobs is not None:
        whole_number("--jobs", options.jobs)
    check_device_name(options.device)
    if not options.folder.exists():
        raise InputError(
            f"{options.folder} does not exist; give a suite's folder, such as "
            "results/heterogeneity."
        )

    # PyTorch and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.verifying.verdict import Verdict
    from benchmarks.verifying.verify_folders import Given, verify_given

    given = Given(
        folder=options.folder,
        cells=None if options.all else cells,
        seed=seed,
        suite=options.suite,
        methods=listed(options.methods, "--methods") or [],
        datasets=listed(options.datasets, "--datasets") or [],
        metrics=listed(options.metrics, "--metrics") or [],
        model=options.model,
        partition=options.partition,
        jobs=options.jobs,
        device=options.device,
        data_dir=options.data_dir,
        inception_weights=options.inception_weights,
        any_machine=options.any_machine,
    )
    verdict = Verdict(say=_print)
    with safe_path():
        verify_given(given, console, verdict)
    _print_end(verdict)
    return verdict.code


def _print(kind: str, text: str) -> None:
    line = f"  [{COLOURS[kind]}]{WORDS[kind]}[/] {escape(one_line(text))}"
    console.print(line, highlight=False, soft_wrap=True)


def _print_end(verdict: "Verdict") -> None:
    counts = f"{len(verdict.differences)} differences, {len(verdict.unchecked)} not checked"
    code = verdict.code
    colour = COLOURS[("agrees", "differs", "cannot")[code]]
    console.print(f"[{colour}]{ENDS[code]}[/] ({counts})", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
