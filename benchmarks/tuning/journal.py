"""The journal of a study: Optuna's file of operations, one JSON line each.

A killed process may leave a line half written, and a line may be damaged later. Optuna could then
read nothing that follows it. Both are repaired here.
"""

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole

CREATE_TRIAL = 4  # Optuna's code of the operation that creates a trial

Line = dict[str, Any]
"""One operation: "op_code", and what it needs."""


def open_journal(path: Path) -> JournalStorage:
    """The journal at ``path`` as a storage; a new one if there is no file.

    Warns if the file is damaged; its readable lines are kept.

    Raises:
        InputError: If no storage can be made of the readable lines.
    """
    # The operating system releases this lock when its process dies, unlike Optuna's own.
    lock = FileLock(f"{path}.lock")

    def acquire() -> bool:
        lock.acquire()
        _cut_unfinished_line(path)
        return True

    with lock:
        _repair(path)
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


def _repair(path: Path) -> None:
    """Keep the readable lines of a damaged journal, and the damaged file under another name."""
    if not path.exists():
        return
    content = path.read_bytes()
    parsed = [_parse(raw) for raw in content.split(b"\n") if raw]
    readable = [line for line in parsed if line is not None]
    n_damaged = len(parsed) - len(readable)
    if n_damaged == 0:
        return

    kept_as = _free_name(path)
    write_whole(kept_as, content)
    lines = [json.dumps(line, separators=(",", ":")) + "\n" for line in _consistent(readable)]
    write_whole(path, "".join(lines).encode())
    warnings.warn(
        f"damaged journal {path}: {n_damaged} of its {len(parsed)} lines cannot be read. "
        f"The others are kept; the file as it was is {kept_as.name}.",
        stacklevel=3,
    )


def _free_name(path: Path) -> Path:
    """The first of journal.log.damaged1, journal.log.damaged2, ... that does not exist."""
    for i in range(1, 10_000):
        name = path.with_name(f"{path.name}.damaged{i}")
        if not name.exists():
            return name
    raise InputError(f"there are too many damaged copies of {path}; move them away.")


def _parse(raw: bytes) -> Line | None:
    """The operation of a line; None if it cannot be read.

    A complete operation that was appended to an unfinished one is read without the latter.
    """
    starts = [0]
    last_operation = raw.rfind(b'{"op_code"')
    if last_operation > 0:
        starts.append(last_operation)

    for start in starts:
        try:
            line = json.loads(raw[start:])
        except ValueError:
            continue
        if isinstance(line, dict) and "op_code" in line:
            return line
    return None


def _consistent(lines: list[Line]) -> list[Line]:
    """The lines, with an empty trial in place of each trial whose creation was lost.

    Optuna numbers trials in the order of their creation. Without the empty trial, all later
    operations would be applied to the wrong trial.
    """
    kept: list[Line] = []
    n_created = 0
    for line in lines:
        # The first operation on a trial that does not exist yet: its creation was lost.
        while line.get("trial_id", -1) >= n_created:
            kept.append(
                {
                    "op_code": CREATE_TRIAL,
                    "study_id": line.get("study_id", 0),
                    "worker_id": "repair",
                    "datetime_start": None,
                }
            )
            n_created += 1

        kept.append(line)
        if line["op_code"] == CREATE_TRIAL:
            n_created += 1
    return kept
