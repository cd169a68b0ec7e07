"""From a study to its files: trials.csv, best.toml for ``benchmarks.run --params``, and the figures."""

from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from benchmarks.tuning.board import values_text
from benchmarks.tuning.figures import write_figures
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.space import toml_of
from benchmarks.tuning.studies import counted
from mosaic.fl.files import write_whole

SUMS = ("wall_s", "computed_s", "saved_s")


def write_report(study: optuna.Study, plan: Plan) -> bool:
    """Write the files into the study's folder; best.toml and figures only where a trial has a result, which is told."""
    table = trial_table(study, plan)
    write_whole(plan.folder / "trials.csv", table.to_csv(index=False, lineterminator="\n").encode())
    ranked = best_trials(study, plan)
    if ranked:
        write_whole(plan.folder / "best.toml", best_toml(ranked[0], plan).encode())
        write_figures(study, plan, plan.folder / "figures")
    return bool(ranked)


def trial_table(study: optuna.Study, plan: Plan) -> pd.DataFrame:
    """One row a trial that began, with its values, what each seed gave, and what came from the cache."""
    front = (
        {trial.number for trial in best_trials(study, plan)} if len(plan.objectives) > 1 else set()
    )
    trials = [trial for trial in study.get_trials(False) if trial.state != TrialState.WAITING]
    table = pd.DataFrame([_row(trial, plan) | _ending(study, trial) for trial in trials])
    return table.assign(pareto=table["trial"].isin(front)) if front else table


def _row(trial: FrozenTrial, plan: Plan) -> dict[str, Any]:
    rows = seed_rows(trial, plan)
    row = {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "default": trial.user_attrs.get("default", False),
    }
    means = {
        name: sum(r[name] for r in rows.values()) / len(rows) if rows else None
        for name in plan.objectives
    }
    row |= (
        means
        | {"n_seeds": len(rows)}
        | {f"param.{key}": trial.params.get(key) for key in plan.space}
    )
    for seed, values in rows.items():
        row |= {f"{name}.{seed}": values[name] for name in plan.objectives}
    row |= {name: sum(values[name] for values in rows.values()) for name in SUMS}
    for name in ("computed", "reused"):
        counts: dict[str, int] = {}
        for values in rows.values():
            for stage, n in values[name].items():
                counts[stage] = counts.get(stage, 0) + n
        row[name] = " ".join(f"{stage}:{n}" for stage, n in counts.items())
    return row | {"began": trial.datetime_start, "ended": trial.datetime_complete}


def _ending(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """Why a trial has no result, and which one it took the place of."""
    number, reason = str(trial.number), trial.user_attrs.get("reason", "")
    reason = study.user_attrs.get("gone", {}).get(number, reason)
    if number in study.user_attrs.get("lost", {}):
        reason = f"{study.user_attrs['lost'][number]}; tried again"
    return {"retry_of": trial.user_attrs.get("retry_of"), "reason": reason}


def seed_rows(trial: FrozenTrial, plan: Plan) -> dict[int, dict[str, Any]]:
    """What each finished seed of the trial gave."""
    return {
        seed: trial.user_attrs[f"seed {seed}"]
        for seed in plan.seeds
        if f"seed {seed}" in trial.user_attrs
    }


def completed(study: optuna.Study) -> list[FrozenTrial]:
    return [
        trial
        for trial in counted(study, study.get_trials(False))
        if trial.state == TrialState.COMPLETE
    ]


def best_trials(study: optuna.Study, plan: Plan) -> list[FrozenTrial]:
    """The finished trials, the best first, each setting once; of several objectives the Pareto front, by the first."""
    trials = study.best_trials if len(plan.objectives) > 1 else completed(study)
    sign = -1 if plan.directions[0] == "maximize" else 1
    once: dict[str, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda trial: (sign * trial.values[0], trial.number)):
        once.setdefault(repr(sorted(trial.params.items())), trial)
    return list(once.values())


def best_toml(trial: FrozenTrial, plan: Plan) -> str:
    """The settings of a trial, with those that were fixed, as ``benchmarks.run --params`` takes them."""
    config = plan.cells(trial.params)[0].config
    names = [*plan.settings.get(plan.method, {}), *plan.space]
    seeds = ", ".join(map(str, plan.seeds))
    comments = [
        f"Trial {trial.number} of the study {plan.study}: {values_text(trial.values, plan)} on tuning seeds {seeds}.",
        f"{plan.dataset}, omega {plan.omega:g}, {plan.n_clients} clients, widths {plan.widths}, scale {plan.scale}.",
        "Used by: python -m benchmarks.run --params best.toml. Whether it is better on other seeds: stability.md.",
    ]
    return toml_of(plan.method, {name: getattr(config, name) for name in names}, comments)
