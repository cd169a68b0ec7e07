"""From a suite's records to its CSV files, tables and figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.reporting import comparison
from benchmarks.reporting.figures.heatmaps import is_grid_point, write_heatmaps
from benchmarks.reporting.figures.images import generated_images, label_distribution
from benchmarks.reporting.figures.suite_figures import write_figures
from benchmarks.reporting.frames import groups, with_infinities, with_status
from benchmarks.reporting.names import omega_names
from benchmarks.reporting.tables import check_pages, write_tables
from benchmarks.running.certificates import certificate_file, read_label_counts
from benchmarks.running.pictures import picture_file, read_pictures
from benchmarks.running.records import load_records
from mosaic.fl.files import write_whole

SERVER_IMAGES_PER_ROW = 8


def report(
    folder: Path,
    cells: Sequence[Cell],
    pages: Sequence[str] = (),
    reference: str = comparison.REFERENCE,
) -> pd.DataFrame:
    """Write records.csv, the tables and the figures of these cells' records.

    Args:
        folder: the suite's folder, which has the records and gets the files.
        cells: the cells of the suite.
        pages: names of further pages, as in the suite's file (``tables.PAGES``).
        reference: label of the method that the others are compared with.

    Returns:
        The records, one row per cell and scored round.

    Raises:
        InputError: there is no page of such a name.
    """
    check_pages(pages)
    records = load_records(folder, cells)
    write_whole(folder / "records.csv", records.to_csv(index=False).encode())
    records = with_infinities(records)
    if len(with_status(records, "done")) == 0:
        return records

    write_tables(records, folder, reference=reference, pages=pages)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    write_heatmaps(records, figures)
    _write_label_distribution(records, folder)

    # The points of a grid have heat maps; as lines they would hide all other methods.
    others = records.loc[~is_grid_point(records)]
    if len(with_status(others, "done")):
        write_figures(others, figures, pages=pages)
        _write_pictures(others, folder)
    return records


def _of_first_seed(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of finished cells with the first seed of all records."""
    done = with_status(records, "done")
    return done.loc[done["seed"] == min(records["seed"])]


def _write_label_distribution(records: pd.DataFrame, folder: Path) -> None:
    """Images per client and class at the first seed.

    The figure has a panel per data set, number of clients and omega.
    """
    counts = {}
    names = omega_names(records)
    by = ["dataset", "n_clients", "omega"]
    for (dataset, n_clients, omega), rows in groups(_of_first_seed(records), by):
        clients = f"{n_clients} clients, {names[omega]}"
        name = rows["partition"].iloc[0]
        label_counts = read_label_counts(folder, name)
        if label_counts is None:
            warnings.warn(
                f"label_distribution is without {dataset}, {clients}: no "
                f"{certificate_file(folder, name)}; the next run writes it again",
                stacklevel=2,
            )
            continue
        counts[f"{dataset}\n{clients}"] = label_counts
    label_distribution(counts, folder / "figures")


def _write_pictures(records: pd.DataFrame, folder: Path) -> None:
    """Draw generated images beside real ones, a row per client.

    There is a figure per data set, generators and omega: of the first seed, at full width if there
    are such cells, else at the first widths of the records.
    """
    widths = records["widths"].iloc[0]
    if "full" in set(records["widths"]):
        widths = "full"
    first = _of_first_seed(records)
    cells = first.loc[first["widths"] == widths].drop_duplicates("cell")

    drawn = set()
    for row in cells.to_dict("records"):
        pictures = read_pictures(picture_file(folder, row["cell"]))
        if pictures is None:
            continue
        clients, generated, real = pictures
        if generated.tobytes() in drawn:
            continue  # a variant of a method with the same generators
        drawn.add(generated.tobytes())

        label = row["label"]
        if real.size:
            panels = [
                ("real", _channels_last(real)),
                (f"{label}, generated", _channels_last(generated)),
            ]
            names = [f"client {client}" for client in clients]
        else:
            # Images of the server's generator, which belong to no client.
            rows = generated.reshape(-1, SERVER_IMAGES_PER_ROW, *generated.shape[2:])
            panels = [(f"{label}, generated", _channels_last(rows))]
            names = [""] * len(rows)
        name = f"generated_{label}_{row['dataset']}_omega{row['omega']:g}_{row['n_clients']}"
        generated_images(panels, folder / "figures", name, names)


def _channels_last(images: np.ndarray) -> np.ndarray:
    """(R, M, C, H, W) to (R, M, H, W, C)."""
    return images.transpose(0, 1, 3, 4, 2)
