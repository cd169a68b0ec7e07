"""From a suite's records to its CSV files, tables, figures and page."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.planning.cell import Cell
from benchmarks.reporting import comparison
from benchmarks.reporting.figures.heatmaps import is_grid_point, write_heatmaps
from benchmarks.reporting.figures.images import generated_images, label_distribution
from benchmarks.reporting.figures.papers import write_paper_figures
from benchmarks.reporting.figures.suite_figures import write_figures
from benchmarks.reporting.frames import read_csv, with_infinities, with_status
from benchmarks.reporting.names import number, omega_names
from benchmarks.reporting.page.sources import FOLDER, Sources
from benchmarks.reporting.page.write import NAME, write_page
from benchmarks.reporting.pages.order import OtherBudget
from benchmarks.reporting.parts import Failures, part, write_tracebacks
from benchmarks.reporting.shown import Pictures, shown_partitions, shown_pictures
from benchmarks.reporting.tables import check_pages, write_tables
from benchmarks.running.record import environment, identity
from benchmarks.running.record_tables import PARQUET, parquet_of
from benchmarks.running.records import TEXT_COLUMNS, load_records
from benchmarks.running.suite_folder import budget_of, other_budget
from benchmarks.texts import file_names, one_line, utf8
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole

SERVER_IMAGES_PER_ROW = 8


def report(
    folder: Path,
    cells: Sequence[Cell],
    pages: Sequence[str] = (),
    reference: str = comparison.REFERENCE,
    style: str = "",
) -> tuple[pd.DataFrame, Failures]:
    """Write records.csv, records.parquet, the tables, the figures and the page of cells' records.

    Args:
        folder: the suite's folder, which has the records and gets the files.
        cells: the cells of the suite.
        pages: names of further pages, as in the suite's file (``tables.PAGES``).
        reference: label of the method that the others are compared with.
        style: of figures for a paper, see ``paper_styles``; "" for none.

    Returns:
        The records, one row per cell and scored round, and one per cell that has no record, with
        the status "missing". And the parts of the report that could not be made; the others are
        there.

    Raises:
        InputError: there is no page of such a name.
    """
    records = with_missing(load_records(folder, cells), cells)
    others = with_other_budget(folder)
    failures = write_report(records, folder, pages, reference, others, style)
    return with_infinities(records), failures


def write_report(
    records: pd.DataFrame,
    folder: Path,
    pages: Sequence[str],
    reference: str,
    others: OtherBudget | None,
    style: str = "",
) -> Failures:
    """Write all files of a report.

    Args:
        records: rows per cell and scored round.
        folder: it has the partitions and pictures, and gets the files.
        pages: names of further pages.
        reference: label of the method that the others are compared with.
        others: the same suite's records with the other budget, if there are any.
        style: of figures for a paper; "" for none.

    Returns:
        The parts that could not be made.

    Raises:
        InputError: there is no page of such a name.
    """
    check_pages(pages)
    failures: Failures = []
    with part("records.csv", failures):
        write_whole(folder / "records.csv", utf8(records.to_csv(index=False)))
    with part(PARQUET, failures):
        write_whole(folder / PARQUET, parquet_of(records))
    records = with_infinities(records)
    if len(with_status(records, "done")):
        with part("the tables", failures):
            write_tables(records, folder, reference, pages, failures, others)
        with part("the figures", failures):
            _write_all_figures(records, folder, pages, failures)
        if style:
            with part("the figures for a paper", failures):
                write_paper_figures(records, folder / "figures", style, pages, failures)
    with part(NAME, failures):
        sources = Sources(records.assign(**{FOLDER: str(folder)}), [folder])
        write_page(sources, reference, folder / NAME, failures)
    write_tracebacks(failures, folder)
    return failures


def with_other_budget(folder: Path) -> OtherBudget | None:
    """What the same suite has with the other budget, in the folder beside its own; None: nothing.

    A damaged file there does not stop this report; it is warned of.
    """
    other = other_budget(folder)
    path = other / "records.csv"
    if not path.exists():
        return None
    try:
        records = with_infinities(read_csv(path))
    except InputError as error:
        warnings.warn(f"not compared with the other budget: {error}", stacklevel=2)
        return None
    own, name = (budget_of(place.name) for place in (folder, other))
    return OtherBudget(own, name, records)


def with_missing(records: pd.DataFrame, cells: Sequence[Cell]) -> pd.DataFrame:
    """The records, and a row with the status "missing" for each of the cells without one."""
    recorded = set(records["cell"])
    rows = []
    for cell in cells:
        if cell.key not in recorded:
            row = identity(cell) | dict.fromkeys(environment()) | dict.fromkeys(TEXT_COLUMNS, "")
            rows.append(row | {"status": "missing", "reason": "it has no record"})
    if not rows:
        return records
    return pd.concat([records, pd.DataFrame(rows).reindex(columns=records.columns)])


def _write_all_figures(
    records: pd.DataFrame, folder: Path, pages: Sequence[str], failures: Failures
) -> None:
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    with part("the heat maps", failures):
        write_heatmaps(records, figures, failures)
    with part("figures/label_distribution", failures):
        _write_label_distribution(records, folder)

    # The points of a grid have heat maps; as lines they would hide all other methods.
    others = records.loc[~is_grid_point(records)]
    if len(with_status(others, "done")):
        with part("the figures of methods", failures):
            write_figures(others, figures, pages=pages, failures=failures)
        with part("the generated images", failures):
            _write_pictures(others, folder, failures)


def _write_label_distribution(records: pd.DataFrame, folder: Path) -> None:
    """A panel per data set, number of clients and omega."""
    names = omega_names(records)
    counts = {}
    for (dataset, n_clients, omega), table in shown_partitions(records, folder).items():
        counts[f"{dataset}\n{n_clients} clients, {names[omega]}"] = table
    label_distribution(counts, folder / "figures")


def _write_pictures(records: pd.DataFrame, folder: Path, failures: Failures | None = None) -> None:
    """Draw generated images beside real ones, a row per client; a figure per ``Pictures``."""
    pictures = shown_pictures(records, folder, failures)
    names = []
    for images in pictures:
        row = images.row
        omega = number(row["omega"])
        names.append(
            f"generated_{images.labels[0]}_{row['dataset']}_omega{omega}_{row['n_clients']}"
        )
    for images, name in zip(pictures, file_names(names), strict=True):
        with part(f"figures/{name}", failures):
            draw_pictures(images, folder / "figures", name)


def draw_pictures(pictures: Pictures, folder: Path, name: str) -> None:
    """Draw one figure of generated images; those of a server's generator have no real ones."""
    title = f"{', '.join(one_line(label) for label in pictures.labels)}, generated"
    if pictures.real.size:
        panels = [
            ("real", _channels_last(pictures.real)),
            (title, _channels_last(pictures.generated)),
        ]
        rows = [f"client {client}" for client in pictures.clients]
    else:
        images = _in_rows(pictures.generated, SERVER_IMAGES_PER_ROW)
        panels = [(title, _channels_last(images))]
        rows = [""] * len(images)
    generated_images(panels, folder, name, rows)


def _in_rows(images: np.ndarray, per_row: int) -> np.ndarray:
    """uint8 images (N, M, C, H, W) as (R, per_row, C, H, W); the last row is filled with white."""
    images = images.reshape(-1, *images.shape[2:])
    n_white = -len(images) % per_row
    white = np.full_like(images, 255, shape=(n_white, *images.shape[1:]))
    return np.concatenate([images, white]).reshape(-1, per_row, *images.shape[1:])


def _channels_last(images: np.ndarray) -> np.ndarray:
    """(R, M, C, H, W) to (R, M, H, W, C)."""
    return images.transpose(0, 1, 3, 4, 2)
