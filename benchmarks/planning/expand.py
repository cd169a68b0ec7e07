"""Expand a suite into its cells."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.planning.axes import (
    batch_norm_of,
    check_clients,
    check_omega,
    seeds_of,
    widths_of,
)
from benchmarks.planning.cell import Cell
from benchmarks.planning.entries import entries_of
from benchmarks.planning.methods import METHODS
from benchmarks.planning.plugins import method_source
from benchmarks.planning.scales import BUDGETS, Scale, check_budget, known_scale
from benchmarks.planning.settings import Settings, checked
from benchmarks.planning.suite import Entry, Suite, at_scale
from benchmarks.planning.tuned import NOT_TUNED, read_tuned
from benchmarks.planning.values import different
from benchmarks.planning.work import planned
from mosaic.fl.data.datasets import check_name
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.models.registry import scaled_channels
from mosaic.fl.task import Task

AXES = {
    "dataset": "datasets or --datasets",
    "omega": "omega or --omega",
    "n_clients": "clients or --clients",
    "widths": "widths or --widths",
    "seed": "seeds or --seeds",
    "precision": "--precision",
    "threads": "--threads",
    "partition": "--partition",
    "data": "--data-dir",
}
"""Fields of Task that are no settings, and the suite's keys or the command's options for them."""


@dataclass(frozen=True)
class Overrides:
    """What takes the place of what the suite and the scale say; None leaves it to them.

    Attributes:
        datasets: names of data sets.
        omega: Dirichlet concentrations in [1e-4, inf].
        clients: numbers of clients.
        methods: names, labels of the suite, paths of files, or modules.
        seeds: the seeds.
        widths: the clients' widths, as ``--widths`` takes them.
        settings: values by setting, by method or label, and by "task".
        precision: fp32 or bf16.
        threads: CPU threads per process.
        metrics: names of metrics from outside.
        partition: the content hash of a given split of the data.
        dataset_labels: how tables call data sets, by the name of the data set.
        folder: where relative paths in the suite may start.
        budget: "equal" or "paper": what the numbers of steps come from.
        download: whether data on which numbers of steps depend may be downloaded.
        from_papers: whether all settings start from the papers' values, not from the scale's tuned
            ones (``tuned.py``).
    """

    datasets: list[str] | None = None
    omega: list[float] | None = None
    clients: list[int] | None = None
    methods: list[str] | list[str | ModuleType] | None = None
    seeds: list[int] | None = None
    widths: list[str] | None = None
    settings: Settings = field(default_factory=dict)
    precision: str = "fp32"
    threads: int = 1
    metrics: tuple[str, ...] = ()
    partition: str = ""
    dataset_labels: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    budget: str = BUDGETS[0]
    download: bool = False
    from_papers: bool = False


def expand_cells(name: str, suite: Suite, scale_name: str, **overrides: Any) -> list[Cell]:
    """All cells of a suite at a scale. Those of one task follow one another.

    Args:
        name: the suite's name.
        suite: its content.
        scale_name: quick, laptop or paper.
        **overrides: fields of :class:`Overrides`.

    Returns:
        The cells; their keys differ.

    Raises:
        InputError: if a name, a setting or a value is wrong, or if two entries are the same cell.
    """
    given = Overrides(**{key: value for key, value in overrides.items() if value is not None})
    for other, own in suite.scale.items():
        _checked_task(own.task, f"scale.{other}.task")
    suite, scale = at_scale(suite, scale_name, known_scale(scale_name))
    if not suite.tuned:
        given = replace(given, from_papers=True)
    check_budget(given.budget)
    entries = entries_of(suite, given.methods, given.settings, given.folder)

    cells: dict[str, Cell] = {}
    for task, widths in _tasks(suite, scale, given):
        present = [entry for entry in entries if _runs_at(entry, widths, given)]
        for entry in present:
            cell = _cell(name, scale_name, scale, entry, task, widths, given)
            if task.full_width and (_is_fedavg(cell) or _is_fedrolex(cell, present, given)):
                continue
            if cell.key in cells:
                twin = cells[cell.key]
                raise InputError(
                    f"{cell.label} and {twin.label} are the same cell: their settings are equal; "
                    "leave one of them out."
                )
            cells[cell.key] = cell
    return list(cells.values())


def _tasks(suite: Suite, scale: Scale, given: Overrides) -> Iterator[tuple[Task, str]]:
    """Every task of the grid, and its widths as they were written."""
    settings = _task_settings(suite, scale, given.settings)
    for dataset, seed, n_clients, omega, widths in itertools.product(*_axes(suite, scale, given)):
        client_widths = widths_of(widths, n_clients)
        values: dict[str, Any] = {
            "dataset": dataset,
            "omega": omega,
            "n_clients": n_clients,
            "widths": client_widths,
            "seed": seed,
            "precision": given.precision,
            "threads": given.threads,
            "batch_norm": batch_norm_of(client_widths),
        }
        values |= settings
        if given.partition:
            values |= {"law": "file", "partition": given.partition}
        task = Task(**values)

        # Raises an InputError if the network has no version as narrow as the narrowest client.
        scaled_channels(task.spec_at(min(client_widths, default=1.0)), "c1")
        yield task, widths


def _axes(suite: Suite, scale: Scale, given: Overrides) -> Iterator[list[Any]]:
    """The values of each axis: data sets, seeds, numbers of clients, omegas, widths.

    Raises:
        InputError: if a list is empty, or has a value that is wrong or there twice.
    """
    datasets = _first_given(given.datasets, suite.datasets, list(scale.datasets))
    different("the list of data sets", datasets)
    for dataset in datasets:
        check_name(dataset)
    yield datasets

    yield seeds_of(_first_given(given.seeds, suite.seeds, scale.seeds))

    clients = [check_clients(n) for n in _first_given(given.clients, suite.clients)]
    different("the list of numbers of clients", clients)
    yield clients

    omegas = [check_omega(omega) for omega in _first_given(given.omega, suite.omega)]
    different("omega", omegas)
    if given.partition:
        _check_partition(given)
        # A given split has no concentration; inf is the neutral value.
        omegas = [float("inf")]
    yield omegas

    widths = _first_given(given.widths, suite.widths)
    for n_clients in clients:
        different("the list of widths", widths, [widths_of(name, n_clients) for name in widths])
    yield widths


def _check_partition(given: Overrides) -> None:
    """A given split has neither a concentration nor a law.

    Raises:
        InputError: if the user gave one of them beside the split.
    """
    if given.omega is not None:
        raise InputError("--partition gives the split, so omega has no effect; leave --omega out.")
    if "law" in given.settings.get("task", {}):
        raise InputError("--partition gives the split, so task.law has no effect; leave it out.")


def _first_given(*values: Any) -> Any:
    """The first that is not None; an empty list is given too, and refused later."""
    return next(value for value in values if value is not None)


def _task_settings(suite: Suite, scale: Scale, settings: Settings) -> dict[str, Any]:
    """The task's settings from the scale, the suite and the command, in this order."""
    return _checked_task({**scale.task, **suite.task, **settings.get("task", {})}, "task")


def _checked_task(values: dict[str, Any], owner: str) -> dict[str, Any]:
    """Settings of a task in the types of their fields.

    Args:
        values: the settings.
        owner: how errors call the task.

    Raises:
        InputError: with the nearest known name.
    """
    reserved = sorted(AXES.keys() & values.keys())
    if reserved:
        raise InputError(
            f"{owner}.{reserved[0]} is no setting: give the suite's or the command's own key for "
            f"it, {AXES[reserved[0]]}."
        )
    possible = [field.name for field in fields(Task) if field.name not in AXES]
    for key in values:
        if key not in possible:
            raise did_you_mean(f"setting of {owner}", key, possible)
    return {key: checked(f"{owner}.{key}", Task, key, value) for key, value in values.items()}


def _runs_at(entry: Entry, widths: str, given: Overrides) -> bool:
    """Whether an entry takes part at these widths; those of the command hold for all entries."""
    return entry.widths is None or widths in entry.widths or given.widths is not None


def _is_fedavg(cell: Cell) -> bool:
    """Whether the cell would be FedAvg at full width, where a suite does not run it twice."""
    if cell.method not in ("heterofl", "fedrolex"):
        return False
    return cell.config == METHODS[cell.method].Config(mask="none", rows="all")


def _is_fedrolex(cell: Cell, entries: list[Entry], given: Overrides) -> bool:
    """Whether HeteroFL's cell would be FedRolex's at full width, which is beside it.

    Args:
        cell: the cell, of any method.
        entries: those that run at full width.
        given: the user's settings among them.
    """
    if cell.method != "heterofl" or "fedrolex" in given.settings:
        return False
    beside = any(entry.name == "fedrolex" and not entry.set for entry in entries)
    return beside and cell.config == METHODS["heterofl"].Config()


def _cell(
    suite: str,
    scale_name: str,
    scale: Scale,
    entry: Entry,
    task: Task,
    widths: str,
    given: Overrides,
) -> Cell:
    own = {
        **entry.set,
        **given.settings.get(entry.name, {}),
        **given.settings.get(entry.title, {}),
    }
    tuned = NOT_TUNED if given.from_papers else read_tuned(scale_name, task.dataset)
    chosen = tuned.values_for(METHODS[entry.name].Config, tuned.name_of(entry), own)
    settings = {**scale.methods.get(entry.name, {}), **chosen, **own}
    config, work = planned(entry.name, task, settings, given.budget, scale, given.download)
    return Cell(
        suite=suite,
        scale=scale_name,
        label=entry.title,
        method=entry.name,
        task=task,
        config=config,
        widths=widths,
        fidelity_n=scale.fidelity_n,
        method_source=method_source(entry.name),
        metrics=given.metrics,
        dataset=given.dataset_labels.get(task.dataset, ""),
        grid=entry.grid_of,
        grid_settings=entry.grid_settings,
        work=work,
        tuned_settings=tuple(chosen),
        tuned_trials=tuned.trials if chosen else 0,
    )
