"""Cells into a tracker: each once, and without a record ever being lost to it."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.markup import escape

from benchmarks.cli import console
from benchmarks.reporting.parts import Failure
from benchmarks.running.records import read_rows
from benchmarks.texts import shortened
from benchmarks.tracking.names import check_tracker
from benchmarks.tracking.tracked_cell import TrackedCell, describe, hash_of, lines_of
from mosaic.fl.errors import InputError
from mosaic.fl.files import problem_of
from mosaic.fl.unfinished import temporary_folder

FOLDER = "tracking"
"""The folder below --out that trackers write to by default."""


class Tracker(Protocol):
    """Where runs are written."""

    place: str

    def has(self, suite: str, key: str, record: str) -> bool:
        """Whether the cell of the suite's folder is there, whole, with this hash of its record."""
        ...

    def write(self, cell: TrackedCell) -> None:
        """Write the cell in the place of what was there of it."""
        ...

    def close(self) -> None:
        """End what the tracker has started."""
        ...


def open_tracker(given: str, out: Path, option: str = "--track") -> Tracker:
    """Open a tracker.

    Args:
        given: ``mlflow[:URI]``, ``tensorboard[:DIR]`` or ``wandb``.
        out: the folder of all suites.
        option: how errors call it.

    Raises:
        InputError: it is not known, not installed, or cannot be opened.
    """
    name, place = check_tracker(given, option)
    folder = (out / FOLDER).absolute()
    try:
        with _quiet():
            return _open(name, place, folder)
    except Exception as error:  # each tracker has errors of its own
        problem = shortened(problem_of(error), 300)
        raise InputError(
            f"cannot open {option} {given}: {problem}. Correct it, or leave the option out: "
            "python -m benchmarks.track writes finished cells later."
        ) from error


def _open(name: str, place: str, folder: Path) -> Tracker:
    if name == "mlflow":
        from benchmarks.tracking.mlflow_tracker import MlflowTracker

        if place:
            return MlflowTracker(place)
        folder.mkdir(parents=True, exist_ok=True)
        return MlflowTracker(f"sqlite:///{folder}/mlflow.db", folder / "mlflow-artifacts")
    if name == "tensorboard":
        from benchmarks.tracking.tensorboard_tracker import TensorboardTracker

        return TensorboardTracker(Path(place) if place else folder / "tensorboard")
    from benchmarks.tracking.wandb_tracker import WandbTracker

    return WandbTracker(folder / "wandb")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of a tracker's library, which are for its developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def track_cell(tracker: Tracker, path: Path) -> bool:
    """Write a cell into a tracker, unless it is there already.

    Args:
        tracker: where it is written.
        path: of its record, which may be in the suite's archive.

    Returns:
        True if it was written.
    """
    folder = path.parent.parent
    rows = read_rows(path)
    if not rows:
        return False
    with _quiet():
        if tracker.has(folder.resolve().name, rows[-1]["cell"], hash_of(lines_of(rows))):
            return False
    with temporary_folder(folder, "tracked") as place:
        cell = describe(rows, folder, place)
        with _quiet():
            tracker.write(cell)
    return True


class Tracking:
    """A tracker that is given cells while they end. Its errors stop nothing.

    Args:
        tracker: where cells are written; None: nowhere.
    """

    def __init__(self, tracker: Tracker | None):
        self._tracker = tracker
        self._failure: Failure | None = None
        self._written = 0

    def add(self, paths: Iterable[Path]) -> None:
        """Write the cells of these records; after an error nothing more is tried."""
        if self._tracker is None or self._failure:
            return
        for path in paths:
            try:
                self._written += track_cell(self._tracker, path)
            except Exception as error:
                self._failure = Failure(self._tracker.place, error)
                self._print("yellow", f"not tracked: {self._failure.text}; the run goes on")
                return

    def finish(self, paths: Iterable[Path]) -> bool:
        """Write what is missing, also what failed before, and close the tracker.

        Returns:
            False if something is still missing.
        """
        if self._tracker is None:
            return True
        self._failure = None
        self.add(paths)
        try:
            self._tracker.close()
        except Exception as error:
            self._failure = Failure(self._tracker.place, error)
        self._print("dim", f"{self._written} cells were written to {self._tracker.place}")
        if self._failure:
            text = "all records are kept; python -m benchmarks.track writes what is missing there"
            self._print("yellow", text)
        return self._failure is None

    def _print(self, style: str, text: str) -> None:
        console.print(f"[{style}]{escape(text)}[/]", highlight=False, soft_wrap=True)


def open_tracking(given: str | None, out: Path) -> Tracking:
    """Open what :func:`open_tracker` opens; None: no tracker."""
    return Tracking(None if given is None else open_tracker(given, out))
