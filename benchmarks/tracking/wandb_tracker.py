"""Weights & Biases: a run per cell in one project, grouped by suite."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.tracking.tracked_cell import TrackedCell
from mosaic.fl.files import write_whole

PROJECT = "mosaic-bench"
"""Unless the variable WANDB_PROJECT names another one."""


class WandbTracker:
    """Writes cells as runs: to the server, or to files where nobody is logged in.

    Args:
        folder: where the files of the runs are.
    """

    def __init__(self, folder: Path):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._wandb = wandb
        self._folder = folder
        self._written = folder / "written"
        self._written.mkdir(parents=True, exist_ok=True)
        self._mode: Any = os.environ.get("WANDB_MODE")
        if not self._mode and not wandb.login(prompt=False):
            self._mode = "offline"
        self.place = f"{folder} (wandb sync {folder}/wandb/offline-run-*)"
        if self._mode != "offline":
            self.place = f"the project {os.environ.get('WANDB_PROJECT', PROJECT)}"

    def has(self, suite: str, key: str, record: str) -> bool:
        """Whether the cell's run was written whole, of this record."""
        mark = self._written / _id(suite, key)
        return mark.exists() and mark.read_text() == record

    def write(self, cell: TrackedCell) -> None:
        """Write a cell's run. One of the same id, in the files or on the server, is replaced."""
        wandb = self._wandb
        run_id = _id(cell.suite, cell.key)
        for old in (self._folder / "wandb").glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(old)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(self._folder),
            id=run_id,
            name=cell.name,
            group=cell.suite,
            config={**cell.parameters, "tags": cell.tags, "cell": cell.key},
            mode=self._mode,
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,
                x_save_requirements=False,
            ),
        )
        for number, values in cell.points:
            run.log(values, step=number)
        run.summary["status"] = cell.status
        for path in cell.figures:
            run.summary[path.stem] = wandb.Image(str(path))
        for path in cell.files:  # of files elsewhere wandb keeps links only
            copy = shutil.copyfile(path, Path(run.dir, path.name))
            run.save(str(copy), base_path=run.dir, policy="now")
        run.finish(exit_code=1 if cell.status == "failed" else 0)
        write_whole(self._written / run_id, cell.record.encode())

    def close(self) -> None:
        """End the process that sends or writes the runs."""
        self._wandb.teardown()


def _id(suite: str, key: str) -> str:
    """The id of a cell's run: 16 hex digits, the same in every process."""
    return hashlib.sha256(f"{suite}/{key}".encode()).hexdigest()[:16]
