"""The options of python -m benchmarks.tune."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import add_machine_options, check_machine_options, count, listed, read_options
from benchmarks.metrics.columns import objectives
from benchmarks.planning.axes import check_omega
from benchmarks.planning.quick_checks import check_dataset_name, check_method_name
from benchmarks.planning.scales import known_scale
from benchmarks.planning.settings import read_settings
from mosaic.fl.errors import InputError, did_you_mean

DESCRIPTION = "Tune the settings of a method with Optuna, on images held out of the training data."

SAMPLERS = ("tpe", "random", "cmaes", "gp", "grid")
PRUNERS = ("wilcoxon", "median", "none")

SMALLEST = {"trials": 1, "threads": 1, "points": 2, "hold": 1}
"""Options that are whole numbers, with their smallest values."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; argparse exits with 2 if one is unknown.

    Args:
        argv: The arguments. None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=DESCRIPTION)
    _add_task(parser)
    _add_search(parser)
    _add_study(parser)
    _add_shared(parser)
    return read_options(parser, argv)


def check(options: argparse.Namespace) -> None:
    """Check what needs neither PyTorch nor Optuna, so that these errors come at once.

    Raises:
        InputError: If an option's value is wrong.
    """
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
    check_omega(options.omega)
    count("--clients", options.clients)
    read_settings(options.set)
    if not options.method.endswith(".py"):
        check_method_name(options.method)
    if options.dataset:
        check_dataset_name(options.dataset)


def _add_task(parser: argparse.ArgumentParser) -> None:
    """What is tuned, and on which task."""
    group = parser.add_argument_group("what is tuned")
    group.add_argument(
        "--method",
        default="mosaic",
        help="the method to be tuned: a name or the path of a .py file (default: %(default)s)",
    )
    group.add_argument(
        "--dataset", help="a name, image folder or .npz file (default: the scale's first)"
    )
    group.add_argument(
        "--omega", default="0.1", help="Dirichlet concentration (default: %(default)s)"
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
        default=30,
        help="number of trials of the study in all, existing ones included (default: %(default)s)",
    )
    group.add_argument(
        "--seeds",
        default="2",
        help="tuning seeds: how many (2) or which (1000,1001); they begin at 1000 "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--objective",
        default="accuracy",
        help="accuracy (on validation images), fid_domain, upload_bytes, ...; several: a,b",
    )
    group.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="KEY=LOW:HIGH",
        help="another range of a setting, or a setting that is not in the method's space; "
        "KEY=A,B,C for choices",
    )
    group.add_argument(
        "--only", help="tune only these settings of the space, e.g. lambda_e,lambda_d,lambda_i"
    )
    group.add_argument(
        "--sampler", default="tpe", help="tpe | random | cmaes | gp | grid (default: %(default)s)"
    )
    group.add_argument(
        "--pruner", default="wilcoxon", help="wilcoxon | median | none (default: %(default)s)"
    )
    group.add_argument(
        "--points",
        type=int,
        default=3,
        help="grid points per range, with --sampler grid (default: %(default)s)",
    )
    group.add_argument(
        "--hold",
        type=int,
        default=5,
        help="number of trials that share the same expensive settings, e.g. those of generators "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the sampler; with --jobs 1 it fixes the trials (default: %(default)s)",
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
        default="3",
        help="reporting seeds on which the best settings are run again; 0: none "
        "(default: %(default)s)",
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
