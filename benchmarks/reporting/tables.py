"""The tables of a suite as Markdown, LaTeX and CSV."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.accuracy import accuracy_page
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.pages.communication import communication_page, wants_communication
from benchmarks.reporting.pages.cost import cost_page
from benchmarks.reporting.pages.differences import difference_page
from benchmarks.reporting.pages.published import published_pages
from benchmarks.reporting.pages.ranks import rank_page
from benchmarks.reporting.pages.selection import selection_page
from benchmarks.reporting.table import Page, latex, markdown
from mosaic.fl.files import write_whole


def write_tables(records: pd.DataFrame, folder: Path, reference: str = "mosaic") -> list[Path]:
    """Write the three files (the LaTeX needs only booktabs) to the folder and return their paths.

    The differences are to ``reference``; where it finished nowhere, that table is left out.
    """
    pages = list(make_pages(records, reference))
    texts = {
        "summary.csv": st.summarise(records).to_csv(index=False, lineterminator="\n"),
        "table.md": "\n".join(map(markdown, pages)) or "No cell is recorded yet.\n",
        "table.tex": "% Needs \\usepackage{booktabs}.\n" + "\n".join(map(latex, pages)),
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(Path(folder) / name, text.encode())
    return [Path(folder) / name for name in texts]


def make_pages(records: pd.DataFrame, reference: str) -> Iterator[Page]:
    """All tables in the order they are printed: per setting, then over all settings."""
    for setting, here in records.groupby(st.SETTING):
        rows, differences = st.summarise(here), st.paired_differences(here, reference)
        yield accuracy_page(here, rows, setting, reference)
        yield from published_pages(here, setting)
        if wants_communication(here):
            yield communication_page(here, setting)
        yield cost_page(rows, setting)
        yield budget_page(here)
        yield selection_page(rows, setting)
        if len(differences):
            yield difference_page(differences, setting, reference)
    ranks = st.average_ranks(records)
    if len(ranks) > 1 and ranks["n"].max() > 0:
        yield rank_page(ranks, records, reference)
