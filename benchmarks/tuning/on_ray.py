"""A study's trials on a Ray cluster: benchmarks.tune --ray. Its tasks share the study."""

import contextlib
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.running.ray_cluster import MEMORY, RETRIES, code, connect, other_code
from benchmarks.running.session import prepare
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Announce, Stop, work
from mosaic.fl.errors import InputError


def work_on_ray(
    plan: Plan,
    jobs: int | None,
    address: str,
    gpu_share: float,
    stop: Stop,
    announce: Announce,
    refresh: Callable[[], None],
) -> None:
    """Run the study's trials in tasks of a Ray cluster, until it has all of them.

    A task whose node dies begins again elsewhere. The trial that it was running is found to be
    dead, and tried again.

    Args:
        plan: The study's plan; the study must exist.
        jobs: Number of tasks. None: as many as the cluster has room for.
        address: "auto", "local" or the address of a cluster.
        gpu_share: GPU fraction per task, if the session's device is a GPU.
        stop: Whether to stop after the running trials.
        announce: Receives what happens.
        refresh: Called about twice a second.

    Raises:
        InputError: If the cluster cannot be used, or no trial of this study can succeed.
    """
    ray = connect(address)
    # A file in the study's folder. A task that does not see it does not share the folder, and its
    # removal asks the tasks to stop.
    token = plan.folder / f".ray-{uuid.uuid4().hex}"
    try:
        token.touch()
        gpus = gpu_share if plan.session.device.startswith("cuda") else 0
        n_tasks = min(jobs or _room(ray, plan.threads, gpus), plan.trials)
        task = ray.remote(_work).options(
            num_cpus=plan.threads,
            num_gpus=gpus,
            memory=MEMORY,
            max_retries=RETRIES,
        )
        running = [task.remote(plan, token, code()) for _ in range(n_tasks)]
        announce("cluster", f"{n_tasks} tasks at work")

        while running:
            if stop():
                token.unlink(missing_ok=True)
            ended, running = ray.wait(running, timeout=0.5)
            for reference in ended:
                problem = _problem(ray, reference)
                if problem:
                    raise InputError(problem)
            refresh()
    finally:
        token.unlink(missing_ok=True)
        ray.shutdown()


def _room(ray: ModuleType, threads: int, gpus: float) -> int:
    """How many tasks the cluster can run at the same time, at least 1."""
    resources = ray.cluster_resources()
    if gpus:
        return max(1, int(resources.get("GPU", 0) / gpus))
    return max(1, int(resources["CPU"]) // threads)


def _problem(ray: ModuleType, reference: Any) -> str | None:
    """Why an ended task did not finish its work; None if it did."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        return f"the cluster lost a task {RETRIES + 1} times, or it failed: {reason}"


def _work(plan: Plan, token: Path, wanted: str) -> str | None:
    """What a task does on its node: trials, until the study has all of them or the token is gone.

    Args:
        plan: The study's plan.
        token: A file that exists in the study's folder as long as the trials must go on.
        wanted: The hash of the command's code.

    Returns:
        Why no trial can succeed here; None if all went well.
    """
    if code() != wanted:
        return other_code()

    def token_is_gone() -> bool:
        return not token.exists()

    def never() -> bool:
        return False

    with contextlib.ExitStack() as stack:
        stop = token_is_gone
        if token_is_gone():
            # This node does not share the study's folder. It needs a database, and a folder of
            # its own for the cache.
            if plan.storage is None:
                return (
                    f"a node does not see {plan.folder}; share that folder, or give --storage "
                    "a database's URL."
                )
            out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plan = replace(plan, session=replace(plan.session, out=out))
            stop = never

        prepare(plan.session)
        try:
            work(open_study(plan), plan, stop, _announce_nothing)
        except InputError as error:
            return str(error)
    return None


def _announce_nothing(process: str, doing: str) -> None:
    """The command shows trials only when they have ended."""
