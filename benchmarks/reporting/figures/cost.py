"""Figures of cost: accuracy against bytes and seconds, bytes by kind."""

import math
from typing import cast

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.look import LOOK
from benchmarks.reporting.figures.panels import figure_of_panels, rows_by_panel
from benchmarks.reporting.figures.style import BARS, Style, changed, finish, new_panels
from benchmarks.reporting.figures.text import places_of_rows, tick_texts
from benchmarks.reporting.frames import of_label, with_status
from benchmarks.reporting.names import method_order, seeds_name
from benchmarks.reporting.pages.communication import over_link

KINDS = sns.color_palette("Set2")
"""Colours of the kinds of payload."""

HATCH = {"upload": "", "download": "////"}
"""Pattern of the bars of each direction."""

BAR_HEIGHT = 0.36

LINES_PER_ROW = 2
"""Lines of a method's text that have room beside its two bars."""


def accuracy_vs_cost(records: pd.DataFrame, what: str, mbits: float = math.inf) -> Figure | None:
    """Accuracy against bytes or seconds, with a curve per method.

    Args:
        records: rows per cell and scored round.
        what: "bytes" (up and down, all clients) or "seconds".
        mbits: speed of the simulated links in Mbit/s, whose transfers are added to the seconds.

    Returns:
        The figure; None if no cell has such a cost.
    """
    done = with_status(records, "done")
    if what == "bytes":
        cost = (done["upload_bytes"] + done["download_bytes"]) / 1e6
    else:
        cost = over_link(done, mbits)
    done = done.assign(cost=cost)
    if not any(done["cost"] > 0):
        return None

    title = f"Accuracy against {what}, all clients"
    x_label = "method + stages (s, log scale)"
    if what == "bytes":
        x_label = "upload + download (MB, log scale)"
    elif mbits < math.inf:
        title = f"Accuracy against seconds at {mbits:g} Mbit/s, all clients"
        x_label = "computation + simulated transfers (s, log scale)"
    if any(done["cost"] == 0):
        title += " (no marker: sends nothing)"
    return figure_of_panels(records, done, comparison.GROUP, _draw_against_cost, title, x_label)


def _draw_against_cost(axes: Axes, rows: pd.DataFrame, styles: dict[str, Style]) -> None:
    for label, style in styles.items():
        curve = curve_of(of_label(rows, label), "cost")
        if len(curve) and not curve["x"].iloc[-1] > 0:
            # It sends nothing: a level, since a log axis has no place for 0.
            level = curve["y"].iloc[-1]
            axes.axhline(level, lw=1.0, color=style["color"], ls=style["linestyle"])
            continue

        curve = curve.loc[curve["x"] > 0]
        axes.plot(curve["x"], curve["y"], **changed(style, marker=""))
        end = curve.iloc[-1:]
        bars = (end["high"] - end["y"]).dropna().to_list() or None
        axes.errorbar(end["x"], end["y"], bars, **BARS, **changed(style, linestyle=""))

    axes.set_xscale("log")
    costs = [cost for cost in rows["cost"] if cost > 0]
    if costs:
        low = min(costs)
        high = max(costs)
        # The axis spans at least a factor of 6, so that two ticks of 1, 2, 5 are always on it.
        room = max(1.3, math.sqrt(6 * low / high))
        axes.set_xlim(low / room, high * room)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.xaxis.set_major_formatter(tick_text)
    axes.xaxis.set_minor_formatter(NullFormatter())


def tick_text(value: float, _: float) -> str:
    """A number of a logarithmic axis, in figures that do not parse mathematics."""
    if value >= 1:
        return f"{value:,.0f}"
    return f"{value:g}"


def bytes_by_kind(records: pd.DataFrame) -> Figure | None:
    """MB up and down by kind of payload, as two bars per method; None if nothing was sent."""
    last = comparison.selected_rounds(records, "last")
    columns = []
    for column in last:
        name = str(column)
        is_payload = name.startswith(("upload_bytes_", "download_bytes_"))
        if is_payload and any(last[name] > 0):
            columns.append(name)
    if not columns:
        return None

    styles: dict[str, Style] = {}
    for column in columns:
        kind = column.split("_bytes_")[1]
        if kind not in styles:
            color = KINDS[len(styles) % len(KINDS)]
            styles[kind] = {"fc": color, "ec": "0.25", "lw": 0.3}

    panel_rows = rows_by_panel(last, comparison.SETTING, records)
    heights = []
    for _, rows in panel_rows:
        heights.append(places_of_rows(tick_texts(method_order(rows)), LINES_PER_ROW)[1])
    size = (2.5, 0.36 * max(heights))

    with matplotlib.rc_context(LOOK):
        titles = [title for title, _ in panel_rows]
        figure, panels = new_panels(titles, size, "payload, all clients (MB)", "")
        for (_, rows), axes in zip(panel_rows, panels, strict=True):
            # Means over seeds and omega.
            means = cast(pd.DataFrame, rows.groupby("label")[columns].mean()).fillna(0.0) / 1e6
            labels = [label for label in method_order(records) if label in means.index]
            _draw_bytes(axes, means, labels, styles)

        handles = [Patch(**style, label=kind) for kind, style in styles.items()]
        for direction, hatch in HATCH.items():
            handles.append(Patch(fc="w", ec="0.25", lw=0.3, hatch=hatch, label=direction))
        seeds = seeds_name(comparison.summarise(records)["n"])
        finish(figure, f"Bytes by kind, mean over ω, {seeds}", handles)
        return figure


def _draw_bytes(
    axes: Axes, means: pd.DataFrame, labels: list[str], styles: dict[str, Style]
) -> None:
    """Draw one panel: per method a bar of uploads over one of downloads.

    Args:
        axes: the panel.
        means: (methods, columns) of MB per direction and kind.
        labels: the methods from above to below.
        styles: the look of each kind of payload.
    """
    texts = tick_texts(labels)
    places, height = places_of_rows(texts, LINES_PER_ROW)
    for place, label in zip(places, labels, strict=True):
        sent = means.loc[label].to_dict()
        for direction, y in (("upload", place - 0.2), ("download", place + 0.2)):
            end = 0.0
            for kind, style in styles.items():
                megabytes = sent.get(f"{direction}_bytes_{kind}", 0.0)
                line_width = style["lw"] if megabytes > 0 else 0
                axes.barh(
                    y,
                    megabytes,
                    BAR_HEIGHT,
                    end,
                    hatch=HATCH[direction],
                    **changed(style, lw=line_width),
                )
                end += megabytes
            total = f" {end:,.0f}" if end >= 100 else f" {end:.3g}"
            axes.text(end, y, total, va="center_baseline", size=6)

    axes.set_yticks(places, texts)
    axes.set_ylim(height - 0.45, -0.55)
    axes.set(xlim=(0, 1.2 * axes.dataLim.x1 or 1.0), axisbelow=True)  # room for the totals
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))


def curve_of(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """The means over seeds, round by round.

    Args:
        rows: the scored rounds of one method in one group.
        x: the column for the lower axis.

    Returns:
        Columns ``x``, ``y`` (per cent), ``low`` and ``high`` (y ± 1 sd; NaN for one seed).
    """
    rounds = rows.groupby("round")
    mean_x = cast(pd.Series, rounds[x].mean())
    y = 100 * cast(pd.Series, rounds["accuracy"].mean())
    sd = 100 * cast(pd.Series, rounds["accuracy"].std(ddof=1))
    return pd.DataFrame({"x": mean_x, "y": y, "low": y - sd, "high": y + sd})
