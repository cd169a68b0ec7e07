"""Run recorded cells again, in an empty folder with an empty cache, and compare."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks.planning.cell import Cell
from benchmarks.planning.data import proxy_of
from benchmarks.planning.plugins import loaded_plugins
from benchmarks.running.bars import show_progress
from benchmarks.running.processes import run_cells
from benchmarks.running.progress import Estimate, duration
from benchmarks.running.record_file import Row
from benchmarks.running.records import done_file, failed_file, read_rows
from benchmarks.running.run_state import RunState
from benchmarks.running.schedule import in_running_order
from benchmarks.running.session import Session
from benchmarks.verifying.compare import Comparison, compare, differing_machine, reasons
from benchmarks.verifying.tolerances import Tolerance, tolerance_of
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.data.loading import fingerprint, is_here, load
from mosaic.fl.errors import InputError

SUITE = "again"
"""The suite that cells run in: its folder is not that of anything recorded."""

MOST = 8
"""Values of one cell that are printed."""


class Recorded(NamedTuple):
    """A folder's record of a cell; several folders may have one.

    Attributes:
        folder: the suite's folder.
        rows: per scored round.
    """

    folder: Path
    rows: list[Row]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where cells run again.

    Attributes:
        device: cpu or cuda.
        jobs: processes.
        data_dir: the only folder where data are looked for.
        inception: the weights of Inception, or auto.
        any_machine: whether differences within the tolerance are accepted also where the record
            names this machine's processor and libraries.
    """

    device: str = "cpu"
    jobs: int = 1
    data_dir: Path | None = None
    inception: str = "auto"
    any_machine: bool = False


def without_data(cells: Sequence[Cell]) -> dict[str, str]:
    """Why cells cannot run here, by their keys: their data are absent, or are others."""
    found = {}
    for cell in cells:
        splits = [(cell.task.dataset, "train", cell.task.data)]
        splits += [(cell.task.dataset, "test", cell.test_data)]
        proxy = proxy_of(cell)
        if proxy:
            splits.append((proxy, "train", cell.proxy_data))
        problems = [_problem(*split) for split in splits]
        problem = next((text for text in problems if text), "")
        if problem:
            found[cell.key] = problem
    return found


def _problem(name: str, split: str, expected: str) -> str:
    if not is_here(name, split):
        return (
            f"the {split} images of {name} are not on this machine: give their folder with "
            "--data-dir, or run any suite on them, which downloads them"
        )
    try:
        here = fingerprint(load(name, split))
    except InputError as error:
        return str(error)
    if expected and here != expected:
        return (
            f"the {split} images of {name} on this machine have the fingerprint {here}, and the "
            f"record's {expected}: give the folder of its data with --data-dir"
        )
    return ""


def run_again(
    cells: Sequence[Cell],
    recorded: Mapping[str, Sequence[Recorded]],
    known: Sequence[Cell],
    machine: Machine,
    scratch: Path,
    console: Console,
    verdict: Verdict,
) -> None:
    """Run cells again and compare all their numbers but times.

    Args:
        cells: what to run.
        recorded: the records of each cell, by its key; each of them is compared.
        known: cells whose seconds the estimate is made of.
        machine: where they run.
        scratch: an empty folder.
        console: where progress is printed.
        verdict: gets what was found.
    """
    session = Session(
        out=scratch / "out",
        device=machine.device,
        data_dir=machine.data_dir,
        inception=machine.inception,
        plugins=loaded_plugins(),
    )
    folder = session.folder(SUITE)
    again = in_running_order(
        [dataclasses.replace(cell, suite=SUITE) for cell in cells],
        sorted({cell.task.omega for cell in cells}),
    )
    estimate = _estimate(recorded, known, folder)
    jobs = min(machine.jobs, len(again))
    seconds = estimate.seconds(again, jobs) or 0
    text = f"running {len(again)} of {len(known)} cells again: about {duration(seconds)}"
    console.print(f"{text}, by what their records say", highlight=False, soft_wrap=True)
    start = partial(run_cells, again, session, jobs)
    state = RunState(again, 0, estimate, jobs)
    for outcome in show_progress(start, state, console):
        cell = outcome.cell
        now = read_rows(done_file(folder, cell)) or read_rows(failed_file(folder, cell)) or []
        several = len(recorded[cell.key]) > 1
        for record in recorded[cell.key]:
            place = record.folder if several else None
            judge(cell, record.rows, now, machine, verdict, place)


def _estimate(
    recorded: Mapping[str, Sequence[Recorded]], known: Sequence[Cell], folder: Path
) -> Estimate:
    """What the cells will take by their records. No stage is there yet: the cache is empty."""
    estimate = Estimate(folder, ())
    for cell in known:
        estimate.learn(cell, recorded[cell.key][0].rows[-1])
    estimate.computed.clear()
    return estimate


def judge(
    cell: Cell,
    recorded: Sequence[Row],
    now: Sequence[Row],
    machine: Machine,
    verdict: Verdict,
    folder: Path | None = None,
) -> None:
    """Say whether a cell's numbers agree with its record.

    Args:
        cell: the cell.
        recorded: the rows of its record.
        now: the rows of its run now.
        machine: whether the tolerance holds on any machine.
        verdict: gets what was found.
        folder: where the record is, if another folder has one too.
    """
    name = f"{cell.title} ({cell.key})" + (f" in {folder}" if folder else "")
    last = now[-1] if now else {"status": "failed", "reason": "it left no record"}
    if last["status"] != recorded[-1]["status"]:
        verdict.cannot(
            f"{name} is {recorded[-1]['status']} in the record, and {last['status']} now: "
            f"{last.get('reason')}"
        )
        return

    found = compare(recorded, now)
    others = differing_machine(recorded[-1], last)
    if not found.differences:
        text = f"{name}: {found.n_equal} numbers, equal to the last bit"
        if others:
            text += f", though {'; '.join(others)}"
        verdict.agrees(text)
    elif others or machine.any_machine:
        _within(name, found, tolerance_of(cell.method), others, recorded[-1], last, verdict)
    else:
        _not_equal(name, found, recorded[-1], last, verdict)
    if found.one_sided:
        verdict.note(f"{name}: only one of the two has {', '.join(found.one_sided)}")


def _within(
    name: str,
    found: Comparison,
    tolerance: Tolerance,
    others: Sequence[str],
    recorded: Row,
    now: Row,
    verdict: Verdict,
) -> None:
    """Another machine: accuracies must be within the tolerance; the rest is only shown."""
    n = len(found.differences)
    text = (
        f"{name}: {found.n_equal} numbers are equal and {n} differ, accuracies by at most "
        f"{found.points:.2f} points; the tolerance of {tolerance.method} on another machine is "
        f"{tolerance.points:g} points ({tolerance.source})"
    )
    missing = [d for d in found.differences if d.column == "round"]
    if found.points <= tolerance.points and not missing:
        why = "; ".join(others) or "any machine was asked for"
        verdict.agrees(f"{text}. Not to the bit: {why}")
        return
    verdict.differs(f"{text}. {_values(found)}. {_why(recorded, now)}")


def _not_equal(name: str, found: Comparison, recorded: Row, now: Row, verdict: Verdict) -> None:
    verdict.differs(
        f"{name}: {len(found.differences)} of {found.n_equal + len(found.differences)} numbers "
        "differ, where the record names this machine's kind of processor and its libraries, so "
        f"all should be equal. {_values(found)}. {_why(recorded, now)}"
    )


def _values(found: Comparison) -> str:
    """The values that differ, accuracies first and the largest difference of them first."""
    ranked = sorted(found.differences, key=lambda d: -_rank(d.points))
    texts = [str(difference) for difference in ranked[:MOST]]
    if len(ranked) > MOST:
        texts.append(f"and {len(ranked) - MOST} more")
    return "; ".join(texts)


def _rank(points: float) -> float:
    return -1.0 if math.isnan(points) else points


def _why(recorded: Row, now: Row) -> str:
    """What may be the reason."""
    stated = reasons(recorded, now)
    unstated = (
        "a number in the record that was changed; a library that records do not name (SciPy, "
        f"scikit-learn); another processor that is called {now.get('processor')!r} too"
    )
    if not stated:
        return f"It may be: {unstated}"
    return f"It may be: {'; '.join(stated)}; {unstated}"
