"""What the tests of stopping share: a command in a process of its own, and who is left of it."""

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar

import psutil

MARK = "MOSAIC_TEST_COMMAND"
"""An environment variable, which all processes of a command inherit."""


class Command:
    """A command that was started in a process group of its own.

    Args:
        arguments: of Python.
        folder: for the files with what it prints.
        pipes: whether its stdin and stdout are pipes.
    """

    started: ClassVar[list["Command"]] = []
    python = sys.executable
    root = Path(__file__).parents[2]

    def __init__(self, arguments: list[str], folder: Path, pipes: bool = False):
        self.mark = uuid.uuid4().hex
        self.started.append(self)
        folder.mkdir(parents=True, exist_ok=True)
        self.files = [folder / f"{self.mark}.{name}" for name in ("out", "err")]
        with self.files[0].open("w") as out, self.files[1].open("w") as err:
            self.process = subprocess.Popen(
                [self.python, *arguments],
                cwd=self.root,
                env=os.environ | {MARK: self.mark, "PYTHONPATH": str(self.root)},
                stdin=subprocess.PIPE if pipes else None,
                stdout=subprocess.PIPE if pipes else out,
                stderr=err,
                start_new_session=True,
                text=True,
            )

    @property
    def hears(self) -> bool:
        """Whether it has set its handlers, or has ended."""
        return hears(self.process.pid)

    def send(self, number: Signals, group: bool) -> None:
        """Send a signal to it alone, or to all processes of its group."""
        kill = os.killpg if group else os.kill
        kill(self.process.pid, number)

    @property
    def printed(self) -> tuple[str, str]:
        """What it has printed to stdout and to stderr."""
        return self.files[0].read_text(), self.files[1].read_text()

    def left(self) -> list[psutil.Process]:
        """Its processes that live."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(MARK) == self.mark
        except psutil.Error:
            return False


def end_all() -> None:
    """Kill what is left of all commands."""
    for command in Command.started:
        for process in command.left():
            process.kill()
        command.process.communicate()
    Command.started.clear()


def hears(pid: int) -> bool:
    """Whether a process has a handler of SIGTERM, as Python itself has not, or has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    caught = re.findall(r"SigCgt:\s(\w+)", status)
    return not caught or bool(int(caught[0], 16) >> (SIGTERM - 1) & 1)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> float:
    """Wait until a condition holds; return the seconds that it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - begun
