"""The journal of a study: Optuna's file of operations, one JSON line each.

A killed process may leave a line half written, and a line may be damaged later. Optuna could then
read nothing that follows it. Both are repaired here.
"""

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from benchmarks.tuning.operations import (
    CREATE_STUDY,
    RUNNING,
    SET_STATE,
    Line,
    completed,
    operations_of,
)
from mosaic.fl.errors import InputError
from mosaic.fl.files import read_sound, set_aside, write_whole


def open_journal(path: Path, study: str, directions: Sequence[str]) -> JournalStorage:
    """The journal at ``path`` as a storage; a new one if there is no file.

    Warns if the file is damaged; its sound lines are kept.

    Args:
        path: The file.
        study: The study's name, for the case that the line that creates it was lost.
        directions: "minimize" or "maximize" per objective, for the same case.

    Raises:
        InputError: If no storage can be made of the readable lines.
    """
    # The operating system releases this lock when its process dies, unlike Optuna's own.
    lock = FileLock(f"{path}.lock")

    def acquire() -> bool:
        lock.acquire()
        _cut_unfinished_line(path)
        return True

    creation = {
        "op_code": CREATE_STUDY,
        "worker_id": "repair",
        "study_name": study,
        "directions": [StudyDirection[direction.upper()].value for direction in directions],
    }
    with lock:
        _repair(path, creation)
    try:
        lock_of_backend: Any = SimpleNamespace(acquire=acquire, release=lock.release)
        return JournalStorage(JournalFileBackend(str(path), lock_of_backend))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"the journal {path} cannot be read ({error!r}); move it away to start again."
        ) from None


def _cut_unfinished_line(path: Path) -> None:
    """Remove a last line without its end: its process died while it wrote it.

    Otherwise the next line would be appended to it, and both would be lost.
    """
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        last_end = file.read().rfind(b"\n")
        file.truncate(last_end + 1)


def _repair(path: Path, creation: Line) -> None:
    """Keep the sound operations of a damaged journal, and the damaged file under another name."""
    content = read_sound(path, bytes, "journal", "a new one is begun")
    if content is None:
        return

    lines: list[Line] = []
    n_damaged = 0
    raws = [raw for raw in content.split(b"\n") if raw]
    for raw in raws:
        operations, whole = operations_of(raw)
        lines += operations
        n_damaged += not whole

    kept = completed(lines, creation)
    if n_damaged == 0 and kept == lines:
        return
    set_aside(
        path,
        "journal",
        f"{n_damaged} of its {len(raws)} lines cannot be read, or lines are missing",
        "the others are kept",
    )
    _write(path, kept)


def _write(path: Path, lines: list[Line]) -> None:
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    write_whole(path, "".join(texts).encode())


def unfinish(path: Path, trials: Collection[int]) -> None:
    """Take the ends of trials out of a sound journal, so that they can be ended in another way.

    Args:
        path: the journal. No storage may be open on it. As it was, it is set aside.
        trials: the ids of the trials.
    """
    with FileLock(f"{path}.lock"):
        lines = [json.loads(raw) for raw in path.read_bytes().splitlines()]
        kept = [
            line
            for line in lines
            if not (
                line["op_code"] == SET_STATE
                and line["trial_id"] in trials
                and line["state"] != RUNNING
            )
        ]
        numbers = ", ".join(map(str, sorted(trials)))
        problem = f"what it has of the trials {numbers} is not whole"
        set_aside(path, "journal", problem, "they are tried again")
        _write(path, kept)
