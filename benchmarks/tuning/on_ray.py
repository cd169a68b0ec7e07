"""A study's trials on a Ray cluster: benchmarks.tune --ray. Its workers share the study as processes here do."""

import contextlib
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.running.ray_cluster import MEMORY, RETRIES, code, connect, other_code
from benchmarks.running.session import prepare
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Stop, Tell, work
from mosaic.fl.errors import InputError


def work_on_ray(
    plan: Plan,
    jobs: int | None,
    address: str,
    gpu_share: float,
    stop: Stop,
    tell: Tell,
    look: Callable[[], None],
) -> None:
    """Do the study's trials in ``jobs`` tasks of a cluster (default: as many as it has cores), until it has them all.

    A task whose node dies begins anew elsewhere; the trial that it was at is found to be stale, and tried again.
    """
    ray = connect(address)
    token = plan.folder / f".ray-{uuid.uuid4().hex}"
    try:
        token.touch()
        gpus = gpu_share if plan.session.device.startswith("cuda") else 0
        needs = {
            "num_cpus": plan.threads,
            "num_gpus": gpus,
            "memory": MEMORY,
            "max_retries": RETRIES,
        }
        room = int(
            ray.cluster_resources().get("GPU", 0) / gpus if gpus else ray.cluster_resources()["CPU"]
        )
        many = min(jobs or max(1, room // (1 if gpus else plan.threads)), plan.trials)
        task = ray.remote(_work).options(**needs)
        running = [task.remote(plan, token, code()) for _ in range(many)]
        tell("cluster", f"{many} tasks at work")
        while running:
            if stop():
                token.unlink(missing_ok=True)  # who sees it ends after its trial
            ended, running = ray.wait(running, timeout=0.5)
            for task_ended in ended:
                problem = _problem(ray, task_ended)
                if problem:
                    raise InputError(problem)
            look()
    finally:
        token.unlink(missing_ok=True)
        ray.shutdown()


def _problem(ray, task) -> str | None:
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return f"the cluster lost a task {RETRIES + 1} times, or it failed: {str(error).strip().splitlines()[-1]}"


def _work(plan: Plan, token: Path, wanted: str) -> str | None:
    """On a node: trials, until the study has them all; what makes it impossible, if anything."""
    if code() != wanted:
        return other_code()
    with contextlib.ExitStack() as stack:
        stop: Stop = lambda: not token.exists()  # noqa: E731
        if not token.exists():
            if plan.storage is None:
                return f"a node does not see {plan.folder}; share that folder, or give --storage a database's URL."
            out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plan, stop = replace(plan, session=replace(plan.session, out=out)), lambda: False
        prepare(plan.session)
        try:
            work(open_study(plan), plan, stop, lambda *_: None)
        except InputError as error:
            return str(error)
    return None
