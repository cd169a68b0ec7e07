"""What a run of the command has, and how a cell ended."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.planning.cell import Cell
from mosaic.fl.cache import use_cache
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.device import use_device


@dataclass(frozen=True)
class Session:
    """What a run of the command has that determines no number: where things lie and what they run on."""

    out: Path
    device: str = "cpu"
    data_dir: Path | None = None
    inception: str = "auto"

    def folder(self, suite: str) -> Path:
        return self.out / suite


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: done, failed or skipped; its last accuracy; what a person should read of it."""

    cell: Cell
    status: str
    accuracy: float = float("nan")
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def prepare(session: Session) -> None:
    """Make this process work on the session's device, data and stage store."""
    use_device(session.device)
    use_data_dir(session.data_dir)
    use_cache(session.out / "cache")
