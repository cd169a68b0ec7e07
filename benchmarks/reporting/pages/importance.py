"""How much of accuracy's variance over a grid is each setting's, and each interaction's."""

import itertools
import math
import warnings
from collections.abc import Iterator

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.anova import Term, components, f_test
from benchmarks.reporting.frames import groups
from benchmarks.reporting.names import omega_values, setting_name
from benchmarks.reporting.table import NOTHING, Page, p_value, rules_between

NAME = "importance"
"""The page's name in a suite's ``pages``."""

SEED = "seed"

NOTE = (
    "Functional analysis of variance of test accuracy in the last round, over all points and "
    "seeds of a full grid: exact, no model is fitted. Points: the root of the component's "
    "variance, in percentage points. Noise: all interactions with the seed. p: F test of the "
    "component against its interaction with the seed. Main effects: as shares of their sum. "
    "Optuna, as a check: its estimate of the same (fANOVA of a random forest over all trials). "
    "– : one seed, or no such number."
)


def importance_pages(records: pd.DataFrame, setting: tuple) -> Iterator[Page]:
    """A page with a row per omega, grid and component; none without a full grid.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    if "grid_settings" not in last:
        return
    points = last.loc[last["grid_settings"].fillna("") != ""]
    omegas = omega_values(records)
    rows = []
    for (omega, grid, settings), of_grid in groups(points, ["omega", "grid", "grid_settings"]):
        names = settings.split()
        seeds = complete_seeds(of_grid, names)
        complete = of_grid.loc[of_grid[SEED].isin(seeds)]
        for texts in _rows(complete, names):
            rows.append([omegas[omega], grid, str(len(seeds)), *texts])
    if rows:
        header = ["ω", "grid", "seeds", "component", "share", "points", "p", "main effects"]
        yield Page(
            caption=f"Shares of accuracy's variance on {setting_name(*setting)} (per cent)",
            header=[*header, "Optuna"],
            rows=rows,
            notes=[NOTE],
            rules=rules_between([f"{row[0]} {row[1]}" for row in rows]),
            n_names=4,
        )


def complete_seeds(points: pd.DataFrame, names: list[str]) -> list[int]:
    """The seeds that have all points of the grid."""
    columns = [f"config.{name}" for name in names]
    n_points = math.prod(len(set(points[column])) for column in columns)
    counts = points[SEED].value_counts(sort=False).to_dict()
    return sorted(int(seed) for seed, count in counts.items() if count == n_points)


def _rows(points: pd.DataFrame, names: list[str]) -> Iterator[list[str]]:
    """The texts of all components of one grid, from the component's name on."""
    if points.empty:
        return
    columns = {name: points[f"config.{name}"] for name in names}
    table = pd.DataFrame({**columns, SEED: points[SEED], "accuracy": points["accuracy"]})
    found = components(table, [*names, SEED], "accuracy")
    total = sum(found.values())
    if not total > 0:
        return
    mains = sum(found[(name,)] for name in names)
    checks = optuna_shares(table, names)
    n_seeds = len(set(table[SEED]))

    for size in range(1, len(names) + 1):
        for term in itertools.combinations(names, size):
            levels = [len(set(table[name])) for name in term]
            p = f_test(found[term], found[(*term, SEED)], levels, n_seeds)
            texts = [" × ".join(term), *_shares(found[term], total), p_value(p)]
            if size > 1 or not mains > 0:
                yield [*texts, NOTHING, NOTHING]
                continue
            check = checks.get(term[0], math.nan)
            yield [*texts, _percent(found[term] / mains), _percent(check)]

    yield [SEED, *_shares(found[(SEED,)], total), NOTHING, NOTHING, NOTHING]
    yield ["noise", *_shares(_noise(found), total), NOTHING, NOTHING, NOTHING]


def _noise(found: dict[Term, float]) -> float:
    return sum(variance for term, variance in found.items() if SEED in term and len(term) > 1)


def _shares(variance: float, total: float) -> list[str]:
    return [_percent(variance / total), f"{100 * math.sqrt(variance):.2f}"]


def _percent(share: float) -> str:
    return NOTHING if math.isnan(share) else f"{100 * share:.1f}"


def optuna_shares(table: pd.DataFrame, names: list[str]) -> dict[str, float]:
    """Optuna's importances of the settings, which sum to 1; empty where it has none.

    Args:
        table: a row per trial, with the settings and ``accuracy``.
        names: the settings' columns.
    """
    import optuna

    kinds = {}
    for name in names:
        values = sorted(table[name].unique(), key=str)
        if pd.api.types.is_numeric_dtype(table[name]):
            low, high = float(min(values)), float(max(values))
            kinds[name] = optuna.distributions.FloatDistribution(low, high)
        else:
            kinds[name] = optuna.distributions.CategoricalDistribution(values)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize")
        for row in table.to_dict("records"):
            params = {name: row[name] for name in names}
            trial = optuna.trial.create_trial(
                params=params, distributions=kinds, value=float(row["accuracy"])
            )
            study.add_trial(trial)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # e.g. no variance, or a single trial
        return {}
    finally:
        optuna.logging.set_verbosity(verbosity)
