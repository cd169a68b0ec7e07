"""Worker processes: they end with their block and with their parent, and leave signals to it."""

import os
import signal
import sys
import time

import psutil
import pytest
from stops import Command, wait_for

from benchmarks.running.worker_processes import Ended, Workers
from mosaic.fl.errors import InputError


def echo(pipe, greeting: str) -> None:
    """Send a greeting and then whatever arrives."""
    pipe.send(greeting)
    while True:
        pipe.send(pipe.recv())


def leave(pipe, code: int) -> None:
    sys.exit(code)


def refuse(pipe, text: str) -> None:
    raise InputError(text)


def message_of(workers: Workers):
    [(_, message)] = workers.news(timeout=60)
    return message


def test_a_worker_answers_ignores_signals_and_is_gone_after_the_block():
    with pytest.raises(KeyboardInterrupt), Workers() as workers:
        worker = workers.start("w", echo, "hello")
        assert message_of(workers) == "hello"
        pid = worker.process.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        time.sleep(0.05)
        worker.send("still here")
        assert message_of(workers) == "still here"
        raise KeyboardInterrupt
    assert not psutil.pid_exists(pid) and len(workers) == 0


def test_a_killed_worker_and_one_that_ends_say_how():
    with Workers() as workers:
        worker = workers.start("w", echo, "hello")
        assert message_of(workers) == "hello"
        os.kill(worker.process.pid, signal.SIGKILL)
        message = message_of(workers)
        assert message == Ended(-signal.SIGKILL)
        assert message.reason == "was killed (out of memory?)"
        worker.send("to nobody")  # no error

        workers.start("w", leave, 3)
        assert message_of(workers).reason == "ended with exit code 3"
        assert len(workers) == 0


def test_an_error_of_a_worker_is_raised_here():
    with pytest.raises(InputError, match="no such thing"), Workers() as workers:
        workers.start("w", refuse, "no such thing")
        list(workers.news(timeout=60))


PARENT = """
import sys, time
sys.path[:0] = ["tests", "tests/running"]
from test_worker_processes import echo
from benchmarks.running.worker_processes import Workers
if __name__ == "__main__":
    with Workers() as workers:
        workers.start("w", echo, "hello")
        print([message for _, message in workers.news()], flush=True)
        time.sleep(100)
"""


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = Command([str(script)], tmp_path)
    wait_for(lambda: "hello" in command.printed[0])
    command.send(signal.SIGKILL, group=False)
    command.process.wait()
    assert wait_for(lambda: not command.left(), 5) < 5
    assert command.printed[1] == ""
