"""Does tuning really gain, and is its optimum stable? The best settings and the default again, on reporting seeds.

The best of many trials looks better on the seeds that chose it than it is. Reporting seeds, which no trial has seen,
say what is left of it, on the test set.
"""

import math
from collections.abc import Sequence

import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from rich.console import Console
from scipy import stats

from benchmarks.planning.cell import Cell
from benchmarks.reporting import comparison as st
from benchmarks.running.processes import run_cells
from benchmarks.running.progress import Estimate, show_progress
from benchmarks.running.records import done_file, load_records, read_rows
from benchmarks.tuning.board import PER_CENT, short, value_text
from benchmarks.tuning.plan import DEFAULT, Plan
from benchmarks.tuning.report import best_trials, completed
from mosaic.fl.files import write_whole

BEST = 5  # settings that are run again


def check_stability(
    study: optuna.Study, plan: Plan, seeds: Sequence[int], jobs: int, console: Console
) -> str:
    """Run the best settings and the default on the fresh seeds, write stability.md, and return its verdict."""
    chosen = candidates(study, plan)
    cells = [
        cell
        for trial in chosen
        for cell in plan.cells(trial.params, seeds, f"trial {trial.number}")
    ]
    cells = [*plan.cells({}, seeds, DEFAULT), *cells]
    folder = plan.session.folder(cells[0].suite)
    missing = [cell for cell in cells if read_rows(done_file(folder, cell)) is None]
    outcomes = lambda watch: run_cells(
        missing, plan.session, min(jobs, max(1, len(missing))), watch
    )  # noqa: E731
    for _ in show_progress(
        outcomes, missing, len(cells) - len(missing), Estimate(folder, cells), jobs, console
    ):
        pass  # each is printed, and a failed one is in the records
    records = load_records(folder, cells)
    write_whole(folder / "records.csv", records.to_csv(index=False).encode())
    text, verdict = stability_page(study, plan, chosen, cells, records)
    write_whole(plan.folder / "stability.md", text.encode())
    return verdict


def candidates(study: optuna.Study, plan: Plan) -> list[FrozenTrial]:
    """The best settings that are not the default."""
    default = plan.default()
    return [trial for trial in best_trials(study, plan) if trial.params != default][:BEST]


def stability_page(
    study: optuna.Study,
    plan: Plan,
    chosen: Sequence[FrozenTrial],
    cells: Sequence[Cell],
    records: pd.DataFrame,
) -> tuple[str, str]:
    """stability.md and its verdict, from the records of the chosen trials' and the default's cells."""
    objective, seeds = plan.objectives[0], sorted({cell.task.seed for cell in cells})
    if not (records["status"] == "done").any():
        return (
            verdict := "No stability run finished; their tracebacks are in stability/cells."
        ) + "\n", verdict
    scored = records.assign(seconds=records["method_s"] + records["stage_s"])
    fresh = {name: _fresh(scored, name) for name in plan.objectives}  # (settings, seeds) each
    sign = 1 if plan.directions[0] == "maximize" else -1
    # statistics compares a column named accuracy, larger is better: the objective takes its place
    tests = st.paired_differences(
        scored.assign(accuracy=sign * scored[objective]), DEFAULT
    ).set_index("method")
    tuned = {f"trial {trial.number}": trial.values for trial in chosen}
    for trial in completed(study):
        if trial.params == plan.default():
            tuned.setdefault(DEFAULT, trial.values)
    verdict = " ".join(_verdict(plan, chosen, tuned, tests, sign))
    lines = [
        f"# Is the tuning of {plan.study} stable?",
        "",
        f"{plan.method} on {plan.dataset}, omega {plan.omega:g}, {plan.n_clients} clients, widths {plan.widths}, scale "
        f"{plan.scale}. The best {len(chosen)} settings by {' and '.join(plan.objectives)} on tuning seeds "
        f"{', '.join(map(str, plan.seeds))} (held-out training images), and the default, run again on fresh seeds "
        f"{', '.join(map(str, seeds))} (test set).",
        "",
        f"**{verdict}**",
        "",
        *_table(plan, chosen, tuned, fresh, _fresh(scored, "accuracy_validation"), tests),
        "",
        *(f"- {text}" for text in _stability(plan, chosen, tuned, fresh[objective], sign)),
        "",
        "± is the sample standard deviation over seeds. Differences are to the default, paired seed by seed, positive "
        "where the setting is better; p of the paired t-test, and after Holm's correction over the settings.",
        "",
    ]
    return "\n".join(lines), verdict


def _fresh(records: pd.DataFrame, column: str) -> pd.DataFrame:
    return st.selected_rounds(records, "last").pivot(index="method", columns="seed", values=column)


def _table(plan, chosen, tuned, fresh, validation, tests) -> list[str]:
    header = ["setting", *plan.space, *(f"{name}, tuning seeds" for name in plan.objectives)]
    header += [f"{name}, fresh seeds" for name in plan.objectives]
    header += ["validation, fresh seeds", "difference", "p", "p Holm"]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1)]
    params = {DEFAULT: plan.default()} | {f"trial {trial.number}": trial.params for trial in chosen}
    for name, values in params.items():
        row = [name, *(short(values[key]) for key in plan.space)]
        row += [
            _text(o, [tuned[name][i]] if name in tuned else [])
            for i, o in enumerate(plan.objectives)
        ]
        row += [_text(o, _of(fresh[o], name)) for o in plan.objectives] + [
            _text("accuracy", _of(validation, name))
        ]
        if name in tests.index:
            test = tests.loc[name]
            row += [_difference(plan, test["difference"]), *(_p(test[p]) for p in ("p", "p_holm"))]
        rows.append(row + ["–"] * (len(header) - len(row)))
    return [f"| {' | '.join(row)} |" for row in rows]


def _of(values: pd.DataFrame, name: str) -> list[float]:
    return values.loc[name].dropna().tolist() if name in values.index else []


def _text(objective: str, values: list[float]) -> str:
    if not values:
        return "–"
    mean, sd = value_text(objective, sum(values) / len(values)), pd.Series(values).std(ddof=1)
    return mean if math.isnan(sd) else f"{mean} ± {value_text(objective, sd)}"


def _difference(plan: Plan, value: float) -> str:
    """A difference of the first objective; of accuracies in percentage points."""
    return f"{100 * value:+.2f} points" if plan.objectives[0] in PER_CENT else f"{value:+.4g}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _verdict(plan, chosen, tuned, tests: pd.DataFrame, sign: int) -> list[str]:
    """Does the winner of the tuning seeds beat the default on fresh ones? In plain words."""
    if not chosen or DEFAULT in tuned and sign * tuned[DEFAULT][0] >= sign * chosen[0].values[0]:
        return [
            "Tuning does not gain: no other setting beat the default on the tuning seeds. Keep the default."
        ]
    name = f"trial {chosen[0].number}"
    if name not in tests.index or not tests.loc[name, "n"]:
        return [
            f"{name}, the best on tuning seeds, and the default share no finished fresh seed: nothing can be said."
        ]
    test = tests.loc[name]
    n, gain = int(test["n"]), _difference(plan, test["difference"])
    told = f"on {n} fresh seed{'s' * (n > 1)}, {name}, the best on tuning seeds, differs from the default by {gain}"
    if n < 2:
        return [
            f"Not known: {told}, and one seed allows no test. Give more with --stability-seeds."
        ]
    told += f" (95 % interval ± {_difference(plan, test['ci']).lstrip('+')}, p = {_p(test['p'])})"
    sure = test["p"] < st.ALPHA  # uncorrected: the tuning seeds chose this one setting beforehand
    if sure and test["difference"] > 0:
        return [f"Tuning gains: {told}."]
    if sure:
        return [f"Tuning does harm: {told}. Keep the default."]
    least = st.detectable_difference(test["sd"], n)
    texts = [f"No gain is shown: {told}."]
    if math.isfinite(least) and least > 0:
        size = _difference(plan, least).lstrip("+")
        texts.append(
            f"With {n} seeds only a difference of about {size} would be found (power 80 %)."
        )
    return [*texts, "Keep the default unless more seeds say otherwise."]


def _stability(plan, chosen, tuned, fresh: pd.DataFrame, sign: int) -> list[str]:
    """Does the order of the settings hold on fresh seeds, and do the best ones lie together?"""
    texts = []
    both = [name for name in tuned if name in fresh.index and fresh.loc[name].notna().any()]
    if chosen and DEFAULT in both and (first := f"trial {chosen[0].number}") in both:
        before = sign * (tuned[first][0] - tuned[DEFAULT][0])
        after = sign * (fresh.loc[first].mean() - fresh.loc[DEFAULT].mean())
        texts.append(
            f"{first} was ahead of the default by {_difference(plan, before)} on the tuning seeds, which chose it, and "
            f"by {_difference(plan, after)} on fresh ones: where that is less, chance had a share in the choice."
        )
    means = [fresh.loc[name].mean() for name in both]
    if len(both) >= 3 and len(set(means)) > 1 and len({tuned[name][0] for name in both}) > 1:
        rho = stats.spearmanr([tuned[name][0] for name in both], means).statistic
        texts.append(
            f"Rank correlation of these {len(both)} settings between tuning and fresh seeds: {rho:+.2f}."
        )
    texts += _winners(sign * fresh.dropna(axis=1))
    if len(chosen) > 1:
        texts += [_spread(plan, key, [trial.params[key] for trial in chosen]) for key in plan.space]
    return texts


def _winners(values: pd.DataFrame) -> list[str]:
    """Who is best on which fresh seed, from values (settings, seeds) that are better when larger."""
    if len(values) < 2 or len(values.columns) < 2:
        return []
    best = {
        seed: set(column.index[column >= column.max() - st.EXACT])
        for seed, column in values.items()
    }
    if all(len(names) == len(values) for names in best.values()):
        return ["All these settings do equally well on the fresh seeds."]
    told = "; ".join(f"seed {seed}: {', '.join(sorted(names))}" for seed, names in best.items())
    always = set.intersection(*best.values())
    verdict = (
        f"stable: {', '.join(sorted(always))} on each"
        if always
        else "not stable: no setting is the best on each"
    )
    return [f"Over fresh seeds the optimum is {verdict} ({told})."]


def _spread(plan: Plan, key: str, values: list) -> str:
    distribution = plan.space[key]
    if isinstance(distribution, CategoricalDistribution):
        return f"{key} of the best {len(values)}: {', '.join(map(str, values))}."
    low, high = distribution.low, distribution.high
    place = math.log if distribution.log else float
    share = (place(max(values)) - place(min(values))) / (place(high) - place(low))
    return f"{key} of the best {len(values)}: {short(min(values))} to {short(max(values))}, {share:.0%} of its range."
