"""Figures of images and of label distributions."""

from pathlib import Path

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.reporting.figures.style import LOOK, new_panels, save


def label_distribution(counts: dict[str, np.ndarray], folder: Path) -> list[Path]:
    """Draw each client's images of each class as a heat map; ``counts`` is {panel title: (N, K) array of counts}."""
    counts = {
        title: table for title, table in counts.items() if np.size(table) and np.max(table) > 0
    }
    if not counts:
        return []
    top = max(table.max() for table in counts.values())
    n_clients, n_classes = np.max([table.shape for table in counts.values()], axis=0)
    with matplotlib.rc_context(LOOK | {"axes.grid": False}):
        # Log colours, or a class of 20 images would look like none at all, which is what the figure is about.
        look = {
            "norm": LogNorm(1, max(top, 2)),
            "cmap": "viridis_r",
            "aspect": "auto",
            "interpolation": "nearest",
        }
        size = (
            float(np.clip(0.17 * n_classes, 1.5, 2.3)),
            float(np.clip(0.17 * n_clients, 1.2, 3.0)),
        )
        figure, panels = new_panels(list(counts), size, "class", "client")
        for table, axes in zip(counts.values(), panels, strict=True):
            image = axes.imshow(np.ma.masked_less(table, 1), **look)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(7, integer=True))
        figure.colorbar(image, ax=panels, label="images (log scale; white: none)")
        return save(figure, Path(folder), "label_distribution")


def generated_images(
    panels: list[tuple[str, np.ndarray]], folder: Path, name: str, labels: list[str] | None = None
) -> list[Path]:
    """Draw grids of images side by side: each panel is (title, uint8 images (N, M, H, W, C)), a row per client.

    ``labels`` names the N rows, by default "client 0" and on. Panels may differ in M only; an empty one is left out.
    """
    panels = [(title, np.asarray(images)) for title, images in panels if np.size(images)]
    if not panels:
        return []
    n_rows, height = panels[0][1].shape[0], panels[0][1].shape[2]
    inch = 0.34 / (height + 2)  # a row is about a third of an inch tall
    with matplotlib.rc_context(LOOK | {"axes.grid": False}):
        tiles = [_tiled(images) for _, images in panels]
        widths = [tile.shape[1] for tile in tiles]
        figure = Figure((sum(widths) * inch + 1.0, n_rows * 0.34 + 0.4), layout="constrained")
        grids = figure.subplots(1, len(tiles), width_ratios=widths, squeeze=False)[0]
        for axes, tile, (title, _) in zip(grids, tiles, panels, strict=True):
            axes.imshow(tile, interpolation="nearest")
            axes.set(title=title, xticks=[], yticks=[])
            axes.tick_params(length=0)
            sns.despine(ax=axes, left=True, bottom=True)
        middles = [(height + 2) * row + 1 + height / 2 for row in range(n_rows)]
        grids[0].set_yticks(middles, labels or [f"client {i}" for i in range(n_rows)])
        return save(figure, Path(folder), name)


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images (N, M, H, W, 1 or 3) as one RGB picture with a white gap of 2 pixels between them."""
    n, m, height, width, _ = images.shape
    framed = np.full((n, m, height + 2, width + 2, 3), 255, dtype=np.uint8)
    framed[:, :, 1:-1, 1:-1] = images
    return framed.swapaxes(1, 2).reshape(n * (height + 2), m * (width + 2), 3)
