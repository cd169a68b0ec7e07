"""Expand a suite into its cells."""

import itertools
from typing import Any

from benchmarks.planning.axes import batch_norm_of, seeds_of, widths_of
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS, known_method
from benchmarks.planning.scales import Scale, known_scale
from benchmarks.planning.settings import checked, configure
from benchmarks.planning.suite import Entry, Suite
from mosaic.fl.data.datasets import check_name
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.models.registry import scaled_channels
from mosaic.fl.task import Task

GRID = {
    "dataset",
    "omega",
    "n_clients",
    "widths",
    "seed",
    "precision",
    "threads",
}  # facts with a key of their own

SUB_MODELS = {name: METHODS[name].Config() for name in ("heterofl", "fedrolex")}
"""Methods that by default are FedAvg exactly at full width, where a suite does not run it twice."""


def expand_cells(
    name: str,
    suite: Suite,
    scale_name: str,
    *,
    datasets: list[str] | None = None,
    omega: list[float] | None = None,
    clients: list[int] | None = None,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    widths: list[str] | None = None,
    settings: dict[str, dict[str, Any]] | None = None,
    precision: str = "fp32",
    threads: int = 1,
) -> list[Cell]:
    """All cells of a suite at a scale; what the command gives takes the place of what the suite and the scale say.

    ``settings`` are by method or label, and by "task". Cells are ordered so that those of one task follow one another.
    """
    scale = known_scale(scale_name)
    settings = settings or {}
    entries = _entries(suite, methods, settings)
    seeds = seeds or seeds_of(suite.seeds or scale.seeds)
    facts = {**scale.task, **suite.task, **settings.get("task", {})}
    for fact in GRID & facts.keys():
        raise InputError(
            f"task.{fact} is no setting: give the suite's or the command's own key for it."
        )
    facts = {k: checked(f"task.{k}", Task, k, v) for k, v in facts.items()}
    cells: dict[str, Cell] = {}
    for dataset in datasets or suite.datasets or scale.datasets:
        check_name(dataset)
        for seed in seeds:
            for n in clients or suite.clients:
                for omega_ in omega or suite.omega:
                    for width in widths or suite.widths:
                        r = widths_of(width, n)
                        where = dict(
                            dataset=dataset, omega=float(omega_), n_clients=n, widths=r, seed=seed
                        )
                        how = dict(
                            precision=precision, threads=threads, batch_norm=batch_norm_of(r)
                        )
                        task = Task(**{**where, **how, **facts})
                        scaled_channels(
                            task.spec_at(min(r, default=1.0)), "c1"
                        )  # an InputError if no network is so narrow
                        for entry in entries:
                            if entry.widths is None or width in entry.widths or widths:
                                cell = _cell(name, scale_name, scale, entry, task, width, settings)
                                if task.full_width and SUB_MODELS.get(entry.name) == cell.config:
                                    continue
                                if cell.key in cells:
                                    raise InputError(
                                        f"{cell.label} and {cells[cell.key].label} are the same cell."
                                    )
                                cells[cell.key] = cell
    return list(cells.values())


def _cell(
    suite: str, scale_name: str, scale: Scale, entry: Entry, task: Task, widths: str, settings: dict
) -> Cell:
    label = entry.label or entry.name
    given = {
        **scale.methods.get(entry.name, {}),
        **entry.set,
        **settings.get(entry.name, {}),
        **settings.get(label, {}),
    }
    return Cell(
        suite=suite,
        scale=scale_name,
        label=label,
        method=entry.name,
        task=task,
        config=configure(
            entry.name, {"client": scale.client_work, "server": scale.server_work}, given
        ),
        widths=widths,
        client_work=scale.client_work,
        server_work=scale.server_work,
        fidelity_n=scale.fidelity_n,
    )


def _entries(suite: Suite, methods: list[str] | None, settings: dict[str, dict]) -> list[Entry]:
    """The suite's entries that were asked for; a method that the suite does not have joins with its defaults."""
    for entry in suite.method:
        known_method(entry.name)
    points = {entry.label or entry.name: _points(entry) for entry in suite.method if entry.grid}
    entries = [point for entry in suite.method for point in _points(entry)]
    by_label = {entry.label or entry.name: entry for entry in entries}
    if len(by_label) < len(entries):
        raise InputError(
            "two methods of the suite have one label; give each entry a label of its own."
        )
    for name in settings:
        if name != "task" and name not in METHODS and name not in by_label:
            raise did_you_mean("method", name, [*METHODS, *by_label, "task"])
        if (
            name != "task"
        ):  # a wrong setting is an error, also of a method that is not run this time
            configure(
                by_label[name].name if name in by_label else name,
                {"client": 1, "server": 1},
                settings[name],
            )
    if methods is None:
        return list(by_label.values())
    for name in methods:
        if name not in by_label and name not in METHODS and name not in points:
            raise did_you_mean("method", name, [*METHODS, *by_label])
    return [
        entry
        for name in methods
        for entry in points.get(name) or [by_label.get(name) or Entry(name=name)]
    ]


def _points(entry: Entry) -> list[Entry]:
    """The entry; one with a grid as an entry for each of its points, labelled "mosaic lambda_e=0.5 lambda_d=2.0"."""
    if not entry.grid:
        return [entry]
    grid = [
        dict(zip(entry.grid, values, strict=True))
        for values in itertools.product(*entry.grid.values())
    ]
    named = {
        " ".join([entry.label or entry.name, *(f"{k}={v}" for k, v in point.items())]): point
        for point in grid
    }
    if len(named) < len(grid):
        raise InputError(f"the grid of {entry.label or entry.name} names a value twice.")
    return [
        entry.model_copy(update={"label": label, "set": entry.set | point, "grid": {}})
        for label, point in named.items()
    ]
