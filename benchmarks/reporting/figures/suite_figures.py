"""All figures of a suite's records."""

from pathlib import Path

import pandas as pd

from benchmarks.reporting.figures.accuracy import accuracy_vs_omega, learning_curves
from benchmarks.reporting.figures.cost import accuracy_vs_cost, bytes_by_kind
from benchmarks.reporting.figures.style import save
from benchmarks.reporting.pages.communication import LINKS, wants_communication


def write_figures(records: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the figures of accuracy, learning and cost to the folder; return the paths written."""
    drawn = {
        "accuracy_vs_omega": accuracy_vs_omega(records),
        "learning_curves": learning_curves(records),
        "accuracy_vs_bytes": accuracy_vs_cost(records, "bytes"),
        "accuracy_vs_seconds": accuracy_vs_cost(records, "seconds"),
        **{
            f"accuracy_vs_seconds_at_{mbits}mbits": accuracy_vs_cost(records, "seconds", mbits)
            for mbits in (LINKS if wants_communication(records) else ())
        },
        "bytes_by_kind": bytes_by_kind(records),
    }
    return [
        path
        for name, figure in drawn.items()
        if figure
        for path in save(figure, Path(folder), name)
    ]
