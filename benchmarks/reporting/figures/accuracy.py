"""The figures of a comparison, each as PNG and SVG; a figure with nothing to show is not written.

Every method keeps one colour, marker and line style in all figures, so they read in grey as well; methods of one family
(what clients send, and when) share a colour, and Mosaic's lines are the thick ones. Points are means over
seeds, bars and bands ± 1 sample standard deviation where there are several; the title says n. Figures are built
without pyplot, so nothing global stays behind, and the same records give the same bytes.
"""

import io
import math
import textwrap
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from benchmarks.reporting import comparison as st
from benchmarks.reporting.pages.communication import LINKS, over_link, wants_communication
from mosaic.fl.cache import write_whole

LOOK = sns.axes_style("ticks")
LOOK |= dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8) | {"figure.titlesize": 9}
LOOK |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7)
LOOK |= {"font.family": "DejaVu Sans"}  # ships with matplotlib: the same glyphs on every machine
LOOK |= {"axes.linewidth": 0.6, "axes.grid": True, "grid.color": "0.9", "grid.linewidth": 0.5}
LOOK |= {"lines.linewidth": 1.2, "lines.markersize": 4.2, "hatch.linewidth": 0.6, "savefig.dpi": 200}
LOOK |= {"svg.hashsalt": "mosaic-bench"}  # with no date in the metadata: the same bytes for the same figure
PALETTE = sns.color_palette("colorblind")
FAMILIES = {  # (what clients send beside models, when): colour; the first that fits. Grey is kept for the frame
    ("prototypes", ""): PALETTE[3],
    ("generators", ""): PALETTE[2],
    ("proxy images", ""): PALETTE[5],
    ("label counts", "every round"): PALETTE[1],
    ("", "once, after the rounds"): PALETTE[4],
    ("", ""): PALETTE[0],
}
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h"]
LINES = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 2))]
KINDS = sns.color_palette("Set2")
HATCH = {"upload": "", "download": "////"}
BARS = {"capsize": 1.5, "elinewidth": 0.7}
PANEL = (2.5, 2.0)  # width and height of one panel, inches
MANY = 9  # with more methods than this, lines against omega cannot be told apart, and panels are larger
ACROSS = 3  # panels in a row at most, so that a figure fits a page's width


def write_figures(records: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the figures of accuracy, learning and cost to the folder; return the paths written."""
    drawn = {
        "accuracy_vs_omega": _accuracy_vs_omega(records),
        "learning_curves": _learning_curves(records),
        "accuracy_vs_bytes": _accuracy_vs_cost(records, "bytes"),
        "accuracy_vs_seconds": _accuracy_vs_cost(records, "seconds"),
        **{
            f"accuracy_vs_seconds_at_{mbits}mbits": _accuracy_vs_cost(records, "seconds", mbits)
            for mbits in (LINKS if wants_communication(records) else ())
        },
        "bytes_by_kind": _bytes_by_kind(records),
    }
    return [path for name, figure in drawn.items() if figure for path in save(figure, Path(folder), name)]


def label_distribution(counts: dict[str, np.ndarray], folder: Path) -> list[Path]:
    """Draw each client's images of each class as a heat map; ``counts`` is {panel title: (N, K) array of counts}."""
    counts = {title: table for title, table in counts.items() if np.size(table) and np.max(table) > 0}
    if not counts:
        return []
    top = max(table.max() for table in counts.values())
    n_clients, n_classes = np.max([table.shape for table in counts.values()], axis=0)
    with matplotlib.rc_context(LOOK | {"axes.grid": False}):
        # Log colours, or a class of 20 images would look like none at all, which is what the figure is about.
        look = {"norm": LogNorm(1, max(top, 2)), "cmap": "viridis_r", "aspect": "auto", "interpolation": "nearest"}
        size = (float(np.clip(0.17 * n_classes, 1.5, 2.3)), float(np.clip(0.17 * n_clients, 1.2, 3.0)))
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


def method_styles(records: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The look of each method, in the tables' order: a family's colour, a marker and line of its own; grey frame.

    Records that say nothing of their methods' needs and protocol have one family.
    """
    told = records.reindex(columns=["method", "needs", "protocol"]).astype(object).fillna("").drop_duplicates("method")
    facts = {row.method: (row.needs, row.protocol) for row in told.itertuples()}
    styles, looks = {}, zip(cycle(MARKERS), cycle(LINES), strict=False)
    for method in st.method_order(records):
        needs, protocol = facts[method]
        family = next(family for family in FAMILIES if family[0] in needs and family[1] in protocol)
        if method == st.FLOOR:
            styles[method] = {"color": "0.55", "marker": "x", "linestyle": (0, (1, 1.5))}
        elif method == st.CEILING:
            styles[method] = {"color": "0.0", "marker": "+", "linestyle": (0, (4, 2))}
        else:
            marker, line = next(looks)
            styles[method] = {"color": FAMILIES[family], "marker": marker, "linestyle": line}
            styles[method] |= {"linewidth": 1.8} if family[0] == "prototypes" else {}
    return styles


def _accuracy_vs_omega(records: pd.DataFrame) -> Figure | None:
    summary = st.summarise(records)
    if summary["method"].nunique() > MANY:
        return _accuracies(records, summary[summary["n"] > 0])
    summary = summary[(summary["n"] > 0) & np.isfinite(summary["omega"])]  # a log axis has no place for infinity

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        present = [method for method in styles if method in set(rows["method"])]
        for place, method in zip(np.linspace(-0.5, 0.5, len(present)), present, strict=True):
            mine = rows[rows["method"] == method]
            bars = 100 * mine["accuracy_sd"] if mine["accuracy_sd"].notna().any() else None
            # Side by side, so that bars do not hide one another.
            axes.errorbar(mine["omega"] * 1.35**place, 100 * mine["accuracy"], bars, **BARS, **styles[method])
        omegas = sorted(rows["omega"].unique())
        axes.set(xscale="log", xlim=(omegas[0] / 1.6, omegas[-1] * 1.6))
        axes.set_xticks(omegas, [f"{omega:g}" for omega in omegas])
        axes.xaxis.set_minor_locator(NullLocator())

    return _figure(records, summary, st.SETTING, draw, "Accuracy in the last round", "concentration ω (log scale)")


def _accuracies(records: pd.DataFrame, summary: pd.DataFrame) -> Figure | None:
    """A panel for each group, a line for each method: its accuracy as a point, floor and ceiling as upright lines."""
    groups = {_title(group): rows.set_index("method") for group, rows in summary.groupby(st.GROUP)}
    if not groups:
        return None
    styles = method_styles(records)
    methods = [method for method in styles if method not in (st.FLOOR, st.CEILING)]
    across = min(ACROSS, summary["omega"].nunique())
    with matplotlib.rc_context(LOOK):
        figure, panels = new_panels(list(groups), (1.8, 0.15 * len(methods)), "accuracy (per cent)", "", across)
        for i, (rows, axes) in enumerate(zip(groups.values(), panels, strict=True)):
            for y, method in enumerate(methods):
                if method in rows.index:
                    mean, sd = 100 * rows.loc[method, ["accuracy", "accuracy_sd"]]
                    bar = None if math.isnan(sd) else [sd]
                    axes.errorbar([mean], [y], xerr=bar, **BARS, **styles[method] | {"linestyle": ""})
            for frame in {st.FLOOR, st.CEILING} & set(rows.index):
                look = {"color": styles[frame]["color"], "ls": styles[frame]["linestyle"], "lw": 0.9}
                axes.axvline(100 * rows.loc[frame, "accuracy"], **look)
            axes.set(yticks=range(len(methods)), ylim=(len(methods) - 0.4, -0.6))
            axes.set_yticklabels(methods if i % across == 0 else [])
            axes.xaxis.set_major_locator(MaxNLocator(5))
        seeds = st.seeds_name(st.summarise(records)["n"])
        frames = [m for m in (st.FLOOR, st.CEILING) if m in styles]
        handles = [Line2D([], [], label=m, **styles[m] | {"marker": ""}) for m in frames]
        finish(figure, f"Accuracy in the last round, {seeds}" + ", ± 1 sd" * (seeds != "n = 1 seed"), handles)
        return figure


def _learning_curves(records: pd.DataFrame) -> Figure | None:
    done = records[records["status"] == "done"]
    if not (done.groupby("cell")["round"].nunique() > 1).any():
        return None

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        for method, look in styles.items():
            curve = _curve(rows[rows["method"] == method], "round")
            if len(curve) > 1:
                axes.plot(curve["x"], curve["y"], **look | {"marker": ""})
                axes.fill_between(curve["x"], curve["low"], curve["high"], color=look["color"], alpha=0.15, lw=0)
            elif len(curve):  # one shot: its level goes on as a faint line, to be compared with the curves
                axes.axhline(curve["y"].iloc[0], lw=0.6, alpha=0.6, color=look["color"], ls=look["linestyle"])
            axes.plot(curve["x"][-1:], curve["y"][-1:], zorder=3, **look | {"linestyle": ""})
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    return _figure(records, done, st.GROUP, draw, "Accuracy by round (marker on a faint line: scored once)", "round")


def _accuracy_vs_cost(records: pd.DataFrame, what: str, mbits: float = math.inf) -> Figure | None:
    """Against bytes, or against seconds with transfers over links of so many Mbit/s."""
    done = records[records["status"] == "done"]
    mb = (done["upload_bytes"] + done["download_bytes"]) / 1e6
    done = done.assign(cost=mb if what == "bytes" else over_link(done, mbits))
    if not (done["cost"] > 0).any():
        return None

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        for method, look in styles.items():
            curve = _curve(rows[rows["method"] == method], "cost")
            if len(curve) and not curve["x"].iloc[-1] > 0:  # sends nothing: a level, not a point on a log axis
                axes.axhline(curve["y"].iloc[-1], lw=1.0, color=look["color"], ls=look["linestyle"])
                continue
            curve = curve[curve["x"] > 0]
            axes.plot(curve["x"], curve["y"], **look | {"marker": ""})
            end = curve[-1:]
            bars = (end["high"] - end["y"]).dropna().to_list() or None
            axes.errorbar(end["x"], end["y"], bars, **BARS, **look | {"linestyle": ""})
        axes.set_xscale("log")
        low, high = rows.loc[rows["cost"] > 0, "cost"].agg(["min", "max"])
        if high > 0:  # at least a factor 6 wide, so that two ticks of 1, 2, 5 always lie on the axis
            room = max(1.3, math.sqrt(6 * low / high))
            axes.set_xlim(low / room, high * room)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())

    free = " (no marker: sends nothing)" if (done["cost"] == 0).any() else ""
    x_label = "upload + download (MB, log scale)" if what == "bytes" else "method + stages (s, log scale)"
    if mbits < math.inf:
        what, x_label = f"seconds at {mbits:g} Mbit/s", "computation + simulated transfers (s, log scale)"
    return _figure(records, done, st.GROUP, draw, f"Accuracy against {what}, all clients{free}", x_label)


def _bytes_by_kind(records: pd.DataFrame) -> Figure | None:
    last = st.selected_rounds(records, "last")
    columns = [c for c in last if c.startswith(("upload_bytes_", "download_bytes_")) and last[c].fillna(0).gt(0).any()]
    if not columns:
        return None
    kinds = dict.fromkeys(column.split("_bytes_")[1] for column in columns)
    looks = {kind: {"fc": KINDS[i % len(KINDS)], "ec": "0.25", "lw": 0.3} for i, kind in enumerate(kinds)}
    settings = {_title(setting): rows for setting, rows in last.groupby(st.SETTING)}
    size = (2.5, 0.36 * max(rows["method"].nunique() for rows in settings.values()))
    with matplotlib.rc_context(LOOK):
        figure, panels = new_panels(list(settings), size, "payload, all clients (MB)", "")
        for rows, axes in zip(settings.values(), panels, strict=True):
            means = rows.groupby("method")[columns].mean().fillna(0.0) / 1e6  # over seeds and omega
            methods = [method for method in st.method_order(records) if method in means.index]
            for i, method in enumerate(methods):
                for (way, hatch), y in zip(HATCH.items(), (i - 0.2, i + 0.2), strict=True):
                    end = 0.0
                    for kind, look in looks.items():
                        mb = means.loc[method].get(f"{way}_bytes_{kind}", 0.0)
                        axes.barh(y, mb, 0.36, end, hatch=hatch, **look | ({} if mb > 0 else {"lw": 0}))
                        end += mb
                    total = f" {end:,.0f}" if end >= 100 else f" {end:.3g}"
                    axes.text(end, y, total, va="center_baseline", size=6)
            axes.set(yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.45, -0.55))
            axes.set(xlim=(0, 1.2 * axes.dataLim.x1 or 1.0), axisbelow=True)  # room for the totals
            axes.grid(False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4))
        handles = [Patch(**look, label=kind) for kind, look in looks.items()]
        handles += [Patch(fc="w", ec="0.25", lw=0.3, hatch=h, label=way) for way, h in HATCH.items()]
        finish(figure, f"Bytes by kind, mean over ω, {st.seeds_name(st.summarise(records)['n'])}", handles)
        return figure


def _figure(
    records: pd.DataFrame, rows: pd.DataFrame, by: list[str], draw: Callable[..., None], title: str, x_label: str
) -> Figure | None:
    """One panel for each group of ``rows``, accuracy in per cent upwards, the legend below."""
    groups = {_title(group): members for group, members in rows.groupby(by)}
    if not groups:
        return None
    styles = method_styles(records)  # of all records: a method that failed here keeps its colour
    across = rows["omega"].nunique() if by == st.GROUP and rows["omega"].nunique() <= 4 else ACROSS
    with matplotlib.rc_context(LOOK):
        size = PANEL if len(styles) <= MANY else (1.3 * PANEL[0], 1.6 * PANEL[1])
        figure, panels = new_panels(list(groups), size, x_label, "accuracy (per cent)", across, share=True)
        for members, axes in zip(groups.values(), panels, strict=True):
            draw(axes, members, styles)
        seeds = st.seeds_name(st.summarise(records)["n"])
        handles = [Line2D([], [], label=m, **look) for m, look in styles.items() if m in set(rows["method"])]
        finish(figure, f"{title}, {seeds}" + ", ± 1 sd" * (seeds != "n = 1 seed"), handles)
        return figure


def finish(figure: Figure, title: str, handles: list[Line2D | Patch]) -> None:
    """The title, wrapped to the figure's width, and the legend below, in as many columns as fit."""
    width = figure.get_size_inches()[0]
    figure.suptitle(textwrap.fill(title, int(13 * width)))
    columns = columns_that_fit([handle.get_label() for handle in handles], 72 * width)
    figure.legend(handles=handles, ncols=columns, loc="outside lower center", frameon=False, handlelength=3)


def columns_that_fit(labels: list[str], points: float) -> int:
    """How many columns of a legend fit side by side: each is as wide as its longest label, its line and the spaces."""
    size = LOOK["legend.fontsize"]
    widths = [TextPath((0, 0), label, size=size).get_extents().width + 6 * size for label in labels]
    fitting = (n for n in range(len(labels), 1, -1) if sum(map(max, np.array_split(widths, n))) <= points)
    return next(fitting, 1)


def new_panels(
    titles: list[str], size: tuple[float, float], x_label: str, y_label: str, across: int = ACROSS, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with one titled panel of about the given size (inches) each; labels stand on the outer panels."""
    across = min(across, len(titles))
    down = math.ceil(len(titles) / across)
    figure = Figure((size[0] * across + 0.9, (size[1] + 0.35) * down + 0.9), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=share).ravel().tolist()
    for spare in panels[len(titles) :]:
        spare.remove()
    for i, title in enumerate(titles):
        below, left = i + across >= len(titles), i % across == 0
        panels[i].set(title=title, xlabel=x_label if below else "", ylabel=y_label if left else "")
        sns.despine(ax=panels[i])
    return figure, panels[: len(titles)]


def _curve(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Mean over seeds, round by round: columns x, y (per cent), low and high (y ± 1 sd; NaN for one seed)."""
    rounds = rows.groupby("round")
    y, sd = 100 * rounds["accuracy"].mean(), 100 * rounds["accuracy"].std(ddof=1)
    return pd.DataFrame({"x": rounds[x].mean(), "y": y, "low": y - sd, "high": y + sd})


def _title(group: tuple) -> str:
    """The group in words on two short lines, e.g. "fashion-mnist, 10 clients" over "mixed widths, ω 0.1"."""
    dataset, clients, width = st.setting_name(*group[:3]).split(", ", 2)
    width = width if len(width) <= 24 else f"{width[:23]}…"
    return f"{dataset}, {clients}\n" + ", ".join([width, *(f"ω {omega:g}" for omega in group[3:])])


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images (N, M, H, W, 1 or 3) as one RGB picture with a white gap of 2 pixels between them."""
    n, m, height, width, _ = images.shape
    framed = np.full((n, m, height + 2, width + 2, 3), 255, dtype=np.uint8)
    framed[:, :, 1:-1, 1:-1] = images
    return framed.swapaxes(1, 2).reshape(n * (height + 2), m * (width + 2), 3)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG, aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{name}.png": {}, folder / f"{name}.svg": {"Date": None}}
    for path, metadata in paths.items():
        with matplotlib.rc_context(LOOK):
            figure.savefig(content := io.BytesIO(), format=path.suffix[1:], metadata=metadata)
        write_whole(path, content.getvalue())
    return list(paths)
