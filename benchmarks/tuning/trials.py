"""Trials: one evaluated seed by seed, and all of a study in this process or in several."""

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from benchmarks.running.session import prepare
from benchmarks.tuning.plan import FIDELITY, Plan
from benchmarks.tuning.studies import claim, open_study, release
from benchmarks.tuning.validation import validate
from mosaic.fl.contract import Skip
from mosaic.fl.errors import InputError

Stop = Callable[[], bool]
Tell = Callable[[str, str], None]
"""Called with a process's number and what it does now; "" where it does nothing."""


def work(study: optuna.Study, plan: Plan, stop: Stop, tell: Tell, me: str = "0") -> None:
    """Do the study's trials, one after another, until it has all of them or ``stop`` says so."""
    while not stop() and (trial := claim(study, plan)) is not None:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                evaluate(
                    study, trial, plan, lambda what, n=trial.number: tell(me, f"trial {n}, {what}")
                )
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                tell("warning", text)
        except InputError:
            raise
        except BaseException:  # a second Ctrl-C: the trial is as good as never begun
            release(study, plan, trial.number, "it was interrupted")
            raise
        finally:
            tell(me, "")


def evaluate(
    study: optuna.Study, trial: Trial, plan: Plan, announce: Callable[[str], None]
) -> None:
    """Run the trial's cells, a seed after another, until a pruner has seen enough. A failing one is recorded as such.

    The pruner sees seeds as steps: the Wilcoxon pruner each seed's own value, to be paired with the best trial's on
    the same seed, the median pruner the mean so far. Raises InputError where no trial of this study could do better.
    """
    rows: list[dict[str, Any]] = []
    try:
        for cell in plan.cells(trial.params):
            name = f"seed {cell.task.seed}"
            announce(name)
            begun = time.perf_counter()
            row = validate(
                cell,
                bool(FIDELITY & set(plan.objectives)),
                lambda stage, n=name: announce(f"{n}: {stage}"),
            )
            rows.append(row)
            trial.set_user_attr(name, row | {"wall_s": time.perf_counter() - begun})
            trial.set_user_attr("news", time.time())
            values = [sum(row[name] for row in rows) / len(rows) for name in plan.objectives]
            if not all(map(math.isfinite, values)):
                raise FloatingPointError(f"{', '.join(plan.objectives)} is {values}")
            if len(values) == 1:
                seen = values[0] if plan.pruner == "median" else row[plan.objectives[0]]
                trial.report(seen, step=len(rows) - 1)
                if len(rows) < len(plan.seeds) and trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                    return
    except (Skip, InputError) as error:
        _fail(study, trial, error)
        raise InputError(f"{plan.method} cannot be tuned so: {error}") from None
    except Exception as error:  # a failing trial never stops the others
        if not study.get_trials(False)[
            trial.number
        ].state.is_finished():  # another machine may take it for dead
            _fail(study, trial, error)
    else:
        study.tell(trial, values, skip_if_finished=True)


def _fail(study: optuna.Study, trial: Trial, error: Exception) -> None:
    trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
    trial.set_user_attr("traceback", traceback.format_exc())
    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def work_in_processes(
    plan: Plan, jobs: int, stop: Stop, tell: Tell, look: Callable[[], None]
) -> None:
    """The same in ``jobs`` processes, with ``look`` called now and then. One that dies is replaced, a few times."""
    running, spare, problems = dict(_start(plan, str(i)) for i in range(jobs)), 2 * jobs, []
    for process in running.values():
        tell(process.name, "starting")
    try:
        while running:
            if stop() or problems:
                for pipe in running:
                    with contextlib.suppress(OSError):
                        pipe.send("stop")
            for pipe in wait(list(running), timeout=0.5):
                try:
                    kind, text = pipe.recv()
                    problems.append(text) if kind == "error" else tell(kind, text)
                except (EOFError, OSError):  # it has ended
                    process = running.pop(pipe)
                    process.join()
                    tell(process.name, "")
                    if process.exitcode != 0 and spare and not stop():
                        tell(
                            "warning",
                            "a process died (out of memory?); its trial is tried again by a new one",
                        )
                        spare -= 1
                        running |= dict([_start(plan, process.name)])
            look()
    finally:
        for process in running.values():  # none, unless this process was interrupted
            process.kill()
    if problems:
        raise InputError(problems[0])


def _start(plan: Plan, name: str) -> tuple[Connection, multiprocessing.Process]:
    """A process and its pipe. Ctrl-C is this process's to hear: the new one ignores it from its first moment."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_process, args=(plan, its), name=name, daemon=True)
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, heard)
    its.close()
    return mine, process


def _process(plan: Plan, pipe: Connection) -> None:
    parent = multiprocessing.parent_process()
    threading.Thread(
        target=lambda: (parent.join(), os._exit(1)), daemon=True
    ).start()  # it ends with its parent
    prepare(plan.session)
    me = multiprocessing.current_process().name
    try:
        work(open_study(plan), plan, pipe.poll, lambda *said: pipe.send(said), me)
    except InputError as error:
        pipe.send(("error", str(error)))
