"""TensorBoard: a folder of events per suite and cell."""

import os
import shutil
from pathlib import Path

import numpy as np

from benchmarks.texts import file_names
from benchmarks.tracking.tracked_cell import RECORD, TrackedCell, hash_of
from mosaic.fl.unfinished import unfinished


class TensorboardTracker:
    """Writes cells as event files.

    Args:
        folder: of all runs, for ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path):
        self.place = str(folder)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, suite: str, key: str, record: str) -> bool:
        """Whether the cell has events, of this record. A folder is there whole or not at all."""
        places = self._places(suite, key)
        if len(places) != 1:
            return False
        kept = places[0] / RECORD
        return kept.exists() and hash_of(kept.read_bytes()) == record

    def write(self, cell: TrackedCell) -> None:
        """Write a cell's folder in the place of those that it had."""
        [label] = file_names([str(cell.parameters.get("label", "cell"))])
        final = self._folder / cell.suite / f"{label}-{cell.key}"
        final.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(final) as place:
            _write_events(cell, place)
            for path in cell.files:
                shutil.copyfile(path, place / path.name)
            for old in self._places(cell.suite, cell.key):
                shutil.rmtree(old)
            os.rename(place, final)

    def close(self) -> None:
        """Nothing is left to do."""

    def _places(self, suite: str, key: str) -> list[Path]:
        found = (self._folder / suite).glob(f"*-{key}")
        return [path for path in found if not path.name.startswith(".")]


def _write_events(cell: TrackedCell, place: Path) -> None:
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    with SummaryWriter(str(place)) as writer:
        for number, values in cell.points:
            for name, value in values.items():
                writer.add_scalar(name, value, number)
        for path in cell.figures:
            with Image.open(path) as image:
                writer.add_image(path.stem, np.asarray(image.convert("RGB")), dataformats="HWC")
        facts = {"status": cell.status} | cell.parameters | cell.tags
        lines = [f"    {name}: {text}" for name, text in facts.items()]  # indented: no markup
        writer.add_text("cell", "\n".join([f"    {cell.name}", *lines]))
        # the comparison over runs; add_hparams() would write each metric a second time
        for summary in hparams(dict(cell.parameters), cell.summary):
            writer._get_file_writer().add_summary(summary)
