"""One run of a suite: which cells it has, which of them are missing, and running those."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from rich.markup import escape

from benchmarks.cli import console, number_of_jobs, writable
from benchmarks.planning import show
from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.outside import (
    resolve_dataset,
    resolve_metric,
    resolve_model,
    resolve_partition,
)
from benchmarks.planning.plugins import loaded_plugins
from benchmarks.planning.scales import check_reporting, known_scale
from benchmarks.planning.settings import Settings
from benchmarks.planning.suite import Suite, read_suite, suite_path
from benchmarks.reporting.frames import with_status
from benchmarks.reporting.report import report
from benchmarks.reporting.terminal import print_result, terminal_table
from benchmarks.running.archive import unpack
from benchmarks.running.processes import run_cells
from benchmarks.running.progress import Estimate, show_progress
from benchmarks.running.ray_cluster import cells_on_ray
from benchmarks.running.records import done_file, load_records, read_rows, take_over
from benchmarks.running.request import Request
from benchmarks.running.schedule import group_of
from benchmarks.running.session import Outcome, Session
from mosaic.fl.data.datasets import DATASETS, display_name
from mosaic.fl.data.federation import split
from mosaic.fl.data.loading import load, use_data_dir
from mosaic.fl.data.partition_file import read_partition, write_partition
from mosaic.fl.device import choose_precision, use_device
from mosaic.fl.errors import InputError

SECONDS_BETWEEN_TABLES = 120
"""Between two interim tables in the terminal. The first comes as soon as one comparison is done."""


@dataclass(frozen=True)
class SuiteRun:
    """A request that was checked, and its cells.

    Attributes:
        request: what was asked for.
        name: the suite's name.
        suite: its content.
        cells: all cells, in the order of the tables.
        session: where they run and where their records are.
        jobs: processes.
    """

    request: Request
    name: str
    suite: Suite
    cells: list[Cell]
    session: Session
    jobs: int

    @property
    def folder(self) -> Path:
        """The folder of the suite's records, tables and figures."""
        return self.session.folder(self.name)

    def export_partition(self, path: Path) -> None:
        """Write the split of the only task's data.

        Raises:
            InputError: if there are several splits, or if the file cannot be written.
        """
        use_data_dir(self.session.data_dir)
        tasks = {cell.task.without_models(): cell.task for cell in self.cells}
        if len(tasks) != 1:
            raise InputError(
                f"--export-partition writes one split, and these cells have {len(tasks)}: give one "
                "data set, omega, number of clients and seed, e.g. --omega 0.1 --seeds 0,"
            )
        [task] = tasks.values()
        write_partition(path, task)
        console.print(f"wrote {path}: {show.task_title(task)}", highlight=False, soft_wrap=True)

    def print_plan(self) -> None:
        """Print the cells, which of them are done, and how long the others will take."""
        if self.request.partition is not None:
            self._check_data()
        finished = self._finished(take_over_others=False)
        self._print_unused_settings()
        show.print_plan(self.cells, finished, Estimate(self.folder, self.cells), self.jobs)

    def execute(self) -> tuple[pd.DataFrame, int]:
        """Run what is missing and write the report.

        Returns:
            The records of all cells, and how many cells and parts of the report failed.
        """
        self._check_data()
        unpack(self.folder)  # cells that are only in the archive, and their partitions
        self._print_unused_settings()
        finished = self._finished(take_over_others=True)
        missing = in_running_order(
            [cell for cell in self.cells if cell.key not in finished], self.suite.omega
        )
        if self.request.force:
            for cell in missing:
                done_file(self.folder, cell).unlink(missing_ok=True)

        failed = 0
        for outcome in self._outcomes(missing, len(finished)):
            if outcome.status == "failed":
                failed += 1

        with console.status("writing tables and figures"):
            records, failures = report(
                self.folder, self.cells, self.suite.pages, self.suite.reference
            )
        print_result(records, self.folder, failed, failures)
        return records, failed + len(failures)

    def _print_unused_settings(self) -> None:
        """Say which settings reach no cell, because their method is not among the cells."""
        used = {"task"} | {cell.method for cell in self.cells} | {c.label for c in self.cells}
        for name in sorted(self.request.settings.keys() - used):
            text = f"the settings of {name} are not used: it is not among the methods of this run"
            console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def _check_data(self) -> None:
        """Find each data set and split it for each task: what is missing is an error at once."""
        use_data_dir(self.session.data_dir)
        for dataset in dict.fromkeys(cell.task.dataset for cell in self.cells):
            load(dataset, "test")
        for task in dict.fromkeys(cell.task for cell in self.cells):
            split(task)

    def _finished(self, take_over_others: bool) -> set[str]:
        """The keys of the cells that have a record, here or (and then copied) in another suite."""
        if self.request.force:
            return set()

        finished = set()
        with warnings.catch_warnings(record=True) as damaged:
            warnings.simplefilter("always")
            for cell in self.cells:
                has_record = read_rows(done_file(self.folder, cell)) is not None
                if has_record or (take_over_others and take_over(self.folder, cell)):
                    finished.add(cell.key)

        for warning in damaged:
            text = escape(str(warning.message))
            console.print(f"[yellow]{text}[/]", highlight=False, soft_wrap=True)
        return finished

    def _outcomes(self, missing: list[Cell], n_finished: int) -> Iterator[Outcome]:
        """Run the cells, with progress and a table whenever all methods of one setting are done."""
        start: Callable[..., Iterator[Outcome]]
        if self.request.ray:
            start = partial(
                cells_on_ray,
                missing,
                self.session,
                self.request.ray,
                gpu_share=self.request.gpu_share,
            )
        else:
            start = partial(run_cells, missing, self.session, min(self.jobs, max(1, len(missing))))

        left: dict[tuple, set[str]] = {}
        for cell in missing:
            left.setdefault(group_of(cell), set()).add(cell.key)

        printed = -math.inf
        estimate = Estimate(self.folder, self.cells)
        for outcome in show_progress(start, missing, n_finished, estimate, self.jobs, console):
            yield outcome

            group = group_of(outcome.cell)
            left[group].discard(outcome.cell.key)
            if left[group]:
                continue

            del left[group]
            if left and time.monotonic() - printed > SECONDS_BETWEEN_TABLES:
                self._print_interim_table(group)
                printed = time.monotonic()

    def _print_interim_table(self, group: tuple) -> None:
        """The table of what is done of a group's data set, number of clients and widths."""
        setting = group[:3]
        cells = [cell for cell in self.cells if group_of(cell)[:3] == setting]
        records = load_records(self.folder, cells)
        if len(with_status(records, "done")):
            console.print(terminal_table(records))


def open_run(request: Request) -> SuiteRun:
    """Check a request and expand its cells; nothing is run or written yet.

    Raises:
        InputError: if something in it is wrong, with what to do about it.
    """
    device = use_device(request.device)
    jobs = number_of_jobs(request.jobs, request.threads, device)
    name, suite = read_suite(request.suite)

    datasets = None
    if request.datasets is not None:
        datasets = [resolve_dataset(given) for given in request.datasets]
    elif suite.datasets is not None:
        datasets = [resolve_dataset(given) for given in suite.datasets]

    scale_datasets = list(known_scale(request.scale).datasets)
    clients = request.clients
    partition = ""
    if request.partition is not None:
        clients = _clients_of(request.partition, clients)
        partition = resolve_partition(request.partition)

    cells = expand_cells(
        name,
        suite,
        request.scale,
        datasets=datasets,
        omega=request.omega,
        clients=clients,
        methods=request.methods,
        seeds=request.seeds,
        widths=request.widths,
        settings=_with_resolved_model(request.settings, datasets or scale_datasets),
        precision=choose_precision(request.precision),
        threads=request.threads,
        metrics=tuple(resolve_metric(given) for given in request.metrics),
        partition=partition,
        dataset_labels={dataset: display_name(dataset) for dataset in datasets or []},
        folder=suite_path(request.suite).parent,
    )
    if not cells:
        raise InputError(
            "no cell is left of these options: at full width HeteroFL and FedRolex are FedAvg and "
            "are not run; give other --methods or --widths mixed."
        )
    check_reporting([cell.task.seed for cell in cells])

    session = Session(
        out=writable(Path(request.out)),
        device=device,
        data_dir=request.data_dir,
        inception=request.inception_weights,
        plugins=loaded_plugins(),
    )
    return SuiteRun(request, name, suite, cells, session, jobs)


def _with_resolved_model(settings: Settings, datasets: list[str]) -> Settings:
    """The settings; a ``task.model`` that was given as a file has its name."""
    model = settings.get("task", {}).get("model")
    if model is None:
        return settings

    sizes = tuple(sorted({DATASETS[name].size for name in datasets if name in DATASETS}))
    name = resolve_model(str(model), sizes)
    return settings | {"task": settings["task"] | {"model": name}}


def _clients_of(partition: Path, clients: list[int] | None) -> list[int]:
    """The number of clients of a given split.

    Raises:
        InputError: if the user gave another number.
    """
    n_clients = len(read_partition(partition))
    if clients not in (None, [n_clients]):
        raise InputError(
            f"{partition} has {n_clients} clients, but --clients is {clients}; leave --clients out."
        )
    return [n_clients]


def in_running_order(cells: list[Cell], omegas: list[float]) -> list[Cell]:
    """The cells so that one whole comparison comes first: the first seed at the middle omega.

    Args:
        cells: cells, those of one task together.
        omegas: the suite's concentrations in their order.

    Returns:
        The same cells by seed, then by the distance of omega from the suite's middle one.
    """
    middle = omegas[len(omegas) // 2]

    def rank(cell: Cell) -> tuple:
        is_middle = cell.task.omega == middle
        return cell.task.seed, not is_middle

    return sorted(cells, key=rank)
