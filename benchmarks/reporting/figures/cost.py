"""Figures of cost: accuracy against bytes and seconds, bytes by kind."""

import math

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from benchmarks.reporting import comparison as st
from benchmarks.reporting.figures.style import (
    BARS,
    LOOK,
    figure_of_panels,
    finish,
    new_panels,
    panel_title,
)
from benchmarks.reporting.pages.communication import over_link

KINDS = sns.color_palette("Set2")

HATCH = {"upload": "", "download": "////"}


def accuracy_vs_cost(records: pd.DataFrame, what: str, mbits: float = math.inf) -> Figure | None:
    """Against bytes, or against seconds with transfers over links of so many Mbit/s."""
    done = records[records["status"] == "done"]
    mb = (done["upload_bytes"] + done["download_bytes"]) / 1e6
    done = done.assign(cost=mb if what == "bytes" else over_link(done, mbits))
    if not (done["cost"] > 0).any():
        return None

    def draw(axes: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
        for method, look in styles.items():
            curve = _curve(rows[rows["method"] == method], "cost")
            if (
                len(curve) and not curve["x"].iloc[-1] > 0
            ):  # sends nothing: a level, not a point on a log axis
                axes.axhline(curve["y"].iloc[-1], lw=1.0, color=look["color"], ls=look["linestyle"])
                continue
            curve = curve[curve["x"] > 0]
            axes.plot(curve["x"], curve["y"], **look | {"marker": ""})
            end = curve[-1:]
            bars = (end["high"] - end["y"]).dropna().to_list() or None
            axes.errorbar(end["x"], end["y"], bars, **BARS, **look | {"linestyle": ""})
        axes.set_xscale("log")
        low, high = rows.loc[rows["cost"] > 0, "cost"].agg(["min", "max"])
        if (
            high > 0
        ):  # at least a factor 6 wide, so that two ticks of 1, 2, 5 always lie on the axis
            room = max(1.3, math.sqrt(6 * low / high))
            axes.set_xlim(low / room, high * room)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())

    free = " (no marker: sends nothing)" if (done["cost"] == 0).any() else ""
    x_label = (
        "upload + download (MB, log scale)" if what == "bytes" else "method + stages (s, log scale)"
    )
    if mbits < math.inf:
        what, x_label = (
            f"seconds at {mbits:g} Mbit/s",
            "computation + simulated transfers (s, log scale)",
        )
    return figure_of_panels(
        records, done, st.GROUP, draw, f"Accuracy against {what}, all clients{free}", x_label
    )


def bytes_by_kind(records: pd.DataFrame) -> Figure | None:
    last = st.selected_rounds(records, "last")
    columns = [
        c
        for c in last
        if c.startswith(("upload_bytes_", "download_bytes_")) and last[c].fillna(0).gt(0).any()
    ]
    if not columns:
        return None
    kinds = dict.fromkeys(column.split("_bytes_")[1] for column in columns)
    looks = {
        kind: {"fc": KINDS[i % len(KINDS)], "ec": "0.25", "lw": 0.3} for i, kind in enumerate(kinds)
    }
    settings = {panel_title(setting): rows for setting, rows in last.groupby(st.SETTING)}
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
                        axes.barh(
                            y, mb, 0.36, end, hatch=hatch, **look | ({} if mb > 0 else {"lw": 0})
                        )
                        end += mb
                    total = f" {end:,.0f}" if end >= 100 else f" {end:.3g}"
                    axes.text(end, y, total, va="center_baseline", size=6)
            axes.set(
                yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.45, -0.55)
            )
            axes.set(xlim=(0, 1.2 * axes.dataLim.x1 or 1.0), axisbelow=True)  # room for the totals
            axes.grid(False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4))
        handles = [Patch(**look, label=kind) for kind, look in looks.items()]
        handles += [
            Patch(fc="w", ec="0.25", lw=0.3, hatch=h, label=way) for way, h in HATCH.items()
        ]
        finish(
            figure,
            f"Bytes by kind, mean over ω, {st.seeds_name(st.summarise(records)['n'])}",
            handles,
        )
        return figure


def _curve(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Mean over seeds, round by round: columns x, y (per cent), low and high (y ± 1 sd; NaN for one seed)."""
    rounds = rows.groupby("round")
    y, sd = 100 * rounds["accuracy"].mean(), 100 * rounds["accuracy"].std(ddof=1)
    return pd.DataFrame({"x": rounds[x].mean(), "y": y, "low": y - sd, "high": y + sd})
