"""One run of a suite: which cells it has, which of them are missing, and running those."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from rich.markup import escape

from benchmarks.cli import (
    check_gpu_share,
    console,
    number_of_jobs,
    printed_warnings,
    start_on_machine,
    writable,
)
from benchmarks.metrics.inception import check_weights
from benchmarks.planning import show
from benchmarks.planning.cell import Cell
from benchmarks.planning.data import fingerprints, places, splits_of, with_data
from benchmarks.planning.plugins import loaded_plugins
from benchmarks.planning.suite import Suite, read_suite
from benchmarks.reporting.report import report
from benchmarks.reporting.terminal import print_result
from benchmarks.running.archive import forget, unpack
from benchmarks.running.bars import show_progress
from benchmarks.running.certificates import restore_certificates
from benchmarks.running.interim_tables import InterimTables
from benchmarks.running.live_page import shown_live
from benchmarks.running.other_data import on_other_data
from benchmarks.running.processes import Watch, run_cells
from benchmarks.running.progress import Estimate
from benchmarks.running.ray_cluster import cells_on_cluster, connected, gpus_of_task, room
from benchmarks.running.records import all_records, done_file, key_of, path_of, take_over
from benchmarks.running.request import Request
from benchmarks.running.requested_cells import requested_cells
from benchmarks.running.run_cell import is_finished
from benchmarks.running.run_state import RunState
from benchmarks.running.schedule import in_running_order
from benchmarks.running.session import Outcome, Session
from benchmarks.running.stopping import on_stop_say
from benchmarks.running.suite_folder import check_folder, claim, name_with_budget
from benchmarks.tracking.names import check_tracker
from benchmarks.tracking.tracking import open_tracking
from mosaic.fl.data.federation import split
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.data.partition_file import write_partition
from mosaic.fl.device import planned_device, use_device
from mosaic.fl.errors import InputError


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
        self._print_data()
        self._check_splits()
        finished = self._finished(take_over_others=False)
        self._print_unused_settings()
        # How many cells a cluster runs at a time is known when it is connected.
        jobs = 1 if self.request.ray else self.jobs
        show.print_plan(self.cells, finished, Estimate(self.folder, self.cells), jobs)

    def execute(self) -> tuple[pd.DataFrame, int]:
        """Run what is missing and write the report.

        Returns:
            The records of all cells, and how many cells and parts of the report failed.
        """
        start_on_machine(self.session.out, self.folder)
        self._print_data()
        self._check_splits()
        tracking = open_tracking(self.request.track, self.session.out)
        claim(self.folder, self.request.suite)
        with printed_warnings():
            unpack(self.folder)  # cells that are only in the archive, and their partitions
        self._print_unused_settings()
        finished = self._finished(take_over_others=True)
        missing = self.to_run(finished)
        if self.request.force:
            forget(self.folder, {cell.key for cell in missing})
            for cell in missing:
                done_file(self.folder, cell).unlink(missing_ok=True)

        failed = 0
        tables = InterimTables(self.folder, self.cells, missing)
        on_stop_say(self._state)
        estimate = Estimate(self.folder, self.cells)
        with self._place(missing) as (start, jobs):
            state = RunState(missing, len(finished), estimate, jobs)
            outcomes = show_progress(start, state, console)
            with shown_live(self, state), closing(outcomes):
                for outcome in outcomes:
                    if outcome.status == "failed":
                        failed += 1
                    tables.after(outcome)
                    tracking.add([path_of(self.folder, outcome)])

        with printed_warnings(), console.status("writing tables and figures"):
            restore_certificates(self.folder, self.cells)
            records, failures = report(
                self.folder,
                self.cells,
                self.suite.pages,
                self.suite.reference,
                self.request.style,
            )
            keys = {cell.key for cell in self.cells}
            tracking.finish(path for path in all_records(self.folder) if key_of(path) in keys)
        print_result(records, self.folder, failed, failures)
        return records, failed + len(failures)

    def to_run(self, finished: set[str]) -> list[Cell]:
        """The cells that are not finished, in the order in which they are run."""
        missing = [cell for cell in self.cells if cell.key not in finished]
        omegas = list(dict.fromkeys(cell.task.omega for cell in self.cells))
        return in_running_order(missing, omegas)

    def _state(self) -> str:
        """What a stop says: how many cells are done, and how to go on."""
        n_done = sum(done_file(self.folder, cell).exists() for cell in self.cells)
        how = "the same command without --force" if self.request.force else "the same command"
        return f"{n_done} of {len(self.cells)} cells are done and kept; {how} goes on"

    def _print_data(self) -> None:
        """Say where the data are, and which records in the folder are of other data."""
        console.print(escape(places(splits_of(self.cells))), highlight=False, soft_wrap=True)
        for text in on_other_data(self.folder, self.cells):
            console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def _print_unused_settings(self) -> None:
        """Say which settings reach no cell, because their method is not among the cells."""
        used = {"task"} | {cell.method for cell in self.cells} | {c.label for c in self.cells}
        for name in sorted(self.request.settings.keys() - used):
            text = f"the settings of {name} are not used: it is not among the methods of this run"
            console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def _check_splits(self) -> None:
        """Split the data that are here for each task: what cannot be split is an error at once."""
        for task in dict.fromkeys(cell.task for cell in self.cells):
            if task.data:
                split(task)

    def _finished(self, take_over_others: bool) -> set[str]:
        """The keys of the cells that have a record, here or (and then copied) in another suite."""
        if self.request.force:
            return set()

        finished = set()
        with printed_warnings():
            for cell in self.cells:
                has_record = is_finished(self.folder, cell)
                if has_record or (take_over_others and take_over(self.folder, cell)):
                    finished.add(cell.key)
        return finished

    @contextmanager
    def _place(
        self, missing: list[Cell]
    ) -> Iterator[tuple[Callable[[Watch], Generator[Outcome]], int]]:
        """What starts the cells here or on a cluster, and how many of them run at a time."""
        if not self.request.ray:
            jobs = min(self.jobs, max(1, len(missing)))
            yield partial(run_cells, missing, self.session, jobs), self.jobs
            return
        with connected(self.request.ray) as ray:
            gpus = gpus_of_task(self.session, self.request.gpu_share)
            jobs = room(ray, self.request.threads, gpus)
            yield partial(cells_on_cluster, missing, self.session, ray, gpus, jobs), jobs


def open_run(request: Request, dry: bool = False) -> SuiteRun:
    """Check a request, expand its cells and find their data; nothing is run or written yet.

    Args:
        request: what is asked for.
        dry: it is only to be planned. Its device need not be there, and its folder is not made.
            Nothing is downloaded: the keys of cells whose data are not on this machine lack the
            data's fingerprints.

    Raises:
        InputError: if something in it is wrong, with what to do about it.
    """
    data_dir = use_data_dir(request.data_dir)
    device = planned_device(request.device) if dry else use_device(request.device)
    jobs = number_of_jobs(request.jobs, request.threads, device)
    name, suite = read_suite(request.suite)
    name = name_with_budget(name, request.budget)

    with printed_warnings():
        check_folder(Path(request.out) / name, request.suite)
    check_gpu_share(request.gpu_share)
    if request.track is not None:
        check_tracker(request.track)
    check_weights(request.inception_weights, download=not dry)

    suite, cells = requested_cells(request, name, suite, device, download=not dry)
    session = Session(
        out=Path(request.out).absolute() if dry else writable(Path(request.out)),
        device=device,
        data_dir=data_dir,
        inception=request.inception_weights,
        plugins=loaded_plugins(),
    )
    cells = with_data(cells, fingerprints(splits_of(cells), download=not dry))
    return SuiteRun(request, name, suite, cells, session, jobs)
