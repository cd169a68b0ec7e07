"""The page of folders in which a run is at work: what is done, runs and is left, until when."""

import json
import time
from pathlib import Path

from made_folders import made_records, write_folder

from benchmarks.report import main
from benchmarks.running.run_state import FILE, Running, Summary


def summary_of(**changes) -> Summary:
    values = {
        "cells": 20,
        "before": 4,
        "ended": {"done": 4, "failed": 1},
        "left": {"mosaic": 8, "<b>x</b>": 3},
        "running": [Running("mosaic ω=0.1 seed=3", time.time() - 90, 200.0, "client_generators")],
        "jobs": 2,
        "begun": time.time() - 600,
        "written": time.time(),
        "seconds_left": 1200.0,
    }
    return Summary(**(values | changes))


def at_work(folder: Path, summary: Summary) -> None:
    """Let a run of another machine be at work in the folder."""
    values = {**vars(summary), "running": [vars(entry) for entry in summary.running]}
    (folder / f".{FILE}.1@elsewhere").write_text(json.dumps(values))


def section(page: str) -> str:
    start = page.index('<section id="run"')
    return page[start : page.index("</section>", start)]


def test_a_report_on_a_running_suite_says_what_is_done_runs_and_is_left_and_until_when(tmp_path):
    folder = write_folder(made_records({"fedavg": [0.5], "mosaic": [0.6]}), tmp_path / "suite")
    at_work(folder, summary_of())
    assert main([str(folder)]) == 0
    text = section((folder / "report.html").read_text())
    assert "9 of 20 cells have ended (4 done, 1 failed, 4 before this run); 11 left" in text
    assert "20 min left, until " in text
    assert "mosaic ω=0.1 seed=3</td><td>client_generators</td>" in text
    assert "1:30</td>" in text and "about 3:20</td>" in text
    assert "mosaic (8), &lt;b&gt;x&lt;/b&gt; (3)" in text


def test_a_run_that_was_killed_is_said_to_be_and_one_that_ended_is_not_there(tmp_path):
    folder = write_folder(made_records({"fedavg": [0.5], "mosaic": [0.6]}), tmp_path / "suite")
    at_work(folder, summary_of(written=time.time() - 1000))
    assert main([str(folder)]) == 0
    text = section((folder / "report.html").read_text())
    assert "has written nothing since" in text and "until " not in text
    for path in folder.glob(f".{FILE}.*"):
        path.unlink()
    assert main([str(folder)]) == 0
    assert 'id="run"' not in (folder / "report.html").read_text()


def test_before_the_first_cell_has_ended_the_page_has_the_progress_alone(tmp_path):
    at_work(tmp_path, summary_of(before=0, ended={}))
    assert main([str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "0 of 20 cells have ended" in section(page)
    assert "No method has finished a cell yet" in page
