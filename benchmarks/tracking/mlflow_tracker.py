"""MLflow: an experiment per suite, a run per cell."""

import logging
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.tracking.tracked_cell import TrackedCell, text_of

CELL = "mosaic.cell"
RECORD = "mosaic.record"
"""Tags by which a cell's run is found again."""

AT_ONCE = {"params": 100, "metrics": 1000}
"""How many MLflow takes in one call."""

LONGEST = 5000
"""Characters of a parameter or a tag; MLflow takes 6,000 and 8,000."""


class MlflowTracker:
    """Writes cells into an MLflow store.

    Args:
        uri: of the store.
        artifacts: the folder of the artifacts of new experiments; None leaves it to the store.
    """

    def __init__(self, uri: str, artifacts: Path | None = None):
        # Nothing is sent to anybody but the store.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.place = uri
        self._artifacts = artifacts
        self._client = MlflowClient(tracking_uri=uri)
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, dict[str, list[Any]]] = {}  # by suite and cell
        self._client.search_experiments(max_results=1)  # an error here is one before any cell runs

    def has(self, suite: str, key: str, record: str) -> bool:
        """Whether the cell has one complete run, of this record."""
        runs = self._runs_of(suite).get(key, [])
        complete = [run.info.status != "RUNNING" for run in runs]
        return complete == [True] and runs[0].data.tags.get(RECORD) == record

    def write(self, cell: TrackedCell) -> None:
        """Write a cell's run in the place of those that it had."""
        from mlflow.entities import Metric, Param

        runs = self._runs_of(cell.suite)
        for run in runs.pop(cell.key, []):
            self._client.delete_run(run.info.run_id)
        tags = {name: text[:LONGEST] for name, text in cell.tags.items()}
        tags |= {CELL: cell.key, RECORD: cell.record}
        experiment = self._experiments[cell.suite]
        now = int(1000 * time.time())
        begun = now - round(1000 * cell.seconds)
        run = self._client.create_run(experiment, begun, tags=tags, run_name=cell.name)
        run_id = run.info.run_id
        params = [Param(name, text_of(value)[:LONGEST]) for name, value in cell.parameters.items()]
        metrics = []
        for number, values in cell.points:
            metrics += [Metric(name, value, now, number) for name, value in values.items()]
        for kind, entries in {"params": params, "metrics": metrics}.items():
            for first in range(0, len(entries), AT_ONCE[kind]):
                part: Any = entries[first : first + AT_ONCE[kind]]
                self._client.log_batch(run_id, **{kind: part})
        for path in cell.files:
            self._client.log_artifact(run_id, str(path))
        for path in cell.figures:
            self._client.log_artifact(run_id, str(path), "figures")

        status = "FAILED" if cell.status == "failed" else "FINISHED"
        self._client.set_terminated(run_id, status, now)
        runs[cell.key] = [self._client.get_run(run_id)]

    def close(self) -> None:
        """Nothing is left to do."""

    def _runs_of(self, suite: str) -> dict[str, list[Any]]:
        """The runs of each cell in the suite's experiment, which is made if it is not there."""
        if suite in self._runs:
            return self._runs[suite]
        found = self._client.get_experiment_by_name(suite)
        if found is None:
            location = self._artifacts and (self._artifacts / suite).as_uri()
            self._experiments[suite] = self._client.create_experiment(suite, location)
        else:
            self._experiments[suite] = found.experiment_id

        runs: dict[str, list[Any]] = {}
        page = None
        while page is None or page.token:
            page = self._client.search_runs(
                [self._experiments[suite]], page_token=page.token if page else None
            )
            for run in page:
                runs.setdefault(run.data.tags.get(CELL, ""), []).append(run)
        self._runs[suite] = runs
        return runs
