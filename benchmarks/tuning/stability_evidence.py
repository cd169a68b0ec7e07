"""The numbers behind ``stability.md``: the same settings on tuning seeds and on fresh ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from benchmarks.reporting.comparison import paired_differences, selected_rounds
from benchmarks.tuning.plan import DEFAULT, Plan
from benchmarks.tuning.report import completed


@dataclass(frozen=True)
class Evidence:
    """What is known of the default and of the chosen trials.

    A *label* is "default" or "trial 7". Frames of fresh values have one row per label and one
    column per reporting seed. ``tests`` has one row per label other than the default; its
    differences are positive where the setting is better, also for objectives to be minimised.
    """

    plan: Plan
    sign: int  # 1 if larger values of the first objective are better, else -1
    chosen: Sequence[FrozenTrial]  # best first
    tuned: dict[str, Sequence[float]]  # by label: the objectives' means over the tuning seeds
    fresh: dict[str, pd.DataFrame]  # by objective
    validation: pd.DataFrame  # validation accuracy
    tests: pd.DataFrame  # paired tests of the first objective against the default

    def fresh_values(self, objective: str, label: str) -> list[float]:
        """The objective's values of one setting on the fresh seeds that finished."""
        return _values(self.fresh[objective], label)

    def validation_values(self, label: str) -> list[float]:
        """Validation accuracies of one setting on the fresh seeds that finished."""
        return _values(self.validation, label)


def gather_evidence(
    study: optuna.Study, plan: Plan, chosen: Sequence[FrozenTrial], records: pd.DataFrame
) -> Evidence:
    """Collect the numbers of the chosen trials and of the default.

    Args:
        study: The finished study.
        plan: Its plan.
        chosen: The trials that were run again, best first.
        records: Their records and the default's, one row per cell and scored round.
    """
    records = records.assign(seconds=records["method_s"] + records["stage_s"])

    tuned: dict[str, Sequence[float]] = {trial_label(trial): trial.values for trial in chosen}
    for trial in completed(study):
        if trial.params == plan.default():
            tuned.setdefault(DEFAULT, trial.values)

    sign = 1 if plan.directions[0] == "maximize" else -1
    return Evidence(
        plan=plan,
        sign=sign,
        chosen=chosen,
        tuned=tuned,
        fresh={objective: _by_seed(records, objective) for objective in plan.objectives},
        validation=_by_seed(records, "accuracy_validation"),
        tests=_tests(records, plan.objectives[0], sign),
    )


def trial_label(trial: FrozenTrial) -> str:
    """The name of a trial on the page and in the records."""
    return f"trial {trial.number}"


def _tests(records: pd.DataFrame, objective: str, sign: int) -> pd.DataFrame:
    """Paired tests of ``objective`` against the default, one row per label."""
    # paired_differences compares the column accuracy and takes larger values for better.
    compared = records.assign(accuracy=sign * records[objective])
    # The settings are compared with one another, also those of a method that does not compete with
    # other methods.
    return paired_differences(compared, DEFAULT, out=[]).set_index("label")


def _by_seed(records: pd.DataFrame, column: str) -> pd.DataFrame:
    """The last round's values (labels, seeds)."""
    return selected_rounds(records, "last").pivot(index="label", columns="seed", values=column)


def _values(by_seed: pd.DataFrame, label: str) -> list[float]:
    if label not in by_seed.index:
        return []
    return by_seed.loc[label].dropna().tolist()
