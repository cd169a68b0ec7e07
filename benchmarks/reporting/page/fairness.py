"""What each method was given and computes, and all tables of ``table.md``, in the page."""

from dataclasses import replace
from typing import Any

from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.pages.work import work_page
from benchmarks.reporting.parts import Failures
from benchmarks.reporting.table import Page
from benchmarks.reporting.tables import Tests, make_pages
from benchmarks.texts import one_line

BUDGETS = "What each method"
"""How the captions of the two tables begin that :func:`fairness` shows."""


def fairness(context: Context) -> dict[str, Any]:
    """What each method was given, over all settings, and what it computes in each; open."""
    if not len(context.last):
        return {"pages": [], "open": True}
    pages = [budget_page(context.records)]
    for setting, rows in context.settings:
        page = work_page(rows, setting)
        if page is not None:
            pages.append(replace(page, setting=setting))
    return {"pages": [_shown(page, context) for page in pages], "open": True}


def all_tables(context: Context, failures: Failures) -> dict[str, Any]:
    """The tables of ``table.md`` without the budgets, closed; ``failures`` get those that fail."""
    if not len(context.last):
        return {"pages": [], "open": False}
    tests = Tests(context.verdicts, context.differences)
    pages = make_pages(context.records, context.reference, failures=failures, tests=tests)
    shown = [_shown(page, context) for page in pages if not page.caption.startswith(BUDGETS)]
    return {"pages": shown, "open": False}


def _shown(page: Page, context: Context) -> dict[str, Any]:
    """A table's texts, each on one line, with what is bold, and what the filters go by."""
    omegas = {text: number(omega) for omega, text in context.omegas.items()}
    rows = []
    for i, row in enumerate(page.rows):
        cells = []
        for j, text in enumerate(row):
            cells.append({"text": one_line(text), "bold": (i, j) in page.bold})
        label = _under("method", page, row)
        rows.append(
            {
                "cells": cells,
                "rule": i in page.rules,
                "label": label if label in context.methods else None,
                "omega": omegas.get(_under("ω", page, row)),
            }
        )
    dataset, _, widths = page.setting or (None, None, None)
    return {
        "dataset": dataset,
        "widths": widths,
        "caption": one_line(page.caption),
        "header": [one_line(text) for text in page.header],
        "rows": rows,
        "notes": [one_line(note) for note in page.notes],
        "n_names": page.n_names,
    }


def _under(heading: str, page: Page, row: list[str]) -> str:
    """The text of a row under a heading; "" where the table has no such column."""
    return row[page.header.index(heading)] if heading in page.header else ""
