"""A study's trials on a Ray cluster: benchmarks.tune --ray. Its tasks share the study."""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.running.ray_cluster import (
    MEMORY,
    RETRIES,
    code,
    other_code,
    token_in,
)
from benchmarks.running.session import prepare
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import this_process, work_for
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Announce, work
from mosaic.fl.errors import InputError
from mosaic.fl.unfinished import temporary_folder


def work_on_ray(
    plan: Plan,
    ray: ModuleType,
    n_tasks: int,
    gpus: float,
    announce: Announce,
    refresh: Callable[[], None],
) -> None:
    """Run the study's trials in tasks of a Ray cluster, until it has all of them.

    A task whose node dies begins again elsewhere. The trial that it was running is found to be
    dead, and tried again.

    Args:
        plan: The study's plan; the study must exist.
        ray: Connected to the cluster.
        n_tasks: Number of tasks.
        gpus: GPU fraction per task.
        announce: Receives what happens.
        refresh: Called about twice a second.

    Raises:
        InputError: If the cluster cannot be used, or no trial of this study can succeed.
    """
    with token_in(plan.folder) as token:
        task = ray.remote(_work).options(
            num_cpus=plan.threads,
            num_gpus=gpus,
            memory=MEMORY,
            max_retries=RETRIES,
        )
        command = this_process()
        running = [task.remote(plan, token, code(), command) for _ in range(n_tasks)]
        announce("cluster", f"{n_tasks} tasks at work")

        while running:
            ended, running = ray.wait(running, timeout=0.5)
            for reference in ended:
                problem = _problem(ray, reference)
                if problem:
                    raise InputError(problem)
            refresh()


def _problem(ray: ModuleType, reference: Any) -> str | None:
    """Why an ended task did not finish its work; None if it did."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        return f"the cluster lost a task {RETRIES + 1} times, or it failed: {reason}"


def _work(plan: Plan, token: Path, wanted: str, command: dict[str, Any]) -> str | None:
    """What a task does on its node: trials, until the study has all of them.

    Args:
        plan: The study's plan.
        token: A file in the study's folder.
        wanted: The hash of the command's code.
        command: The command's process.

    Returns:
        Why no trial can succeed here; None if all went well.
    """
    if code() != wanted:
        return other_code()

    work_for(command)
    with contextlib.ExitStack() as stack:
        if not token.exists():
            # This node does not share the study's folder. It needs a database, and a folder of
            # its own for the cache.
            if plan.storage is None:
                return (
                    f"a node does not see {plan.folder}; share that folder, or give --storage "
                    "a database's URL."
                )
            out = stack.enter_context(temporary_folder(Path(tempfile.gettempdir()), "trials"))
            plan = replace(plan, session=replace(plan.session, out=out))

        prepare(plan.session)
        try:
            work(open_study(plan), plan, _announce_nothing)
        except InputError as error:
            return str(error)
    return None


def _announce_nothing(process: str, doing: str) -> None:
    """The command shows trials only when they have ended."""
