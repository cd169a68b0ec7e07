"""What the commands print: any text in any encoding, and a sensible width."""

import os
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.output import (
    READABLE,
    USUAL_WIDTH,
    make_streams_readable,
    new_console,
    print_table,
)


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("utf-8", "73.0 ± 1.2 † ω ü 中 \\udcff"),
        ("latin-1", "73.0 ± 1.2 * omega ü \\u4e2d \\udcff"),
        ("ascii", "73.0 +/- 1.2 * omega \\xfc \\u4e2d \\udcff"),
    ],
)
def test_signs_that_an_encoding_lacks_are_replaced_by_readable_ones(encoding, shown, monkeypatch):
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    make_streams_readable()
    new_console().print("73.0 ± 1.2 † ω ü 中 \udcff", highlight=False)
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding).strip() == shown
    assert stream.errors == READABLE


@pytest.mark.parametrize(
    "columns, width",
    [("120", 120), ("20", 20), ("0", 80), ("5", 80), ("-3", 80), ("²", 80), ("9" * 30, 80)],
)
def test_an_absurd_number_of_columns_is_the_usual_one(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert new_console(file=StringIO()).width == width


def test_labels_are_no_emoji(monkeypatch):
    output = StringIO()
    new_console(file=output).print(":x: :smile:")
    assert output.getvalue() == ":x: :smile:\n"


def test_a_wide_table_is_printed_whole_on_a_narrow_screen():
    output = StringIO()
    table = Table(*(f"heading {i}" for i in range(9)))
    table.add_row(*(f"{10**i:,}" for i in range(9)))
    print_table(Console(file=output, width=30), table)
    assert all(f" {10**i:,} " in output.getvalue() for i in range(9))
    assert "…" not in output.getvalue() and USUAL_WIDTH == 80


COMMANDS = [
    ("benchmarks.run", "--list"),
    ("benchmarks.run", "--help"),
    ("benchmarks.run", "--suite", "nö"),
    ("benchmarks.tune", "--help"),
    ("benchmarks.running.archive", "pack", "/nö"),
    ("benchmarks.planning.methods",),
    ("benchmarks.metrics.columns",),
    ("benchmarks.speed", "--help"),
]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_prints_in_any_encoding(command):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, timeout=120
    )
    assert done.returncode in (0, 2) and b"Traceback" not in done.stderr
    assert done.stdout.isascii() and done.stderr.isascii()
