"""report: from a suite's records to its CSV files, tables and figures."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.reporting.figures.heatmaps import is_grid_point, write_heatmaps
from benchmarks.reporting.figures.images import generated_images, label_distribution
from benchmarks.reporting.figures.suite_figures import write_figures
from benchmarks.reporting.tables import write_tables
from benchmarks.running.records import load_records
from mosaic.fl.files import write_whole


def report(folder: Path, cells: Sequence[Cell]) -> pd.DataFrame:
    """Write records.csv, the tables and the figures of these cells' records into ``folder``; the records come back."""
    records = load_records(folder, cells)
    write_whole(folder / "records.csv", records.to_csv(index=False).encode())
    if (records["status"] == "done").any():
        write_tables(records, folder)
        figures = folder / "figures"
        figures.mkdir(exist_ok=True)
        write_heatmaps(records, figures)
        _write_label_distribution(records, folder)
        others = records[
            ~is_grid_point(records)
        ]  # a line for each point of a grid would hide all others
        if (others["status"] == "done").any():
            write_figures(others, figures)
            _write_pictures(others, folder)
    return records


def _write_label_distribution(records: pd.DataFrame, folder: Path) -> None:
    """Clients x classes of each data set, number of clients and omega, at the first seed."""
    counts = {}
    done = records[(records["status"] == "done") & (records["seed"] == records["seed"].min())]
    for (dataset, n, omega), rows in done.groupby(["dataset", "n_clients", "omega"]):
        path = folder / "partitions" / f"{rows['partition'].iloc[0]}.json"
        panel = f"{dataset}, {n} clients, ω {omega:g}"
        if path.exists():
            counts[panel.replace(", ", "\n", 1)] = np.array(
                json.loads(path.read_text())["label_counts"]
            )
        else:
            warnings.warn(
                f"label_distribution is without {panel}: no {path}; --force writes it again",
                stacklevel=2,
            )
    label_distribution(counts, folder / "figures")


def _write_pictures(records: pd.DataFrame, folder: Path) -> None:
    """Per data set, generator and omega a grid of generated images, a row a client, beside real ones.

    Of the first seed; at full width, or else at the first widths that there are.
    """
    widths = "full" if (records["widths"] == "full").any() else records["widths"].iloc[0]
    done = records[
        (records["status"] == "done")
        & (records["seed"] == records["seed"].min())
        & (records["widths"] == widths)
    ]
    drawn = set()
    for row in done.drop_duplicates("cell").itertuples():
        path = folder / "pictures" / f"{row.cell}.npz"
        if not path.exists():
            continue
        with np.load(path) as kept:
            generated, real, clients = kept["generated"], kept["real"], kept["clients"]
        if generated.tobytes() in drawn:
            continue  # a variant with the same generators
        drawn.add(generated.tobytes())
        name = f"generated_{row.method}_{row.dataset}_omega{row.omega:g}_{row.n_clients}"
        if real.size:
            panels = [("real", _hwc(real)), (f"{row.method}, generated", _hwc(generated))]
            labels = [f"client {client}" for client in clients]
        else:  # the server's generator: rows of eight
            panels = [
                (f"{row.method}, generated", _hwc(generated.reshape(-1, 8, *generated.shape[2:])))
            ]
            labels = [""] * len(panels[0][1])
        generated_images(panels, folder / "figures", name, labels)


def _hwc(images: np.ndarray) -> np.ndarray:
    """(R, M, C, H, W) to (R, M, H, W, C)."""
    return images.transpose(0, 1, 3, 4, 2)
