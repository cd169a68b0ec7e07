"""From the studies of --all to their files: the table of all trials, and the scale's tuned file.

``trials.csv`` has one row per trial of each method. ``tuned.toml`` has each method's best settings;
``benchmarks.planning.tuned`` reads it where it is ``benchmarks/tuned/<scale>/<dataset>.toml``.
Neither has a date or a duration, so that both can be committed and compared.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from benchmarks.planning.plugins import written_as
from benchmarks.planning.toml_files import toml_of
from benchmarks.tuning.all_board import Studies
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.report import part_rows
from benchmarks.tuning.retries import counted

OBJECTIVE = "accuracy"


def trials_of(studies: Studies, method: str) -> list[FrozenTrial]:
    """A method's first trials that count, as many as its plan says, finished or not."""
    study, plan = studies[method]
    trials = counted(study, study.get_trials(False))
    begun = [trial for trial in trials if trial.state != TrialState.WAITING]
    return begun[: plan.trials]


def best_of(studies: Studies, method: str) -> FrozenTrial | None:
    """A method's most accurate trial, of equal ones the first; None if no trial has a result."""
    complete = [t for t in trials_of(studies, method) if t.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: trial.values[0], default=None)


def missing_in(studies: Studies, plans: Sequence[Plan]) -> dict[str, str]:
    """Why methods have no tuned values, by method: not all trials have ended, or none has a result.

    Args:
        studies: Those that there are.
        plans: Those that there should be.
    """
    reasons = {}
    for plan in plans:
        if plan.name not in studies:
            reasons[plan.name] = "not run"
            continue
        trials = trials_of(studies, plan.name)
        n_ended = sum(trial.state.is_finished() for trial in trials)
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        if best_of(studies, plan.name) is None and failed:
            reasons[plan.name] = failed[0].user_attrs.get("reason") or "all trials failed"
        elif n_ended < plan.trials:
            reasons[plan.name] = f"{n_ended} of {plan.trials} trials are done"
    return reasons


def table_of_all(studies: Studies) -> pd.DataFrame:
    """One row per finished trial of each method.

    Its columns are the method, the trial's place among the method's trials from 0, whether it has
    the papers' values, how it ended, the mean accuracy on validation images, that of each seed and
    omega, and the settings as JSON.
    """
    rows = []
    for method, (_, plan) in studies.items():
        for place, trial in enumerate(trials_of(studies, method)):
            if trial.state.is_finished():
                rows.append(_row(method, place, trial, plan))
    return pd.DataFrame(rows)


def _row(method: str, place: int, trial: FrozenTrial, plan: Plan) -> dict[str, Any]:
    measured = part_rows(trial, plan)
    row: dict[str, Any] = {
        "method": method,
        "trial": place,
        "default": trial.user_attrs.get("default", False),
        "state": trial.state.name.lower(),
        OBJECTIVE: trial.values[0] if trial.values else None,
    }
    for part in plan.parts:
        row[f"{OBJECTIVE}.{part}"] = measured.get(part, {}).get(OBJECTIVE)
    row["settings"] = json.dumps({key: trial.params.get(key) for key in plan.space})
    return row


def toml_of_all(
    studies: Studies, missing: dict[str, str], suites: str, given: Sequence[str] = ()
) -> str:
    """The tuned file of the methods that have a result.

    Args:
        studies: The studies.
        missing: The methods that are not in it, with the reason.
        suites: What --suite was.
        given: What --set was.
    """
    done = [method for method in studies if method not in missing]
    plan = studies[done[0]][1]
    tables: dict[str | tuple[str, str], dict[str, Any]] = {
        "study": {
            "command": command_of(plan, suites, given),
            "seeds": plan.seeds,
            "omegas": plan.omegas,
            "clients": plan.n_clients,
            "widths": plan.widths,
            "precision": plan.precision,
            "sampler": plan.sampler,
            "trials": plan.trials,
            "missing": sorted(missing),
        }
    }
    bests = {method: best_of(studies, method) for method in done}
    for method, best in bests.items():
        if best is not None:
            tables["settings", method] = dict(best.params)
    for method, best in bests.items():
        if best is not None:
            tables["validation", method] = _validation(trials_of(studies, method), best)
    return toml_of(
        tables,
        [
            "Written by the command below; do not edit it. Each value is that of a method's most "
            "accurate trial on validation images; all trials are in trials.csv beside the studies.",
            "validation: mean accuracies with the papers' values (default) and with these (best).",
        ],
    )


def _validation(trials: Sequence[FrozenTrial], best: FrozenTrial) -> dict[str, Any]:
    """The accuracy of the default and of the best trial, and which one that is."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    defaults = [trial.values[0] for trial in complete if trial.user_attrs.get("default")]
    return {
        "default": defaults[0] if defaults else None,
        "best": best.values[0],
        "trial": trials.index(best),
        "failed": len(trials) - len(complete),
    }


def command_of(plan: Plan, suites: str, given: Sequence[str] = ()) -> str:
    """The command that gives these values again, on any number of processes."""
    options: dict[str, Any] = {
        "--suite": suites,
        "--scale": plan.scale,
        "--dataset": written_as("dataset", plan.dataset),
        "--omega": ",".join(f"{omega:g}" for omega in plan.omegas),
        "--clients": plan.n_clients,
        "--widths": plan.widths,
        "--seeds": ",".join([*map(str, plan.seeds), ""]),
        "--trials": plan.trials,
        "--hold": plan.hold,
        "--precision": plan.precision,
        "--threads": plan.threads,
    }
    written = [str(text) for option in options.items() for text in option]
    for setting in given:
        written += ["--set", setting]
    return f"python -m benchmarks.tune --all {shlex.join(written)}"
