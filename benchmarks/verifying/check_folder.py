"""The integrity of one suite's folder: nothing of it is run, and nothing in it is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.planning.cell import Cell
from benchmarks.running.folder_content import Content, copy_pictures, read_content
from benchmarks.texts import file_names
from benchmarks.verifying.figures import check_figures
from benchmarks.verifying.integrity import check_partitions, check_records, known_cells
from benchmarks.verifying.pages import check_pages, write_again
from benchmarks.verifying.planned import Question, planned_cells, question_of
from benchmarks.verifying.verdict import Verdict


@dataclass(frozen=True)
class Checked:
    """A folder whose integrity was checked.

    Attributes:
        content: its records.
        cells: those of its records that this code can run again, by their keys.
    """

    content: Content
    cells: dict[str, Cell]


def check_folder(
    folder: Path, suite: str | None, metrics: Sequence[str], scratch: Path, verdict: Verdict
) -> Checked:
    """Check a folder's records, partitions, pages and figures.

    Args:
        folder: a suite's folder.
        suite: the file of the suite, if it is none of this package's.
        metrics: the names of metrics from outside that the run may have had.
        scratch: an empty folder for what is written anew.
        verdict: gets what was found.

    Raises:
        InputError: the folder cannot be read, or ``suite`` is no suite.
    """
    content = read_content(folder)
    check_records(content, verdict)
    cells = known_cells(content, metrics, verdict)
    question = question_of(content, suite)
    # a page has the name of the folder that a run wrote, which is the suite's
    copy = scratch / (file_names([question.name])[0].lstrip(".") or "suite")
    copy_pictures(content, copy)
    check_partitions(content, cells, copy, verdict)
    _check_pages(content, cells, question, copy, verdict)
    return Checked(content, cells)


def _check_pages(
    content: Content, cells: dict[str, Cell], question: Question, copy: Path, verdict: Verdict
) -> None:
    if content.damaged:
        verdict.note("tables and figures are not compared: some of the records are damaged")
        return
    report = write_again(content, planned_cells(content, cells, question), question, copy)
    if report is None:
        verdict.note("no cell is finished: there is no table to compare")
        return
    other_version = len(cells) < len(content.rows)
    check_pages(content, report, other_version, verdict)
    check_figures(content, report, other_version, verdict)
