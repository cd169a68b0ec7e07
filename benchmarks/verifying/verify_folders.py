"""Verify the folders of suites: their integrity, and some of their cells run again."""

import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.cli import number_of_jobs
from benchmarks.planning.cell import Cell
from benchmarks.planning.outside import (
    resolve_dataset,
    resolve_metric,
    resolve_model,
    resolve_partition,
)
from benchmarks.planning.plugins import resolve_method
from benchmarks.running.folder_content import suite_folders
from benchmarks.running.record_file import Row
from benchmarks.running.stopping import removed_on_stop
from benchmarks.verifying.check_folder import Checked, check_folder
from benchmarks.verifying.draw import drawn
from benchmarks.verifying.run_again import Machine, Recorded, run_again, without_data
from benchmarks.verifying.shared_archive import is_archive, unpack_shared
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.cache import use_cache
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.loading import use_data_dir
from mosaic.fl.device import use_device
from mosaic.fl.unfinished import temporary_folder

CELLS = 3
"""Cells that are run again by default."""


@dataclass(frozen=True)
class Given:
    """What a user asks to verify.

    Attributes:
        folder: a suite's folder, or one with several of them, or an archive of benchmarks.share.
        cells: how many cells are run again; None: all.
        seed: of the draw of these cells.
        suite: the file of the suite, if it is none of this package's.
        methods: files of methods from outside that the run had.
        datasets: folders or files of data from outside.
        metrics: files of metrics from outside.
        model: the file of a model from outside.
        partition: the file of a given split.
        jobs: processes; None: one per core.
        device: auto (as the records say), cpu or cuda.
        data_dir: the only folder where data sets are looked for.
        inception_weights: "auto" or a file.
        any_machine: whether differences within the tolerance are accepted also where the record
            names this machine's processor and libraries.
    """

    folder: Path
    cells: int | None = CELLS
    seed: int = 0
    suite: str | None = None
    methods: Sequence[str] = ()
    datasets: Sequence[str] = ()
    metrics: Sequence[str] = ()
    model: str | None = None
    partition: Path | None = None
    jobs: int | None = None
    device: str = "auto"
    data_dir: Path | None = None
    inception_weights: str = "auto"
    any_machine: bool = False


def verify_given(given: Given, console: Console, verdict: Verdict) -> None:
    """Verify a folder; what is found goes into the verdict as it is found.

    Everything that is written goes to a temporary folder, which is removed, also by Ctrl-C.

    Args:
        given: what is to be verified.
        console: where headings and progress are printed.
        verdict: gets what was found.

    Raises:
        InputError: there is no record in the folder, or a file cannot be read.
    """
    use_data_dir(given.data_dir)
    metrics = _load_outside(given)
    with _scratch() as scratch:
        folders = _folders(given.folder, scratch, console, verdict)
        checked = []
        for i, folder in enumerate(folders):
            if not is_archive(given.folder):
                _print_name(folder, console)
            place = scratch / f"{i}"
            place.mkdir()
            with _noted_warnings(scratch, verdict):
                checked.append(check_folder(folder, given.suite, metrics, place, verdict))
            shutil.rmtree(place)
        if given.cells != 0:
            _run_some_again(given, checked, scratch, console, verdict)


def _folders(given: Path, scratch: Path, console: Console, verdict: Verdict) -> list[Path]:
    """The suites' folders; an archive is unpacked and compared with its manifest."""
    if not is_archive(given):
        return suite_folders(given)
    _print_name(given, console)
    place = scratch / "shared" / given.stem
    unpack_shared(given, place, verdict)
    return suite_folders(place)


def _print_name(path: Path, console: Console) -> None:
    console.print(f"{path}", markup=False, highlight=False, soft_wrap=True)


def _load_outside(given: Given) -> list[str]:
    """Load what a run had from outside, so that records' names mean something.

    Returns:
        The names of the metrics.
    """
    for method in given.methods:
        resolve_method(method)
    datasets = [resolve_dataset(dataset) for dataset in given.datasets]
    if given.model is not None:
        sizes = {DATASETS[name].size for name in datasets or DATASETS}
        resolve_model(given.model, tuple(sorted(sizes)))
    if given.partition is not None:
        resolve_partition(given.partition)
    return [resolve_metric(metric) for metric in given.metrics]


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder, which leaves nothing behind; this process has no cache afterwards."""
    parent = Path(tempfile.gettempdir())
    with temporary_folder(parent, "verify") as scratch, removed_on_stop(scratch):
        try:
            yield scratch
        finally:
            use_cache(None)


@contextmanager
def _noted_warnings(scratch: Path, verdict: Verdict) -> Iterator[None]:
    """Note warnings; those of files in the temporary folder repeat what is known."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        if str(scratch) not in text:
            verdict.note(text)


def _run_some_again(
    given: Given, checked: Sequence[Checked], scratch: Path, console: Console, verdict: Verdict
) -> None:
    recorded: dict[str, list[Recorded]] = {}
    for one in checked:
        for key, rows in one.content.rows.items():
            recorded.setdefault(key, []).append(Recorded(one.content.folder, rows))
    known = {key: cell for one in checked for key, cell in one.cells.items()}
    if not recorded:
        verdict.cannot("no cell can be run again: there is no sound record of a finished cell")
        return
    done = {key: cell for key, cell in known.items() if _is_done(recorded[key])}
    possible = _possible(done, len(recorded), verdict)
    chosen = drawn(possible, given.cells, given.seed)
    if chosen:
        rows = [record.rows[-1] for cell in chosen for record in recorded[cell.key]]
        machine = _machine(given, rows)
        run_again(chosen, recorded, possible, machine, scratch, console, verdict)


def _is_done(records: Sequence[Recorded]) -> bool:
    return any(record.rows[-1]["status"] == "done" for record in records)


def _machine(given: Given, rows: Sequence[Row]) -> Machine:
    """Where cells run: on a GPU only if their records say so and there is one."""
    device = given.device
    if device == "auto":
        on_gpu = all((row.get("device") or "cpu") != "cpu" for row in rows)
        device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"
    device = use_device(device)
    return Machine(
        device=device,
        jobs=number_of_jobs(given.jobs, 1, device),
        data_dir=given.data_dir,
        inception=given.inception_weights,
        any_machine=given.any_machine,
    )


def _possible(known: dict[str, Cell], n_recorded: int, verdict: Verdict) -> list[Cell]:
    """The cells that can be run here; why the others cannot is printed once per reason."""
    if not known:
        verdict.cannot(
            f"none of {n_recorded} cells can be run again from its record; the reasons are above"
        )
        return []
    reasons = without_data(list(known.values()))
    for reason, n in Counter(reasons.values()).items():
        verdict.cannot(f"{n} of {n_recorded} cells cannot be run again: {reason}")
    return [cell for key, cell in known.items() if key not in reasons]
