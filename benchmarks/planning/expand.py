"""Expand a suite into its cells."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.planning.axes import batch_norm_of, check_omega, seeds_of, widths_of
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import BUILT_IN, METHODS
from benchmarks.planning.plugins import method_source, resolve_method
from benchmarks.planning.scales import Scale, known_scale
from benchmarks.planning.settings import Settings, checked, configure
from benchmarks.planning.suite import Entry, Suite
from mosaic.fl.data.datasets import check_name
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.models.registry import scaled_channels
from mosaic.fl.task import Task

AXES = {
    "dataset",
    "omega",
    "n_clients",
    "widths",
    "seed",
    "precision",
    "threads",
    "partition",
}
"""Fields of Task that a suite's own keys or options of the command set; they are no settings."""


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
    scale = known_scale(scale_name)
    entries = _entries(suite, given)

    cells: dict[str, Cell] = {}
    for task, widths in _tasks(suite, scale, given):
        for entry in entries:
            if not _runs_at(entry, widths, given):
                continue

            cell = _cell(name, scale_name, scale, entry, task, widths, given)
            if task.full_width and _is_fedavg(cell):
                continue
            if cell.key in cells:
                twin = cells[cell.key]
                raise InputError(f"{cell.label} and {twin.label} are the same cell.")
            cells[cell.key] = cell
    return list(cells.values())


def _tasks(suite: Suite, scale: Scale, given: Overrides) -> Iterator[tuple[Task, str]]:
    """Every task of the grid, and its widths as they were written."""
    fields = _task_settings(suite, scale, given.settings)
    omegas = [check_omega(omega) for omega in given.omega or suite.omega]
    if given.partition:
        # A given split has no concentration; inf is the neutral value.
        fields |= {"law": "file", "partition": given.partition}
        omegas = [float("inf")]

    grid = itertools.product(
        given.datasets or suite.datasets or scale.datasets,
        given.seeds or seeds_of(suite.seeds or scale.seeds),
        given.clients or suite.clients,
        omegas,
        given.widths or suite.widths,
    )
    for dataset, seed, n_clients, omega, widths in grid:
        check_name(dataset)
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
        values |= fields
        task = Task(**values)

        # Raises an InputError if the network has no version as narrow as the narrowest client.
        scaled_channels(task.spec_at(min(client_widths, default=1.0)), "c1")
        yield task, widths


def _task_settings(suite: Suite, scale: Scale, settings: Settings) -> dict[str, Any]:
    """The task's settings from the scale, the suite and the command, in this order."""
    values = {**scale.task, **suite.task, **settings.get("task", {})}

    reserved = sorted(AXES & values.keys())
    if reserved:
        raise InputError(
            f"task.{reserved[0]} is no setting: give the suite's or the command's own key for it."
        )
    return {key: checked(f"task.{key}", Task, key, value) for key, value in values.items()}


def _runs_at(entry: Entry, widths: str, given: Overrides) -> bool:
    """Whether an entry takes part at these widths; those of the command hold for all entries."""
    return entry.widths is None or widths in entry.widths or given.widths is not None


def _is_fedavg(cell: Cell) -> bool:
    """Whether the cell would be FedAvg at full width, where a suite does not run it twice."""
    if cell.method not in ("heterofl", "fedrolex"):
        return False
    return cell.config == METHODS[cell.method].Config()


def _cell(
    suite: str,
    scale_name: str,
    scale: Scale,
    entry: Entry,
    task: Task,
    widths: str,
    given: Overrides,
) -> Cell:
    settings = {
        **scale.methods.get(entry.name, {}),
        **entry.set,
        **given.settings.get(entry.name, {}),
        **given.settings.get(entry.title, {}),
    }
    work = {"client": scale.client_work, "server": scale.server_work}
    return Cell(
        suite=suite,
        scale=scale_name,
        label=entry.title,
        method=entry.name,
        task=task,
        config=configure(entry.name, work, settings),
        widths=widths,
        client_work=scale.client_work,
        server_work=scale.server_work,
        fidelity_n=scale.fidelity_n,
        method_source=method_source(entry.name),
        metrics=given.metrics,
        dataset=given.dataset_labels.get(task.dataset, ""),
        grid=entry.grid_of,
        grid_settings=entry.grid_settings,
    )


# Which methods


def _entries(suite: Suite, given: Overrides) -> list[Entry]:
    """The entries of the suite that the user asked for; others join with their defaults."""
    written = _written_entries(suite, given.folder)
    entries = [point for entry in written for point in _grid_points(entry)]
    by_label = {entry.title: entry for entry in entries}
    if len(by_label) < len(entries):
        raise InputError(
            "two methods of the suite have one label; give each entry a label of its own."
        )

    grids = {entry.title: _grid_points(entry) for entry in written if entry.grid}
    chosen = list(by_label.values())
    if given.methods is not None:
        chosen = []
        for method in given.methods:
            chosen += _chosen(method, by_label, grids)

    _check_settings(given.settings, by_label)
    return chosen


def _written_entries(suite: Suite, folder: Path | None) -> list[Entry]:
    """All entries of a suite, those of ``methods`` and of ``method``, in the order of METHODS."""
    names = suite.methods
    if names == "all":
        names = list(BUILT_IN)

    entries = [Entry(name=resolve_method(name, folder)) for name in names]
    for entry in suite.method:
        name = resolve_method(entry.name, folder)
        entries.append(entry.model_copy(update={"name": name}))

    # The order of METHODS is that of the tables: the floor first, the ceiling last.
    order = list(METHODS)
    return sorted(entries, key=lambda entry: order.index(entry.name))


def _chosen(
    method: str | ModuleType, by_label: dict[str, Entry], grids: dict[str, list[Entry]]
) -> list[Entry]:
    """The entries that one of the user's ``methods`` stands for."""
    if isinstance(method, str):
        if method in grids:
            return grids[method]
        if method in by_label:
            return [by_label[method]]
        if method not in METHODS and "." not in method:
            # An entry point, or an error that also knows the suite's labels.
            return [Entry(name=_named(method, by_label))]

    name = resolve_method(method)
    return [by_label.get(name) or Entry(name=name)]


def _named(method: str, by_label: dict[str, Entry]) -> str:
    try:
        return resolve_method(method)
    except InputError as error:
        if "unknown method" not in str(error):
            raise
        raise did_you_mean("method", method, [*METHODS, *by_label]) from None


def _check_settings(settings: Settings, by_label: dict[str, Entry]) -> None:
    """A wrong setting is an error, also of a method that is not run this time.

    Raises:
        InputError: with the nearest known name.
    """
    for name, values in settings.items():
        if name == "task":
            continue
        if name not in METHODS and name not in by_label:
            raise did_you_mean("method", name, [*METHODS, *by_label, "task"])

        method = by_label[name].name if name in by_label else name
        configure(method, {"client": 1, "server": 1}, values)


def _grid_points(entry: Entry) -> list[Entry]:
    """The entry; or one per point of its grid, labelled "mosaic lambda_e=0.5 lambda_d=2.0"."""
    if not entry.grid:
        return [entry]

    points: dict[str, Entry] = {}
    for values in itertools.product(*entry.grid.values()):
        point = dict(zip(entry.grid, values, strict=True))
        coordinates = " ".join(f"{key}={value}" for key, value in point.items())
        label = f"{entry.title} {coordinates}"
        if label in points:
            raise InputError(f"the grid of {entry.title} names a value twice.")
        points[label] = entry.at_point(label, point)
    return list(points.values())
