"""The order and the names that records have in a report.

A report has the cells in the order of the suite, under the labels that the suite has today. Records
do not say the order. So there are several candidates, and pages agree if one of them gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.planning.cell import UNKNOWN, Cell
from benchmarks.planning.data import proxy_of, with_data
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import Suite, read_suite, suite_names
from benchmarks.reporting.frames import read_csv
from benchmarks.reporting.report import with_missing
from benchmarks.running.folder_content import Content
from benchmarks.running.record_file import Row
from benchmarks.running.records import current_names, in_order
from benchmarks.running.suite_folder import ENDING, budget_of
from mosaic.fl.data.datasets import display_name
from mosaic.fl.data.loading import fingerprint, is_here, load
from mosaic.fl.errors import InputError

DEFAULT = Suite(question="", omega=[1.0], clients=[1])
"""Stands for a suite that is not known here: its reference and pages are the usual ones."""


@dataclass(frozen=True)
class Question:
    """The suite that records are of.

    Attributes:
        name: of its folder.
        suite: its content.
        folder: where relative paths in it start; None for an unknown suite.
    """

    name: str
    suite: Suite
    folder: Path | None


def question_of(content: Content, given: str | None) -> Question:
    """The suite of a folder: the given file, or this package's suite that its records name.

    Args:
        content: of the suite's folder.
        given: what the user gave as suite.

    Raises:
        InputError: the file that was given is no suite.
    """
    rows = list(content.last_rows().values()) + [rows[-1] for rows in content.failed.values()]
    name = str(rows[0].get("suite") or content.folder.name) if rows else content.folder.name
    if given is not None:
        _, suite = read_suite(given)
        return Question(name, suite, Path(given).parent)
    builtin = name.removesuffix(ENDING)
    if builtin in suite_names():
        _, suite = read_suite(builtin)
        return Question(name, suite, Path())
    return Question(name, DEFAULT, None)


def planned_cells(content: Content, known: Mapping[str, Cell], question: Question) -> list[Cell]:
    """The suite's cells as a run would plan them today, those of the records' axes."""
    if question.folder is None:
        return []
    cells: dict[str, Cell] = {}
    for facts in dict.fromkeys(_run_facts(row) for row in content.last_rows().values()):
        of_run = [cell for key, cell in known.items() if _run_facts(content.rows[key][-1]) == facts]
        if of_run:
            cells |= {cell.key: cell for cell in _expanded(of_run, question, facts[2])}
    return list(cells.values())


def _run_facts(row: Row) -> tuple:
    """What all cells of one run of a suite share."""
    return row.get("scale"), row.get("data"), row.get("test_data")


def _expanded(cells: Sequence[Cell], question: Question, test_data: str | None) -> list[Cell]:
    first = cells[0]
    suite, scale = question.suite, SCALES.get(first.scale)
    if scale is None:
        return []
    datasets = _values([cell.task.dataset for cell in cells], suite.datasets or scale.datasets)
    try:
        expanded = expand_cells(
            question.name,
            suite,
            first.scale,
            datasets=datasets,
            omega=_values([cell.task.omega for cell in cells], suite.omega),
            clients=_values([cell.task.n_clients for cell in cells], suite.clients),
            seeds=_values([cell.task.seed for cell in cells], suite.seeds or scale.seeds),
            widths=_values([cell.widths for cell in cells], suite.widths),
            precision=first.task.precision,
            threads=first.task.threads,
            dataset_labels={name: display_name(name) for name in datasets},
            folder=question.folder,
            budget=budget_of(question.name),
        )
    except InputError:  # the suite has changed: its records are read as they are
        return []
    known = {(first.task.dataset, "train"): first.task.data}
    known[first.task.dataset, "test"] = test_data or ""
    for proxy in {proxy_of(cell) for cell in expanded} - {None}:
        if proxy and is_here(proxy, "train"):
            known[proxy, "train"] = fingerprint(load(proxy, "train"))
    return with_data(expanded, known)


def _values(recorded: Sequence[Any], of_suite: Sequence[Any]) -> list[Any]:
    """The values of an axis: in the suite's order, and then what is not the suite's, sorted."""
    present = dict.fromkeys(recorded)
    return [v for v in of_suite if v in present] + sorted(set(present) - set(of_suite))


WORK = asdict(UNKNOWN)
"""A report has these columns also where no cell has a value in them."""


def frames(content: Content, planned: Sequence[Cell]) -> Iterator[pd.DataFrame]:
    """The records of a report, in each order, and under the names, that they may have had in it.

    Args:
        content: of the suite's folder.
        planned: the suite's cells, in the order of a run.
    """
    rows = content.rows | content.failed
    names = {cell.key: cell for cell in planned}
    as_planned = [cell.key for cell in planned if cell.key in rows]
    by_value = list(dict.fromkeys(_sorted(rows)["cell"]))
    others = [key for key in by_value if key not in set(as_planned)]

    reported = _reported(content.folder)
    if reported:
        here = [key for key in reported if key in rows]
        missing = [cell for cell in planned if reported.get(cell.key) == "missing"]
        yield with_missing(_frame(rows, here, names), missing)
        yield with_missing(_frame(rows, here, {}), missing)
    yield _frame(rows, [*as_planned, *others], names)
    yield _frame(rows, _as_summary(content.folder, rows, by_value), {})


def as_recorded(content: Content) -> pd.DataFrame:
    """The records as they are, as a program reads them that knows no suite."""
    return _sorted(content.rows | content.failed)


def _sorted(rows: Mapping[str, list[Row]]) -> pd.DataFrame:
    return in_order(pd.DataFrame([row for of_cell in rows.values() for row in of_cell]))


def _frame(
    rows: Mapping[str, list[Row]], keys: Sequence[str], names: Mapping[str, Cell]
) -> pd.DataFrame:
    found: list[Row] = []
    for key in keys:
        now = current_names(names[key]) if key in names else {}
        found += [WORK | row | now for row in rows[key]]
    return in_order(pd.DataFrame(found), by_setting=False)


def _reported(folder: Path) -> dict[str, str]:
    """The cells of the folder's records.csv in their order, with their status; often a part."""
    path = folder / "records.csv"
    try:
        table = read_csv(path) if path.is_file() else pd.DataFrame()
        return dict(zip(table["cell"].astype(str), table["status"].astype(str), strict=True))
    except (InputError, KeyError):
        return {}


def _as_summary(folder: Path, rows: Mapping[str, list[Row]], keys: Sequence[str]) -> list[str]:
    """The cells sorted by their labels' order in summary.csv, and else as given."""
    path = folder / "summary.csv"
    try:
        table = read_csv(path) if path.is_file() else pd.DataFrame()
        labels = list(dict.fromkeys(table["label" if "label" in table else "method"].astype(str)))
    except (InputError, KeyError):
        labels = []
    place = {label: i for i, label in enumerate(labels)}
    return sorted(keys, key=lambda key: place.get(str(rows[key][-1]["label"]), len(place)))
