"""Lines, bars and the file of a run: what ended, what runs with its stage, what is left."""

import io
import json
import os
import time

import pytest
from rich.console import Console

from benchmarks.running import bars
from benchmarks.running.bars import progress_line, show_progress
from benchmarks.running.progress import Estimate
from benchmarks.running.records import done_file, write_rows
from benchmarks.running.run_state import FILE, RunState, clock, every, runs_in, state_file
from benchmarks.running.session import Outcome
from mosaic.fl.unfinished import machine


def state_of(folder, cells, n_finished=0, jobs=1):
    return RunState(cells, n_finished, Estimate(folder, cells), jobs)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_of_a_done_cell_one_line_is_printed_and_its_warnings_once_at_the_end(tmp_path, cells):
    outcomes = [
        Outcome(cells[0], "done", 0.0, 1.0, ("a damaged stage",)),
        Outcome(cells[1], "done", 0.5, 1.0, ("a damaged stage",)),
        Outcome(cells[2], "failed", notes=("it diverged", "a damaged stage")),
        Outcome(cells[3], "skipped", notes=("only at full width",)),
    ]
    console = Console(file=io.StringIO(), width=200)

    def start(watch):
        for outcome in outcomes:
            watch(outcome.cell.key, outcome.cell.key, "")
            yield outcome

    shown = show_progress(start, state_of(tmp_path, cells), console)
    assert list(shown) == outcomes
    lines = text_of(console).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["done", "done", "failed"]
    assert " 0.0%" in lines[0] and "50.0%" in lines[1]
    assert lines[3].strip() == "it diverged" and lines[5].strip() == "only at full width"
    assert lines[6:] == ["a damaged stage (cells: 2)"]


def test_a_log_file_gets_lines_while_a_cell_runs_and_a_terminal_gets_bars(
    tmp_path, cells, monkeypatch
):
    monkeypatch.setattr(bars, "SECONDS_BETWEEN_LINES", 0.05)
    monkeypatch.setattr(bars, "SECONDS_BETWEEN_DRAWINGS", 0.05)

    def start(watch):
        watch(cells[0].key, cells[0].key, "")
        watch(cells[0].key, cells[0].key, "warm_up")
        time.sleep(0.3)
        yield Outcome(cells[0], "done", 0.5, 1.0)

    log = Console(file=io.StringIO(), width=200)
    assert len(list(show_progress(start, state_of(tmp_path, cells[:2], 1), log))) == 1
    lines = text_of(log).splitlines()
    running = "running: fedavg digits omega=0.1 N=10 full seed=0 (warm_up, for 0 s)"
    assert f"1 of 3 cells, no estimate yet; {running}" in lines
    assert "\x1b" not in text_of(log)

    screen = Console(file=io.StringIO(), width=160, force_terminal=True)
    assert len(list(show_progress(start, state_of(tmp_path, cells[:2], 1), screen))) == 1
    text = text_of(screen)
    assert "1/3 cells" in text and "fedavg digits omega=0.1 N=10 full seed=0: warm_up" in text
    assert "1 of 3 cells" not in text


def test_the_state_counts_what_ended_and_names_what_runs_until_it_is_over(tmp_path, cells):
    first, second, third, fourth = cells
    row = {"cell": first.key, "status": "done", "round": 10, "selection": "last", "method_s": 6.0}
    write_rows(done_file(tmp_path, first), [row])
    state = RunState(cells[1:], 1, Estimate(tmp_path, cells), jobs=2)
    state.watch("warm_up/1", second.key, "warm_up")
    state.watch(third.key, third.key, "")
    summary = state.summary()
    assert [(entry.stage, entry.expected) for entry in summary.running] == [
        ("warm_up", None),  # how long a stage takes is not known
        ("", 6.0),
    ]
    assert (summary.cells, summary.n_ended) == (4, 1)
    assert summary.seconds_left == pytest.approx(3 * 6 / 2, abs=1)

    state.watch("warm_up/1", second.key, None)
    state.end(Outcome(third, "failed"))
    summary = state.summary()
    assert summary.running == [] and summary.ended == {"failed": 1}
    assert second.label == fourth.label and summary.left == {second.label: 2}
    assert progress_line(summary).startswith("2 of 4 cells, 6 s left, until ")


def test_a_run_is_in_its_folder_while_it_goes_on_and_a_killed_one_is_known(tmp_path, cells):
    state = state_of(tmp_path, cells)
    with state_file(state, tmp_path):
        [run] = runs_in(tmp_path)
        assert run.alive and run.cells == 4 and run.left == {"fedavg": 2, "ensemble": 2}
        [path] = tmp_path.glob(f".{FILE}.*")
        content = path.read_text()
    assert runs_in(tmp_path) == []

    dead = tmp_path / f".{FILE}.99999999@{machine()}"
    dead.write_text(content)
    silent = tmp_path / f".{FILE}.1@elsewhere"
    silent.write_text(json.dumps(json.loads(content) | {"written": time.time() - 1000}))
    (tmp_path / f".{FILE}.2@elsewhere").write_text(content[:20])
    assert [run.alive for run in runs_in(tmp_path)] == [False, False]


def test_a_call_is_repeated_until_the_end_and_not_after_an_output_is_gone():
    calls = []

    def call():
        calls.append(os.getpid())
        if len(calls) == 2:
            raise BrokenPipeError

    with every(0.01, call):
        time.sleep(0.2)
    assert len(calls) == 2


def test_a_clock_has_hours_only_where_there_are_some():
    assert [clock(s) for s in (7.9, 750, 12010)] == ["0:07", "12:30", "3:20:10"]
