"""Cell: one method on one task with one configuration, the unit of work that leaves one record."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.texts import one_line
from mosaic.fl.keys import canonical
from mosaic.fl.task import Task


@dataclass(frozen=True)
class Work:
    """What a cell may compute beyond FedAvg's local training, and what it does. None: not known.

    Attributes:
        budget: the rule, "equal" or "paper".
        client_budget: what the clients may compute, in multiples of FedAvg's local training of the
            task; None with "paper".
        server_budget: the same for the server.
        client_work: the share of its paper's images that the method is given at the clients; None
            with "equal".
        server_work: the same for the server.
        client_spent: what the clients compute, in the unit of the budgets.
        server_spent: the same for the server.
        client_share: the images that the clients' generators learn from, as a share of the paper's.
        server_share: the images that the server's training learns from, as a share of the paper's.
    """

    budget: str
    client_budget: float | None = None
    server_budget: float | None = None
    client_work: float | None = None
    server_work: float | None = None
    client_spent: float | None = None
    server_spent: float | None = None
    client_share: float | None = None
    server_share: float | None = None

    def columns(self) -> dict[str, Any]:
        """The columns of a record: what is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


UNKNOWN = Work("")


@dataclass(frozen=True)
class Cell:
    """One line of a comparison.

    Attributes:
        suite: the suite that it belongs to.
        scale: quick, laptop or paper.
        label: its name in tables.
        method: the method's name in METHODS.
        task: the federated problem.
        config: an instance of the method's Config.
        widths: the clients' widths as they were written: full, mixed, rho=5 or a list.
        fidelity_n: the number of generated images that FID, IS and KID are measured on.
        method_source: the hash of the file of a method from outside; empty for a built-in one.
        metrics: the names of metrics from outside, which contain the hashes of their files.
        dataset: how tables call the data set, where that is not the task's own name for it.
        grid: the label of the suite's entry whose grid this is a point of; empty for other cells.
        grid_settings: the settings of that grid.
        tuned_settings: settings whose values are those of the scale's tuned file.
        tuned_trials: the number of trials that they were chosen from; 0 if there are none.
        test_data: the fingerprint of the test split; of the training split it is `task.data`.
        work: what it may compute, and what it does.
        proxy_data: the fingerprint of the other data set that the method uses.
    """

    suite: str
    scale: str
    label: str
    method: str
    task: Task
    config: Any
    widths: str
    fidelity_n: int
    method_source: str = ""
    metrics: tuple[str, ...] = ()
    dataset: str = ""
    grid: str = ""
    grid_settings: tuple[str, ...] = ()
    tuned_settings: tuple[str, ...] = ()
    tuned_trials: int = 0
    test_data: str = ""
    proxy_data: str = ""
    work: Work = UNKNOWN

    @property
    def key(self) -> str:
        """16 hex digits of the hash of all that determines the numbers: no path, no device."""
        identity: list[Any] = [self.method, self.task, self.config, self.fidelity_n]
        if self.method_source:
            identity.append({"source": self.method_source})
        if self.metrics:
            identity.append({"metrics": self.metrics})
        if self.test_data:
            identity.append({"test_data": self.test_data})
        if self.proxy_data:
            identity.append({"proxy_data": self.proxy_data})
        return hashlib.sha256(canonical(identity).encode()).hexdigest()[:16]

    @property
    def dataset_name(self) -> str:
        """The data set's name in tables."""
        return self.dataset or self.task.dataset

    @property
    def title(self) -> str:
        """The cell in one line, for the terminal."""
        task = self.task
        split = "given split" if task.law == "file" else f"omega={task.omega:g}"
        return one_line(
            f"{self.label} {self.dataset_name} {split} N={task.n_clients} {self.widths} "
            f"seed={task.seed}"
        )
