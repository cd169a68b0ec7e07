"""Run a study's trials where the options say, until it has all of them."""

import argparse

import optuna

from benchmarks.cli import console
from benchmarks.running.ray_cluster import connected, gpus_of_task, room
from benchmarks.tuning.board import board
from benchmarks.tuning.on_ray import work_on_ray
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.trials import work
from benchmarks.tuning.workers import work_in_processes


def run_trials(study: optuna.Study, plan: Plan, jobs: int, options: argparse.Namespace) -> None:
    """Run the study's missing trials here, in processes, or on a Ray cluster.

    Args:
        study: The study.
        plan: Its plan.
        jobs: Number of processes.
        options: Those of the command; they say whether to use Ray.
    """
    if options.ray:
        with connected(options.ray) as ray:
            gpus = gpus_of_task(plan.session, options.gpu_share)
            # not jobs: the default is what the cluster has room for
            n_tasks = min(options.jobs or room(ray, plan.threads, gpus), plan.trials)
            with board(study, plan, n_tasks, console) as (announce, refresh):
                work_on_ray(plan, ray, n_tasks, gpus, announce, refresh)
        return

    with board(study, plan, jobs, console) as (announce, refresh):
        if jobs == 1:
            work(study, plan, announce)
        else:
            work_in_processes(plan, jobs, announce, refresh)
