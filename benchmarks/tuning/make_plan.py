"""From the options of the command to a study's plan, with every check that needs no trial."""

import argparse
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.cli import check_gpu_share, count, listed, number_of_jobs, writable
from benchmarks.planning.axes import check_omega
from benchmarks.planning.data import fingerprints, places, splits_of
from benchmarks.planning.outside import resolve_dataset, with_resolved_model
from benchmarks.planning.plugins import loaded_plugins, resolve_method
from benchmarks.planning.scales import known_scale
from benchmarks.planning.settings import read_settings
from benchmarks.running.session import Session
from benchmarks.tuning.distributions import grid_of, text_of
from benchmarks.tuning.plan import Plan, objectives_of, tuning_seeds
from benchmarks.tuning.samplers import HOLDING
from benchmarks.tuning.space import space_of
from mosaic.fl.data.datasets import display_name
from mosaic.fl.data.federation import split
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.device import choose_precision, use_device
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.rng import numpy_stream


def plan_of(options: argparse.Namespace) -> tuple[Plan, int]:
    """The study's plan and the number of processes.

    Raises:
        InputError: If an option is wrong, or if options do not fit together.
    """
    check_gpu_share(options.gpu_share)
    data_dir = use_data_dir(options.data_dir)
    options.method = resolve_method(options.method)
    settings = _settings_of(options)
    objectives = objectives_of(options.objective)
    if options.sampler == "cmaes":
        _check_cmaes(objectives)

    device = use_device(options.device)
    jobs = number_of_jobs(options.jobs, options.threads, device)

    dataset = known_scale(options.scale).datasets[0]
    if options.dataset:
        dataset = resolve_dataset(options.dataset)
    settings = with_resolved_model(settings, [dataset])
    omegas = tuple(check_omega(part) for part in listed(options.omega, "--omega") or [])
    plan = Plan(
        study=_study_name(options, display_name(dataset), omegas[0]),
        method=options.method,
        dataset=dataset,
        omegas=omegas,
        n_clients=count("--clients", options.clients),
        widths=options.widths,
        scale=options.scale,
        space=space_of(
            options.method,
            options.space,
            only=listed(options.only, "--only"),
            fixed=settings.get(options.method, {}),
        ),
        settings=settings,
        objectives=objectives,
        seeds=tuning_seeds(options.seeds),
        precision=choose_precision(options.precision),
        threads=options.threads,
        trials=options.trials,
        sampler=options.sampler,
        pruner=options.pruner,
        points=options.points,
        hold=options.hold,
        seed=options.seed,
        storage=options.storage,
        session=Session(
            out=writable(options.out),
            device=device,
            data_dir=data_dir,
            plugins=loaded_plugins(),
        ),
    )
    if plan.sampler == "grid":
        plan = replace(plan, trials=min(plan.trials, _grid_size(plan)))
    return plan, min(jobs, plan.trials)


def _settings_of(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The settings of --set; only those of the method and of the task make sense here."""
    settings = read_settings(options.set)
    for name in settings:
        if name not in (options.method, "task"):
            raise did_you_mean("method of --set here", name, (options.method, "task"))
    return settings


def _check_cmaes(objectives: tuple[str, ...]) -> None:
    if len(objectives) > 1:
        raise InputError("--sampler cmaes knows one objective only; take tpe, or one objective.")
    if not importlib.util.find_spec("cmaes"):
        raise InputError(
            "--sampler cmaes needs the package cmaes: pip install cmaes, or take another sampler."
        )


def _study_name(options: argparse.Namespace, dataset: str, omega: float) -> str:
    name = options.study or f"{options.method}-{dataset}-omega{omega:g}-{options.scale}"
    if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise InputError(
            f"--study is {name!r}; it names a folder: letters, digits, and . + - _ between them."
        )
    return name


def _grid_size(plan: Plan) -> int:
    """Number of points of the grid, and the default if it is none of them."""
    points = grid_of(plan.space, plan.points, numpy_stream(plan.seed, "grid"))
    if plan.first() in points:
        return len(points)
    return len(points) + 1


def with_checked_data(plan: Plan) -> Plan:
    """Load the training data and split them, so that errors come before the first trial.

    The test set is not opened.

    Returns:
        The plan with the fingerprints of the training data.

    Raises:
        InputError: If the data set is not there, or if no images are held out.
    """
    # A tuned setting may be the data set of the proxy images
    proxies = getattr(plan.space.get("proxy"), "choices", ())
    tried = [plan.default(), *({**plan.default(), "proxy": proxy} for proxy in proxies)]
    splits = splits_of(cell for values in tried for cell in plan.cells(values))
    training = [split for split in splits if split[1] == "train"]
    plan = replace(plan, data=fingerprints(training, download=True))
    for cell in plan.cells(plan.default()):
        _, held_out, _ = split(cell.task)
        if not len(held_out):
            raise InputError(
                "task.validation is 0; tuning needs images held out of the training pool, e.g. 0.1."
            )
    return plan


def notes(plan: Plan, jobs: int) -> Iterator[str]:
    """What a user should know before the trials run: data, space, what the options imply."""
    yield places(plan.data)
    ranges = [f"{key} in {text_of(distribution)}" for key, distribution in plan.space.items()]
    seeds = ", ".join(map(str, plan.seeds))
    yield f"{plan.study}: {', '.join(ranges)}; tuning seeds {seeds}"

    if plan.first() != plan.default():
        yield "the default is outside the space; trial 0 is the point of the space next to it"

    if len(plan.objectives) > 1 and plan.pruner != "none":
        yield "several objectives: no trial is pruned"
    elif plan.pruner == "wilcoxon" and len(plan.seeds) < 5:
        yield (
            f"with {len(plan.seeds)} seeds the Wilcoxon pruner saves nothing: it stops a trial "
            "after its fourth seed at the earliest (p after n seeds is at least 2^-n); "
            "--pruner median can stop it after the first"
        )

    if plan.costly and plan.hold > 1 and plan.sampler in HOLDING:
        yield (
            f"{plan.hold} trials at a time share {', '.join(plan.costly)}, "
            "whose stages are costly (--hold)"
        )

    if jobs > 1:
        yield (
            f"{jobs} processes: the order of the trials depends on their timing; "
            "--jobs 1 gives the same trials again"
        )
