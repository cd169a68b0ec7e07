"""What a process has not completed yet, and what is left of it when the process has died.

Whatever is not complete yet has a hidden name that ends in ".<process id>@<machine>". If the
process is killed, the next run finds it by that name and removes it.
"""

import contextlib
import functools
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = re.compile(r"\..*\.(?P<pid>\d+)@(?P<machine>[^@]+)")
"""The names of what a process has not completed."""

CLOCK_S = 60  # tolerance for times of files and processes, because a machine's clock may be set


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """The hidden name under which this process makes a file or folder; what has it is removed.

    Args:
        path: What it will be when it is complete, in the same folder.
    """
    # a name has at most 255 bytes
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}@{machine()}")
    try:
        yield temporary
    finally:
        _remove(temporary)


@contextlib.contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder that is removed at the end of the block, or by a later call if this process dies.

    Args:
        parent: The folder that it is in.
        name: What it is for.
    """
    sweep(parent, deep=False)
    with unfinished(parent / f"mosaic-bench-{name}") as folder:
        folder.mkdir(mode=0o700)
        yield folder


def sweep(folder: Path, deep: bool = True) -> list[Path]:
    """Remove what processes of this machine that are dead have not completed.

    What a living process or one of another machine makes stays, and so does what this user may not
    remove.

    Args:
        folder: Where to look; it need not exist.
        deep: Whether to look in its sub-folders too.

    Returns:
        What was removed.
    """
    removed = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            if is_left(path) and _remove(path):
                removed.append(path)
        folders[:] = [name for name in folders if deep and not UNFINISHED.fullmatch(name)]
    return removed


@functools.cache
def machine() -> str:
    """This machine, or the container on it: where a process id means this process."""
    name = re.sub(r"[^\w.-]", "-", socket.gethostname())[:64]
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # another operating system than Linux
        return name
    return f"{name}-{namespace}"


def is_left(path: Path) -> bool:
    """Whether a dead process of this machine has left this file or folder, to judge by its name."""
    name = UNFINISHED.fullmatch(path.name)
    if name is None or name["machine"] != machine():
        return False

    import psutil

    try:
        begun = psutil.Process(int(name["pid"])).create_time()
        written = path.stat().st_mtime
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.Error):
        return False
    # process ids are used again: this process is another one if it is younger than the file
    return begun > written + CLOCK_S


def _remove(path: Path) -> bool:
    """Remove a file or a folder if it is there; False if that is not possible."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
