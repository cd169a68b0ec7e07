"""Run a study's trials where the options say, until it has all of them or Ctrl-C is pressed."""

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna

from benchmarks.cli import console
from benchmarks.tuning.board import board
from benchmarks.tuning.on_ray import work_on_ray
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.trials import work
from benchmarks.tuning.workers import work_in_processes


def run_trials(study: optuna.Study, plan: Plan, jobs: int, options: argparse.Namespace) -> bool:
    """Run the study's missing trials here, in processes, or on a Ray cluster.

    Args:
        study: The study.
        plan: Its plan.
        jobs: Number of processes.
        options: Those of the command; they say whether to use Ray.

    Returns:
        Whether Ctrl-C stopped it.
    """
    with stoppable() as stop, board(study, plan, jobs, console) as (announce, refresh):
        if options.ray:
            work_on_ray(
                plan,
                options.jobs,  # not jobs: the default is what the cluster has room for
                address=options.ray,
                gpu_share=options.gpu_share,
                stop=stop,
                announce=announce,
                refresh=refresh,
            )
        elif jobs == 1:
            work(study, plan, stop, announce)
        else:
            work_in_processes(plan, jobs, stop, announce, refresh)
        return stop()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Inside the block the first Ctrl-C is a request to stop after the running trial.

    A second Ctrl-C stops at once.

    Yields:
        A function that returns whether stopping was requested.
    """
    requested = False

    def handle(*_: Any) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        console.print("stopping after the running trial; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, before)
