"""A study in its storage: opened, checked against its plan, and its trials claimed by whoever works on it.

What happens between two trials happens under the lock of the study's folder: several processes, also of commands
started apart, then share a study without doing a trial twice, and see each other's dead.
"""

import os
import re
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import optuna
import psutil
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import BaseStorage, get_storage
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmarks.tuning.journal import open_journal
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.space import grid_of
from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream, seed_of

HOLDING = ("tpe", "random")  # the samplers that a space of changing size does not disturb
ATTEMPTS = 3  # at a trial whose process dies
SILENT_S = (
    24 * 3600
)  # after which a trial of another machine, which cannot be asked, is taken for dead


def open_study(plan: Plan) -> optuna.Study:
    """The plan's study, made with the default as trial 0 where there is none. InputError where another one is there.

    One that has no result yet, because its trials all failed, gives way to another plan of its name.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # the command says itself what happened
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _locked(plan), _quiet(), _explained(plan):
        storage = (
            open_journal(plan.folder / "journal.log")
            if plan.storage is None
            else _open_url(plan.storage)
        )
        known = {"study_name": plan.study, "storage": storage}
        if plan.study in optuna.get_all_study_names(storage):
            there = optuna.load_study(**known)
            if there.user_attrs.get("identity", plan.identity) != plan.identity:
                if any(
                    t.state not in (TrialState.FAIL, TrialState.WAITING)
                    for t in there.get_trials(False)
                ):
                    raise InputError(_difference(plan, there.user_attrs["identity"]))
                optuna.delete_study(**known)
        study = optuna.create_study(
            **known,
            directions=plan.directions,
            pruner=pruner_of(plan),
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        study.set_user_attr("identity", plan.identity)
        if not study.get_trials(False):
            study.enqueue_trial(
                plan.first(), user_attrs={"default": plan.first() == plan.default()}
            )
    return study


def _difference(plan: Plan, there: dict[str, Any]) -> str:
    here = plan.identity
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    texts = [
        f"{key} is {there.get(key, 'not there')} in it and {here.get(key, 'not there')} here"
        for key in keys
    ]
    return (
        f"study {plan.study!r} exists, and is another one: {'; '.join(texts)}. "
        "Give the same to go on with it, or another name with --study."
    )


def _open_url(url: str) -> BaseStorage:
    if "://" not in url:
        raise InputError(
            f"--storage {url!r} is no URL; give one such as sqlite:///tuning.db or postgresql://host/name, "
            "or leave it out: then the study is a journal file in its folder."
        )
    return get_storage(url)


@contextmanager
def _explained(plan: Plan) -> Iterator[None]:
    """What a storage does wrong is the user's URL, or a database that is not there."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each database's driver has its own
        where = (
            re.sub("//[^@/]*@", "//…@", plan.storage)
            if plan.storage
            else plan.folder / "journal.log"
        )  # no password
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot open the storage {where}: {reason}") from error


@contextmanager
def _locked(plan: Plan) -> Iterator[None]:
    with FileLock(plan.folder / "study.lock"):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Some of Optuna's samplers and pruners are called experimental in some of its versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def sampler_of(plan: Plan, ordinal: int) -> BaseSampler:
    """The sampler of the study's trial ``ordinal``, with a seed of its own: a study that goes on draws as one that
    was never stopped, since all else that a sampler knows is in the storage."""
    seed = seed_of(plan.seed, "sampler", ordinal) % 2**32
    with _quiet():
        if plan.sampler == "tpe":
            return TPESampler(multivariate=True, constant_liar=True, seed=seed)
        if plan.sampler == "cmaes":
            return CmaEsSampler(seed=seed)
        return GPSampler(seed=seed) if plan.sampler == "gp" else RandomSampler(seed=seed)


def pruner_of(plan: Plan) -> BasePruner:
    if len(plan.objectives) > 1 or plan.pruner == "none":
        return NopPruner()
    with _quiet():
        return WilcoxonPruner(n_startup_steps=2) if plan.pruner == "wilcoxon" else MedianPruner()


def claim(study: optuna.Study, plan: Plan) -> Trial | None:
    """The next trial, its values drawn and this process's name on it; None where the study has all its trials."""
    with _locked(plan), _quiet():
        _give_back_dead(study, plan)
        trials = study.get_trials(False)
        taken = [trial for trial in counted(study, trials) if trial.state != TrialState.WAITING]
        if len(taken) >= plan.trials:
            return None
        if plan.sampler == "grid" and not any(
            trial.state == TrialState.WAITING for trial in trials
        ):
            point = _next_point(plan, taken)
            if point is None:
                return None
            study.enqueue_trial(point)
        study.sampler = sampler_of(plan, len(taken))
        if shared := held(plan, taken):
            study.sampler = PartialFixedSampler(shared, study.sampler)
        try:
            trial = study.ask(plan.space)
        except ValueError as error:
            if len(plan.objectives) > 1:  # some versions of some samplers
                raise InputError(
                    f"--sampler {plan.sampler} cannot do this: {error}; take tpe."
                ) from None
            raise
        trial.set_user_attr(
            "process",
            {"host": socket.gethostname(), "pid": os.getpid(), "begun": _begun(os.getpid())},
        )
    return trial


def held(plan: Plan, taken: list[FrozenTrial]) -> dict[str, Any]:
    """The costly settings of the first finished trial that fewer than ``plan.hold`` trials share; {}: draw new ones.

    Most of a trial's seconds are the stages that these settings determine; the trials that share them find theirs in
    the cache. A trial that is not finished may still be computing them, and is not waited for.
    """
    if plan.sampler not in HOLDING:
        return {}
    sharing: dict[tuple, list[FrozenTrial]] = {}
    for trial in taken:
        if trial.params:
            sharing.setdefault(tuple(trial.params[key] for key in plan.costly), []).append(trial)
    for values, trials in sharing.items():
        if len(trials) < plan.hold and any(trial.state == TrialState.COMPLETE for trial in trials):
            return dict(zip(plan.costly, values, strict=True))
    return {}


def _next_point(plan: Plan, taken: list[FrozenTrial]) -> dict[str, Any] | None:
    tried = [trial.params for trial in taken]
    grid = grid_of(plan.space, plan.points, numpy_stream(plan.seed, "grid"))
    return next((point for point in grid if point not in tried), None)


def counted(study: optuna.Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials without those that died with their process and were given back: another one is in their place."""
    lost = study.user_attrs.get("lost", {})
    return [trial for trial in trials if str(trial.number) not in lost]


def _give_back_dead(study: optuna.Study, plan: Plan) -> None:
    for trial in study.get_trials(False, states=[TrialState.RUNNING]):
        process = trial.user_attrs.get("process")
        if process is None and plan.storage and _silence(trial) < 60:
            continue  # a machine that does not share the lock's folder may be about to write its name
        if process is None or not _alive(process, trial):
            name = f"process {process['pid']} on {process['host']}" if process else "its process"
            _give_back(study, plan, trial, f"{name} died")


def release(study: optuna.Study, plan: Plan, number: int, reason: str) -> None:
    """Give back a trial of one's own that was not finished."""
    with _locked(plan):
        trial = study.get_trials(False)[number]
        if not trial.state.is_finished():
            _give_back(study, plan, trial, reason)


def _give_back(study: optuna.Study, plan: Plan, trial: FrozenTrial, reason: str) -> None:
    """Fail a trial that was not finished and put its values back in the queue, up to ``ATTEMPTS`` times.

    One that died while its values were drawn has only some of them: all are drawn again, by the same ordinal's seed.
    """
    params = (
        trial.params
        if trial.params.keys() >= plan.space.keys()
        else trial.system_attrs.get("fixed_params")
    )
    attempt = trial.user_attrs.get("attempt", 1)
    if attempt >= ATTEMPTS:  # the trial is to blame, not the machine: it counts as failed
        gone = {
            **study.user_attrs.get("gone", {}),
            str(trial.number): f"{reason}, as {attempt - 1} times before",
        }
        study.set_user_attr("gone", gone)
    else:
        study.set_user_attr("lost", {**study.user_attrs.get("lost", {}), str(trial.number): reason})
        if params:
            kept = {k: v for k, v in trial.user_attrs.items() if k == "default"}
            study.enqueue_trial(
                params, user_attrs=kept | {"retry_of": trial.number, "attempt": attempt + 1}
            )
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _alive(process: dict[str, Any], trial: FrozenTrial) -> bool:
    if process["host"] != socket.gethostname():
        return _silence(trial) < SILENT_S
    begun = _begun(process["pid"])
    return (
        begun is not None and abs(begun - process["begun"]) < 60
    )  # a clock that was set; numbers return later


def _silence(trial: FrozenTrial) -> float:
    """Seconds since the trial began, or since its last finished seed."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(begun, trial.user_attrs.get("news", 0.0))


@cache
def _own_begun() -> float:
    return psutil.Process().create_time()


def _begun(pid: int) -> float | None:
    """When the process began, in seconds since the epoch; None where there is none."""
    if pid == os.getpid():
        return _own_begun()
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
