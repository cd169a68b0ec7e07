"""The tables of a suite as Markdown, LaTeX and CSV."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pandas as pd

from benchmarks.planning.suite import PageName
from benchmarks.reporting import comparison, rankings
from benchmarks.reporting.frames import groups, with_infinities
from benchmarks.reporting.names import setting_name
from benchmarks.reporting.pages import (
    generator_budget,
    generator_check,
    growth,
    importance,
    paired,
    variance,
)
from benchmarks.reporting.pages.accuracy import accuracy_page
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.pages.communication import communication_page, wants_communication
from benchmarks.reporting.pages.cost import cost_page
from benchmarks.reporting.pages.differences import difference_page
from benchmarks.reporting.pages.generator_budget import generator_budget_page
from benchmarks.reporting.pages.generator_check import generator_check_page
from benchmarks.reporting.pages.growth import growth_pages
from benchmarks.reporting.pages.importance import importance_pages
from benchmarks.reporting.pages.order import OtherBudget, order_page
from benchmarks.reporting.pages.paired import paired_page
from benchmarks.reporting.pages.published import published_pages
from benchmarks.reporting.pages.ranks import rank_page
from benchmarks.reporting.pages.selection import selection_page
from benchmarks.reporting.pages.variance import variance_page
from benchmarks.reporting.pages.work import work_page
from benchmarks.reporting.parts import Failures, failure_lines, part
from benchmarks.reporting.table import LATEX_HEAD, Page, latex, markdown, markdown_list
from benchmarks.texts import utf8
from mosaic.fl.errors import did_you_mean
from mosaic.fl.files import write_whole

ANSWERS: dict[str, Callable[[pd.DataFrame, tuple, str], Iterable[Page]]] = {
    variance.NAME: lambda here, setting, _: [variance_page(here, setting)],
    generator_budget.NAME: lambda here, setting, _: [generator_budget_page(here, setting)],
    generator_check.NAME: lambda here, setting, _: [generator_check_page(here, setting)],
    importance.NAME: lambda here, setting, _: importance_pages(here, setting),
    paired.NAME: lambda here, setting, reference: [paired_page(here, setting, reference)],
}
"""The pages that a suite's file may ask for and that come first in a setting: they answer its
question. They get the setting's records, the setting and the label of the reference."""

OVER_SETTINGS: dict[str, Callable[[pd.DataFrame], Iterable[Page]]] = {growth.NAME: growth_pages}
"""Those that are about all settings of the suite together, and come first of all."""

PAGES = get_args(PageName)
"""All pages that a suite's file may ask for; all others are always made."""


def write_tables(
    records: pd.DataFrame,
    folder: Path,
    reference: str = comparison.REFERENCE,
    pages: Sequence[str] = (),
    failures: Failures | None = None,
    others: OtherBudget | None = None,
) -> list[Path]:
    """Write summary.csv, table.md and table.tex (which needs booktabs and graphicx).

    Args:
        records: rows per cell and scored round.
        folder: where the files are written; it is made where it does not exist.
        reference: label of the method that the others are compared with.
        pages: names of further pages, of those in PAGES.
        failures: get the tables that cannot be made; None: their errors are raised.
        others: the same suite's records with the other budget, if there are any.

    Returns:
        The paths of the files.

    Raises:
        InputError: there is no page of such a name.
    """
    check_pages(pages)
    records = with_infinities(records)
    made: list[Page] = []
    with part("pages of table.md and table.tex", failures):
        for page in make_pages(records, reference, pages, failures, others):
            made.append(page)

    def summary() -> str:
        return comparison.summarise(records).to_csv(index=False, lineterminator="\n")

    def in_markdown() -> str:
        pages = [markdown(page) for page in made]
        if failures:
            pages.append(markdown_list("Missing in this report", failure_lines(failures)))
        return "\n".join(pages) or "No cell is recorded yet.\n"

    def in_latex() -> str:
        return LATEX_HEAD + "\n".join(latex(page) for page in made)

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    writers = {"summary.csv": summary, "table.md": in_markdown, "table.tex": in_latex}
    for name, text_of in writers.items():
        with part(name, failures):
            write_whole(folder / name, utf8(text_of()))
            paths.append(folder / name)
    return paths


def _if_any(page: Page | None) -> list[Page]:
    return [] if page is None else [page]


def _orders(here: pd.DataFrame, others: OtherBudget, setting: tuple) -> list[Page]:
    return _if_any(order_page(here, others, setting))


@dataclass(frozen=True)
class Tests:
    """The tests of a suite, which are one family over all its settings.

    Attributes:
        verdicts: what ``comparison.best_methods`` makes of its records.
        differences: what ``comparison.paired_differences`` makes of them.
    """

    verdicts: pd.DataFrame
    differences: pd.DataFrame


def check_pages(pages: Sequence[str]) -> None:
    """Check the names of pages that a suite asks for.

    Raises:
        InputError: there is no page of such a name.
    """
    for page in pages:
        if page not in PAGES:
            raise did_you_mean("page", page, PAGES)


def make_pages(
    records: pd.DataFrame,
    reference: str,
    pages: Sequence[str] = (),
    failures: Failures | None = None,
    others: OtherBudget | None = None,
    tests: Tests | None = None,
) -> Iterator[Page]:
    """All tables in the order they are printed, setting by setting.

    A table of differences is left out where the reference finished nowhere.

    Args:
        records: rows per cell and scored round.
        reference: label of the method that the others are compared with.
        pages: names of further pages.
        failures: get the pages that cannot be made; None: their errors are raised.
        others: the same suite's records with the other budget, if there are any.
        tests: those of the records, where they are known already.
    """
    if tests is None:
        tests = Tests(
            comparison.best_methods(records), comparison.paired_differences(records, reference)
        )
    for name, make_all in OVER_SETTINGS.items():
        if name in pages:
            with part(f"the page {name} in table.md and table.tex", failures):
                yield from list(make_all(records))
    for setting, here in groups(records, comparison.SETTING):
        makers = _pages_of_setting(here, setting, reference, pages, tests)
        if others:
            makers["the budgets' orders"] = functools.partial(_orders, here, others, setting)
        for name, make in makers.items():
            with part(f"{name} of {setting_name(*setting)} in table.md and table.tex", failures):
                yield from [replace(page, setting=setting) for page in make()]


def _pages_of_setting(
    here: pd.DataFrame, setting: tuple, reference: str, pages: Sequence[str], tests: Tests
) -> dict[str, Callable[[], Iterable[Page]]]:
    """What makes the tables of one setting, by their names in errors, in their order.

    Args:
        here: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
        reference: label of the method that the others are compared with.
        pages: names of further pages.
        tests: those of the whole suite.
    """

    @functools.cache
    def summary() -> pd.DataFrame:
        return comparison.summarise(here)

    def accuracies() -> Iterator[Page]:
        verdicts = comparison.of_setting(tests.verdicts, setting)
        yield accuracy_page(here, summary(), verdicts, setting, reference)

    def differences() -> Iterator[Page]:
        table = comparison.of_setting(tests.differences, setting)
        if len(table):
            yield difference_page(here, table, setting, reference)

    def ranks() -> Iterator[Page]:
        table = rankings.average_ranks(here)
        if len(table) > 1:
            yield rank_page(table, here, setting, reference)

    def traffic() -> Iterator[Page]:
        if wants_communication(here, pages):
            yield communication_page(here, setting)

    makers: dict[str, Callable[[], Iterable[Page]]] = {}
    for name, make in ANSWERS.items():
        if name in pages:
            makers[f"the page {name}"] = functools.partial(make, here, setting, reference)
    return makers | {
        "the accuracies": accuracies,
        "the published values": lambda: published_pages(here, setting),
        "the communication": traffic,
        "the costs": lambda: [cost_page(here, summary(), setting)],
        "the budgets": lambda: [budget_page(here)],
        "the work": lambda: _if_any(work_page(here, setting)),
        "the selected rounds": lambda: [selection_page(here, summary(), setting)],
        "the differences": differences,
        "the ranks": ranks,
    }
