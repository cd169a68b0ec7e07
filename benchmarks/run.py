"""python -m benchmarks.run: run the missing cells of a suite and write its tables and figures."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from benchmarks.cli import (
    add_machine_options,
    check_machine_options,
    console,
    count,
    exit_code_of,
    listed,
    read_options,
    safe_path,
)
from benchmarks.planning.axes import check_omega, first_seeds, seeds_of
from benchmarks.planning.quick_checks import check_dataset_name, check_names
from benchmarks.planning.scales import BUDGETS, check_budget
from benchmarks.planning.settings import overruled, read_settings
from benchmarks.planning.values import different
from benchmarks.reporting.paper_styles import STYLE_HELP, check_style
from benchmarks.tracking.names import check_tracker
from mosaic.fl.errors import InputError

if TYPE_CHECKING:
    from benchmarks.running.request import Request


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: all cells are done; 1: a cell, or a part of the report, failed; 2: a wrong
        option, value or file; 128 + signal: stopped, 130 by Ctrl-C.
    """
    with stops_cleanly(ends_after=argv is None):
        options = parse(argv)
        return exit_code_of(lambda: command(options))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    _add_question(parser)
    _add_outside(parser)
    add_machine_options(parser)
    _add_output(parser)
    return read_options(parser, argv)


def _add_question(parser: argparse.ArgumentParser) -> None:
    """Options that say which cells there are."""
    add = parser.add_argument
    add(
        "--suite",
        default="heterogeneity",
        help="a suite's name or a TOML file; see --list (default: %(default)s)",
    )
    add("--scale", default="quick", help="quick | laptop | paper (default: %(default)s)")
    add(
        "--budget",
        default=BUDGETS[0],
        help="equal: all methods compute equally much | paper: all train on the same share of "
        "their own paper's images (default: %(default)s)",
    )
    add("--datasets", help="comma-separated names, image folders or .npz files")
    add("--omega", help="Dirichlet concentrations, e.g. 0.01,0.1,inf")
    add("--clients", help="numbers of clients, e.g. 10,20")
    add(
        "--widths",
        action="append",
        help="full | mixed | rho=5 | 1,0.5,0.25; may be given several times",
    )
    add("--methods", help="comma-separated names or paths of .py files; default: the suite's")
    add("--seeds", help="how many (3) or which (0,1,2 or 101,)")
    add("--n-seeds", metavar="N", help="the seeds 0 to N - 1, for any N")
    add(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.KEY=VALUE",
        help="e.g. mosaic.lambda_d=5 or task.rounds=10; it counts more than --params, and a later "
        "one more than an earlier one",
    )
    add(
        "--params",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="settings as TOML: a tuner's best.toml; after the suite's and before those of --set",
    )


def _add_outside(parser: argparse.ArgumentParser) -> None:
    """Options that bring something of the user's."""
    add = parser.add_argument
    add("--partition", type=Path, metavar="FILE", help="a split of the data, .json or .npz")
    add(
        "--export-partition",
        type=Path,
        metavar="FILE",
        help="write the split of the only task there is as .json, and run nothing",
    )
    add("--metrics", help="comma-separated paths of .py files")


def _add_output(parser: argparse.ArgumentParser) -> None:
    """Options that say what happens to the cells and where."""
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        default=Path("results"),
        help="folder of the records, tables and cache (default: results)",
    )
    add(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="run the cells on a Ray cluster (docs/cluster.md)",
    )
    add("--gpu-share", type=float, default=1.0, help="GPU fraction per cell, Ray only (default: 1)")
    add(
        "--inception-weights",
        default="auto",
        help="file for FID over Inception; 'download' fetches it",
    )
    add(
        "--track",
        metavar="mlflow[:URI]|tensorboard[:DIR]|wandb",
        help="write each cell into a tracker too (docs/other-tools.md)",
    )
    add("--dry-run", action="store_true", help="print the cells and an estimate, run nothing")
    add("--live", action="store_true", help="write report.html also while cells run")
    add("--style", default="", help=STYLE_HELP)
    add("--force", action="store_true", help="run finished cells again (stages stay cached)")
    add("--list", action="store_true", help="print suites, scales, methods and data sets")


def command(options: argparse.Namespace) -> int:
    """Do what the options say; see :func:`main` for the exit code."""
    check_machine_options(options)
    given = _given(options)
    if options.track is not None:
        check_tracker(options.track)
    if not options.list:
        check_budget(options.budget)
        check_style(options.style)
        check_names(options.suite, options.scale, given["methods"], given["settings"])
        for dataset in given["datasets"] or ():
            check_dataset_name(dataset)

    # PyTorch and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.planning import show
    from benchmarks.running.suite_run import open_run

    if options.list:
        show.print_list()
        return 0

    for text in overruled(options.set, options.params):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)
    dry = options.dry_run and not options.export_partition
    run = open_run(_request(options, given), dry)
    if options.export_partition:
        run.export_partition(options.export_partition)
        return 0
    if options.dry_run:
        run.print_plan()
        return 0

    with safe_path():
        _, failed = run.execute()
    return 1 if failed else 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a Request that have another form on the command line."""
    return {
        "methods": listed(options.methods, "--methods"),
        "datasets": listed(options.datasets, "--datasets"),
        "omega": _omegas(options.omega),
        "clients": _client_counts(options.clients),
        "seeds": _seeds(options),
        "settings": read_settings(options.set, options.params),
    }


def _request(options: argparse.Namespace, given: dict[str, Any]) -> "Request":
    """What the options ask for; ``given``: see :func:`_given`."""
    from benchmarks.running.request import Request

    return Request(
        suite=options.suite,
        scale=options.scale,
        budget=options.budget,
        widths=options.widths,
        partition=options.partition,
        metrics=listed(options.metrics, "--metrics") or [],
        out=options.out,
        jobs=options.jobs,
        threads=options.threads,
        device=options.device,
        precision=options.precision,
        data_dir=options.data_dir,
        inception_weights=options.inception_weights,
        ray=options.ray,
        gpu_share=options.gpu_share,
        force=options.force,
        live=options.live,
        style=options.style,
        track=options.track,
        **given,
    )


def _omegas(text: str | None) -> list[float] | None:
    parts = listed(text, "--omega")
    if parts is None:
        return None
    omegas = [check_omega(part) for part in parts]
    different("--omega", parts, omegas)
    return omegas


def _client_counts(text: str | None) -> list[int] | None:
    parts = listed(text, "--clients")
    if parts is None:
        return None
    counts = [count("--clients", part) for part in parts]
    different("--clients", parts, counts)
    return counts


def _seeds(options: argparse.Namespace) -> list[int] | None:
    if options.seeds is not None and options.n_seeds is not None:
        raise InputError("--seeds and --n-seeds were both given; give one of them.")
    if options.n_seeds is not None:
        return first_seeds(count("--n-seeds", options.n_seeds))
    if options.seeds is not None:
        return seeds_of(options.seeds)
    return None


if __name__ == "__main__":
    sys.exit(main())
