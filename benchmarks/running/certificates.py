"""The certificates of partitions, ``partitions/<name>.json``, which a suite has beside its records.

A certificate says how many images of each class every client has. It depends on the task alone, so
a damaged or missing one is written again without running anything.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.planning.cell import Cell
from benchmarks.running.records import done_file, read_rows
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import fingerprint, load
from mosaic.fl.files import read_sound, write_whole

NUMBERS = ("seed", "moved", "mean_total_variation", "mean_classes_per_client", "gini")


def certificate_file(folder: Path, name: str) -> Path:
    """Return the path of a certificate; ``name`` is the value of a record's ``partition``."""
    return folder / "partitions" / f"{name}.json"


def write_certificate(cell: Cell, folder: Path) -> tuple[str, dict[str, Any]]:
    """Write the certificate of a cell's partition.

    Args:
        cell: its task says how the data are split.
        folder: the suite's folder.

    Returns:
        The certificate's name, and the certificate.
    """
    task = cell.task
    certificate = open_federation(task).partition.certificate()
    content = certificate | {"dataset": task.dataset, "n_clients": task.n_clients}
    if task.law == "file":
        content["data"] = fingerprint(load(task.dataset, "train"))
    name = _name_of(content)
    path = certificate_file(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content).encode())
    return name, certificate


def _name_of(certificate: dict[str, Any]) -> str:
    """16 hex digits of the clients' positions; of the data too, where a file gives positions.

    A file gives the same positions whatever the labels are there.
    """
    name = certificate["sha256"][:16]
    if certificate["law"] == "file":
        name = hashlib.sha256((name + certificate["data"]).encode()).hexdigest()[:16]
    return name


def read_label_counts(folder: Path, name: str) -> np.ndarray | None:
    """Read how many images of each class the clients of a partition have.

    Args:
        folder: the suite's folder.
        name: of the certificate.

    Returns:
        Counts (n_clients, K); None if there is no certificate, or a damaged one: that is named in a
        warning and set aside.
    """
    path = certificate_file(folder, name)
    parse = partial(_label_counts, name=name)
    return read_sound(path, parse, "partition", "the next run writes it again")


def _label_counts(content: bytes, name: str) -> np.ndarray:
    """The counts of a certificate; a ValueError, or another error, if it is damaged."""
    certificate = json.loads(content.decode())
    if _name_of(certificate) != name:
        raise ValueError("it is of another partition")
    if not all(type(certificate[field]) in (int, float) for field in NUMBERS):
        raise ValueError(f"{', '.join(NUMBERS)} are not all numbers")
    if not isinstance(certificate["law"], str) or "omega" not in certificate:
        raise ValueError("it does not name its law")

    counts = np.array(certificate["label_counts"])
    if (
        counts.ndim != 2
        or counts.dtype.kind != "i"
        or counts.sum(1).tolist() != certificate["sizes"]
    ):
        raise ValueError("its counts do not add up to its sizes")
    return counts


def restore_certificates(folder: Path, cells: Iterable[Cell]) -> None:
    """Write the certificates of finished cells that are missing or damaged."""
    sound = set()
    for cell in cells:
        rows = read_rows(done_file(folder, cell))
        name = rows[-1].get("partition") if rows else None
        if name is None or name in sound:
            continue
        if read_label_counts(folder, name) is None:
            write_certificate(cell, folder)
        sound.add(name)
