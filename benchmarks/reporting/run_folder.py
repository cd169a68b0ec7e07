"""The records of a run that was made earlier, for a report over several runs."""

from pathlib import Path

import pandas as pd

from benchmarks.reporting.frames import read_csv, with_infinities
from benchmarks.running.records import load_records
from mosaic.fl.errors import InputError


def read_run(folder: Path) -> pd.DataFrame:
    """The records of a suite's folder: those of its last report, or of all its cells.

    Raises:
        InputError: there are none.
    """
    report = folder / "records.csv"
    records = read_csv(report) if report.is_file() else _read_cells(folder)
    if not len(records):
        raise InputError(f"{folder} has no records; give a suite's folder, as results/choices.")
    return with_infinities(records)


def _read_cells(folder: Path) -> pd.DataFrame:
    """The records of a folder without a report."""
    try:
        return load_records(folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot read the records of {folder}: {error}.") from None
