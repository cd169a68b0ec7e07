"""python -m benchmarks.tune: tune the settings of a method with Optuna, on validation images.

Validation images are held out of the training images; the test set is not opened before the best
settings have been chosen.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.markup import escape

from benchmarks.cli import console, exit_code_of
from benchmarks.tuning.options import parse

STOPPED = "stopped; the same command goes on from here."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code. 0: the study has its trials; 1: no trial has a result; 2: a wrong command;
        130: stopped by Ctrl-C.
    """
    options = parse(argv)
    return exit_code_of(lambda: command(options))


def command(options: argparse.Namespace) -> int:
    """Run a study's missing trials, write its reports, and check its best settings.

    Returns:
        The exit code, see ``main``.
    """
    # Imports are here so that --help and wrong options do not wait for PyTorch and Optuna.
    from benchmarks.running.session import prepare
    from benchmarks.tuning.make_plan import notes, plan_of, with_checked_data
    from benchmarks.tuning.plan import reporting_seeds
    from benchmarks.tuning.report import write_report
    from benchmarks.tuning.run_trials import run_trials
    from benchmarks.tuning.stability import check_stability
    from benchmarks.tuning.studies import open_study

    plan, jobs = plan_of(options)
    fresh_seeds = reporting_seeds(options.stability_seeds)
    prepare(plan.session)
    plan = with_checked_data(plan)
    with printed_warnings():
        study = open_study(plan)
    for text in notes(plan, jobs):
        console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)

    stopped = run_trials(study, plan, jobs, options)
    with console.status("writing tables and figures"):
        has_result = write_report(study, plan)

    if has_result and fresh_seeds and not stopped:
        with printed_warnings():
            verdict = check_stability(study, plan, fresh_seeds, jobs, console)
            print_text(verdict)
    print_text(f"the study: {plan.folder}")

    if stopped:
        console.print(STOPPED)
        return 130
    return 0 if has_result else 1


@contextmanager
def printed_warnings() -> Iterator[None]:
    """Print the warnings of the block at its end, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)


def print_text(text: str) -> None:
    """Print a text as it is: no markup, no colours, no line breaks."""
    console.print(escape(text), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
