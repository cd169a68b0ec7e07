"""What all sections of the page are made from, computed once."""

import tempfile
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from benchmarks.reporting import comparison
from benchmarks.reporting.figures.heatmaps import is_grid_point
from benchmarks.reporting.figures.style import method_styles
from benchmarks.reporting.frames import groups, of_label, with_status
from benchmarks.reporting.names import (
    is_frame,
    method_order,
    omega_names,
    omega_values,
    setting_name,
)
from benchmarks.reporting.page.sources import FOLDER
from benchmarks.reporting.pages.budget import data_free
from benchmarks.reporting.shown import shown_partitions
from benchmarks.running.archive import ARCHIVE, unpack
from benchmarks.texts import one_line

FRAME_COLOURS = {"local": "#8a8a8a", "centralised": "#6f6f6f"}
"""Black and light grey would vanish on one of the two backgrounds."""

SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "stroke",
    "<": "triangle-left",
    ">": "triangle-right",
    "p": "wedge",
    "h": "arrow",
    "x": "stroke",
    "+": "cross",
}
"""Matplotlib's marker: Vega's shape."""

FAMILY_OF_NEED = (
    ("raw data", "raw data"),
    ("synthetic images", "synthetic images"),
    ("prototypes", "prototypes"),
    ("generators", "generators"),
    ("proxy images", "proxy images"),
    ("label counts", "label counts"),
)
"""(What clients send beside models, the family's name); the first that fits."""


@dataclass(frozen=True)
class Method:
    """How the page shows a method.

    Attributes:
        label: its name in the records.
        name: the label on one line.
        family: what its clients send beside models.
        data_free: yes, no or a dash.
        colour: e.g. "#0173b2".
        shape: Vega's name of its marker.
        dash: lengths of its line's dashes and gaps; empty for a solid line.
        frame: whether it is the floor or the ceiling.
    """

    label: str
    name: str
    family: str
    data_free: str
    colour: str
    shape: str
    dash: list[float]
    frame: bool


@dataclass(frozen=True)
class Context:
    """The records of a page, and what is computed from them.

    Attributes:
        records: rows per cell and scored round, with the column ``folder``.
        reference: label of the method that the others are compared with.
    """

    records: pd.DataFrame
    reference: str

    @cached_property
    def done(self) -> pd.DataFrame:
        """The rows of finished cells."""
        return with_status(self.records, "done")

    @cached_property
    def last(self) -> pd.DataFrame:
        """The last round of each finished cell."""
        return comparison.selected_rounds(self.records, "last")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per group and method."""
        return comparison.summarise(self.records)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Which method is best in each group, and whether that is significant."""
        return comparison.best_methods(self.records)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Paired differences to the reference."""
        return comparison.paired_differences(self.records, self.reference)

    @cached_property
    def omegas(self) -> dict[float, str]:
        """Each omega as the cell of a table: "0.1", or "given split"."""
        return omega_values(self.records)

    @cached_property
    def omega_names(self) -> dict[float, str]:
        """Each omega as a heading or within a sentence: "ω 0.1", or "given split"."""
        return omega_names(self.records)

    @cached_property
    def settings(self) -> list[tuple[tuple, pd.DataFrame]]:
        """Each data set, number of clients and widths, with its rows."""
        return list(groups(self.records, comparison.SETTING))

    @cached_property
    def methods(self) -> dict[str, Method]:
        """How each method is shown, in the order of the tables."""
        styles = method_styles(self.records)
        return {label: self._method(label, styles[label]) for label in method_order(self.records)}

    def _method(self, label: str, style: dict) -> Method:
        rows = of_label(self.records, label)
        line = style["linestyle"]
        return Method(
            label=label,
            name=one_line(label),
            family=_family(rows, label),
            data_free=data_free(rows),
            colour=FRAME_COLOURS.get(label) or to_hex(style["color"]),
            shape=SHAPES.get(style["marker"], "circle"),
            dash=[] if line == "-" else list(line[1]),
            frame=is_frame(label),
        )

    @cached_property
    def partition_counts(self) -> dict[tuple, np.ndarray]:
        """Images per client and class (N, K), by data set, number of clients and omega.

        Certificates that are only in an archive are read from a copy of it.
        """
        found: dict[tuple, np.ndarray] = {}
        for (folder,), rows in groups(self.records, [FOLDER]):
            with tempfile.TemporaryDirectory() as copy, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the page names what is absent
                place = Path(folder)
                if (place / ARCHIVE).exists() and not (place / "partitions").is_dir():
                    place = Path(copy)
                    unpack(Path(folder), into=place)
                for key, table in shown_partitions(rows, place).items():
                    found.setdefault(key, table)  # the first folder's
        return found

    @cached_property
    def in_figures(self) -> "Context":
        """The same without the points of grids, which would hide all other methods as lines."""
        others = self.records.loc[~is_grid_point(self.records)]
        if len(others) == len(self.records) or not len(with_status(others, "done")):
            return self
        return Context(others, self.reference)

    def name_of(self, setting: tuple) -> str:
        """A setting in words, on one line."""
        return one_line(setting_name(*setting))


def _family(rows: pd.DataFrame, label: str) -> str:
    if is_frame(label):
        return "floor and ceiling"
    needs = ""
    if "needs" in rows:
        needs = " ".join(str(value) for value in rows["needs"].dropna().unique())
    for need, family in FAMILY_OF_NEED:
        if need in needs:
            return family
    return "models only"
