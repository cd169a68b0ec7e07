"""The command's console, which records what it prints for speed.txt, and its temporary folder."""

import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.output import new_console
from mosaic.fl.unfinished import temporary_folder

console = new_console(record=True)


def scratch_folder() -> AbstractContextManager[Path]:
    """A folder for a block. If the command is killed in it, a later one removes the folder."""
    return temporary_folder(Path(tempfile.gettempdir()), "speed")
