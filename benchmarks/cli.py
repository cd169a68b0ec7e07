"""What the commands share: the console, options and how their texts are read."""

import argparse
import contextlib
import difflib
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.markup import escape

from benchmarks.output import make_streams_readable, new_console
from benchmarks.planning.values import whole_number
from mosaic.fl.errors import InputError, problem_of_machine

console = new_console()

STOPPED_BY_USER = 130
"""The exit code after Ctrl-C, as shells have it."""

NOBODY_READS = 141
"""The exit code where the output's reader has ended, as shells have it: ``| head -1``."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command, whatever the encoding of its output, and turn its errors into an exit code.

    Returns:
        The command's own code; 2 for a wrong option, value or file, or a full or read-only disk,
        which is printed; 130 after Ctrl-C; 141 where nobody reads the output any more.
    """
    make_streams_readable()
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except InputError as error:
        _print_error(str(error))
        return 2
    except BrokenPipeError:
        _print_nowhere()
        return NOBODY_READS
    except OSError as error:
        problem = problem_of_machine(error)
        if not problem:
            raise
        _print_error(problem)
        _print_nowhere()
        return 2
    except KeyboardInterrupt:
        console.print("\nstopped; the same command goes on from here.")
        return STOPPED_BY_USER


def read_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, by their whole names: --seed is not short for --seeds.

    An unknown option ends the process with exit code 2 and the nearest known one.
    """
    parser.allow_abbrev = False
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        given = unknown[0].split("=")[0]
        known = re.findall(r"--[a-z-]+", parser.format_usage())
        nearest = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def print_table_command(module: str, table: Callable[[], str]) -> int:
    """A command without options that prints a table of the documentation; see exit_code_of."""
    argparse.ArgumentParser(
        prog=f"python -m {module}", description="Print a table of the documentation as Markdown."
    ).parse_args()

    def command() -> int:
        print(table())
        return 0

    return exit_code_of(command)


def _print_error(text: str) -> None:
    stderr = new_console(stderr=True)
    stderr.print(f"[red]error:[/] {escape(text)}", soft_wrap=True, highlight=False)


def _print_nowhere() -> None:
    """What was printed and not written yet goes nowhere: Python would try again at its end."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no file, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where and on what a command computes."""
    add = parser.add_argument
    add("--jobs", type=int, help="processes (default: one per core and --threads; 1 on a GPU)")
    add(
        "--threads",
        type=int,
        default=1,
        help="CPU threads per process; part of a record's identity (default: 1)",
    )
    add("--device", default="auto", help="auto | cpu | cuda (default: auto)")
    add(
        "--precision",
        default="auto",
        help="auto | fp32 | bf16; auto: bf16 where the processor is fast in it",
    )
    add("--data-dir", type=Path, help="the folder with the data sets; also MOSAIC_DATA")


def number_of_jobs(jobs: int | None, threads: int, device: str) -> int:
    """How many processes work at a time.

    Args:
        jobs: what the user gave; None for the default, one per available core and its threads, or
            one on a GPU.
        threads: CPU threads per process.
        device: the chosen device.

    Raises:
        InputError: if a number is below 1.
    """
    from benchmarks.running.cores import available_cores

    whole_number("--threads", threads)
    if jobs is not None:
        return whole_number("--jobs", jobs)
    if device.startswith("cuda"):
        return 1
    return max(1, available_cores() // threads)


def start_on_machine(out: Path, folder: Path) -> None:
    """Remove what dead processes left unfinished, and say what this machine does not have.

    Args:
        out: the folder of all suites and of the cache.
        folder: the folder of the suite or study.
    """
    from mosaic.fl.device import device
    from mosaic.fl.fast.fused_norm import find_library, library
    from mosaic.fl.unfinished import sweep

    sweep(out / "cache")
    sweep(folder)
    if device() == "cpu" and library() is None:
        text = f"PyTorch's own operators are used, which are slower: {find_library()}"
        console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Let the processes that a block starts ignore modules in the folder of the command.

    A worker gets the path of this process, but only after its first imports: until then it would
    take a random.py that lies there for Python's own.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def listed(text: str | None, option: str = "") -> list[str] | None:
    """The parts of a comma-separated text; None if there is no text.

    Args:
        text: what the user gave.
        option: how errors call it, e.g. "--omega".

    Raises:
        InputError: if the text has no part, as "," has none.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        name = f"{option} {text!r}".strip()
        raise InputError(f"{name} is an empty list; give values separated by commas.")
    return parts


def count(option: str, text: str) -> int:
    """A whole number of at least 1.

    Raises:
        InputError: if it is something else.
    """
    return whole_number(option, text)


def check_gpu_share(share: float) -> None:
    """Check the fraction of a GPU per cell.

    Raises:
        InputError: if it is no share, or a number of GPUs that is not whole, as Ray wants it.
    """
    possible = 0 < share < math.inf and (share <= 1 or share == int(share))
    if not possible:
        raise InputError(
            f"--gpu-share is {share:g}; it is a share of a GPU in (0, 1], or a number of GPUs."
        )


def writable(out: Path) -> Path:
    """The folder as an absolute path; it is made if it is not there.

    Raises:
        InputError: if nothing can be written to it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to --out {out}: {error.strerror}; give a folder of your own."
        ) from None
    return out.resolve()


@contextlib.contextmanager
def printed_warnings() -> Iterator[None]:
    """Print the warnings of the block at its end, each once, also if it ends with an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)
