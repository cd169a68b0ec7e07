"""The trials of --all: those of several studies, one after another or in several processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.running.session import prepare
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import work_for
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Announce, CannotBeTuned, work
from benchmarks.tuning.workers import in_processes


def run_all(
    plans: Sequence[Plan], jobs: int, announce: Announce, refresh: Callable[[], None]
) -> None:
    """Run the missing trials of all studies. A method that cannot be tuned leaves the others.

    Args:
        plans: The studies' plans; the studies must exist.
        jobs: Number of processes.
        announce: Receives what happens.
        refresh: Called about twice a second where there are several processes.
    """
    if jobs == 1:
        work_on_all(plans, announce)
        return
    in_processes(_work, (tuple(plans), jobs), jobs, announce, refresh)


def work_on_all(
    plans: Sequence[Plan], announce: Announce, process: str = "0", first: int = 0
) -> None:
    """Run trials of one study after another, until all studies have all of theirs.

    Args:
        plans: The studies' plans.
        announce: Receives what happens.
        process: The name of this process for ``announce``.
        first: The study to begin with; processes that begin at different ones seldom wait for each
            other's stages.
    """
    impossible = set()
    for plan in _in_turn([*plans[first:], *plans[:first]]):
        if plan.name in impossible:
            continue
        try:
            work(open_study(plan), plan, partial(_announce, announce, plan.name), process)
        except CannotBeTuned as error:
            # The trial keeps the reason; the report has it.
            impossible.add(plan.name)
            announce("warning", str(error))


def _in_turn(plans: Sequence[Plan]) -> Iterator[Plan]:
    """The plans with one trial each, then with all of them.

    So each study soon has its default's result, from which the time of all follows.
    """
    for plan in plans:
        yield replace(plan, trials=1)
    yield from plans


def _announce(announce: Announce, method: str, process: str, doing: str) -> None:
    announce(process, f"{method}: {doing}" if doing else "")


def _work(
    pipe: Connection, given: tuple[tuple[Plan, ...], int], command: dict[str, Any], name: str
) -> None:
    """What a process does: trials, until all studies have all of theirs."""
    plans, jobs = given
    work_for(command)
    prepare(plans[0].session)

    def announce(process: str, doing: str) -> None:
        pipe.send((process, doing))

    work_on_all(plans, announce, name, first=int(name) * len(plans) // jobs)
