"""The studies of --all: one for each method of a suite, by the same rule for all of them.

Each method is tuned over the settings that its module names (TUNED), at most three of them; with
the same number of trials, on the same seeds and omegas, for its mean accuracy on validation images.
Trial 0 has the papers' values, and the others are points of a Sobol sequence. A suite's entries
with labels of their own (mosaic-source) get the values of their method.

Methods without such settings are not tuned: what they have is the task's learning rate, which is
the same for all methods.
"""

import argparse
from dataclasses import replace

from benchmarks.cli import listed, number_of_jobs
from benchmarks.planning.entries import entries_of
from benchmarks.planning.methods import known_method, tunable_of
from benchmarks.planning.settings import read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.tuning.make_plan import plan_of
from benchmarks.tuning.plan import Plan
from mosaic.fl.data.datasets import display_name
from mosaic.fl.errors import InputError, did_you_mean


def plans_of_all(options: argparse.Namespace) -> tuple[list[Plan], list[Plan], int]:
    """A plan for each method of the suites that has something to tune.

    Returns:
        The plans of all such methods; those that --methods leaves, which are all without it; the
        number of processes.

    Raises:
        InputError: If an option is wrong, or if there is nothing to tune.
    """
    for name in read_settings(options.set):
        if name != "task":
            raise InputError(f"with --all --set is for the task; {name} was given.")
    tunable, _ = split_methods(options.suite)
    if not tunable:
        raise InputError(
            f"no method of {options.suite} has settings to tune; give another --suite."
        )
    chosen = listed(options.methods, "--methods") or tunable
    for method in chosen:
        if method not in tunable:
            raise did_you_mean("method to be tuned", method, tunable)

    plans = [_plan_of(method, options) for method in tunable]
    to_run = [plan for plan in plans if plan.method in chosen]
    jobs = number_of_jobs(options.jobs, options.threads, plans[0].session.device)
    return plans, to_run, min(jobs, sum(plan.trials for plan in to_run))


def split_methods(suites: str) -> tuple[list[str], list[str]]:
    """The methods of suites: those that have something to tune, and those that have not.

    Args:
        suites: Their names or files, separated by commas.
    """
    methods: dict[str, None] = {}
    for suite in listed(suites, "--suite") or []:
        _, content = read_suite(suite)
        methods |= dict.fromkeys(entry.name for entry in entries_of(content, None, {}, None))
    tunable = [name for name in methods if tunable_of(known_method(name))]
    return tunable, [name for name in methods if name not in tunable]


def folder_name(plan: Plan) -> str:
    """The name of the folder of all studies of a scale and a data set."""
    return f"all-{plan.scale}-{display_name(plan.dataset)}"


def _plan_of(method: str, options: argparse.Namespace) -> Plan:
    own = {"method": method, "only": ",".join(tunable_of(known_method(method)))}
    plan, _ = plan_of(argparse.Namespace(**{**vars(options), **own}))
    return replace(plan, study=f"{folder_name(plan)}/{method}", from_papers=True)
