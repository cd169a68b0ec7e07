"""Figures of images and of label distributions."""

from pathlib import Path

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from benchmarks.reporting.figures.look import LOOK_OF_IMAGES, save
from benchmarks.reporting.figures.style import new_panels
from benchmarks.reporting.figures.text import CHARACTERS_PER_INCH, tick_texts, wrapped
from benchmarks.texts import one_line

ROW_HEIGHT = 0.34
"""Height of a row of images, inches."""


def label_distribution(counts: dict[str, np.ndarray], folder: Path) -> list[Path]:
    """Draw the number of images per client and class as a heat map.

    Args:
        counts: per panel title an array (clients, classes); empty ones are left out.
        folder: where the figure is written.

    Returns:
        The paths of the files; none if there is nothing to draw.
    """
    tables = {}
    for title, table in counts.items():
        if np.size(table) and np.max(table) > 0:
            tables[title] = table
    if not tables:
        return []

    largest = max(table.max() for table in tables.values())
    n_clients = max(table.shape[0] for table in tables.values())
    n_classes = max(table.shape[1] for table in tables.values())
    width = float(np.clip(0.17 * n_classes, 1.5, 2.3))
    height = float(np.clip(0.17 * n_clients, 1.2, 3.0))

    # Log colours: with linear ones a class of 20 images would look empty.
    norm = LogNorm(1, max(largest, 2))
    with matplotlib.rc_context(LOOK_OF_IMAGES):
        figure, panels = new_panels(list(tables), (width, height), "class", "client")
        image = None
        for table, axes in zip(tables.values(), panels, strict=True):
            image = axes.imshow(
                np.ma.masked_less(table, 1),
                norm=norm,
                cmap="viridis_r",
                aspect="auto",
                interpolation="nearest",
            )
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
        assert image is not None
        bar = figure.colorbar(image, ax=panels, label="images (log scale; white: none)")
        bar.ax.yaxis.set_major_formatter("{x:,.0f}")  # no mathematics, which LOOK switches off
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        return save(figure, Path(folder), "label_distribution")


def generated_images(
    panels: list[tuple[str, np.ndarray]], folder: Path, name: str, labels: list[str] | None = None
) -> list[Path]:
    """Draw grids of images side by side, a row per client.

    Args:
        panels: a title and uint8 images (clients, images, H, W, channels) each, which may differ in
            the number of images only; empty ones are left out.
        folder: where the figure is written.
        name: the file's name without its ending.
        labels: the names of the rows; by default "client 0" and so on.

    Returns:
        The paths of the files; none if there is no image.
    """
    panels = [(title, np.asarray(images)) for title, images in panels if np.size(images)]
    if not panels:
        return []

    n_rows = panels[0][1].shape[0]
    height = panels[0][1].shape[2]
    if labels is None:
        labels = [f"client {i}" for i in range(n_rows)]

    tiles = [_tiled(images) for _, images in panels]
    widths = [tile.shape[1] for tile in tiles]
    inches_per_pixel = ROW_HEIGHT / (height + 2)

    with matplotlib.rc_context(LOOK_OF_IMAGES):
        size = (sum(widths) * inches_per_pixel + 1.0, n_rows * ROW_HEIGHT + 0.4)
        figure = Figure(size, layout="constrained")
        grids = figure.subplots(1, len(tiles), width_ratios=widths, squeeze=False)[0]
        for axes, tile, (title, _) in zip(grids, tiles, panels, strict=True):
            axes.imshow(tile, interpolation="nearest")
            width = CHARACTERS_PER_INCH * tile.shape[1] * inches_per_pixel
            axes.set(title=wrapped(one_line(title), width), xticks=[], yticks=[])
            axes.tick_params(length=0)
            sns.despine(ax=axes, left=True, bottom=True)

        middles = [(height + 2) * row + 1 + height / 2 for row in range(n_rows)]
        grids[0].set_yticks(middles, tick_texts(labels))
        return save(figure, Path(folder), name)


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images (N, M, H, W, 1 or 3) as one RGB picture with a white gap of 2 pixels between them."""
    n, m, height, width, _ = images.shape
    framed = np.full((n, m, height + 2, width + 2, 3), 255, dtype=np.uint8)
    framed[:, :, 1:-1, 1:-1] = images
    return framed.swapaxes(1, 2).reshape(n * (height + 2), m * (width + 2), 3)
