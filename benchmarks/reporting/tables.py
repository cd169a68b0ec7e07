"""The tables of a suite as Markdown, LaTeX and CSV."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import groups, with_infinities
from benchmarks.reporting.pages import communication
from benchmarks.reporting.pages.accuracy import accuracy_page
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.pages.communication import communication_page, wants_communication
from benchmarks.reporting.pages.cost import cost_page
from benchmarks.reporting.pages.differences import difference_page
from benchmarks.reporting.pages.published import published_pages
from benchmarks.reporting.pages.ranks import rank_page
from benchmarks.reporting.pages.selection import selection_page
from benchmarks.reporting.table import Page, latex, markdown
from mosaic.fl.errors import did_you_mean
from mosaic.fl.files import write_whole

PAGES = (communication.NAME,)
"""The pages that a suite's file may ask for; all others are always made."""


def write_tables(
    records: pd.DataFrame,
    folder: Path,
    reference: str = comparison.REFERENCE,
    pages: Sequence[str] = (),
) -> list[Path]:
    """Write summary.csv, table.md and table.tex (which needs only booktabs).

    Args:
        records: rows per cell and scored round.
        folder: where the files are written; it is made where it does not exist.
        reference: label of the method that the others are compared with.
        pages: names of further pages, of those in PAGES.

    Returns:
        The paths of the three files.

    Raises:
        InputError: there is no page of such a name.
    """
    check_pages(pages)
    records = with_infinities(records)
    made = list(make_pages(records, reference, pages))

    in_markdown = "\n".join(markdown(page) for page in made)
    in_latex = "\n".join(latex(page) for page in made)
    texts = {
        "summary.csv": comparison.summarise(records).to_csv(index=False, lineterminator="\n"),
        "table.md": in_markdown or "No cell is recorded yet.\n",
        "table.tex": f"% Needs \\usepackage{{booktabs}}.\n{in_latex}",
    }

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in texts]


def check_pages(pages: Sequence[str]) -> None:
    """Check the names of pages that a suite asks for.

    Raises:
        InputError: there is no page of such a name.
    """
    for page in pages:
        if page not in PAGES:
            raise did_you_mean("page", page, PAGES)


def make_pages(records: pd.DataFrame, reference: str, pages: Sequence[str] = ()) -> Iterator[Page]:
    """All tables in the order they are printed: per setting, then over all settings.

    A table of differences is left out where the reference finished nowhere.
    """
    for setting, here in groups(records, comparison.SETTING):
        summary = comparison.summarise(here)
        yield accuracy_page(here, summary, setting, reference)
        yield from published_pages(here, setting)
        if wants_communication(here, pages):
            yield communication_page(here, setting)
        yield cost_page(here, summary, setting)
        yield budget_page(here)
        yield selection_page(here, summary, setting)

        differences = comparison.paired_differences(here, reference)
        if len(differences):
            yield difference_page(here, differences, setting, reference)

    ranks = comparison.average_ranks(records)
    if len(ranks) > 1 and max(ranks["n"]) > 0:
        yield rank_page(ranks, records, reference)
