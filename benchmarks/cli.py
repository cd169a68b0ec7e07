"""What the commands share: the console, options and how their texts are read."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape

from benchmarks.output import make_streams_readable, new_console
from mosaic.fl.errors import InputError

console = new_console()

STOPPED_BY_USER = 130
"""The exit code after Ctrl-C, as shells have it."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command, whatever the encoding of its output, and turn its errors into an exit code.

    Returns:
        The command's own code; 2 for a wrong option, value or file, which is printed; 130 after
        Ctrl-C.
    """
    make_streams_readable()
    try:
        return command()
    except InputError as error:
        stderr = new_console(stderr=True)
        stderr.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("\nstopped; the same command goes on from here.")
        return STOPPED_BY_USER


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
    add("--data-dir", type=Path, help="where data sets are looked for first; also MOSAIC_DATA")


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

    if threads < 1:
        raise InputError(f"--threads is {threads}; it must be at least 1.")
    if jobs is not None:
        if not isinstance(jobs, int) or jobs < 1:
            raise InputError(f"--jobs is {jobs!r}; it must be a whole number of at least 1.")
        return jobs
    if device.startswith("cuda"):
        return 1
    return max(1, available_cores() // threads)


def listed(text: str | None) -> list[str] | None:
    """The parts of a comma-separated text; None if there is no text.

    Raises:
        InputError: if the text has no part, as "," has none.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError(f"{text!r} is an empty list; give values separated by commas.")
    return parts


def count(option: str, text: str) -> int:
    """A whole number of at least 1.

    Raises:
        InputError: if it is something else.
    """
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{option} is {text!r}; it must be a whole number of at least 1.")
    return int(text)


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
