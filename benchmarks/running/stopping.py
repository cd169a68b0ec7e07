"""Stop means stop: at Ctrl-C, SIGTERM or a closed terminal a command ends, and all its processes.

A run must survive being killed at any moment: whatever it keeps is on disk, and every file is there
whole or not at all. So a stop unwinds nothing. A thread of its own kills the command's processes,
prints one line, and ends the command. It does not wait for the main thread, which may be in the
middle of an import or of a long call into PyTorch.

This module imports little, so that a command can use it before it imports anything that takes long.
"""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import psutil

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
"""Those that end a command, as far as the operating system has them."""

LINE_S = 1.0  # so long may the line take: nobody may be reading the pipe that it goes to
GONE_S = 3.0  # so long is waited for killed processes

NOTHING_YET = "nothing was run yet; the same command starts again"

_state: Callable[[], str] | None = None
_watched: tuple[int, ...] = ()  # the signals whose handlers are set
_temporary: list[str] = []  # folders that a stop removes


def on_stop_say(state: Callable[[], str] | None) -> None:
    """Set what the line of a stop says: what is kept, and how to go on.

    Args:
        state: returns the text. It is called in another thread and must not wait for anything.
            None: nothing was run yet.
    """
    global _state
    _state = state


@contextlib.contextmanager
def removed_on_stop(folder: str | os.PathLike[str]) -> Iterator[None]:
    """In the block, a signal that ends this process removes the folder too.

    Args:
        folder: what is in it is of no use without this process.
    """
    name = os.fspath(folder)
    _temporary.append(name)
    try:
        yield
    finally:
        _temporary.remove(name)


@contextlib.contextmanager
def stops_cleanly(ends_after: bool = False) -> Iterator[None]:
    """In the block, a signal ends this process: one line, exit code 128 + signal, no orphans.

    For a command, not for a caller's process. A signal that this process was started to ignore
    (``nohup``) is ignored. Outside of the main thread, which alone gets signals, nothing happens.

    Args:
        ends_after: whether the process ends after the block. Then signals are ignored from there
            on, as they would only leave a traceback. Otherwise their handlers are those of before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    forget = _hear()
    try:
        yield
    finally:
        forget(ends_after)
        on_stop_say(None)


def hear_signals() -> None:
    """:func:`stops_cleanly` from now on: for a process that is a command and nothing else.

    Call it before imports that take long, because Ctrl-C may come during them.
    """
    _hear()


def hear_again() -> None:
    """Set the handlers of :func:`stops_cleanly` again, after a library has set its own."""
    if threading.current_thread() is threading.main_thread():
        for number in _watched:
            signal.signal(number, _park)


def _hear() -> Callable[[bool], None]:
    """Set the handlers; return what undoes it, see ``ends_after`` above."""
    global _watched
    # Python writes a signal's number into the pipe at once, whatever the main thread does.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watcher = threading.Thread(target=_watch, args=(reader,), daemon=True)
    watcher.start()
    watched_before = _watched
    _watched = tuple(number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN)
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _park) for number in _watched}

    def forget(ends_after: bool) -> None:
        global _watched
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ends_after else handler)
        signal.set_wakeup_fd(wakeup_before)
        _watched = watched_before
        os.close(writer)
        watcher.join()  # for ever, if a signal has come: then it ends the process
        os.close(reader)

    return forget


def kill_with_children(process: psutil.Process) -> None:
    """Kill a process, and all that it has started."""
    _kill([process, *_children(process)])


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:  # it has ended
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


_parked = False


def _park(number: int, frame: object) -> None:
    """The main thread does nothing more after a signal; after a second one it ends the process.

    It would otherwise take the killed processes for failed ones.
    """
    global _parked
    if _parked:
        os._exit(128 + number)
    _parked = True
    threading.Event().wait()


def _watch(reader: int) -> None:
    """Wait for a signal, and end this process; return when the other end of the pipe is closed."""
    while signals := os.read(reader, 1):
        if signals[0] in SIGNALS:  # others, such as SIGCHLD, arrive here too
            _stop(signals[0])


def _stop(number: int) -> NoReturn:
    try:
        streams = _silence()
        _kill(_children(psutil.Process()))
        line = threading.Thread(target=_print_line, args=streams, daemon=True)
        line.start()
        line.join(LINE_S)
        # Again: a process may have been about to be started when the signal came
        left = _children(psutil.Process())
        _kill(left)
        psutil.wait_procs(left, GONE_S)
        for folder in _temporary:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(128 + number)


def _silence() -> tuple[int, int]:
    """Nothing is printed any more; return copies of what stdout and stderr were, -1 if closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    copies = []
    for stream in (1, 2):
        try:
            copies.append(os.dup(stream))
            os.dup2(nowhere, stream)
        except OSError:
            copies.append(-1)
    return copies[0], copies[1]


def _print_line(stdout: int, stderr: int) -> None:
    if _draws(stdout):
        _write(stdout, "\r\x1b[2K\x1b[?25h")  # in place of the bar, with the cursor that it hid
    try:
        state = _state() if _state is not None else NOTHING_YET
    except Exception:  # it looks at things that the main thread was changing
        state = "what is done is kept; the same command goes on"
    _write(stderr, f"stopped: {state}.\n")


def _draws(stream: int) -> bool:
    """Whether the stream is a terminal that understands more than lines."""
    return stream >= 0 and os.isatty(stream) and os.environ.get("TERM") not in ("dumb", "unknown")


def _write(stream: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(stream, text.encode())
