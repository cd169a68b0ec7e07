"""Trials whose process died: they are failed, and their values are tried again by another trial.

A trial carries the name of its process in its user attributes, and of the command that started the
process. If the command has ended too, it was stopped or killed, and the trial is not to blame: it
is tried again as if it had never begun. If its process alone has died, the trial may be the cause
(of too little memory): it is tried again a few times. The study's user attributes list
the trials that were tried again ("lost") and those that failed too often ("gone"), with the
reason.
"""

import os
import socket
import time
from functools import cache
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from benchmarks.tuning.distributions import has_values
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.storage import locked

ATTEMPTS = 3  # how often a trial is begun before it counts as failed
SILENT_S = 24 * 3600  # without news for so long, a trial of another machine counts as dead
UNNAMED_S = 60  # so long a new trial in a database may lack the name of its process
CLOCK_S = 60  # tolerance for start times of a process, because a machine's clock may be set


def counted(study: optuna.Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials without those that died and were replaced by another trial."""
    lost = study.user_attrs.get("lost", {})
    return [trial for trial in trials if str(trial.number) not in lost]


_command: dict[str, Any] | None = None


def work_for(command: dict[str, Any]) -> None:
    """Set the command that has started this process: its ``this_process()``."""
    global _command
    _command = command


def this_process() -> dict[str, Any]:
    """What a trial stores of the process that runs it: host, process id, start time; its command.

    The command is the process itself, unless another one has started it.
    """
    process = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "begun": _start_time(os.getpid()),
    }
    return process | {"command": _command or process}


def give_back_dead(study: optuna.Study, plan: Plan) -> None:
    """Give back the running trials whose process has died. The caller holds the study's lock."""
    for trial in study.get_trials(False, states=[TrialState.RUNNING]):
        process = trial.user_attrs.get("process")
        if process is not None:
            if not _alive(process, trial):
                reason = f"process {process['pid']} on {process['host']} died"
                # Trials of earlier versions name no command.
                alone = "command" not in process or _alive(process["command"], trial)
                give_back(study, plan, trial, reason, blamed=alone)
            continue

        # The name is written under the same lock as the trial, so a trial without one is dead. But
        # the machines that share a database may not share the lock's folder.
        about_to_be_named = plan.storage is not None and _silence(trial) < UNNAMED_S
        if not about_to_be_named:
            give_back(study, plan, trial, "its process died", blamed=False)


def release(study: optuna.Study, plan: Plan, number: int, reason: str) -> None:
    """Give back an unfinished trial of this process.

    Args:
        study: The study.
        plan: Its plan.
        number: The trial's number.
        reason: Why it was not finished, for the table of trials.
    """
    with locked(plan):
        trial = study.get_trials(False)[number]
        if not trial.state.is_finished():
            give_back(study, plan, trial, reason, blamed=False)


def give_back(
    study: optuna.Study,
    plan: Plan,
    trial: FrozenTrial,
    reason: str,
    blamed: bool,
    ordinal: int | None = None,
) -> None:
    """Fail an unfinished trial, and put its values into the queue again.

    Args:
        study: The study.
        plan: Its plan.
        trial: The trial.
        reason: Why it was not finished, for the table of trials.
        blamed: Whether it was an attempt; there are ATTEMPTS of them.
        ordinal: How many trials counted before it, if others came after it. Without its values it
            is then drawn again with the seed that it had.
    """
    number = str(trial.number)
    attempt = trial.user_attrs.get("attempt", 1)

    if blamed and attempt >= ATTEMPTS:
        # The trial seems to be the cause, not the machine. It counts as failed.
        gone = study.user_attrs.get("gone", {})
        reason = f"{reason}, as {attempt - 1} times before"
        study.set_user_attr("gone", {**gone, number: reason})
    else:
        lost = study.user_attrs.get("lost", {})
        study.set_user_attr("lost", {**lost, number: reason})
        _enqueue_again(study, plan, trial, attempt + 1 if blamed else attempt, ordinal)
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _enqueue_again(
    study: optuna.Study, plan: Plan, trial: FrozenTrial, attempt: int, ordinal: int | None
) -> None:
    others = study.get_trials(False)
    if any(other.user_attrs.get("retry_of") == trial.number for other in others):
        return  # a process that gave it back before was killed just then
    params = trial.params
    if not has_values(params, plan.space):
        # It died while its values were drawn. Values that it got from the queue are used again.
        # Otherwise all are drawn again, with the same result: the seed depends on the number of
        # trials that count.
        params = trial.system_attrs.get("fixed_params")
    if not params and ordinal is None:
        return

    attributes: dict[str, Any] = {"retry_of": trial.number, "attempt": attempt}
    if "default" in trial.user_attrs:
        attributes["default"] = trial.user_attrs["default"]
    if not params:
        attributes["ordinal"] = ordinal
    study.enqueue_trial(params or {}, user_attrs=attributes)


def _alive(process: dict[str, Any], trial: FrozenTrial) -> bool:
    """Whether the process that runs the trial still exists."""
    if process["host"] != socket.gethostname():
        return _silence(trial) < SILENT_S
    # Process ids are used again, so the start time must fit too.
    start = _start_time(process["pid"])
    return start is not None and abs(start - process["begun"]) < CLOCK_S


def _silence(trial: FrozenTrial) -> float:
    """Seconds since the trial began, or since its last finished seed."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(begun, trial.user_attrs.get("news", 0.0))


def _start_time(pid: int) -> float | None:
    """When the process began, in seconds since the epoch; None if it does not exist."""
    if pid == os.getpid():
        return _own_start_time()
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time()
    except psutil.NoSuchProcess:
        return None


@cache
def _own_start_time() -> float:
    return psutil.Process().create_time()
