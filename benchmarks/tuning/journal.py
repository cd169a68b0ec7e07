"""The journal of a study: Optuna's file of operations, one JSON line each, kept whole when processes are killed.

A line that is half written, or damaged later, would stop Optuna from reading all that comes after it.
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

CREATE_TRIAL = 4  # Optuna's number of the operation

Line = dict[str, Any]


def open_journal(path: Path) -> JournalStorage:
    """The journal at ``path``, made if it is not there. Warns of damage; InputError where nothing can be read."""
    lock = FileLock(
        f"{path}.lock"
    )  # the system releases it when its holder dies: nobody waits for a dead process

    def acquire() -> bool:
        lock.acquire()
        _cut_torn_tail(path)
        return True

    with lock:
        _mend(path)
    try:
        return JournalStorage(
            JournalFileBackend(str(path), SimpleNamespace(acquire=acquire, release=lock.release))
        )
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"the journal {path} cannot be read ({error!r}); move it away to begin anew."
        ) from None


def _cut_torn_tail(path: Path) -> None:
    """Drop an unfinished last line: its writer died in the middle of it, and the next line would be glued to it."""
    with path.open("rb+") as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _mend(path: Path) -> None:
    """Set a damaged journal aside and go on with its readable lines."""
    if not path.exists():
        return
    content = path.read_bytes()
    read = [(raw, _parse(raw)) for raw in content.split(b"\n") if raw]
    damaged = sum(line is None for _, line in read)
    if not damaged:
        return
    lines = _consistent([line for _, line in read if line is not None])
    aside = next(
        name
        for i in range(1, 10_000)
        if not (name := path.with_name(f"{path.name}.damaged{i}")).exists()
    )
    write_whole(aside, content)
    write_whole(
        path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    )
    warnings.warn(
        f"damaged journal {path}: {damaged} of its {len(read)} lines cannot be read. The others are kept; "
        f"the file as it was is {aside.name}.",
        stacklevel=3,
    )


def _parse(raw: bytes) -> Line | None:
    """A line's operation; of an unfinished line with another glued to it, the latter."""
    for start in dict.fromkeys((0, raw.rfind(b'{"op_code"'))):
        try:
            line = json.loads(raw[max(start, 0) :])
        except ValueError:
            continue
        if isinstance(line, dict) and "op_code" in line:
            return line
    return None


def _consistent(lines: list[Line]) -> list[Line]:
    """Put a plain creation where a lost line made a trial, so that the numbers of the later ones stay right."""
    kept, made = [], 0
    for line in lines:
        while line.get("trial_id", -1) >= made:
            study = {"study_id": line.get("study_id", 0), "worker_id": "mended"}
            kept.append({"op_code": CREATE_TRIAL, **study, "datetime_start": None})
            made += 1
        made += line["op_code"] == CREATE_TRIAL
        kept.append(line)
    return kept
