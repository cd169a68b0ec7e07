"""Whether the tables, files of records and the page of a folder are what its records give."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.reporting.frames import values_of, with_infinities, with_status
from benchmarks.reporting.page.sources import read_folders
from benchmarks.reporting.page.write import NAME as PAGE
from benchmarks.reporting.page.write import page_of
from benchmarks.reporting.pages.order import OtherBudget
from benchmarks.reporting.report import with_other_budget, write_report
from benchmarks.reporting.tables import write_tables
from benchmarks.running.folder_content import Content
from benchmarks.running.record import version
from benchmarks.running.record_tables import PARQUET, parquet_of
from benchmarks.verifying.parquet_file import parquet_differences
from benchmarks.verifying.planned import Question, as_recorded, frames
from benchmarks.verifying.texts import TextDifference, differences
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.errors import InputError

TABLES = ("table.md", "table.tex", "summary.csv")
RECORDS = "records.csv"
IMAGE = re.compile(r"data:image/(?:png|webp);base64,[A-Za-z0-9+/=]+")
OF_PACKAGE = re.compile(r"<script>.*?</script>|<style>.*?</style>|<meta [^>]*>", re.DOTALL)
SECTION = '<section id="pictures"'
MOST = 10
"""Differences of one file that are printed one by one."""


@dataclass(frozen=True)
class Report:
    """What records give, written anew.

    Attributes:
        folder: where the files are.
        records: the rows that they are made from.
        others: the same suite's records with the other budget, if the report used them.
        question: the suite.
    """

    folder: Path
    records: pd.DataFrame
    others: OtherBudget | None
    question: Question


def write_again(
    content: Content, planned: Sequence, question: Question, scratch: Path
) -> Report | None:
    """Write the report of a folder's records anew, in the way that its tables agree with best.

    Args:
        content: of the suite's folder.
        planned: the suite's cells, in the order of a run.
        question: the suite.
        scratch: a folder that has the certificates and pictures, and gets the files.

    Returns:
        The report; None if no cell is finished.
    """
    suite = question.suite
    best: tuple[int, pd.DataFrame, OtherBudget | None] | None = None
    for frame in frames(content, planned):
        records = with_infinities(frame)
        if not len(with_status(records, "done")):
            continue
        # the other budget's results may have come later than this report
        other_budget = with_other_budget(content.folder)
        for others in [None] if other_budget is None else [other_budget, None]:
            tables = scratch / "tables"
            write_tables(records, tables, suite.reference, suite.pages, None, others)
            n = sum(len(_compared(content.folder, tables, name) or ()) for name in TABLES)
            if best is None or n < best[0]:
                best = n, frame, others
            if n == 0:
                break
        if best is not None and best[0] == 0:
            break
    if best is None:
        return None
    _, frame, others = best
    write_report(frame, scratch, suite.pages, suite.reference, others)
    return Report(scratch, frame, others, question)


def check_pages(content: Content, report: Report, other_version: bool, verdict: Verdict) -> None:
    """Compare the files of a folder with those that its records give.

    Args:
        content: of the suite's folder.
        report: written anew.
        other_version: whether records are of another version of the code, whose pages may have
            looked otherwise. Then only the numbers of summary.csv are compared.
        verdict: gets what was found.
    """
    same_scripts = set(values_of(report.records, "version")) == {version()}
    compared: dict[str, Callable[[], Sequence[TextDifference | str] | None]] = {
        name: lambda name=name: _compared(content.folder, report.folder, name)
        for name in (*TABLES, RECORDS)
    }
    compared[PARQUET] = lambda: _parquet_differences(content, report)
    compared[PAGE] = lambda: _page_differences(content, report, same_scripts)
    equal = []
    for name, compare in compared.items():
        found = compare()
        if found is None:
            continue
        if not found:
            equal.append(name)
        elif other_version:
            _tell_of_other_version(content.folder, report, name, len(found), verdict)
        else:
            _tell(name, found, verdict)
    if equal:
        verdict.agrees(f"{', '.join(equal)}: each number is what the records give")
    if PAGE in equal and not same_scripts and _page_differences(content, report, True):
        verdict.cannot(
            f"{PAGE}: its scripts and styles are not those of this version, and could show other "
            "numbers than its text: verify it with the version of its records"
        )
    if not any((content.folder / name).exists() for name in compared):
        verdict.note("there is no table and no page to compare")


def _compared(folder: Path, again: Path, name: str) -> list[TextDifference] | None:
    """How a file differs from the one that was written anew; None if it is not there."""
    here = _text(folder / name)
    if here is None:
        return None
    return differences(here, _text(again / name) or "", name.endswith(".csv"))


def _text(path: Path) -> str | None:
    content = _bytes(path)
    return None if content is None else content.decode("utf-8", "backslashreplace")


def _bytes(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error


def _parquet_differences(content: Content, report: Report) -> Sequence[TextDifference | str] | None:
    """How records.parquet differs from what a run, or the command for archives, would write."""
    here = _bytes(content.folder / PARQUET)
    if here is None:
        return None
    as_run = _bytes(report.folder / PARQUET) or parquet_of(report.records)
    return parquet_differences(here, [lambda: as_run, lambda: parquet_of(as_recorded(content))])


def _page_differences(
    content: Content, report: Report, scripts: bool
) -> list[TextDifference] | None:
    """How report.html differs from what a run, or the command for pages, would write now.

    Args:
        content: of the suite's folder.
        report: written anew.
        scripts: whether scripts and styles, which are this package's, are compared too.
    """
    here = _text(content.folder / PAGE)
    if here is None:
        return None
    has_pictures = (report.folder / "pictures").is_dir()
    here = _comparable(here, has_pictures, scripts)
    as_run = _comparable(_text(report.folder / PAGE) or "", has_pictures, scripts)
    found = differences(here, as_run, False)
    if not found:
        return found
    from_records = _comparable(_from_records(content, report), has_pictures, scripts)
    return min(found, differences(here, from_records, False), key=len)


def _from_records(content: Content, report: Report) -> str:
    """The page as ``benchmarks.report`` makes it: of all records, under their own labels."""
    from benchmarks.running.record_file import write_rows

    copy = report.folder / "all" / report.folder.name
    for key, rows in content.rows.items():
        write_rows(copy / "cells" / f"{key}.jsonl", rows)
    for key, rows in content.failed.items():
        write_rows(copy / "cells" / f"{key}.failed.json", rows)
    for name in ("partitions", "pictures"):
        if (report.folder / name).is_dir():
            (copy / name).symlink_to(report.folder / name, target_is_directory=True)
    return page_of(read_folders([copy]), report.question.suite.reference, [])


def _comparable(page: str, has_pictures: bool, scripts: bool) -> str:
    """A page without what depends on libraries, and without images that records do not have."""
    page = IMAGE.sub("IMAGE", page)
    if not scripts:
        page = OF_PACKAGE.sub("", page)
    if not has_pictures:
        start = page.find(SECTION)
        if start >= 0:
            end = page.find("</section>", start)
            page = page[:start] + page[end:]
    return page


def _tell(name: str, found: Sequence[TextDifference | str], verdict: Verdict) -> None:
    for difference in found[:MOST]:
        verdict.differs(f"{name} {difference}")
    if len(found) > MOST:
        verdict.differs(f"{name}: {len(found) - MOST} more differences")


def _tell_of_other_version(
    folder: Path, report: Report, name: str, n: int, verdict: Verdict
) -> None:
    """Of pages of another version, compare what can be: the numbers of summary.csv."""
    if name != "summary.csv":
        verdict.cannot(
            f"{name}: {n} differences from what this code writes. Its records are of another "
            "version, which wrote other pages: verify it with that version"
        )
        return
    problems = _summary_problems(_text(folder / name) or "", _text(report.folder / name) or "")
    for problem in problems[:MOST]:
        verdict.differs(f"{name} {problem}")
    if len(problems) > MOST:
        verdict.differs(f"{name}: {len(problems) - MOST} more differences")
    if not problems:
        verdict.agrees(f"{name}: the numbers in columns of both versions are what the records give")


def _summary_problems(here: str, again: str) -> list[str]:
    """The numbers that two summaries have both, and that differ."""
    rows, rows_again = _by_names(here), _by_names(again)
    problems = []
    for names, (line, row) in rows.items():
        if names not in rows_again:
            problems.append(f"line {line}: {', '.join(names)} is not among the records")
            continue
        _, row_again = rows_again[names]
        for column in row.keys() & row_again.keys():
            if _number(row[column]) != _number(row_again[column]):
                problems.append(
                    f"line {line} ({column}): {row[column]!r}, and the records give "
                    f"{row_again[column]!r}"
                )
    return problems


def _by_names(text: str) -> dict[tuple, tuple[int, dict[str, str]]]:
    """Each row of a summary with its line, by data set, clients, widths, omega and label."""
    found = {}
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        label = row.pop("label", None) or row.pop("method", "")
        names = [row.pop(name, "") or "" for name in ("dataset", "n_clients", "widths", "omega")]
        found[(*names, label or "")] = line, {k: v or "" for k, v in row.items() if k}
    return found


def _number(text: str) -> float | str:
    """A number but for its last digits; another text as it is."""
    try:
        return float(f"{float(text):.12g}")
    except ValueError:
        return text
