"""A study's trials in several processes of this machine."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.running.session import prepare
from benchmarks.running.worker_processes import Ended, Workers
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import this_process, work_for
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Announce, work

REPLACEMENTS_PER_JOB = 2  # how many dead processes are replaced, per process of the command

AGAIN = "its trial is tried again by a new one"


def work_in_processes(
    plan: Plan, jobs: int, announce: Announce, refresh: Callable[[], None]
) -> None:
    """Run the study's trials in several processes.

    Args:
        plan: The study's plan; the study must exist.
        jobs: Number of processes.
        announce: Receives what the processes do.
        refresh: Called about twice a second.

    Raises:
        InputError: If no trial of this study can succeed. The other processes are killed; their
            trials count as never begun.
    """
    in_processes(_work, plan, jobs, announce, refresh)


def in_processes(
    main: Callable[..., None],
    what: Any,
    jobs: int,
    announce: Announce,
    refresh: Callable[[], None],
) -> None:
    """Let several processes run trials. One that dies is replaced, a few times.

    Args:
        main: What a process does, a function of a module: ``main(pipe, what, command, name)``.
        what: Its argument, the same for all processes.
        jobs: Number of processes.
        announce: Receives what the processes do.
        refresh: Called about twice a second.

    Raises:
        Exception: What one of them has raised. The others are killed; their trials count as never
            begun.
    """
    command = this_process()
    replacements = REPLACEMENTS_PER_JOB * jobs
    with Workers() as workers:
        for i in range(jobs):
            workers.start(str(i), main, what, command, str(i))
            announce(str(i), "starting")

        while workers:
            for worker, message in workers.news(timeout=0.5):
                if not isinstance(message, Ended):
                    announce(*message)
                    continue

                announce(worker.name, "")
                if message.exit_code != 0 and replacements > 0:
                    announce("warning", f"a process {message.reason}; {AGAIN}")
                    replacements -= 1
                    workers.start(worker.name, main, what, command, worker.name)
            refresh()


def _work(pipe: Connection, plan: Plan, command: dict[str, Any], name: str) -> None:
    """What a process does: trials, until the study has all of them."""
    work_for(command)
    prepare(plan.session)

    def announce(process: str, doing: str) -> None:
        pipe.send((process, doing))

    work(open_study(plan), plan, announce, name)
