"""Heat maps of a suite's grid: accuracy over two settings of a method, a panel for each value of the others.

A suite's entry with ``grid = { lambda_e = [...], lambda_d = [...] }`` is a cell a point, labelled by its point
("mosaic lambda_e=0.5 lambda_d=2"); the labels say here what belongs to which grid.
"""

import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.reporting import comparison as st
from benchmarks.reporting.figures.style import LOOK, new_panels, save

POINT = re.compile(r"(.+?)((?: \w+=\S+)+)")


def is_grid_point(records: pd.DataFrame) -> pd.Series:
    """Which records (rows) are of a point of a grid."""
    return records["method"].str.fullmatch(POINT.pattern)


def write_heatmaps(records: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw each grid of two settings or more, for each data set, omega, number of clients and widths, as PNG and SVG.

    A field is the mean over seeds of the last round's accuracy on the test set, ± its sample standard deviation; the
    best one is framed. Fields without a finished cell are empty.
    """
    last = st.selected_rounds(records[is_grid_point(records)], "last")
    parts = last["method"].str.extract(f"^{POINT.pattern}$")
    axes = parts[1].fillna("").map(lambda text: tuple(pair.split("=")[0] for pair in text.split()))
    written = []
    with matplotlib.rc_context(LOOK | {"axes.grid": False}):
        for (base, keys, *group), rows in last.groupby(
            [parts[0], axes, *(last[name] for name in st.GROUP)]
        ):
            if len(keys) < 2:
                continue
            dataset, n_clients, widths, omega = group
            name = re.sub(
                r"[^\w.-]+", "-", f"heatmap_{base}_{dataset}_omega{omega:g}_{n_clients}_{widths}"
            )
            points = rows["method"].str.extractall(r" (\w+)=(\S+)")[1].unstack()
            table = rows.assign(**{key: points[i].map(_number) for i, key in enumerate(keys)})
            title = f"Accuracy of {base} in the last round, {st.setting_name(dataset, n_clients, widths)}, ω {omega:g}"
            written += save(_figure(table, keys, title), folder, name)
    return written


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _figure(table: pd.DataFrame, keys: tuple[str, ...], title: str) -> Figure:
    x, y, *others = keys
    by_point = table.groupby(list(keys))["accuracy"]
    means, spreads = 100 * by_point.mean(), 100 * by_point.std(ddof=1)
    ticks = {key: sorted(table[key].unique()) for key in keys}
    rest = list(itertools.product(*(ticks[key] for key in others)))
    size = (0.55 * len(ticks[x]) + 0.5, 0.42 * len(ticks[y]) + 0.3)
    titles = [
        ", ".join(f"{key} {_text(value)}" for key, value in zip(others, values, strict=True))
        for values in rest
    ]
    figure, panels = new_panels(titles, size, x, y)
    shades = {
        "vmin": means.min(),
        "vmax": max(means.max(), means.min() + 0.1),
        "cmap": "viridis",
        "aspect": "auto",
    }
    for axes, values in zip(panels, rest, strict=True):
        grid = np.full((len(ticks[y]), len(ticks[x])), np.nan)
        for i, j, point in _fields(ticks, x, y, values):
            grid[i, j] = means.get(point, np.nan)
        image = axes.imshow(np.ma.masked_invalid(grid), origin="lower", **shades)
        for i, j, point in _fields(ticks, x, y, values):
            if np.isnan(grid[i, j]):
                continue
            spread = spreads[point]
            text = f"{grid[i, j]:.1f}" + ("" if np.isnan(spread) else f"\n± {spread:.1f}")
            light = (grid[i, j] - shades["vmin"]) / (shades["vmax"] - shades["vmin"]) > 0.6
            axes.text(
                j, i, text, ha="center", va="center", size=6, color="black" if light else "white"
            )
            if grid[i, j] >= means.max() - 1e-9:
                axes.add_patch(
                    Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, ec="red", lw=1.5)
                )
        axes.set_xticks(range(len(ticks[x])), map(_text, ticks[x]))
        axes.set_yticks(range(len(ticks[y])), map(_text, ticks[y]))
    seeds = st.seeds_name(by_point.count())
    figure.colorbar(image, ax=panels, label="accuracy (per cent)")
    title = f"{title}, {seeds}{', ± 1 sd' * (seeds != 'n = 1 seed')}; framed: the best mean"
    figure.suptitle(textwrap.fill(title, int(13 * figure.get_size_inches()[0])))
    return figure


def _fields(
    ticks: dict[str, list], x: str, y: str, rest: tuple
) -> Iterator[tuple[int, int, tuple]]:
    """Row, column and point of each field of a panel."""
    for i, up in enumerate(ticks[y]):
        for j, across in enumerate(ticks[x]):
            yield i, j, (across, up, *rest)


def _text(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else value
