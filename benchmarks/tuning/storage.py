"""Where a study is stored: a journal file in its folder, or a database; and the study's lock."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, get_storage

from benchmarks.tuning.journal import open_journal
from benchmarks.tuning.plan import Plan
from mosaic.fl.errors import InputError


@contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """Hold the lock of the study's folder.

    Everything that happens between two trials happens under it. So several processes, also of
    commands that were started independently, can share a study without running a trial twice.
    """
    with FileLock(plan.folder / "study.lock"):
        yield


def journal_file(plan: Plan) -> Path:
    """The path of the study's journal."""
    return plan.folder / "journal.log"


def open_storage(plan: Plan) -> BaseStorage:
    """The storage of the study: the plan's URL, or the journal file in the study's folder.

    Raises:
        InputError: If --storage is not a URL.
    """
    if plan.storage is None:
        return open_journal(journal_file(plan), plan.study, plan.directions)
    if "://" not in plan.storage:
        raise InputError(
            f"--storage {plan.storage!r} is no URL; give one such as sqlite:///tuning.db or "
            "postgresql://host/name, or leave it out: then the study is a journal file in its "
            "folder."
        )
    return get_storage(plan.storage)


@contextmanager
def storage_errors_explained(plan: Plan) -> Iterator[None]:
    """Turn every error of a storage into an InputError: its URL is wrong, or it is not there."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each database driver has its own classes of errors
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot open the storage {_shown(plan)}: {reason}") from error


def _shown(plan: Plan) -> str:
    """The storage as an error message shows it: without a password."""
    if plan.storage is None:
        return str(journal_file(plan))
    return re.sub("//[^@/]*@", "//…@", plan.storage)
