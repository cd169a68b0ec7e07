"""python -m benchmarks.run: run a suite's cells, those that are missing, and write its tables and figures."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.cli import console, count, listed, writable
from benchmarks.planning.axes import check_omega, seeds_of
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.scales import check_reporting
from benchmarks.planning.settings import read_settings
from benchmarks.planning.show import check_data, print_list, print_plan
from benchmarks.planning.suite import read_suite
from benchmarks.reporting.terminal import print_result
from benchmarks.running.progress import Estimate, show_progress
from mosaic.fl.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: all cells are done; 1: a cell failed; 2: a wrong command. 130: stopped by Ctrl-C."""
    try:
        return command(parse(argv))
    except InputError as error:
        Console(stderr=True).print(
            f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False
        )
        return 2
    except KeyboardInterrupt:
        console.print("\nstopped; the same command goes on from here.")
        return 130


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    add = parser.add_argument
    add(
        "--suite",
        default="heterogeneity",
        help="a suite's name or a TOML file; see --list (default: %(default)s)",
    )
    add("--scale", default="quick", help="quick | laptop | paper (default: %(default)s)")
    add("--datasets", help="comma-separated; default: the scale's")
    add("--omega", help="Dirichlet concentrations, e.g. 0.01,0.1,inf")
    add("--clients", help="numbers of clients, e.g. 10,20")
    add(
        "--widths",
        action="append",
        help="full | mixed | rho=5 | 1,0.5,0.25; may be given several times",
    )
    add("--methods", help="comma-separated; default: the suite's")
    add("--seeds", help="how many (3) or which (0,1,2)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.KEY=VALUE",
        help="e.g. mosaic.lambda_d=5 or task.rounds=10",
    )
    add(
        "--params",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="settings as TOML: a tuner's best.toml",
    )
    add(
        "--out",
        type=Path,
        default=Path("results"),
        help="folder of the records, tables and cache (default: results)",
    )
    add("--jobs", type=int, help="processes (default: one a core and --threads; 1 on a GPU)")
    add(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="run the cells on a Ray cluster (docs/cluster.md)",
    )
    add(
        "--gpu-share",
        type=float,
        default=1.0,
        help="with --ray on GPUs: of a GPU, a cell (default: 1)",
    )
    add(
        "--threads",
        type=int,
        default=1,
        help="CPU threads a process; part of a record's identity (default: 1)",
    )
    add("--device", default="auto", help="auto | cpu | cuda (default: auto)")
    add(
        "--precision",
        default="auto",
        help="auto | fp32 | bf16; auto: bf16 where the processor is fast in it",
    )
    add("--data-dir", type=Path, help="where data sets lie; also MOSAIC_DATA")
    add(
        "--inception-weights",
        default="auto",
        help="file for FID over Inception; 'download' fetches it",
    )
    add("--dry-run", action="store_true", help="print the cells and an estimate, run nothing")
    add("--force", action="store_true", help="run finished cells again (stages stay cached)")
    add("--list", action="store_true", help="print suites, scales, methods and data sets")
    return parser.parse_args(argv)


def command(options: argparse.Namespace) -> int:
    if options.list:
        return print_list()
    # torch and the rest are imported only now: --help and --list answer at once
    from benchmarks.reporting.report import report
    from benchmarks.running.processes import run_cells
    from benchmarks.running.ray_cluster import cells_on_ray
    from benchmarks.running.records import done_file, read_rows, take_over
    from benchmarks.running.session import Session
    from mosaic.fl.device import choose_precision, use_device

    device = use_device(options.device)
    if options.threads < 1:
        raise InputError(f"--threads is {options.threads}; it must be at least 1.")
    a_job_a_core = (
        1 if device.startswith("cuda") else max(1, (os.cpu_count() or 1) // options.threads)
    )
    jobs = a_job_a_core if options.jobs is None else options.jobs
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}; it must be at least 1.")
    name, suite = read_suite(options.suite)
    cells = expand_cells(
        name,
        suite,
        options.scale,
        datasets=listed(options.datasets),
        omega=[check_omega(text) for text in listed(options.omega)] if options.omega else None,
        clients=[count("--clients", text) for text in listed(options.clients)]
        if options.clients
        else None,
        methods=listed(options.methods),
        seeds=seeds_of(options.seeds) if options.seeds else None,
        widths=options.widths,
        settings=read_settings(options.set, options.params),
        precision=choose_precision(options.precision),
        threads=options.threads,
    )
    check_reporting([cell.task.seed for cell in cells])
    session = Session(writable(options.out), device, options.data_dir, options.inception_weights)
    if not options.dry_run:
        check_data(cells, session)
    folder = session.folder(name)
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always")
        finished = [
            cell
            for cell in cells
            if not options.force and read_rows(done_file(folder, cell)) is not None
        ]
        if not (options.force or options.dry_run):  # another suite may have run the same cell
            finished += [cell for cell in cells if cell not in finished and take_over(folder, cell)]
    for warning in damaged:
        console.print(f"[yellow]{escape(str(warning.message))}[/]", highlight=False, soft_wrap=True)
    missing = [cell for cell in cells if cell not in finished]
    estimate = Estimate(folder, cells)
    if options.dry_run:
        return print_plan(cells, finished, estimate, jobs)
    for cell in missing if options.force else ():
        done_file(folder, cell).unlink(missing_ok=True)
    failed = 0
    if options.ray:
        outcomes = partial(cells_on_ray, missing, session, options.ray, gpu_share=options.gpu_share)
    else:
        outcomes = partial(run_cells, missing, session, min(jobs, max(1, len(missing))))
    for outcome in show_progress(outcomes, missing, len(finished), estimate, jobs, console):
        failed += outcome.status == "failed"
    with console.status("writing tables and figures"):
        records = report(folder, cells)
    print_result(records, folder, failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
