"""Cell: method x task x configuration, the unit of work that leaves one record."""

import hashlib
from dataclasses import dataclass
from typing import Any

from mosaic.fl.keys import canonical
from mosaic.fl.task import Task


@dataclass(frozen=True)
class Cell:
    """One line of a comparison. ``label`` is its name in tables; only method, task and config determine its numbers."""

    suite: str
    scale: str
    label: str
    method: str
    task: Task
    config: Any
    widths: str  # full | mixed | the list
    client_work: float
    server_work: float
    fidelity_n: int

    @property
    def key(self) -> str:
        """16 hex digits of the hash of what determines the numbers: no path, no device, no number of workers."""
        identity = canonical([self.method, self.task, self.config, self.fidelity_n])
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        task = self.task
        return f"{self.label} {task.dataset} omega={task.omega:g} N={task.n_clients} {self.widths} seed={task.seed}"
