"""The result table in the terminal."""

from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.cli import console
from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.accuracy import accuracy_page
from benchmarks.reporting.table import short


def terminal_table(records: pd.DataFrame) -> Group:
    """Accuracy by omega, MB up and down and seconds of each method (mean over omega), for the end of a run."""
    return Group(*(_terminal_table(here, setting) for setting, here in records.groupby(st.SETTING)))


def _terminal_table(records: pd.DataFrame, setting: tuple) -> Table:
    rows = st.summarise(records)
    page = accuracy_page(records, rows, setting, None)
    title = (
        f"accuracy on {st.setting_name(*setting)}, per cent, last round, {st.seeds_name(rows['n'])}"
    )
    table = Table(
        title=Text(title, "italic"),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for heading in [*page.header[1:], "MB", "s"]:
        table.add_column(heading, justify="right", no_wrap=True)
    megabytes = (rows["upload_bytes"] + rows["download_bytes"]) / 1e6
    costs = rows.assign(megabytes=megabytes).groupby("method")[["megabytes", "total_s"]].mean()
    for i, method in enumerate(st.method_order(records)):
        cells = [
            Text(text, "bold" if (i, j) in page.bold else "") for j, text in enumerate(page.rows[i])
        ]
        table.add_row(*cells, *(Text(short(cost)) for cost in costs.loc[method]))
    return table


def print_result(records, folder: Path, failed: int) -> None:
    from benchmarks.reporting.terminal import terminal_table

    if (records["status"] == "done").any():
        console.print(terminal_table(records))
    if failed:
        console.print(
            f"[red]{failed} cells failed[/]; their tracebacks are in {folder / 'cells'}/*.failed.json"
        )
    console.print(f"tables and figures: {folder}", highlight=False, soft_wrap=True)
