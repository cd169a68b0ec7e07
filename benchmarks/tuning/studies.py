"""A study: opened, checked against its plan, and its trials claimed one by one."""

from typing import Any

import optuna
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmarks.tuning.damage import give_back_damaged
from benchmarks.tuning.distributions import grid_of
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted, give_back_dead, this_process
from benchmarks.tuning.samplers import HOLDING, no_experimental_warnings, pruner_of, sampler_of
from benchmarks.tuning.storage import locked, open_storage, storage_errors_explained
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream


def open_study(plan: Plan) -> optuna.Study:
    """The plan's study, loaded from its storage; a new one has the default as trial 0.

    Raises:
        InputError: If a study of this name but of another identity exists and has results, or if
            the storage cannot be opened. A study without results is replaced.
    """
    # Optuna's own messages are off: the command prints what happens.
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    plan.folder.mkdir(parents=True, exist_ok=True)
    identity = plan.identity
    with locked(plan), no_experimental_warnings(), storage_errors_explained(plan):
        storage = open_storage(plan)
        if plan.study in optuna.get_all_study_names(storage):
            existing = optuna.load_study(study_name=plan.study, storage=storage)
            before = existing.user_attrs.get("identity", identity)
            if before != identity:
                if _has_results(existing):
                    raise _another_study(plan.study, before, identity)
                optuna.delete_study(study_name=plan.study, storage=storage)

        # Each trial gets a sampler of its own in claim(); the one given here draws nothing.
        study = optuna.create_study(
            study_name=plan.study,
            storage=storage,
            directions=plan.directions,
            pruner=pruner_of(plan),
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        study.set_user_attr("identity", identity)
        study = give_back_damaged(study, plan)
        if not study.get_trials(False):
            is_default = plan.first() == plan.default()
            study.enqueue_trial(plan.first(), user_attrs={"default": is_default})
    return study


def _has_results(study: optuna.Study) -> bool:
    """Whether any trial is running, finished or pruned."""
    without = (TrialState.FAIL, TrialState.WAITING)
    return any(trial.state not in without for trial in study.get_trials(False))


def _another_study(name: str, before: dict[str, Any], now: dict[str, Any]) -> InputError:
    """The error that a study of this name has another identity: what differs."""
    differences = []
    for key in {**before, **now}:
        old = before.get(key, "not there")
        new = now.get(key, "not there")
        if old != new and key.startswith("data of "):
            differences.append(f"its trials are of other {key} ({old}, now {new})")
        elif old != new:
            differences.append(f"{key} is {old} in it and {new} here")
    return InputError(
        f"study {name!r} exists, and is another one: {'; '.join(differences)}. "
        "Give the same to go on with it, or another name with --study."
    )


def claim(study: optuna.Study, plan: Plan) -> Trial | None:
    """Start the next trial: draw its values, and write the name of this process on it.

    Returns:
        The running trial; None if the study has all its trials.
    """
    with locked(plan), no_experimental_warnings():
        give_back_dead(study, plan)

        trials = study.get_trials(False)
        taken = [trial for trial in counted(study, trials) if trial.state != TrialState.WAITING]
        if len(taken) >= plan.trials:
            return None

        # A grid's next point goes into the queue, unless a trial is waiting there already.
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if plan.sampler == "grid" and not waiting:
            point = _next_point(plan, taken)
            if point is None:
                return None
            study.enqueue_trial(point)

        queue = [trial for trial in trials if trial.state == TrialState.WAITING]
        ordinal = queue[0].user_attrs.get("ordinal") if queue else None
        study.sampler = sampler_of(plan, len(taken) if ordinal is None else ordinal)
        shared = held(plan, taken)
        if shared:
            study.sampler = PartialFixedSampler(shared, study.sampler)
        trial = _ask(study, plan)
        trial.set_user_attr("process", this_process())
    return trial


def n_missing(study: optuna.Study, plan: Plan) -> int:
    """How many of the study's trials have neither ended nor are run by a process that lives."""
    with locked(plan):
        give_back_dead(study, plan)
        trials = counted(study, study.get_trials(False))
    begun = sum(trial.state != TrialState.WAITING for trial in trials)
    return max(0, plan.trials - begun)


def _ask(study: optuna.Study, plan: Plan) -> Trial:
    try:
        return study.ask(dict(plan.space))
    except ValueError as error:
        # Some versions of some samplers do not support several objectives.
        if len(plan.objectives) > 1:
            raise InputError(
                f"--sampler {plan.sampler} cannot do this: {error}; take tpe."
            ) from None
        raise


def held(plan: Plan, taken: list[FrozenTrial]) -> dict[str, Any]:
    """Values of the costly settings that the next trial must share with an earlier one.

    Most of a trial's time goes into the stages that these settings determine. Trials that share
    the settings find the stages in the cache. They are taken from the first group of trials that
    has fewer than ``plan.hold`` members and a finished one: an unfinished trial may still be
    computing its stages, and nothing waits for it.

    Args:
        plan: The study's plan.
        taken: The trials that have begun and count.

    Returns:
        The values by key; empty if the next trial draws all its settings.
    """
    if plan.sampler not in HOLDING:
        return {}

    groups: dict[tuple[Any, ...], list[FrozenTrial]] = {}
    for trial in taken:
        if trial.params.keys() >= set(plan.costly):
            values = tuple(trial.params[key] for key in plan.costly)
            groups.setdefault(values, []).append(trial)

    for values, group in groups.items():
        finished = any(trial.state == TrialState.COMPLETE for trial in group)
        if finished and len(group) < plan.hold:
            return dict(zip(plan.costly, values, strict=True))
    return {}


def _next_point(plan: Plan, taken: list[FrozenTrial]) -> dict[str, Any] | None:
    """The first point of the grid that no trial has; None if all have been tried."""
    tried = [trial.params for trial in taken]
    grid = grid_of(plan.space, plan.points, numpy_stream(plan.seed, "grid"))
    return next((point for point in grid if point not in tried), None)
