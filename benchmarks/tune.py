"""python -m benchmarks.tune: tune the settings of a method with Optuna, on validation images.

With --all every method of a suite is tuned, all by the same rule (``tuning/all_plans.py``).

Validation images are held out of the training images; the test set is not opened before the best
settings have been chosen.
"""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence

from rich.markup import escape

from benchmarks.cli import console, exit_code_of, printed_warnings, safe_path, start_on_machine
from benchmarks.tuning.options import check, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code. 0: the study has its trials; 1: trials are missing or none has a result
        (with --all: of a method), or a file of the report could not be made; 2: a wrong command;
        128 + signal: stopped, 130 by Ctrl-C.
    """
    with stops_cleanly(ends_after=argv is None):
        options = parse(argv)
        return exit_code_of(lambda: command(options))


def command(options: argparse.Namespace) -> int:
    """Run a study's missing trials, write its reports, and check its best settings.

    Returns:
        The exit code, see ``main``.
    """
    check(options)
    if options.all:
        from benchmarks.tuning.all_command import tune_all

        return tune_all(options)

    # Imports are here so that --help and wrong options do not wait for PyTorch and Optuna.
    from benchmarks.planning.settings import overruled
    from benchmarks.reporting.parts import Failures, failure_lines
    from benchmarks.running.session import prepare
    from benchmarks.tuning.make_plan import notes, plan_of, with_checked_data
    from benchmarks.tuning.plan import reporting_seeds
    from benchmarks.tuning.report import write_report
    from benchmarks.tuning.run_trials import run_trials
    from benchmarks.tuning.stability import check_stability
    from benchmarks.tuning.studies import n_missing, open_study

    for text in overruled(options.set):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)
    plan, jobs = plan_of(options)
    fresh_seeds = reporting_seeds(options.stability_seeds)
    prepare(plan.session)
    start_on_machine(plan.session.out, plan.folder)
    plan = with_checked_data(plan)
    with printed_warnings():
        study = open_study(plan)
    for text in notes(plan, jobs):
        console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)

    with safe_path():
        run_trials(study, plan, jobs, options)
    failures: Failures = []
    with console.status("writing tables and figures"):
        has_result = write_report(study, plan, failures)
    for line in failure_lines(failures):
        print_text(f"missing in the report: {line}")

    if has_result and fresh_seeds:
        with printed_warnings(), safe_path():
            verdict = check_stability(study, plan, fresh_seeds, jobs, console)
            print_text(verdict)
    print_text(f"the study: {plan.folder}")

    missing = n_missing(study, plan)
    if missing:
        print_text(f"{missing} of {plan.trials} trials are missing; the same command goes on")
    return 0 if has_result and not missing and not failures else 1


def print_text(text: str) -> None:
    """Print a text as it is: no markup, no colours, no line breaks."""
    console.print(escape(text), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
