"""The studies of --all: one for each method of a suite, by the same rule for all of them.

Each method is tuned over the settings that its module names (TUNED), at most three of them; with
the same number of trials, on the same seeds and omegas, for its mean accuracy on validation images.
Trial 0 has the papers' values, and the others are points of a Sobol sequence. A suite's entries
with labels of their own (mosaic-source) get the values of their method. Those that name settings to
tune (``tune`` in the suite's file) have a study of their own, by the same rule.

Methods without such settings are not tuned: what they have is the task's learning rate, which is
the same for all methods.
"""

import argparse
from dataclasses import replace
from typing import Any, NamedTuple

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
    targets, _ = targets_of(options.suite)
    tunable = [target.name for target in targets]
    if not tunable:
        raise InputError(
            f"no method of {options.suite} has settings to tune; give another --suite."
        )
    chosen = listed(options.methods, "--methods") or tunable
    for method in chosen:
        if method not in tunable:
            raise did_you_mean("method to be tuned", method, tunable)

    plans = [_plan_of(target, options) for target in targets]
    to_run = [plan for plan in plans if plan.name in chosen]
    jobs = number_of_jobs(options.jobs, options.threads, plans[0].session.device)
    return plans, to_run, min(jobs, sum(plan.trials for plan in to_run))


class Target(NamedTuple):
    """What has a study.

    Attributes:
        name: The method's, or the label of an entry that is tuned by itself.
        method: The method's name.
        keys: The settings that are tuned.
        fixed: Those that the entry has.
    """

    name: str
    method: str
    keys: tuple[str, ...]
    fixed: dict[str, Any] = {}


def targets_of(suites: str) -> tuple[list[Target], list[str]]:
    """What is tuned in suites, and the methods that have nothing to tune.

    Args:
        suites: Their names or files, separated by commas.

    Raises:
        InputError: If two suites have different entries with one label, and both are tuned.
    """
    targets: dict[str, Target] = {}
    nothing: dict[str, None] = {}
    for suite in listed(suites, "--suite") or []:
        _, content = read_suite(suite)
        for entry in entries_of(content, None, {}, None):
            keys = tunable_of(known_method(entry.name))
            if not keys:
                nothing[entry.name] = None
                continue
            targets.setdefault(entry.name, Target(entry.name, entry.name, keys))
            if entry.tune:
                own = Target(entry.title, entry.name, tuple(entry.tune), entry.set)
                if targets.setdefault(entry.title, own) != own:
                    raise InputError(
                        f"two suites have the entry {entry.title} with different settings, and "
                        "both are to be tuned; give one of them another label."
                    )
    return list(targets.values()), list(nothing)


def folder_name(plan: Plan) -> str:
    """The name of the folder of all studies of a scale and a data set."""
    return f"all-{plan.scale}-{display_name(plan.dataset)}"


def _plan_of(target: Target, options: argparse.Namespace) -> Plan:
    fixed = [f"{target.method}.{key}={value}" for key, value in target.fixed.items()]
    own = {
        "method": target.method,
        "only": ",".join(target.keys),
        "set": [*options.set, *fixed],
    }
    plan, _ = plan_of(argparse.Namespace(**{**vars(options), **own}))
    return replace(
        plan,
        study=f"{folder_name(plan)}/{target.name}",
        from_papers=True,
        entry="" if target.name == target.method else target.name,
    )
