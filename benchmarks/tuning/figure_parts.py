"""What the figures of a study share: markers, labels, axes, and the places of values on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from benchmarks.reporting.figures.style import PALETTE
from benchmarks.reporting.figures.text import drawable, tick_texts
from benchmarks.tuning.board import PER_CENT
from benchmarks.tuning.distributions import Distribution, Range
from benchmarks.tuning.plan import Plan

PANEL_CHARACTERS = 28
"""Of all ticks' texts below a panel, side by side; more of them are written upright."""

Marker = dict[str, Any]
"""Keywords of Axes.plot and Line2D."""

FINISHED: Marker = {"color": PALETTE[0], "marker": "o", "linestyle": ""}
PRUNED: Marker = {"color": "0.6", "marker": "x", "linestyle": ""}
BEST_SO_FAR: Marker = {"color": PALETTE[1], "marker": "", "drawstyle": "steps-post"}
DEFAULT_TRIAL: Marker = {"color": PALETTE[2], "marker": "D", "linestyle": "", "markersize": 5.5}


def legend_of(markers: dict[str, Marker]) -> list[Line2D | Patch]:
    """The handles of a legend.

    Args:
        markers: The marker of each text.
    """
    return [Line2D([], [], label=text, **marker) for text, marker in markers.items()]


def is_default(trial: FrozenTrial) -> bool:
    """Whether the trial has the method's default settings."""
    return bool(trial.user_attrs.get("default"))


def factor_of(objective: str) -> int:
    """What the values of an objective are multiplied with: fractions are shown in per cent."""
    return 100 if objective in PER_CENT else 1


def label_of(objective: str) -> str:
    """The label of an objective's axis."""
    if objective == "accuracy":
        return "accuracy (validation, per cent)"
    return objective.replace("_", " ")


def values_of(trials: Sequence[FrozenTrial], plan: Plan, objective: int) -> list[float]:
    """The values of one objective, in the unit in which they are shown.

    Args:
        trials: Trials with a result.
        plan: The study's plan.
        objective: The objective's index.
    """
    factor = factor_of(plan.objectives[objective])
    return [factor * trial.values[objective] for trial in trials]


def places_of(distribution: Distribution, values: Sequence[Any]) -> np.ndarray:
    """Where the values of a setting are on its axis.

    Choices are at 0, 1, 2, ...; numbers on a log scale at their logarithm to base 10.
    """
    if isinstance(distribution, CategoricalDistribution):
        return np.array([distribution.choices.index(value) for value in values], float)
    if distribution.log:
        return np.log10(values)
    return np.array(values, float)


def label_axis(axes: Axes, direction: str, key: str, distribution: Distribution) -> None:
    """Label the axis of a setting and set its limits and ticks.

    Args:
        axes: The panel.
        direction: "x" or "y".
        key: The setting.
        distribution: Its distribution.
    """
    axis = axes.xaxis if direction == "x" else axes.yaxis
    axis.set_label_text(drawable(key))
    if isinstance(distribution, CategoricalDistribution):
        choices = tick_texts([str(choice) for choice in distribution.choices])
        axis.set_ticks(range(len(choices)), choices)
        if direction == "x" and sum(len(choice) for choice in choices) > PANEL_CHARACTERS:
            axes.tick_params("x", rotation=90)
        return

    low, high = _limits(distribution)
    if direction == "x":
        axes.set_xlim(low, high)
    else:
        axes.set_ylim(low, high)
    axis.set_major_locator(MaxNLocator(4))
    if distribution.log:
        _label_log_scale(axis, key, distribution)


def _limits(distribution: Range) -> tuple[float, float]:
    """The ends of the axis: the range and 4 % of it on each side."""
    low, high = places_of(distribution, [distribution.low, distribution.high])
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _label_log_scale(axis: Any, key: str, distribution: Range) -> None:
    low, high = places_of(distribution, [distribution.low, distribution.high])
    # Ticks are at whole powers of ten where the range contains some.
    axis.set_major_locator(MaxNLocator(4, integer=bool(high - low >= 2)))

    def power_text(place: float, _: Any) -> str:
        return f"{10**place:.2g}"

    axis.set_major_formatter(power_text)
    axis.set_label_text(f"{drawable(key)} (log scale)")
