"""Where the commands print: any text, in any encoding, at any width."""

import codecs
import errno
import os
import sys
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

from benchmarks.texts import escaped

SIGNS = {
    "±": "+/-",
    "ω": "omega",
    "α": "alpha",
    "≥": ">=",
    "×": "x",
    "†": "*",
    "…": "...",
    "–": "-",
    "−": "-",
    "·": "-",
    "─": "-",
}
"""This project's own signs, for outputs whose encoding lacks them."""

READABLE = "mosaic-readable"
"""The name of ``_readable`` among the ways in which Python handles errors of encoding."""

NARROWEST = 20
WIDEST = 500
USUAL_WIDTH = 80
"""Characters in a line of a pipe, and of a console that says it is outside the two limits above."""


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: "±" by "+/-", "中" by "\\u4e2d"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(SIGNS.get(character) or escaped(character) for character in missing), error.end


codecs.register_error(READABLE, _readable)


def make_streams_readable() -> None:
    """Let this process print any text; what the encoding lacks is replaced, see ``_readable``.

    Every command begins with it. Otherwise one "±" would end a command with an error, after all
    its work, where the output is in latin-1 or ASCII.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # not in a notebook
        if reconfigure is not None:
            reconfigure(errors=READABLE)


def in_encoding(text: str, encoding: str) -> str:
    """The text as an output in this encoding shows it, so that its width can be measured."""
    return text.encode(encoding, READABLE).decode(encoding)


class CommandConsole(Console):
    """Where a command prints. That nobody reads it any more is an error like any other."""

    def on_broken_pipe(self) -> None:
        """Rich's own method ends the process with exit code 1, which means that a cell failed."""
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output")


def new_console(**options: Any) -> Console:
    """A console that shows texts as they are written, and whose width is a sensible one.

    Args:
        **options: those of rich's Console.
    """
    options = {"emoji": False, **options}  # a label may be ":x:"
    environment = dict(os.environ)
    columns = environment.get("COLUMNS", "")
    if not (columns.isascii() and columns.isdigit() and len(columns) < 10):
        environment.pop("COLUMNS", None)  # rich would fail on "²"

    console = CommandConsole(_environ=environment, **options)
    if not NARROWEST <= console.width <= WIDEST:
        console.width = USUAL_WIDTH
    return console


class _Whole:
    """A table as wide as its texts are."""

    def __init__(self, table: Table):
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(max_width=10_000)
        width = Measurement.get(console, unlimited, self.table).maximum
        yield from console.render(self.table, options.update(width=width))


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as its texts are: a narrow screen breaks its lines, and cuts none."""
    console.print(_Whole(table), crop=False, no_wrap=True, overflow="ignore")
