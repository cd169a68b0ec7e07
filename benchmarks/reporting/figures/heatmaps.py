"""Heat maps of a suite's grid: accuracy over two settings of a method.

A suite's entry with ``grid = { lambda_e = [...], lambda_d = [...] }`` is one cell per point, with
the point in its label ("mosaic lambda_e=0.5 lambda_d=2"). The label says to which grid a record
belongs; the values are those of the columns ``config.lambda_e`` and ``config.lambda_d``.
"""

import itertools
import re
import textwrap
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
from benchmarks.reporting.figures.style import (
    CHARACTERS_PER_INCH,
    LOOK_OF_IMAGES,
    new_panels,
    save,
)
from benchmarks.reporting.frames import groups
from benchmarks.reporting.names import omega_names, seeds_and_spread, setting_name

POINT = re.compile(r"(?P<base>.+?)(?P<point>(?: \w+=\S+)+)")
"""The label of a point: the label of the suite's entry, and " name=value" for each setting."""

Value = float | str


@dataclass(frozen=True)
class Grid:
    """The accuracies of one grid in one group.

    Args:
        names: the settings: the first is drawn to the right, the second upwards, and there is a
            panel per value of the others.
        values: the values of each setting, sorted.
        means: mean accuracy over seeds in per cent, by point.
        spreads: its sample standard deviation; NaN for one seed.
    """

    names: list[str]
    values: dict[str, list[Value]]
    means: dict[Any, float]
    spreads: dict[Any, float]


def is_grid_point(records: pd.DataFrame) -> pd.Series:
    """Which records (rows) are of a point of a grid."""
    return cast(pd.Series, records["label"].str.fullmatch(POINT.pattern))


def write_heatmaps(records: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw each grid of two settings or more as PNG and SVG, one figure per group.

    A field is the mean over seeds of the last round's accuracy on the test set, ± its sample
    standard deviation; the best one has a frame. Fields without a finished cell are empty.

    Args:
        records: rows per cell and scored round.
        folder: where the figures are written.

    Returns:
        The paths of the files.
    """
    last = comparison.selected_rounds(records.loc[is_grid_point(records)], "last")
    bases = []
    settings = []
    for label in last["label"]:
        base, names = _parts(label)
        bases.append(base)
        settings.append(names)
    last = last.assign(grid_base=bases, grid_settings=settings)

    omegas = omega_names(records)
    paths = []
    by = ["grid_base", "grid_settings", *comparison.GROUP]
    with matplotlib.rc_context(LOOK_OF_IMAGES):
        for (base, names, *group), rows in groups(last, by):
            if len(names) < 2:
                continue
            dataset, n_clients, widths, omega = group
            name = f"heatmap_{base}_{dataset}_omega{omega:g}_{n_clients}_{widths}"
            where = f"{setting_name(dataset, n_clients, widths)}, {omegas[omega]}"
            title = f"Accuracy of {base} in the last round, {where}"
            figure = _figure(rows, list(names), title)
            paths += save(figure, folder, re.sub(r"[^\w.-]+", "-", name))
    return paths


def _parts(label: str) -> tuple[str, tuple[str, ...]]:
    """The label of the suite's entry, and the names of the settings of its grid."""
    match = POINT.fullmatch(label)
    assert match is not None, label
    pairs = match["point"].split()
    return match["base"], tuple(pair.split("=")[0] for pair in pairs)


def _values(rows: pd.DataFrame, name: str) -> list[Value]:
    """The value of a setting in each row: a number, or the text of anything else."""
    values = []
    for value in rows[f"config.{name}"]:
        values.append(_number_or_text(value))
    return values


def _number_or_text(value: Any) -> Value:
    if isinstance(value, bool | np.bool_):
        return str(value)
    try:
        return float(value)
    except ValueError:
        return str(value)


def _grid(rows: pd.DataFrame, names: list[str]) -> Grid:
    """The grid of the rows of one method's last rounds."""
    table = pd.DataFrame({name: _values(rows, name) for name in names}, index=rows.index)
    values = {name: sorted(table[name].unique()) for name in names}

    by_point = rows.assign(**{name: table[name] for name in names}).groupby(names)["accuracy"]
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

    by_point = cast(pd.Series, rows.groupby("label")["accuracy"].count())
    title = f"{title}, {seeds_and_spread(by_point)}; framed: the best mean"
    width = int(CHARACTERS_PER_INCH * figure.get_size_inches()[0])
    figure.suptitle(textwrap.fill(title, width))
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

    axes.set_xticks(range(len(x_values)), [_text(value) for value in x_values])
    axes.set_yticks(range(len(y_values)), [_text(value) for value in y_values])
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
    return f"{value:g}"
