"""Run the best settings and the default again on reporting seeds, and write ``stability.md``.

The best of many trials looks better on the seeds that chose it than it really is. Reporting seeds,
which no trial has used, show on the test set how much of the gain is real.
"""

from collections.abc import Generator, Sequence

import optuna
import pandas as pd
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.markup import escape

from benchmarks.planning.cell import Cell
from benchmarks.planning.data import fingerprints, splits_of, with_data
from benchmarks.reporting.table import markdown_text, p_value
from benchmarks.running.bars import show_progress
from benchmarks.running.other_data import on_other_data
from benchmarks.running.processes import Watch, run_cells
from benchmarks.running.progress import Estimate
from benchmarks.running.records import done_file, load_records, read_rows
from benchmarks.running.run_state import RunState
from benchmarks.running.session import Outcome
from benchmarks.tuning.board import short
from benchmarks.tuning.plan import DEFAULT, Plan
from benchmarks.tuning.report import best_trials
from benchmarks.tuning.stability_evidence import Evidence, gather_evidence, trial_label
from benchmarks.tuning.stability_texts import (
    MISSING,
    difference_text,
    mean_text,
    observations,
    verdict_of,
)
from mosaic.fl.files import write_whole

BEST = 5  # how many of the best settings are run again

NO_RESULT = "No stability run finished; their tracebacks are in stability/cells."
FOOTNOTE = (
    "± is the sample standard deviation over seeds. Differences are to the default, paired seed by "
    "seed, positive where the setting is better; p of the paired t-test, and after Holm's "
    "correction over the settings."
)


def check_stability(
    study: optuna.Study, plan: Plan, seeds: Sequence[int], jobs: int, console: Console
) -> str:
    """Run the best settings and the default on reporting seeds, and write ``stability.md``.

    Args:
        study: The finished study.
        plan: Its plan.
        seeds: Reporting seeds (below 1000).
        jobs: Number of processes.
        console: Where progress is printed.

    Returns:
        The verdict: one short paragraph, which the page shows in bold.
    """
    chosen = candidates(study, plan)
    cells = plan.cells({}, seeds, DEFAULT)
    for trial in chosen:
        cells += plan.cells(trial.params, seeds, trial_label(trial))
    cells = with_data(cells, fingerprints(splits_of(cells), download=True))

    folder = plan.session.folder(cells[0].suite)
    for text in on_other_data(folder, cells):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)
    missing = [cell for cell in cells if read_rows(done_file(folder, cell)) is None]

    def outcomes(watch: Watch) -> Generator[Outcome]:
        return run_cells(missing, plan.session, min(jobs, max(1, len(missing))), watch)

    n_finished = len(cells) - len(missing)
    state = RunState(missing, n_finished, Estimate(folder, cells), jobs)
    for _ in show_progress(outcomes, state, console):
        pass  # show_progress prints each outcome; the records contain the failed ones too

    records = load_records(folder, cells)
    write_whole(folder / "records.csv", records.to_csv(index=False).encode())
    text, verdict = stability_page(study, plan, chosen, cells, records)
    write_whole(plan.folder / "stability.md", text.encode())
    return verdict


def candidates(study: optuna.Study, plan: Plan) -> list[FrozenTrial]:
    """The best settings that differ from the default, best first, at most ``BEST`` of them."""
    default = plan.default()
    return [trial for trial in best_trials(study, plan) if trial.params != default][:BEST]


def stability_page(
    study: optuna.Study,
    plan: Plan,
    chosen: Sequence[FrozenTrial],
    cells: Sequence[Cell],
    records: pd.DataFrame,
) -> tuple[str, str]:
    """The text of ``stability.md``.

    Args:
        study: The finished study.
        plan: Its plan.
        chosen: The trials that were run again, best first.
        cells: The cells of these trials and of the default.
        records: The records of ``cells``, one row per cell and scored round.

    Returns:
        The page as Markdown, and its verdict.
    """
    if "done" not in set(records["status"]):
        return NO_RESULT + "\n", NO_RESULT

    evidence = gather_evidence(study, plan, chosen, records)
    verdict = " ".join(verdict_of(evidence))
    seeds = sorted({cell.task.seed for cell in cells})
    lines = [
        f"# Is the tuning of {markdown_text(plan.study)} stable?",
        "",
        markdown_text(_introduction(plan, len(chosen), seeds)),
        "",
        f"**{verdict}**",
        "",
        *_table(evidence),
        "",
        *(f"- {markdown_text(text)}" for text in observations(evidence)),
        "",
        FOOTNOTE,
        "",
    ]
    return "\n".join(lines), verdict


def _introduction(plan: Plan, n_chosen: int, seeds: Sequence[int]) -> str:
    return (
        f"{plan.method} on {plan.dataset}, omega {plan.omegas[0]:g}, {plan.n_clients} clients, "
        f"widths {plan.widths}, scale {plan.scale}. "
        f"The best {n_chosen} settings by {' and '.join(plan.objectives)} "
        f"on tuning seeds {', '.join(map(str, plan.seeds))} (held-out training images), "
        "and the default, run again "
        f"on fresh seeds {', '.join(map(str, seeds))} (test set)."
    )


def _table(evidence: Evidence) -> list[str]:
    """The lines of the Markdown table: one row per setting, the default first."""
    plan = evidence.plan
    header = [
        "setting",
        *plan.space,
        *(f"{name}, tuning seeds" for name in plan.objectives),
        *(f"{name}, fresh seeds" for name in plan.objectives),
        "validation, fresh seeds",
        "difference",
        "p",
        "p Holm",
    ]
    rows = [header]
    rows.append(_row(evidence, DEFAULT, plan.default()))
    for trial in evidence.chosen:
        rows.append(_row(evidence, trial_label(trial), trial.params))
    lines = [f"| {' | '.join(markdown_text(cell) for cell in row)} |" for row in rows]
    alignments = ["---"] + ["---:"] * (len(header) - 1)
    return [lines[0], f"| {' | '.join(alignments)} |", *lines[1:]]


def _row(evidence: Evidence, label: str, params: dict) -> list[str]:
    """The cells of one setting's row, as text."""
    plan = evidence.plan
    row = [label]
    row += [short(params[key]) for key in plan.space]

    # Each objective on the tuning seeds, then on the fresh ones.
    for i, objective in enumerate(plan.objectives):
        if label in evidence.tuned:
            row.append(mean_text(objective, [evidence.tuned[label][i]]))
        else:
            row.append(MISSING)
    for objective in plan.objectives:
        row.append(mean_text(objective, evidence.fresh_values(objective, label)))
    row.append(mean_text("accuracy", evidence.validation_values(label)))

    # The default, and a setting without a finished fresh seed, have no test.
    if label not in evidence.tests.index:
        return [*row, MISSING, MISSING, MISSING]
    test = evidence.tests.loc[label]
    row.append(difference_text(plan, test["difference"]))
    row.append(p_value(test["p"]))
    row.append(p_value(test["p_holm"]))
    return row
