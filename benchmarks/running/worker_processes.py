"""Processes that work for this one: started, talked to, and gone when this one stops or dies.

Cells and trials are run in them. Importing this module is fast, so a new process watches its parent
before it imports what its work needs.
"""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from benchmarks.running.stopping import SIGNALS, kill_with_children

PR_SET_PDEATHSIG = 1  # from Linux's sys/prctl.h


@dataclass(frozen=True)
class Ended:
    """The message of a process that has ended.

    Attributes:
        exit_code: 0 if it ended by itself; negative: the signal that ended it.
    """

    exit_code: int

    @property
    def reason(self) -> str:
        """How it ended, in words that follow "the process"."""
        if self.exit_code == -signal.SIGKILL:
            return "was killed (out of memory?)"
        if self.exit_code < 0:
            return f"died of {signal.Signals(-self.exit_code).name}"
        return f"ended with exit code {self.exit_code}"


@dataclass(frozen=True)
class _Raised:
    """The message of a process whose ``main`` has raised an error."""

    error: Exception


@dataclass(eq=False)
class Worker:
    """A process.

    Attributes:
        name: for the progress.
        pipe: this end of its pipe.
        process: the process.
    """

    name: str
    pipe: Connection
    process: SpawnProcess

    def send(self, message: Any) -> None:
        """Send a message. If the process has just ended, the next news says so."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)


class Workers:
    """The processes that a block starts. At its end they are killed, also after an error."""

    def __init__(self) -> None:
        self._running: dict[Connection, Worker] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._running.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                kill_with_children(psutil.Process(worker.process.pid))
        for worker in self._running.values():
            worker.process.join()
            worker.pipe.close()
        self._running.clear()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, name: str, main: Callable[..., None], *args: Any) -> Worker:
        """Start a process that calls ``main(pipe, *args)`` and ends when that returns.

        Args:
            name: a name, for messages.
            main: a function of a module.
            args: what can be pickled.
        """
        context = multiprocessing.get_context("spawn")
        pipe, other_end = context.Pipe()
        call = pickle.dumps((main, args))
        process = context.Process(target=_main, args=(other_end, call), name=name)
        resource_tracker.ensure_running()  # when it starts, it unblocks signals
        with _blocked_signals():
            process.start()
            worker = Worker(name, pipe, process)
            self._running[pipe] = worker
        other_end.close()
        return worker

    def news(self, timeout: float | None = None) -> Iterator[tuple[Worker, Any]]:
        """Yield the messages that have arrived, with their senders; wait for the first.

        Args:
            timeout: seconds to wait; None for ever. Then there may be no message.

        Yields:
            A worker, and its message: an :class:`Ended` if it has ended.

        Raises:
            Exception: what a worker's ``main`` has raised.
        """
        ready: list[Any] = wait(list(self._running), timeout)
        for pipe in ready:
            worker = self._running[pipe]
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                message = self._ended(worker)
            if isinstance(message, _Raised):
                raise message.error
            yield worker, message

    def _ended(self, worker: Worker) -> Ended:
        del self._running[worker.pipe]
        worker.pipe.close()
        worker.process.join()
        return Ended(worker.process.exitcode or 0)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Signals wait until the block's end. A process that it starts gets none until it wants them.

    Ctrl-C goes to all processes of a terminal, and would end a new one with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What follows runs in the new process.


def _main(pipe: Connection, call: bytes) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    _leave_stopping_to_parent()
    _die_with(parent)
    try:
        main, args = pickle.loads(call)
        main(pipe, *args)
    except Exception as error:
        error.add_note(f"In a worker process: {traceback.format_exc()}")
        try:
            pickle.dumps(error)
        except Exception:
            error = RuntimeError(traceback.format_exc())
        with contextlib.suppress(OSError):  # the parent needs it no more
            pipe.send(_Raised(error))


def _leave_stopping_to_parent() -> None:
    """Signals do nothing here, but they do in programs that this process starts."""
    for number in SIGNALS:
        signal.signal(number, _do_nothing)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _do_nothing(number: int, frame: object) -> None:
    pass


def _die_with(parent: BaseProcess) -> None:
    """End this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        # At once, also in the middle of a long call that lets no other thread run
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
