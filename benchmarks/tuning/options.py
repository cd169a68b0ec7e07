"""The options of python -m benchmarks.tune."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli import add_machine_options, check_machine_options, count, listed, read_options
from benchmarks.metrics.columns import objectives
from benchmarks.planning.axes import check_omega
from benchmarks.planning.quick_checks import check_dataset_name, check_method_name, names_in
from benchmarks.planning.scales import known_scale
from benchmarks.planning.settings import read_settings
from benchmarks.planning.suite import read_suite
from benchmarks.planning.values import different
from mosaic.fl.errors import InputError, did_you_mean

DESCRIPTION = (
    "Tune the settings of a method, or of all methods of a suite alike, with Optuna, on images "
    "held out of the training data."
)

SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid", "sobol")
PRUNERS = ("wilcoxon", "median", "none")

SMALLEST = {"trials": 1, "threads": 1, "points": 2, "hold": 1}
"""Options that are whole numbers, with their smallest values."""

ONE_METHOD: dict[str, Any] = {
    "method": "mosaic",
    "only": None,
    "space": [],
    "objective": "accuracy",
    "sampler": "tpe",
    "pruner": "wilcoxon",
    "points": 3,
    "seed": 0,
    "study": None,
    "storage": None,
    "stability_seeds": "3",
    "ray": None,
    "trials": 30,
    "omega": "0.1",
    "hold": 5,
}
"""Defaults where one method is tuned."""

ALL_METHODS: dict[str, Any] = {
    "trials": 8,
    "omega": "0.1,0.01",
    "hold": 2,
    "suite": "heterogeneity",
}
"""Options with --all that have another default there."""

FIXED_WITH_ALL: dict[str, Any] = {
    **{name: value for name, value in ONE_METHOD.items() if name not in ALL_METHODS},
    "sampler": "sobol",
    "pruner": "none",
    "stability_seeds": "0",
}
"""Options that cannot be given with --all, with the values that they have there."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; argparse exits with 2 if one is unknown.

    Args:
        argv: The arguments. None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=DESCRIPTION)
    _add_all(parser)
    _add_task(parser)
    _add_search(parser)
    _add_study(parser)
    _add_shared(parser)
    options = read_options(parser, argv)
    return _with_defaults(options)


def _with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    """The options; those that were not given have their defaults, which differ with --all."""
    defaults = {"suite": None, "methods": None} | ONE_METHOD
    if options.all:
        defaults |= FIXED_WITH_ALL | ALL_METHODS
    given = {name: value for name, value in vars(options).items() if value is not None}
    out_of_place = FIXED_WITH_ALL if options.all else ("suite", "methods")
    options.out_of_place = [name for name in given if name in out_of_place]
    for name, value in defaults.items():
        setattr(options, name, given.get(name, value))
    return options


def check(options: argparse.Namespace) -> None:
    """Check what needs neither PyTorch nor Optuna, so that these errors come at once.

    Raises:
        InputError: If an option's value is wrong.
    """
    for name in options.out_of_place:
        option = f"--{name.replace('_', '-')}"
        if options.all:
            raise InputError(f"{option} is for the study of one method; with --all leave it out.")
        raise InputError(f"{option} goes with --all; of one method give its name to --method.")
    for name, smallest in SMALLEST.items():
        value = getattr(options, name)
        if value < smallest:
            raise InputError(f"--{name} is {value}; it must be at least {smallest}.")
    if options.sampler not in SAMPLERS:
        raise did_you_mean("sampler", options.sampler, SAMPLERS)
    if options.pruner not in PRUNERS:
        raise did_you_mean("pruner", options.pruner, PRUNERS)
    check_machine_options(options)
    for name in listed(options.objective, "--objective") or []:
        if name not in objectives():
            raise did_you_mean("objective", name, objectives())
    known_scale(options.scale)
    omegas = [check_omega(omega) for omega in listed(options.omega, "--omega") or []]
    different("--omega", omegas)
    if len(omegas) > 1 and not options.all:
        raise InputError(f"--omega is {options.omega}; a method's own study has one value.")
    count("--clients", options.clients)
    read_settings(options.set)
    labels = []
    for suite in listed(options.suite, "--suite") or []:
        labels += names_in(read_suite(suite)[1])
    for method in listed(options.methods, "--methods") or [options.method]:
        if not method.endswith(".py"):
            check_method_name(method, labels)
    if options.dataset:
        check_dataset_name(options.dataset)


def _add_all(parser: argparse.ArgumentParser) -> None:
    """All methods of a suite in one command."""
    group = parser.add_argument_group("all methods alike")
    group.add_argument(
        "--all",
        action="store_true",
        help="tune every method of a suite by one rule, for benchmarks/tuned/SCALE/DATASET.toml",
    )
    group.add_argument("--suite", help="a suite's name or TOML file (default: heterogeneity)")
    group.add_argument(
        "--methods",
        help="only these of its methods, and of its entries that are tuned by themselves, "
        "e.g. fedprox,mosaic-cvae",
    )


def _add_task(parser: argparse.ArgumentParser) -> None:
    """What is tuned, and on which task."""
    group = parser.add_argument_group("what is tuned")
    group.add_argument(
        "--method",
        help="the method to be tuned: a name or the path of a .py file (default: mosaic)",
    )
    group.add_argument(
        "--dataset", help="a name, image folder or .npz file (default: the scale's first)"
    )
    group.add_argument(
        "--omega", help="Dirichlet concentration (default: 0.1; with --all 0.1,0.01)"
    )
    group.add_argument("--clients", default="10", help="number of clients (default: %(default)s)")
    group.add_argument(
        "--widths", default="full", help="full | mixed | rho=5 | 1,0.5,0.25 (default: %(default)s)"
    )
    group.add_argument(
        "--scale", default="quick", help="quick | laptop | paper (default: %(default)s)"
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    """How the settings are searched."""
    group = parser.add_argument_group("the search")
    group.add_argument(
        "--trials",
        type=int,
        help="number of trials of a study in all, existing ones included "
        "(default: 30; with --all 8)",
    )
    group.add_argument(
        "--seeds",
        default="2",
        help="tuning seeds: how many (2) or which (1000,1001); they begin at 1000 "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--objective",
        help="accuracy (on validation images; the default), fid_domain, upload_bytes, ...; "
        "several: a,b",
    )
    group.add_argument(
        "--space",
        action="append",
        metavar="KEY=LOW:HIGH",
        help="another range of a setting, or a setting that is not in the method's space; "
        "KEY=A,B,C for choices",
    )
    group.add_argument(
        "--only", help="tune only these settings of the space, e.g. lambda_e,lambda_d,lambda_i"
    )
    group.add_argument(
        "--sampler",
        help="tpe | random | cmaes | gp | grid | sobol (default: tpe; with --all sobol)",
    )
    group.add_argument(
        "--pruner", help="wilcoxon | median | none (default: wilcoxon; with --all none)"
    )
    group.add_argument(
        "--points",
        type=int,
        help="grid points per range, with --sampler grid (default: 3)",
    )
    group.add_argument(
        "--hold",
        type=int,
        help="number of trials that share the same expensive settings, e.g. those of generators "
        "(default: 5; with --all 2)",
    )
    group.add_argument(
        "--seed",
        type=int,
        help="seed of the sampler; with --jobs 1 it fixes the trials (default: 0)",
    )


def _add_study(parser: argparse.ArgumentParser) -> None:
    """Where the study is stored, and how its best settings are checked."""
    group = parser.add_argument_group("the study")
    group.add_argument(
        "--study", help="name of the study (default: from method, data set, omega and scale)"
    )
    group.add_argument(
        "--storage",
        help="an Optuna URL such as sqlite:///tuning.db "
        "(default: a journal file in the study's folder)",
    )
    group.add_argument(
        "--stability-seeds",
        help="reporting seeds on which the best settings are run again; 0: none (default: 3)",
    )


def _add_shared(parser: argparse.ArgumentParser) -> None:
    """The options that benchmarks.run has too."""
    group = parser.add_argument_group("the run")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.KEY=VALUE",
        help="a fixed setting, e.g. task.rounds=10",
    )
    group.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        help="output folder; the study is in its sub-folder tuning (default: %(default)s)",
    )
    group.add_argument(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="run the trials on a Ray cluster (docs/cluster.md)",
    )
    group.add_argument(
        "--gpu-share",
        type=float,
        default=1.0,
        help="GPU fraction per trial (Ray only, default: %(default)s)",
    )
    add_machine_options(parser)
