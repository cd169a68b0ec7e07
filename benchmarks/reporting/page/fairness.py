"""What each method was given, and all tables of ``table.md``, as tables of the page."""

from typing import Any

from benchmarks.reporting.page.context import Context
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.parts import Failures
from benchmarks.reporting.table import Page
from benchmarks.reporting.tables import Tests, make_pages
from benchmarks.texts import one_line


def fairness(context: Context) -> dict[str, Any]:
    """The page of budgets over all settings, open."""
    if not len(context.last):
        return {"pages": [], "open": True}
    return {"pages": [_shown(budget_page(context.records))], "open": True}


def all_tables(context: Context, failures: Failures) -> dict[str, Any]:
    """The tables of ``table.md`` without the budgets, closed; ``failures`` get those that fail."""
    if not len(context.last):
        return {"pages": [], "open": False}
    tests = Tests(context.verdicts, context.differences)
    pages = make_pages(context.records, context.reference, failures=failures, tests=tests)
    shown = [_shown(page) for page in pages if not page.caption.startswith("What each method")]
    return {"pages": shown, "open": False}


def _shown(page: Page) -> dict[str, Any]:
    """A table's texts, each on one line, with what is bold."""
    rows = []
    for i, row in enumerate(page.rows):
        cells = []
        for j, text in enumerate(row):
            cells.append({"text": one_line(text), "bold": (i, j) in page.bold})
        rows.append({"cells": cells, "rule": i in page.rules})
    return {
        "caption": one_line(page.caption),
        "header": [one_line(text) for text in page.header],
        "rows": rows,
        "notes": [one_line(note) for note in page.notes],
        "n_names": page.n_names,
    }
