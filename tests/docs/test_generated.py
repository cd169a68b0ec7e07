"""The generated parts of the documentation are what the code says."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.metrics.columns import columns_table
from benchmarks.planning.methods import METHODS, facts_of, methods_table
from benchmarks.reporting.pages.budget import budget_page
from benchmarks.reporting.table import markdown
from mosaic.fl.contract import NEEDS, PROTOCOLS

ROOT = Path(__file__).parents[2]
METHODS_PAGE = ROOT / "docs" / "methods.md"
RECORDS_PAGE = ROOT / "docs" / "records.md"


def generated(page: Path, command: str, end: str) -> tuple[str, str]:
    """The rest of the command above a generated part of a page, and the part."""
    start = rf"<!-- made by python -m {re.escape(command)}(.*?) -->\n"
    [(arguments, part)] = re.findall(
        rf"{start}(.*?)<!-- end of {end} -->", page.read_text(), re.DOTALL
    )
    return arguments, part


def test_the_list_of_methods_is_the_codes():
    _, listed = generated(METHODS_PAGE, "benchmarks.planning.methods", "methods")
    assert listed == methods_table() + "\n", (
        "run python -m benchmarks.planning.methods and put its output into docs/methods.md"
    )


def test_what_each_method_was_given_is_the_records():
    records, page = generated(
        METHODS_PAGE, "benchmarks.reporting.print_budget", "what each method was given"
    )
    frame = pd.read_csv(ROOT / records.strip(), low_memory=False)
    assert page == markdown(budget_page(frame)), (
        f"run python -m benchmarks.reporting.print_budget{records} and put its output into "
        "docs/methods.md"
    )


def test_the_list_of_columns_is_the_codes():
    _, listed = generated(RECORDS_PAGE, "benchmarks.metrics.columns", "columns")
    assert listed == columns_table() + "\n", (
        "run python -m benchmarks.metrics.columns and put its output into docs/records.md"
    )


@pytest.mark.parametrize("method", METHODS)
def test_tables_know_what_a_method_needs(method):
    module = METHODS[method]
    assert set(module.NEEDS) <= set(NEEDS)
    assert module.PROTOCOL in PROTOCOLS


def test_pooled_data_are_not_data_free():
    assert not facts_of("centralised")["data_free"]
    assert facts_of("mosaic")["data_free"]
    assert facts_of("mosaic")["needs"] == "label counts, generators, prototypes"
