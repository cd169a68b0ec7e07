"""Suites' folders made of records, as a run leaves them."""

import hashlib
from pathlib import Path

import pandas as pd

from benchmarks.running.record_file import write_rows


def write_folder(records: pd.DataFrame, folder: Path) -> Path:
    """Write each cell of the records as the file that a run would have written.

    Args:
        records: rows per cell and scored round.
        folder: the suite's folder.
    """
    (folder / "cells").mkdir(parents=True)
    for key, rows in records.groupby("cell", sort=False):
        failed = rows["status"].iloc[0] == "failed"
        name = f"{key}.failed.json" if failed else f"{key}.jsonl"
        written = [row.dropna().to_dict() for _, row in rows.astype(object).iterrows()]
        write_rows(folder / "cells" / name, written)
    return folder


def key_of(label: str, omega: float, seed: int) -> str:
    """The key of a cell of :func:`made_records`, which is a file's name."""
    return hashlib.sha256(f"{label} {omega} {seed}".encode()).hexdigest()[:16]


def made_records(
    accuracies: dict[str, list[float]], omegas: tuple[float, ...] = (0.1,), **columns
) -> pd.DataFrame:
    """Records of one scored round: one accuracy per label and seed, the same at each omega."""
    rows = []
    for label, values in accuracies.items():
        for omega in omegas:
            for seed, accuracy in enumerate(values):
                row = {
                    "suite": "made",
                    "cell": key_of(label, omega, seed),
                    "label": label,
                    "method": label,
                    "status": "done",
                    "reason": "",
                    "warnings": "",
                    "dataset": "digits",
                    "omega": omega,
                    "n_clients": 4,
                    "widths": "full",
                    "scale": "quick",
                    "seed": seed,
                    "round": 3,
                    "selection": "last+validation+oracle",
                    "accuracy": accuracy,
                    "upload_bytes": 4e6,
                    "download_bytes": 1e6,
                    "flops": 2e12,
                    "method_s": 2.0,
                    "stage_s": 1.0,
                }
                rows.append(row | columns)
    return pd.DataFrame(rows)
