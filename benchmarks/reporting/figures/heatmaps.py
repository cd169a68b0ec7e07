"""Heat maps of a suite's grid: accuracy over two settings of a method.

A suite's entry with ``grid = { lambda_e = [...], lambda_d = [...] }`` is one cell per point. To
which grid a record belongs is in its columns ``grid`` and ``grid_settings``; the values are those
of the columns ``config.lambda_e`` and ``config.lambda_d``. A grid of one setting has no heat map:
its points are lines in the other figures, as methods are.
"""

import itertools
import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.look import LOOK_OF_IMAGES, save
from benchmarks.reporting.figures.style import new_panels, set_title
from benchmarks.reporting.figures.text import tick_texts
from benchmarks.reporting.frames import grouped, groups, with_status
from benchmarks.reporting.names import number, omega_names, seeds_and_spread, setting_name
from benchmarks.reporting.parts import Failures, part
from benchmarks.texts import file_names, one_line

FIELD_CHARACTERS = 7
"""A field is as wide as this many characters of a tick's text."""

Value = float | str


@dataclass(frozen=True)
class Grid:
    """The accuracies of one grid in one group.

    Args:
        names: the settings: the first is drawn to the right, the second upwards, and there is a
            panel per value of the others.
        values: the values of each setting, sorted; also of points that did not finish.
        means: mean accuracy over seeds in per cent, by point.
        spreads: its sample standard deviation; NaN for one seed.
    """

    names: list[str]
    values: dict[str, list[Value]]
    means: dict[Any, float]
    spreads: dict[Any, float]


def is_grid_point(records: pd.DataFrame) -> pd.Series:
    """Which records (rows) are of a point of a grid of two settings or more."""
    if "grid_settings" not in records:  # from an older version
        return pd.Series(False, index=records.index)
    settings = records.loc[:, "grid_settings"].fillna("")
    return settings.str.split().str.len() >= 2


def write_heatmaps(
    records: pd.DataFrame, folder: Path, failures: Failures | None = None
) -> list[Path]:
    """Draw each grid of two settings or more as PNG and SVG, one figure per group.

    A field is the mean over seeds of the last round's accuracy on the test set, ± its sample
    standard deviation; the best one has a frame. Fields without a finished cell are empty.

    Args:
        records: rows per cell and scored round.
        folder: where the figures are written.
        failures: get the figures that cannot be drawn; None: their errors are raised.

    Returns:
        The paths of the files.
    """
    points = records.loc[is_grid_point(records)]
    if points.empty:
        return []
    omegas = omega_names(records)
    grids = []
    names = []
    for group, rows in groups(points, ["grid", "grid_settings", *comparison.GROUP]):
        if len(with_status(rows, "done")) == 0:
            continue
        label, settings, dataset, n_clients, widths, omega = group
        where = f"{setting_name(dataset, n_clients, widths)}, {omegas[omega]}"
        title = f"Accuracy of {one_line(label)} in the last round, {where}"
        grids.append((rows, settings.split(), title))
        names.append(f"heatmap_{label}_{dataset}_omega{number(omega)}_{n_clients}_{widths}")

    paths = []
    for (rows, settings, title), name in zip(grids, file_names(names), strict=True):
        with part(f"figures/{name}", failures), matplotlib.rc_context(LOOK_OF_IMAGES):
            paths += save(_figure(rows, settings, title), folder, name)
    return paths


def _value(value: Any) -> Value:
    """A setting's value in a record as a number, or as the text of anything else."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return "none" if math.isnan(value) else float(value)
    return str(value)


def _in_order(value: Value) -> tuple[bool, Value]:
    """Numbers by their size, then texts."""
    return isinstance(value, str), value


def _grid(rows: pd.DataFrame, names: list[str]) -> Grid:
    """The grid of one entry in one group, from the rows of all its points."""
    columns = {}
    for name in names:
        values = [_value(value) for value in rows[f"config.{name}"]]
        columns[name] = pd.Series(values, index=rows.index, dtype=object)
    values = {name: sorted(set(column), key=_in_order) for name, column in columns.items()}

    last = comparison.selected_rounds(rows.assign(**columns), "last")
    by_point = last.groupby(names)["accuracy"]
    means = 100 * cast(pd.Series, by_point.mean())
    spreads = 100 * cast(pd.Series, by_point.std(ddof=1))
    return Grid(names, values, means.to_dict(), spreads.to_dict())


def _figure(rows: pd.DataFrame, names: list[str], title: str) -> Figure:
    """The figure of one grid, with a panel per value of the settings after the first two."""
    grid = _grid(rows, names)
    x, y, *others = names
    rest = list(itertools.product(*(grid.values[name] for name in others)))

    titles = []
    for point in rest:
        pairs = zip(others, point, strict=True)
        titles.append(", ".join(f"{name} {_text(value)}" for name, value in pairs))
    size = (0.55 * len(grid.values[x]) + 0.5, 0.42 * len(grid.values[y]) + 0.3)
    figure, panels = new_panels(titles, size, x, y)

    image = None
    for axes, point in zip(panels, rest, strict=True):
        image = _draw(axes, grid, point)
    assert image is not None
    figure.colorbar(image, ax=panels, label="accuracy (per cent)")

    last = comparison.selected_rounds(rows, "last")
    seeds = seeds_and_spread(grouped(last, "label", "accuracy", "count"))
    set_title(figure, f"{title}, {seeds}; framed: the best mean")
    return figure


def _draw(axes: Axes, grid: Grid, rest: tuple) -> AxesImage:
    """Draw one panel.

    Args:
        axes: the panel.
        grid: the accuracies.
        rest: the values of the settings after the first two.
    """
    x_values = grid.values[grid.names[0]]
    y_values = grid.values[grid.names[1]]
    lowest = min(grid.means.values())
    highest = max(grid.means.values())
    darkest, lightest = lowest, max(highest, lowest + 0.1)

    shades = np.full((len(y_values), len(x_values)), np.nan)
    for row, column, point in _fields(x_values, y_values, rest):
        shades[row, column] = grid.means.get(point, np.nan)
    image = axes.imshow(
        np.ma.masked_invalid(shades),
        origin="lower",
        vmin=darkest,
        vmax=lightest,
        cmap="viridis",
        aspect="auto",
    )

    for row, column, point in _fields(x_values, y_values, rest):
        mean = shades[row, column]
        if np.isnan(mean):
            continue
        text = f"{mean:.1f}"
        if not np.isnan(grid.spreads[point]):
            text += f"\n± {grid.spreads[point]:.1f}"
        is_light = (mean - darkest) / (lightest - darkest) > 0.6
        color = "black" if is_light else "white"
        axes.text(column, row, text, ha="center", va="center", size=6, color=color)

        if mean >= highest - 1e-9:
            corner = (column - 0.47, row - 0.47)
            axes.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, ec="red", lw=1.5))

    x_texts = tick_texts([_text(value) for value in x_values])
    axes.set_xticks(range(len(x_values)), x_texts)
    if max(len(text) for text in x_texts) > FIELD_CHARACTERS:
        axes.tick_params("x", rotation=90)
    axes.set_yticks(range(len(y_values)), tick_texts([_text(value) for value in y_values]))
    return image


def _fields(
    x_values: list[Value], y_values: list[Value], rest: tuple
) -> Iterator[tuple[int, int, tuple]]:
    """Row, column and point of each field of a panel."""
    for row, y in enumerate(y_values):
        for column, x in enumerate(x_values):
            yield row, column, (x, y, *rest)


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    return number(value)
