"""Trials: one is evaluated seed by seed, and a study's trials are run one after another."""

import math
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from benchmarks.tuning.plan import FIDELITY, Plan
from benchmarks.tuning.retries import release
from benchmarks.tuning.studies import claim
from benchmarks.tuning.validation import validate
from mosaic.fl.contract import Skip
from mosaic.fl.errors import InputError, is_full, problem_of_machine


class CannotBeTuned(InputError):
    """No trial of a study can succeed: its method cannot be run, or not with these settings."""


Announce = Callable[[str, str], None]
"""Called with a process's name and what it does now, "" if nothing; or "warning" and a text."""


def work(study: optuna.Study, plan: Plan, announce: Announce, process: str = "0") -> None:
    """Run trials one after another, until the study has all of them.

    Args:
        study: The study.
        plan: Its plan.
        announce: Receives what happens.
        process: The name of this process for ``announce``.

    Raises:
        CannotBeTuned: If no trial of this study can succeed.
        InputError: If nothing can be written any more.
    """
    while trial := claim(study, plan):
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                evaluate(study, trial, plan, partial(_announce_trial, announce, process, trial))
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                announce("warning", text)
        except InputError:
            raise
        except BaseException:
            # Ctrl-C in a notebook, for example. The trial counts as never begun.
            release(study, plan, trial.number, "it was interrupted")
            raise
        finally:
            announce(process, "")


def _announce_trial(announce: Announce, process: str, trial: Trial, doing: str) -> None:
    announce(process, f"trial {trial.number}, {doing}")


def evaluate(
    study: optuna.Study, trial: Trial, plan: Plan, announce: Callable[[str], None]
) -> None:
    """Run a trial's cells, and record its result, its pruning or its failure in the study.

    Args:
        study: The study.
        trial: A running trial of this process.
        plan: The study's plan.
        announce: Called with what the trial does now.

    Raises:
        CannotBeTuned: If no trial can succeed.
        InputError: If nothing can be written any more.
    """
    try:
        values = _run_seeds(trial, plan, announce)
    except (Skip, InputError) as error:
        _fail(study, trial, error)
        raise CannotBeTuned(f"{plan.method} cannot be tuned so: {error}") from None
    except (Exception, SystemExit) as error:
        # A failing trial never stops the others, but a full disk does.
        if isinstance(error, OSError) and is_full(error):
            raise InputError(problem_of_machine(error)) from error
        # Another machine may have taken this trial for dead, and finished it.
        if not study.get_trials(False)[trial.number].state.is_finished():
            _fail(study, trial, error)
        return

    if values is None:
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    else:
        study.tell(trial, values, skip_if_finished=True)


def _run_seeds(trial: Trial, plan: Plan, announce: Callable[[str], None]) -> list[float] | None:
    """Run the trial's cells, one seed after another.

    Returns:
        The objectives' means over the seeds; None if the pruner stopped the trial.
    """
    with_fidelity = not FIDELITY.isdisjoint(plan.objectives)
    rows: list[dict[str, Any]] = []
    means: list[float] = []
    for cell, part in zip(plan.cells(trial.params), plan.parts.values(), strict=True):
        announce(part)
        begun = time.perf_counter()
        row = validate(cell, with_fidelity, partial(_announce_stage, announce, part))
        rows.append(row)

        # The seed's numbers, and the time of the last news, are attributes of the trial.
        trial.set_user_attr(part, row | {"wall_s": time.perf_counter() - begun})
        trial.set_user_attr("news", time.time())

        means = [sum(row[name] for row in rows) / len(rows) for name in plan.objectives]
        if not all(map(math.isfinite, means)):
            raise FloatingPointError(f"{', '.join(plan.objectives)} is {means}")
        if len(means) == 1 and _is_pruned(trial, plan, row, means[0], len(rows)):
            return None
    return means


def _announce_stage(announce: Callable[[str], None], part: str, stage: str) -> None:
    announce(f"{part}: {stage}")


def _is_pruned(trial: Trial, plan: Plan, row: dict[str, Any], mean: float, n_seeds: int) -> bool:
    """Report a finished seed to the pruner, and return whether the trial stops here.

    The pruner takes seeds for steps. The Wilcoxon pruner gets each seed's own value, which it
    pairs with the best trial's value on the same seed. The median pruner gets the mean so far.
    """
    value = mean if plan.pruner == "median" else row[plan.objectives[0]]
    trial.report(value, step=n_seeds - 1)
    return n_seeds < len(plan.seeds) and trial.should_prune()


def _fail(study: optuna.Study, trial: Trial, error: BaseException) -> None:
    trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
    trial.set_user_attr("traceback", traceback.format_exc())
    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
