"""What the command prints before it runs anything: the list of names, the plan, the forecast."""

from collections.abc import Sequence

from benchmarks.cli import console
from benchmarks.planning.suite import read_suite, suite_names
from benchmarks.running.progress import Estimate


def check_data(cells: Sequence, session) -> None:
    """Find each data set and split it for each task before the first cell runs: what cannot be had is said at once."""
    from mosaic.fl.data.federation import split
    from mosaic.fl.data.loading import load, use_data_dir

    use_data_dir(session.data_dir)
    for dataset in dict.fromkeys(cell.task.dataset for cell in cells):
        load(dataset, "test")
    for task in dict.fromkeys(cell.task for cell in cells):
        split(task)


def print_list() -> int:
    from benchmarks.planning.methods import METHODS
    from benchmarks.planning.scales import SCALES
    from mosaic.fl.data.datasets import DATASETS

    for name in suite_names():
        console.print(f"[bold]suite[/] {name}: {read_suite(name)[1].question}", highlight=False)
    for name, method in METHODS.items():
        console.print(
            f"[bold]method[/] {name}: {method.__doc__.splitlines()[0].split(': ', 1)[-1]}",
            highlight=False,
        )
    for name, scale in SCALES.items():
        console.print(
            f"[bold]scale[/] {name}: {', '.join(scale.datasets)}; {scale.task['rounds']} rounds",
            highlight=False,
        )
    console.print(f"[bold]data sets[/] {', '.join(DATASETS)}", highlight=False)
    return 0


def print_plan(cells: Sequence, finished: Sequence, estimate: "Estimate", jobs: int) -> int:
    for cell in cells:
        console.print(
            f"{'done  ' if cell in finished else 'to run'} {cell.key} {cell.title}", highlight=False
        )
    missing = [cell for cell in cells if cell not in finished]
    console.print(
        f"{len(cells)} cells, {len(finished)} done, {len(missing)} to run: {estimate.text(missing, jobs)}"
    )
    if missing and missing[0].scale == "paper":
        print_forecast(missing)
    return 0


def print_forecast(cells: Sequence) -> None:
    """Hours on a GPU, for a scale that nobody will start without knowing them."""
    from rich.table import Table

    from benchmarks.planning.forecast import UTILISATION, forecast

    rows = forecast(cells)
    if rows["PFLOP"].isna().any():
        console.print("no forecast of GPU-hours: with local epochs, FLOPs depend on the data")
        return
    table = Table(
        title=f"GPU-hours on paper, if {UTILISATION:.0%} of the stated bfloat16 peak is reached: an estimate"
    )
    for column in ("data set", *rows.columns):
        table.add_column(column, justify="left" if column == "data set" else "right")
    for dataset, row in rows.iterrows():
        table.add_row(str(dataset), *(f"{value:,.0f}" for value in row))
    console.print(table)
