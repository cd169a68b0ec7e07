"""The commands beside run and tune are stopped in the middle of reading: one line, no traceback."""

import os
import signal
import time

import pytest
from stops import Command, wait_for

ARCHIVE = ["-m", "benchmarks.running.archive", "pack"]
BUDGET = ["-m", "benchmarks.reporting.print_budget"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    "arguments, reads",
    [
        ([*ARCHIVE, "{folder}"], "partitions/a.json"),
        ([*BUDGET, "{folder}/records.csv"], "records.csv"),
        (["-m", "benchmarks.speed", "rounds"], "unused"),
        (["-m", "benchmarks.planning.methods"], "unused"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_command_stops_with_one_line(arguments, reads, number, tmp_path):
    pipe = tmp_path / "suite" / reads
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)  # nobody writes to it, so its reader waits
    folder = str(tmp_path / "suite")
    command = Command([text.format(folder=folder) for text in arguments], tmp_path)
    wait_for(lambda: command.hears)
    time.sleep(0.05)
    command.send(number, group=True)
    assert command.process.wait(timeout=3) == 128 + number
    out, err = command.printed
    assert out == "" and err.count("\n") == 1, err
    assert err.startswith("stopped: ") and "; the same command " in err
    assert not list(pipe.parent.rglob("records.jsonl.gz"))
