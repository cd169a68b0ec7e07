"""The records of a run that was made earlier, for a report over several runs."""

from pathlib import Path

import pandas as pd

from benchmarks.reporting.frames import with_infinities
from benchmarks.running.records import load_records
from mosaic.fl.errors import InputError


def read_run(folder: Path) -> pd.DataFrame:
    """The records of a suite's folder: those of its last report, or of all its cells.

    Raises:
        InputError: there are none.
    """
    report = folder / "records.csv"
    try:
        if report.is_file():
            # A label may be "1" or "NA": no number, and not missing.
            records = pd.read_csv(
                report,
                low_memory=False,
                dtype={"label": str},
                keep_default_na=False,
                na_values=[""],
            )
        else:
            records = load_records(folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot read the records of {folder}: {error}.") from None
    if not len(records):
        raise InputError(f"{folder} has no records; give a suite's folder, as results/choices.")
    return with_infinities(records)
