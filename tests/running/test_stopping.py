"""A signal ends a command: one line, an exit code, no process left; whatever the main thread does.

The commands here are small scripts. test_stopping_commands.py stops the real ones.
"""

import signal
import subprocess
import threading
from pathlib import Path

import pytest
from stops import Command, wait_for

from benchmarks.running.stopping import SIGNALS, on_stop_say, stops_cleanly

STARTS = """
import subprocess, sys
from benchmarks.running.stopping import hear_signals, on_stop_say, stops_cleanly
hear_signals()
"""
LONG_CALL = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2 * 10**9)"
TWO_GENERATIONS = """
subprocess.Popen([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '100'])"])
"""


def script(tmp_path: Path, *lines: str) -> Command:
    """Start a script, and wait until it hears signals."""
    command = Command(["-c", "\n".join([STARTS, *lines])], tmp_path)
    wait_for(lambda: command.hears)
    return command


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_long_call_and_all_processes_with_one_line(number, tmp_path):
    command = script(tmp_path, TWO_GENERATIONS, LONG_CALL)
    wait_for(lambda: len(command.left()) == 3)
    command.send(number, group=False)
    assert command.process.wait(timeout=2) == 128 + number
    assert wait_for(lambda: not command.left(), 5) < 5
    out, err = command.printed
    assert out == "" and err == "stopped: nothing was run yet; the same command starts again.\n"


def test_the_line_says_what_is_kept(tmp_path):
    says = "on_stop_say(lambda: '3 of 4 are kept'); print('ready', flush=True)"
    command = script(tmp_path, says, LONG_CALL)
    wait_for(lambda: command.printed[0])
    command.send(signal.SIGINT, group=True)
    command.process.wait(timeout=2)
    assert command.printed[1] == "stopped: 3 of 4 are kept.\n"


def test_nothing_is_printed_or_done_after_the_line(tmp_path):
    """What the main thread does between two instructions, and what its threads do."""
    busy = ["import threading, time", "def work():", "  while True: print('working', flush=True)"]
    command = script(
        tmp_path, *busy, "threading.Thread(target=work, daemon=True).start()", "work()"
    )
    wait_for(lambda: "working" in command.printed[0])
    command.send(signal.SIGINT, group=True)
    assert command.process.wait(timeout=2) == 130
    assert "Traceback" not in "".join(command.printed)
    assert command.printed[1].count("\n") == 1


def test_a_line_that_nobody_reads_delays_the_end_by_a_second_at_most(tmp_path):
    lines = [STARTS, "import os", "os.set_blocking(2, False)", "try:", "  while True:"]
    lines += [
        "    os.write(2, b'x' * 4096)",
        "except BlockingIOError:",
        "  os.set_blocking(2, True)",
    ]
    lines += ["print('full', flush=True)", LONG_CALL]
    command = ["-c", "\n".join(lines)]
    process = subprocess.Popen(
        [Command.python, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Command.root,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "full\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=4) == 130
    process.communicate()


def test_a_signal_that_was_ignored_at_the_start_is_ignored(tmp_path):
    """As with nohup."""
    lines = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    inner = "with stops_cleanly(): signal.raise_signal(signal.SIGHUP); print('goes on')"
    done = subprocess.run(
        [Command.python, "-c", "\n".join([lines, STARTS.replace("hear_signals()", ""), inner])],
        capture_output=True,
        text=True,
        cwd=Command.root,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")


def test_handlers_are_those_of_before_after_the_block():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stops_cleanly(), stops_cleanly():
        assert all(
            signal.getsignal(number) != handler
            for number, handler in zip(SIGNALS, before, strict=True)
        )
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_in_another_thread_nothing_is_changed():
    seen = []

    def command():
        with stops_cleanly(ends_after=True):
            seen.append([signal.getsignal(number) for number in SIGNALS])

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=command)
    thread.start()
    thread.join()
    assert seen == [before] == [[signal.getsignal(number) for number in SIGNALS]]


def test_what_a_stop_says_is_forgotten_after_the_block():
    from benchmarks.running import stopping

    with stops_cleanly():
        on_stop_say(lambda: "kept")
    assert stopping._state is None
