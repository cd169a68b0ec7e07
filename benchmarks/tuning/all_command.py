"""python -m benchmarks.tune --all, from its options to its files and exit code."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from rich.markup import escape

from benchmarks.cli import console, printed_warnings, safe_path, start_on_machine
from benchmarks.planning.data import places
from benchmarks.planning.tuned import tuned_file
from benchmarks.reporting.parts import Failures, failure_lines, part, write_tracebacks
from benchmarks.running.session import prepare
from benchmarks.texts import utf8
from benchmarks.tuning.all_board import Studies, board_of_all, finished_of_all, mean_seconds
from benchmarks.tuning.all_plans import folder_name, plans_of_all, targets_of
from benchmarks.tuning.all_report import best_of, missing_in, table_of_all, toml_of_all
from benchmarks.tuning.all_run import run_all
from benchmarks.tuning.board import short
from benchmarks.tuning.distributions import text_of
from benchmarks.tuning.make_plan import with_checked_data
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.sobol import all_choices
from benchmarks.tuning.storage import journal_file
from benchmarks.tuning.studies import open_study
from mosaic.fl.files import write_whole


def tune_all(options: argparse.Namespace) -> int:
    """Tune all methods of a suite alike, and write their best settings.

    Returns:
        The exit code. 0: each method that was to be tuned has its trials; 1: one has no result, or
        a file could not be written.
    """
    plans, to_run, jobs = plans_of_all(options)
    session = plans[0].session
    folder = session.folder(f"tuning/{folder_name(plans[0])}")
    prepare(session)
    start_on_machine(session.out, folder)
    plans = [with_checked_data(plan) for plan in plans]
    chosen = {plan.name for plan in to_run}
    to_run = [plan for plan in plans if plan.name in chosen]

    with printed_warnings():
        studies: Studies = {plan.name: (open_study(plan), plan) for plan in to_run}
    _print_rule(to_run, options.suite)
    with safe_path(), board_of_all(studies, jobs, console) as (announce, refresh):
        run_all(to_run, jobs, announce, refresh)

    studies = {plan.name: (open_study(plan), plan) for plan in plans if _is_there(plan)}
    failures: Failures = []
    _print_results(studies)
    # Of two commands on these studies, the one that writes last must have read last
    with FileLock(folder / "studies.lock"):
        missing = missing_in(studies, plans)
        _write(studies, plans, missing, options, folder, failures)
    write_tracebacks(failures, folder)
    for line in failure_lines(failures):
        _print(f"missing in the report: {line}")
    for method in missing:
        if method in chosen:
            _print(f"[red]{escape(method)}[/] is not tuned: {escape(missing[method])}", markup=True)
    return 1 if failures or not chosen.isdisjoint(missing) else 0


def _is_there(plan: Plan) -> bool:
    return journal_file(plan).exists()


def _write(
    studies: Studies,
    plans: Sequence[Plan],
    missing: dict[str, str],
    options: argparse.Namespace,
    folder: Path,
    failures: Failures,
) -> None:
    """Write trials.csv and tuned.toml, and the scale's own file where it is complete."""
    with part("trials.csv", failures):
        content = table_of_all(studies).to_csv(index=False, lineterminator="\n")
        write_whole(folder / "trials.csv", utf8(content))
    if missing.keys() >= studies.keys():
        return

    content = utf8(toml_of_all(studies, missing, options.suite, options.set))
    with part("tuned.toml", failures):
        write_whole(folder / "tuned.toml", content)
    _print(f"the studies: {folder}")
    path = tuned_file(plans[0].scale, plans[0].dataset)
    obstacle = _obstacle(studies, plans, options)
    if path is None or obstacle:
        _print(f"tuned.toml is not the scale's: {obstacle or 'the data set is from outside'}")
        return
    with part(path.name, failures):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        _print(f"the scale's tuned settings: {path}")


def _obstacle(studies: Studies, plans: Sequence[Plan], options: argparse.Namespace) -> str:
    """Why the values are not those of the scale; "" if they are."""
    if options.set:
        return "--set has changed its task"
    finished = finished_of_all(studies)
    unfinished = []
    for plan in plans:
        trials = finished.get(plan.name, [])
        failed = len(trials) > 0 and best_of(studies, plan.name) is None
        if len(trials) < plan.trials and not failed:
            unfinished.append(plan.name)
    if not unfinished:
        return ""
    return f"trials of {', '.join(unfinished)} are missing"


def _print_rule(plans: Sequence[Plan], suites: str) -> None:
    """What is tuned, and how."""
    plan = plans[0]
    _print(places(plan.data))
    for each in plans:
        ranges = [f"{key} in {text_of(values)}" for key, values in each.space.items()]
        shared = ""
        if each.costly and not all_choices(each):
            shared = f"; {plan.hold} trials share {', '.join(each.costly)}"
        _print(f"{each.name}: {', '.join(ranges)}{shared}")
    _, nothing = targets_of(suites)
    if nothing:
        _print(f"nothing to tune: {', '.join(nothing)}; the task's learning rate is all methods'")
    seeds = ", ".join(map(str, plan.seeds))
    omegas = ", ".join(f"{omega:g}" for omega in plan.omegas)
    _print(f"{plan.trials} trials a method, each on tuning seeds {seeds} at omega {omegas}")


def _print_results(studies: Studies) -> None:
    """A line per method: the accuracies of the default and of the best trial, and seconds."""
    finished = finished_of_all(studies)
    for method, (_, plan) in studies.items():
        best = best_of(studies, method)
        if best is None:
            continue
        first = [trial for trial in finished[method] if trial.user_attrs.get("default")]
        before = f"{first[0].values[0]:.2%}" if first and first[0].values else "no result"
        settings = ", ".join(f"{key}={short(best.params[key])}" for key in plan.space)
        seconds = mean_seconds(finished[method])
        _print(
            f"{method}: {before} -> {best.values[0]:.2%} with {settings}; {seconds:.1f} s a trial"
        )


def _print(text: str, markup: bool = False) -> None:
    console.print(text if markup else f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)
