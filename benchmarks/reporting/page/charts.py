"""What all figures of the page share: Vega-Lite's specifications and the look of methods."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context, Method

FAINT = 0.4
"""Opacity of the methods that a figure does not put in front."""

ACCURACY = "accuracy (per cent)"
"""The title of an axis."""

Spec = dict[str, Any]

CONFIG: Spec = {
    # the element around a figure has its text; Vega's own marks lack some
    "aria": False,
    "mark": {"aria": False},
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelLimit": 150, "titleFontWeight": 500, "labelOverlap": True},
}
"""The look of all figures. Colours of texts and axes are in page.css: there are two."""


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        title: above it.
        summary: what it shows in words, for those who cannot see it.
        spec: Vega-Lite's specification.
        dataset: for the filter.
        widths: for the filter.
        omega: for the filter; "" for a figure of all omegas.
    """

    title: str
    summary: str
    spec: Spec
    dataset: str
    widths: str
    omega: str = ""

    @property
    def json(self) -> str:
        """The specification; JSON has no NaN, and markup in it must not end the script."""
        text = json.dumps(_finite(self.spec), ensure_ascii=True, separators=(",", ":"))
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def chart(context: Context, title: str, summary: str, group: tuple, spec: Spec) -> Chart:
    """A figure of a setting (3 values) or a group (4 values)."""
    dataset, _, widths, *omega = group
    title = f"{title}: {context.name_of(group[:3])}"
    if omega:
        title += f", {context.omega_names[omega[0]]}"
    at = number(omega[0]) if omega else ""
    return Chart(title, summary, spec, dataset, widths, at)


def layered(
    context: Context, values: list[Spec], layers: list[Spec], height: int, hover: int
) -> Spec:
    """A figure of layers over the same rows, each of one method (``label``).

    Args:
        context: which methods there are.
        values: the rows; those with a label are shown while the filter lets their method pass.
        layers: marks and encodings.
        height: in pixels.
        hover: the layer whose marks put a method in front when the pointer is over them.
    """
    labels = list(dict.fromkeys(row["label"] for row in values))
    over = {"name": "over", "select": {"type": "point", "on": "pointerover", "fields": ["label"]}}
    over["select"]["clear"] = "pointerout"
    layers[hover] = {**layers[hover], "params": [over]}
    return {
        "width": "container",
        "height": height,
        "background": None,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "params": [{"name": "shown", "value": labels}],
        "data": {"values": values},
        "transform": [{"filter": "indexof(shown, datum.label) >= 0"}],
        "layer": layers,
        "config": CONFIG,
    }


def named(context: Context, label: str) -> Spec:
    """The fields that every row of a method has."""
    front = label == context.reference or context.methods[label].frame
    return {"label": label, "method": context.methods[label].name, "weight": 1 if front else FAINT}


def look(context: Context, labels: Sequence[str]) -> dict[str, Spec]:
    """Colour, shape and dashes of methods as channels of an encoding."""
    methods = [context.methods[label] for label in labels]
    return {
        "color": _channel(methods, [method.colour for method in methods]),
        "shape": _channel(methods, [method.shape for method in methods]),
        "strokeDash": _channel(methods, [method.dash or [1, 0] for method in methods]),
    }


def _channel(methods: list[Method], values: list[Any]) -> Spec:
    domain = [method.label for method in methods]
    return {
        "field": "label",
        "type": "nominal",
        "scale": {"domain": domain, "range": values},
        "legend": None,
    }


def opacity() -> Spec:
    """Full for the method under the pointer, else as the row says."""
    return {
        "condition": {"param": "over", "empty": False, "value": 1},
        "field": "weight",
        "type": "quantitative",
        "scale": None,
    }


def tips(*fields: tuple[str, str, str]) -> list[Spec]:
    """What the pointer shows: (field, title, format) each; "" for a text."""
    shown = []
    for field, title, form in fields:
        tip: Spec = {"field": field, "title": title, "type": "nominal"}
        if form:
            tip |= {"type": "quantitative", "format": form}
        shown.append(tip)
    return shown


def quantity(field: str, title: str, **more: Any) -> Spec:
    """A channel of numbers, whose axis need not begin at 0."""
    scale = more.pop("scale", {"zero": False, "nice": True})
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **more}
