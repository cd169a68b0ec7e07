"""Trials whose lines in the study's journal are damaged: they are set aside, and tried again.

A trial counts as finished only if all of it is there: a value in the space for each setting, the
measurements of each seed, and the means that follow from them.
"""

import math
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.tuning.distributions import has_values
from benchmarks.tuning.journal import unfinish
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted, give_back
from benchmarks.tuning.storage import journal_file, open_storage

REASON = "its lines in the journal are damaged"

SUMMED = ("wall_s", "computed_s", "saved_s")
COUNTED = ("computed", "reused")


def give_back_damaged(study: optuna.Study, plan: Plan) -> optuna.Study:
    """Give back the finished trials of a study that are not whole.

    A database checks its own integrity, so this is for journals. The caller holds the study's lock.

    Args:
        study: The study, which is the plan's.
        plan: Its plan.

    Returns:
        The study, loaded again if its journal was changed.
    """
    if plan.storage is not None:
        return study
    trials = counted(study, study.get_trials(False))
    damaged = [trial for trial in trials if not _is_whole(trial, plan)]
    if not damaged:
        return study

    storage = study._storage
    study_id = storage.get_study_id_from_name(plan.study)
    ids = [
        storage.get_trial_id_from_study_id_trial_number(study_id, trial.number) for trial in damaged
    ]
    unfinish(journal_file(plan), ids)
    study = optuna.load_study(
        study_name=plan.study,
        storage=open_storage(plan),
        sampler=study.sampler,
        pruner=study.pruner,
    )
    for trial in damaged:
        before = [other for other in counted(study, trials) if other.number < trial.number]
        unfinished = study.get_trials(False)[trial.number]
        give_back(study, plan, unfinished, REASON, blamed=False, ordinal=len(before))
    return study


def _is_whole(trial: FrozenTrial, plan: Plan) -> bool:
    """Whether a finished trial has all that it needs. Trials that have not ended are."""
    if not trial.state.is_finished():
        return True
    rows = [trial.user_attrs.get(name) for name in plan.parts.values()]
    there = [row for row in rows if row is not None]
    try:
        if not all(is_sound(row, plan) for row in there):
            return False
        if trial.state == TrialState.FAIL:
            return True
        if not has_values(trial.params, plan.space) or not there:
            return False
        return trial.state == TrialState.PRUNED or _is_result(trial, rows, plan)
    except (KeyError, TypeError, AttributeError):
        return False


def is_sound(row: Any, plan: Plan) -> bool:
    """Whether a row has the measurements of a seed; None has not."""
    try:
        numbers = [row[name] for name in (*plan.objectives, *SUMMED)]
        counts = [n for name in COUNTED for n in row[name].values()]
    except (KeyError, TypeError, AttributeError):
        return False
    return all(type(number) in (int, float) for number in numbers) and all(
        type(n) is int for n in counts
    )


def _is_result(trial: FrozenTrial, rows: list[Any], plan: Plan) -> bool:
    """Whether the values of a trial are the means over its seeds."""
    if None in rows or trial.values is None or len(trial.values) != len(plan.objectives):
        return False
    for name, value in zip(plan.objectives, trial.values, strict=True):
        mean = sum(row[name] for row in rows) / len(rows)
        if not math.isclose(value, mean, rel_tol=1e-9, abs_tol=1e-12):
            return False
    return True
