"""What a run of the command has, and how a cell ended."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.planning.cell import Cell
from benchmarks.planning.outside import load_plugin
from benchmarks.planning.plugins import Plugin
from mosaic.fl.cache import use_cache
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.device import use_device


@dataclass(frozen=True)
class Session:
    """What a run of the command has that determines no number.

    Attributes:
        out: the folder of all suites' records, tables and the cache.
        device: "cpu", "cuda" or "cuda:1".
        data_dir: the only folder where data sets are looked for.
        inception: the file of Inception's weights; "auto": FID over Inception only if it is there.
        plugins: methods, data sets, models and metrics from outside.
    """

    out: Path
    device: str = "cpu"
    data_dir: Path | None = None
    inception: str = "auto"
    plugins: tuple[Plugin, ...] = ()

    def folder(self, suite: str) -> Path:
        """The folder of a suite's records, tables and figures."""
        return self.out / suite


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        cell: the cell.
        status: done, failed or skipped.
        accuracy: on the test set after the last round, in [0, 1]; NaN if the cell is not done.
        seconds: how long it took, with its share of stages.
        notes: what a person should read about it.
    """

    cell: Cell
    status: str
    accuracy: float = float("nan")
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def prepare(session: Session) -> None:
    """Make this process work on the session's device, data, plugins and cache."""
    use_device(session.device)
    use_data_dir(session.data_dir)
    for plugin in session.plugins:
        load_plugin(plugin)
    use_cache(session.out / "cache")
