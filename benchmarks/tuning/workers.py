"""A study's trials in several processes of this machine."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from benchmarks.running.session import prepare
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.studies import open_study
from benchmarks.tuning.trials import Announce, Stop, work
from mosaic.fl.errors import InputError

REPLACEMENTS_PER_JOB = 2  # how many dead processes are replaced, per process of the command

DIED = "a process died (out of memory?); its trial is tried again by a new one"


def work_in_processes(
    plan: Plan, jobs: int, stop: Stop, announce: Announce, refresh: Callable[[], None]
) -> None:
    """Run the study's trials in several processes. One that dies is replaced, a few times.

    Args:
        plan: The study's plan; the study must exist.
        jobs: Number of processes.
        stop: Whether to stop after the running trials.
        announce: Receives what the processes do.
        refresh: Called about twice a second.

    Raises:
        InputError: If no trial of this study can succeed.
    """
    running = dict(_start(plan, str(i)) for i in range(jobs))
    for process in running.values():
        announce(process.name, "starting")

    replacements = REPLACEMENTS_PER_JOB * jobs
    problems: list[str] = []
    try:
        while running:
            if stop() or problems:
                _ask_to_stop(running)

            for pipe in _with_news(running):
                message = _receive(pipe)
                if message is None:
                    process = running.pop(pipe)
                    process.join()
                    announce(process.name, "")
                    if process.exitcode != 0 and replacements > 0 and not stop():
                        announce("warning", DIED)
                        replacements -= 1
                        new_pipe, new_process = _start(plan, process.name)
                        running[new_pipe] = new_process
                elif message[0] == "error":
                    problems.append(message[1])
                else:
                    announce(*message)
            refresh()
    finally:
        # Processes are left here only if this process was interrupted.
        for process in running.values():
            process.kill()

    if problems:
        raise InputError(problems[0])


def _start(plan: Plan, name: str) -> tuple[Connection, SpawnProcess]:
    """Start a process; return this end of its pipe, and the process."""
    context = multiprocessing.get_context("spawn")
    pipe, pipe_of_process = context.Pipe()
    process = context.Process(target=_process, args=(plan, pipe_of_process), name=name, daemon=True)

    # Ctrl-C is for this process alone. A new process inherits that the signal is ignored, so it
    # ignores it from its first moment.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    pipe_of_process.close()
    return pipe, process


def _with_news(running: dict[Connection, SpawnProcess]) -> list[Connection]:
    """The pipes with a message, or whose process has ended; waits for half a second at most."""
    ready: list[Any] = wait(list(running), timeout=0.5)
    return ready


def _receive(pipe: Connection) -> tuple[str, str] | None:
    """The next message of a process; None if it has ended."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def _ask_to_stop(running: dict[Connection, SpawnProcess]) -> None:
    for pipe in running:
        with contextlib.suppress(OSError):  # the process has just ended
            pipe.send("stop")


def _process(plan: Plan, pipe: Connection) -> None:
    """What a process does: trials, until the study has all of them or a message arrives."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    prepare(plan.session)

    def announce(process: str, doing: str) -> None:
        pipe.send((process, doing))

    name = multiprocessing.current_process().name
    try:
        # Any message is a request to stop.
        work(open_study(plan), plan, pipe.poll, announce, name)
    except InputError as error:
        pipe.send(("error", str(error)))


def _exit_with(parent: BaseProcess | None) -> None:
    """End this process when its parent ends, however that happens."""
    if parent is not None:
        parent.join()
    os._exit(1)
