"""python -m benchmarks.tune: find the settings of a method that do best on held-out training images, with Optuna."""

import argparse
import importlib.util
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.cli import console, count, listed, writable
from benchmarks.planning.settings import read_settings
from mosaic.fl.errors import InputError, did_you_mean


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: the study has its trials; 1: none of them has a result; 2: a wrong command. 130: Ctrl-C."""
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    add = parser.add_argument
    add("--method", default="mosaic", help="whose settings (default: %(default)s)")
    add("--dataset", help="default: the scale's first")
    add("--omega", default="0.1", help="Dirichlet concentration (default: %(default)s)")
    add("--clients", default="10", help="number of clients (default: %(default)s)")
    add("--widths", default="full", help="full | mixed | rho=5 | 1,0.5,0.25 (default: %(default)s)")
    add("--scale", default="quick", help="quick | laptop | paper (default: %(default)s)")
    add(
        "--trials",
        type=int,
        default=30,
        help="of the study in all, those there already included (default: 30)",
    )
    add(
        "--seeds",
        default="2",
        help="tuning seeds: how many (2) or which (1000,1001); they begin at 1000",
    )
    add(
        "--objective",
        default="accuracy",
        help="accuracy (validation), fid_domain, upload_bytes, ...; several: a,b",
    )
    add(
        "--space",
        action="append",
        default=[],
        metavar="KEY=LOW:HIGH",
        help="another range, a new key, or KEY=A,B,C",
    )
    add("--only", help="tune only these keys of the space, e.g. lambda_e,lambda_d,lambda_i")
    add("--sampler", default="tpe", help="tpe | random | cmaes | gp | grid (default: %(default)s)")
    add("--pruner", default="wilcoxon", help="wilcoxon | median | none (default: %(default)s)")
    add(
        "--points",
        type=int,
        default=3,
        help="of a range, with --sampler grid (default: %(default)s)",
    )
    add(
        "--hold",
        type=int,
        default=5,
        help="trials that share one draw of what is costly, generators say (default: 5)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="the sampler's; with --jobs 1 it fixes the trials (default: 0)",
    )
    add("--study", help="its name; default: method, data set, omega and scale")
    add(
        "--storage",
        help="an Optuna URL such as sqlite:///tuning.db; default: a journal file in the study's folder",
    )
    add(
        "--stability-seeds",
        default="3",
        help="reporting seeds that run the best settings again; 0: none (default: 3)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.KEY=VALUE",
        help="a fixed setting, e.g. task.rounds=10",
    )
    add(
        "--out",
        type=Path,
        default=Path("results"),
        help="the study is in its folder tuning/ (default: results)",
    )
    add("--jobs", type=int, help="processes (default: one a core and --threads; 1 on a GPU)")
    add(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="run the trials on a Ray cluster (docs/cluster.md)",
    )
    add(
        "--gpu-share",
        type=float,
        default=1.0,
        help="with --ray on GPUs: of a GPU, a trial (default: 1)",
    )
    add("--threads", type=int, default=1, help="CPU threads a process (default: 1)")
    add("--device", default="auto", help="auto | cpu | cuda (default: auto)")
    add(
        "--precision",
        default="auto",
        help="auto | fp32 | bf16; auto: bf16 where the processor is fast in it",
    )
    add("--data-dir", type=Path, help="where data sets lie; also MOSAIC_DATA")
    return parser.parse_args(argv)


def command(options: argparse.Namespace) -> int:
    from benchmarks.running.session import prepare
    from benchmarks.tuning.board import board
    from benchmarks.tuning.plan import reporting_seeds
    from benchmarks.tuning.report import write_report
    from benchmarks.tuning.stability import check_stability
    from benchmarks.tuning.studies import open_study
    from benchmarks.tuning.trials import work, work_in_processes

    plan, jobs = plan_of(options)
    fresh = reporting_seeds(options.stability_seeds)
    prepare(plan.session)
    check(plan)
    with _printed_warnings():
        study = open_study(plan)
    for text in notes(plan, jobs):
        console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)
    with stoppable() as stop, board(study, plan, jobs, console) as (tell, look):
        if options.ray:
            from benchmarks.tuning.on_ray import work_on_ray

            work_on_ray(plan, options.jobs, options.ray, options.gpu_share, stop, tell, look)
        elif jobs == 1:
            work(study, plan, stop, tell)
        else:
            work_in_processes(plan, jobs, stop, tell, look)
        stopped = stop()
    with console.status("writing tables and figures"):
        found = write_report(study, plan)
    if found and fresh and not stopped:
        with _printed_warnings():
            console.print(
                escape(check_stability(study, plan, fresh, jobs, console)),
                highlight=False,
                soft_wrap=True,
            )
    console.print(f"the study: {plan.folder}", highlight=False, soft_wrap=True)
    if stopped:
        console.print("stopped; the same command goes on from here.")
        return 130
    return 0 if found else 1


def plan_of(options: argparse.Namespace):
    """The study's plan and the number of processes. InputError for whatever cannot be."""
    from benchmarks.planning.axes import check_omega
    from benchmarks.planning.methods import known_method
    from benchmarks.planning.scales import known_scale
    from benchmarks.running.session import Session
    from benchmarks.tuning.plan import PRUNERS, SAMPLERS, Plan, objectives_of, tuning_seeds
    from benchmarks.tuning.space import grid_of, space_of
    from mosaic.fl.device import choose_precision, use_device
    from mosaic.fl.rng import numpy_stream

    for name in ("trials", "threads", "points", "hold"):
        least = 2 if name == "points" else 1
        if getattr(options, name) < least:
            raise InputError(f"--{name} is {getattr(options, name)}; it must be at least {least}.")
    for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if getattr(options, name) not in known:
            raise did_you_mean(name, getattr(options, name), known)
    known_method(options.method)
    settings = read_settings(options.set)
    for name in settings:
        if name not in (options.method, "task"):
            raise did_you_mean("method of --set here", name, (options.method, "task"))
    objectives = objectives_of(options.objective)
    if options.sampler == "cmaes":
        if len(objectives) > 1:
            raise InputError(
                "--sampler cmaes knows one objective only; take tpe, or one objective."
            )
        if not importlib.util.find_spec("cmaes"):
            raise InputError(
                "--sampler cmaes needs the package cmaes: pip install cmaes, or take another sampler."
            )
    device = use_device(options.device)
    a_job_a_core = (
        1 if device.startswith("cuda") else max(1, (os.cpu_count() or 1) // options.threads)
    )
    jobs = a_job_a_core if options.jobs is None else options.jobs
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}; it must be at least 1.")
    dataset, omega = (
        options.dataset or known_scale(options.scale).datasets[0],
        check_omega(options.omega),
    )
    name = options.study or f"{options.method}-{dataset}-omega{omega:g}-{options.scale}"
    if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise InputError(
            f"--study is {name!r}; it names a folder: letters, digits, and . + - _ between them."
        )
    plan = Plan(
        **{"study": name, "method": options.method, "dataset": dataset, "omega": omega},
        **{
            "n_clients": count("--clients", options.clients),
            "widths": options.widths,
            "scale": options.scale,
        },
        space=space_of(
            options.method, options.space, listed(options.only), settings.get(options.method, {})
        ),
        **{"settings": settings, "objectives": objectives, "seeds": tuning_seeds(options.seeds)},
        **{
            "precision": choose_precision(options.precision),
            "threads": options.threads,
            "trials": options.trials,
        },
        **{
            "sampler": options.sampler,
            "pruner": options.pruner,
            "points": options.points,
            "seed": options.seed,
        },
        hold=options.hold,
        **{
            "storage": options.storage,
            "session": Session(writable(options.out), device, options.data_dir),
        },
    )
    if plan.sampler == "grid":
        points = grid_of(plan.space, plan.points, numpy_stream(plan.seed, "grid"))
        plan = replace(plan, trials=min(plan.trials, len(points) + (plan.first() not in points)))
    return plan, min(jobs, plan.trials)


def check(plan) -> None:
    """Find the training data and split them before the first trial; the test set stays closed."""
    from mosaic.fl.data.federation import split

    for cell in plan.cells(plan.default()):
        _, held_out, _ = split(cell.task)
        if not len(held_out):
            raise InputError(
                "task.validation is 0; tuning needs images held out of the training pool, e.g. 0.1."
            )


def notes(plan, jobs: int) -> Iterator[str]:
    """What a person should know before the trials run."""
    from benchmarks.tuning.space import text_of
    from benchmarks.tuning.studies import HOLDING

    space = ", ".join(
        f"{key} in {text_of(distribution)}" for key, distribution in plan.space.items()
    )
    yield f"{plan.study}: {space}; tuning seeds {', '.join(map(str, plan.seeds))}"
    if plan.first() != plan.default():
        yield "the default lies outside the space; trial 0 is the point of the space next to it"
    if len(plan.objectives) > 1 and plan.pruner != "none":
        yield "several objectives: no trial is pruned"
    elif plan.pruner == "wilcoxon" and len(plan.seeds) < 5:
        yield (
            f"with {len(plan.seeds)} seeds the Wilcoxon pruner saves nothing: it stops a trial after its fourth seed "
            "at the earliest (p after n seeds is at least 2^-n); --pruner median can stop it after the first"
        )
    if plan.costly and plan.hold > 1 and plan.sampler in HOLDING:
        yield f"{plan.hold} trials at a time share {', '.join(plan.costly)}, whose stages are costly (--hold)"
    if jobs > 1:
        yield f"{jobs} processes: which trial comes when depends on their timing; --jobs 1 gives the same trials again"


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Inside the block Ctrl-C is a wish to stop after the running trial, and a second one stops at once."""
    wishes: list[int] = []

    def hear(*_) -> None:
        if wishes:
            raise KeyboardInterrupt
        wishes.append(1)
        console.print("stopping after the running trial; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: bool(wishes)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _printed_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
