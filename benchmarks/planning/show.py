"""What the command prints before it runs anything: the list of names, the plan, the forecast."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from benchmarks.cli import console
from benchmarks.output import print_table
from benchmarks.planning.cell import Cell
from benchmarks.planning.data import absent
from benchmarks.planning.entry_points import entry_points
from benchmarks.planning.forecast import UTILISATION, forecast, without_forecast
from benchmarks.planning.methods import METHODS, idea_of
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import read_suite, suite_names
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.models.registry import MODELS
from mosaic.fl.task import Task

if TYPE_CHECKING:
    from benchmarks.running.progress import Estimate


def print_list() -> None:
    """Print every suite, method, scale, data set and model by its name."""
    for name in suite_names():
        _, suite = read_suite(name)
        _print(f"[bold]suite[/] {name}: {escape(suite.question)}")

    for name, method in METHODS.items():
        _print(f"[bold]method[/] {name}: {escape(idea_of(method))}")
    for name, point in entry_points("method").items():
        _print(f"[bold]method[/] {name}: of an installed package ({escape(point.value)})")

    for name, scale in SCALES.items():
        datasets = ", ".join(scale.datasets)
        _print(f"[bold]scale[/] {name}: {datasets}; {scale.task['rounds']} rounds")

    _print(f"[bold]data sets[/] {', '.join([*DATASETS, *entry_points('dataset')])}")
    _print(f"[bold]models[/] {', '.join([*MODELS, *entry_points('model')])}")


def print_plan(
    cells: Sequence[Cell], finished: Collection[str], estimate: "Estimate", jobs: int
) -> None:
    """Print what was understood, each cell, and how long the missing ones will take.

    Args:
        cells: all cells.
        finished: the keys of those that have a record.
        estimate: seconds per cell by earlier runs.
        jobs: processes.
    """
    missing = [cell for cell in cells if cell.key not in finished]
    for name in absent(cells):
        _print(f"{name} is not on this machine: which of its cells are done is not known")
    for cell in cells:
        status = "done  " if cell.key in finished else "to run"
        _print(f"{status} {cell.key} {escape(cell.title)}")

    _print(budget_text(cells))
    seeds = sorted({cell.task.seed for cell in cells})
    plural = "seed" if len(seeds) == 1 else "seeds"
    _print(f"{len(seeds)} {plural}: {', '.join(str(seed) for seed in seeds)}")
    _print(
        f"{len(cells)} cells, {len(finished)} done, {len(missing)} to run: "
        f"{estimate.text(missing, jobs)}"
    )
    if missing and missing[0].scale == "paper":
        print_forecast(missing)


def budget_text(cells: Iterable[Cell]) -> str:
    """What each cell may compute beyond local training, in one line."""
    works = {cell.work.budget: cell.work for cell in cells}
    if "equal" in works:
        work = works["equal"]
        return (
            f"budget equal: {work.client_budget:g} times FedAvg's local training at the clients, "
            f"{work.server_budget:g} times at the server"
        )
    work = works["paper"]
    return (
        f"budget paper: {work.client_work:.3g} of the papers' images at the clients, "
        f"{work.server_work:.3g} at the server"
    )


def print_forecast(cells: Sequence[Cell]) -> None:
    """Print the hours on a GPU, for a scale that nobody will start without knowing them."""
    unknown = without_forecast(cells)
    if unknown:
        console.print(f"no forecast for {', '.join(unknown)}: only this package's methods have one")

    rows = forecast(cells)
    if rows.empty:
        return
    if rows["PFLOP"].isna().to_numpy().any():
        console.print(
            "no forecast of GPU-hours: with local epochs, FLOPs depend on the data, and some are "
            "not on this machine"
        )
        return

    table = Table(
        title=f"GPU-hours on paper, if {UTILISATION:.0%} of the stated bfloat16 peak is reached: "
        "an estimate"
    )
    table.add_column("data set")
    for column in rows.columns:
        table.add_column(column, justify="right")
    for dataset, row in rows.iterrows():
        table.add_row(str(dataset), *(f"{value:,.0f}" for value in row))
    print_table(console, table)


def task_title(task: Task) -> str:
    """A task's split of the data in one line."""
    return (
        f"{task.dataset}, {task.n_clients} clients, law {task.law}, omega {task.omega:g}, "
        f"seed {task.seed}"
    )


def _print(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
