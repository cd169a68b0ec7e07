"""Which generated images and which partitions a report shows."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.reporting.frames import groups, with_status
from benchmarks.reporting.names import omega_names
from benchmarks.reporting.parts import Failures, part
from benchmarks.running.certificates import certificate_file, read_label_counts
from benchmarks.running.pictures import picture_file, read_pictures
from benchmarks.texts import one_line

SUBJECT = ["label", "dataset", "n_clients", "omega"]
"""Each of these has its own figure of generated images."""


@dataclass(frozen=True)
class Pictures:
    """Images of one set of generators.

    Attributes:
        generated: uint8 (clients, images, C, H, W).
        real: the same of the clients' own images; empty for a server's generator.
        clients: the clients' numbers.
        labels: the methods that have these generators.
        row: the last row of the cell that they are of.
    """

    generated: np.ndarray
    real: np.ndarray
    clients: np.ndarray
    labels: list[str]
    row: dict[str, Any]


def shown_pictures(
    records: pd.DataFrame, folder: Path, failures: Failures | None = None
) -> list[Pictures]:
    """The generated images per generators, data set, omega and number of clients.

    They are of the first seed, at full width if there are such cells, else at the first widths of
    the records. Methods that differ in other things than their generators share them.
    """
    pictures: dict[tuple, Pictures] = {}
    for (label, dataset, n_clients, omega), rows in groups(with_status(records, "done"), SUBJECT):
        row = _shown_cell(rows)
        with part(f"the generated images of {one_line(label)}", failures):
            kept = read_pictures(picture_file(folder, row["cell"]))
            if kept is None:
                continue
            images = Pictures(kept.generated, kept.real, kept.clients, [], row)
            subject = (dataset, n_clients, omega, images.generated.tobytes())
            pictures.setdefault(subject, images).labels.append(label)
    return list(pictures.values())


def _shown_cell(rows: pd.DataFrame) -> dict[str, Any]:
    """The first seed at full width, or at the first widths of the rows."""
    widths = "full" if "full" in set(rows["widths"]) else rows["widths"].iloc[0]
    at_widths = rows.loc[rows["widths"] == widths]
    first = at_widths.loc[at_widths["seed"] == at_widths["seed"].min()]
    return first.iloc[-1].to_dict()


def shown_partitions(records: pd.DataFrame, folder: Path) -> dict[tuple, np.ndarray]:
    """Images per client and class at the first seed, by data set, number of clients and omega.

    A partition without a certificate is left out, with a warning.
    """
    counts: dict[tuple, np.ndarray] = {}
    if "partition" not in records:  # from an older version
        return counts
    names = omega_names(records)
    by = ["dataset", "n_clients", "omega"]
    for group, rows in groups(_of_first_seed(records, by), by):
        dataset, n_clients, omega = group
        name = rows["partition"].iloc[0]
        label_counts = read_label_counts(folder, name)
        if label_counts is None:
            warnings.warn(
                f"label_distribution is without {dataset}, {n_clients} clients, {names[omega]}: "
                f"no {certificate_file(folder, name)}; the next run writes it again",
                stacklevel=2,
            )
            continue
        counts[group] = label_counts
    return counts


def _of_first_seed(records: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The rows of finished cells with the first of their group's seeds."""
    done = with_status(records, "done")
    return done.loc[done["seed"] == done.groupby(by)["seed"].transform("min")]
