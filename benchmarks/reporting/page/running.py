"""How far a run is that writes into the page's folders now: done, running, left, until when."""

import time
from typing import Any

from benchmarks.reporting.page.sources import Sources
from benchmarks.running.run_state import Running, Summary, clock, runs_in, time_left


def runs(sources: Sources) -> list[tuple[str, Summary]]:
    """The folders in which a run is at work, or was killed, with what it does."""
    found = []
    for folder in sources.folders:
        found += [(folder.name, summary) for summary in runs_in(folder)]
    return found


def progress(found: list[tuple[str, Summary]]) -> dict[str, Any]:
    """What the template shows of each run."""
    return {"runs": [_run(name, summary) for name, summary in found]}


def _run(name: str, summary: Summary) -> dict[str, Any]:
    form = "%Y-%m-%d %H:%M:%S"
    left = sorted(summary.left.items(), key=lambda item: -item[1])
    running = summary.running if summary.alive else []
    return {
        "name": name,
        "cells": summary.cells,
        "ended": summary.n_ended,
        "text": _text(summary),
        "alive": summary.alive,
        "written": time.strftime(form, time.localtime(summary.written)),
        "running": [_row(entry, summary.written) for entry in running],
        "left": ", ".join(f"{label} ({n})" for label, n in left),
    }


def _text(summary: Summary) -> str:
    """What is done and left, in one sentence."""
    parts = [f"{n} {status}" for status, n in summary.ended.items()]
    if summary.before:
        parts.append(f"{summary.before} before this run")
    n_left = summary.cells - summary.n_ended
    text = f"{summary.n_ended} of {summary.cells} cells have ended"
    if parts:
        text += f" ({', '.join(parts)})"
    text += f"; {n_left} left"
    if summary.alive:
        text += f": {time_left(summary)}"
    return f"{text}."


def _row(entry: Running, now: float) -> dict[str, str]:
    usual = "" if entry.expected is None else f"about {clock(entry.expected)}"
    return {
        "title": entry.title,
        "stage": entry.stage,
        "since": clock(now - entry.begun),
        "usual": usual,
    }
