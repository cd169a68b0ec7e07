"""From a study to its files: trials.csv, best.toml for ``benchmarks.run --params``, and figures."""

import shlex
from collections.abc import Sequence
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from benchmarks.planning.plugins import written_as
from benchmarks.planning.settings import END, END_IS_MARKED
from benchmarks.planning.toml_files import toml_of
from benchmarks.reporting.parts import Failures, part, write_tracebacks
from benchmarks.texts import utf8
from benchmarks.tuning.board import values_text
from benchmarks.tuning.damage import COUNTED, SUMMED, is_sound
from benchmarks.tuning.figures import write_figures
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted
from benchmarks.tuning.storage import locked
from mosaic.fl.files import write_whole


def write_report(study: optuna.Study, plan: Plan, failures: Failures | None = None) -> bool:
    """Write trials.csv into the study's folder, and best.toml and figures if there is a result.

    Args:
        study: The study.
        plan: Its plan.
        failures: Get the files that cannot be made; None: their errors are raised.

    Returns:
        Whether any trial has a result.
    """
    # Of two commands on one study, the one that writes last must have read last
    with part("trials.csv", failures), locked(plan):
        table = trial_table(study, plan)
        content = table.to_csv(index=False, lineterminator="\n")
        write_whole(plan.folder / "trials.csv", utf8(content))
    ranked = best_trials(study, plan)
    if ranked:
        with part("best.toml", failures):
            write_whole(plan.folder / "best.toml", utf8(best_toml(ranked[0], plan)))
        write_figures(study, plan, plan.folder / "figures", failures)
    write_tracebacks(failures or [], plan.folder)
    return bool(ranked)


def trial_table(study: optuna.Study, plan: Plan) -> pd.DataFrame:
    """One row per trial that began: its settings, its values per seed, and its use of the cache.

    With several objectives the column ``pareto`` marks the trials on the Pareto front.
    """
    trials = [trial for trial in study.get_trials(False) if trial.state != TrialState.WAITING]
    rows = [_row(trial, plan) | _ending(study, trial) for trial in trials]
    table = pd.DataFrame(rows)
    if len(plan.objectives) == 1:
        return table
    front = {trial.number for trial in best_trials(study, plan)}
    return table.assign(pareto=table["trial"].isin(list(front))) if front else table


def _row(trial: FrozenTrial, plan: Plan) -> dict[str, Any]:
    by_part = part_rows(trial, plan)
    row: dict[str, Any] = {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "default": trial.user_attrs.get("default", False),
    }

    # Means over the finished seeds; None where no seed has finished.
    for name in plan.objectives:
        values = [part_row[name] for part_row in by_part.values()]
        row[name] = sum(values) / len(values) if values else None
    row["n_seeds"] = len(by_part)
    for key in plan.space:
        row[f"param.{key}"] = trial.params.get(key)

    for ending, part_row in by_part.items():
        for name in plan.objectives:
            row[f"{name}.{ending}"] = part_row[name]

    # What the seeds cost in all, and how often each stage was computed or came from the cache.
    for name in SUMMED:
        row[name] = sum(part_row[name] for part_row in by_part.values())
    for name in COUNTED:
        row[name] = _counts_text([part_row[name] for part_row in by_part.values()])

    row["began"] = trial.datetime_start
    row["ended"] = trial.datetime_complete
    return row


def _counts_text(counts_by_seed: Sequence[dict[str, int]]) -> str:
    """Sums over seeds as text, e.g. "warm_up:2 client_generator:20"."""
    total: dict[str, int] = {}
    for counts in counts_by_seed:
        for stage, n in counts.items():
            total[stage] = total.get(stage, 0) + n
    return " ".join(f"{stage}:{n}" for stage, n in total.items())


def _ending(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """Why a trial has no result, and which trial it replaces."""
    number = str(trial.number)
    reason = trial.user_attrs.get("reason", "")
    reason = study.user_attrs.get("gone", {}).get(number, reason)
    lost = study.user_attrs.get("lost", {})
    if number in lost:
        reason = f"{lost[number]}; tried again"
    return {"retry_of": trial.user_attrs.get("retry_of"), "reason": reason}


def part_rows(trial: FrozenTrial, plan: Plan) -> dict[str, dict[str, Any]]:
    """The measurements of each finished cell of the trial, by the end of a column's name."""
    rows: dict[str, Any] = {part: trial.user_attrs.get(name) for part, name in plan.parts.items()}
    # A damaged trial that was given back keeps its damaged measurements.
    return {part: row for part, row in rows.items() if is_sound(row, plan)}


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """The trials with a result, in the order in which they began."""
    trials = counted(study, study.get_trials(False))
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def best_trials(study: optuna.Study, plan: Plan) -> list[FrozenTrial]:
    """The trials with a result, best first, each setting once.

    With several objectives only those on the Pareto front, ordered by the first objective.
    """
    trials = study.best_trials if len(plan.objectives) > 1 else completed(study)
    sign = -1 if plan.directions[0] == "maximize" else 1

    def rank(trial: FrozenTrial) -> tuple[float, int]:
        return sign * trial.values[0], trial.number

    by_setting: dict[str, FrozenTrial] = {}
    for trial in sorted(trials, key=rank):
        by_setting.setdefault(repr(sorted(trial.params.items())), trial)
    return list(by_setting.values())


def best_toml(trial: FrozenTrial, plan: Plan) -> str:
    """A trial's settings, with those of --set, as a file for ``benchmarks.run --params``.

    With the options that its last comment has, it gives the trial's own cells.
    """
    cell = plan.cells(trial.params)[0]
    fixed = plan.settings.get(plan.method, {})
    tables = {plan.method: {name: getattr(cell.config, name) for name in (*fixed, *plan.space)}}
    if "task" in plan.settings:
        tables["task"] = {name: getattr(cell.task, name) for name in plan.settings["task"]}
    if "model" in tables.get("task", {}):
        tables["task"]["model"] = written_as("model", cell.task.model)

    seeds = ", ".join(map(str, plan.seeds))
    comments = [
        f"Trial {trial.number} of the study {plan.study}: {values_text(trial.values, plan)} "
        f"on tuning seeds {seeds}.",
        "Whether it is better on other seeds: stability.md. "
        "[task] has what --set fixed; it holds for all methods of a run.",
        f"Used by: python -m benchmarks.run {shlex.join(_options(plan))} --params best.toml",
    ]
    return toml_of(tables, [*comments, END_IS_MARKED]) + f"# {END}\n"


def _options(plan: Plan) -> list[str]:
    """The options of ``benchmarks.run`` for the study's method, task and scale."""
    options = {
        "--methods": written_as("method", plan.method),
        "--scale": plan.scale,
        "--datasets": written_as("dataset", plan.dataset),
        "--omega": ",".join(map(repr, plan.omegas)),
        "--clients": f"{plan.n_clients}",
        "--widths": plan.widths,
        "--precision": plan.precision,
        "--threads": f"{plan.threads}",
    }
    return [part for option in options.items() for part in option]
