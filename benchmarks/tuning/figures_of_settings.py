"""The figures of a study whose axes are settings: slices and contour."""

import itertools
from collections.abc import Sequence

import matplotlib.tri
import numpy as np
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from benchmarks.reporting.figures.style import PALETTE, PANEL, new_panels, set_title
from benchmarks.tuning.figure_parts import (
    DEFAULT_TRIAL,
    Marker,
    is_default,
    label_axis,
    label_of,
    places_of,
    values_of,
)
from benchmarks.tuning.plan import Plan


def slices_figure(finished: Sequence[FrozenTrial], plan: Plan) -> Figure:
    """One panel per objective and setting: the objective over the setting.

    Args:
        finished: The trials with a result.
        plan: The study's plan.
    """
    pairs = list(itertools.product(range(len(plan.objectives)), plan.space))
    columns = min(3, len(plan.space))
    figure, panels = new_panels([""] * len(pairs), PANEL, "", "", across=columns)
    for axes, (i, key) in zip(panels, pairs, strict=True):
        distribution = plan.space[key]
        places = places_of(distribution, [trial.params[key] for trial in finished])
        values = values_of(finished, plan, i)
        numbers = [trial.number for trial in finished]
        axes.scatter(places, values, c=numbers, cmap="viridis_r", s=14, zorder=3)
        label_axis(axes, "x", key, distribution)
        axes.set_ylabel(label_of(plan.objectives[i]))

        for trial, place, value in zip(finished, places, values, strict=True):
            if is_default(trial):
                ring = {"facecolors": "none", "edgecolors": PALETTE[1]}
                axes.scatter([place], [value], s=42, zorder=4, **ring)

    # The colours are the same in all panels.
    figure.colorbar(panels[-1].collections[0], ax=panels, label="trial", aspect=30)
    set_title(figure, f"Each setting of {plan.study} (ring: the default)")
    return figure


def contour_figure(
    finished: Sequence[FrozenTrial], plan: Plan, keys: Sequence[str]
) -> Figure | None:
    """The first objective over the two numeric settings that matter most, between the trials.

    Args:
        finished: The trials with a result.
        plan: The study's plan.
        keys: The settings, most important first.

    Returns:
        None if there are no two numeric settings, if all trials are on one line, or if all have
        the same value.
    """
    numeric = [key for key in keys if not isinstance(plan.space[key], CategoricalDistribution)]
    if len(numeric) < 2:
        return None
    x_key, y_key = numeric[:2]
    x = places_of(plan.space[x_key], [trial.params[x_key] for trial in finished])
    y = places_of(plan.space[y_key], [trial.params[y_key] for trial in finished])
    surface = _surface(x, y, np.array(values_of(finished, plan, 0)))
    if surface is None:
        return None
    shape, means = surface

    figure, (axes,) = new_panels([""], (3.2, 2.6), "", "")
    levels = np.linspace(means.min(), means.max(), 11)
    filled = axes.tricontourf(shape, means, levels=levels, cmap="viridis")
    axes.plot(x, y, "o", color="w", markeredgecolor="0.2", markeredgewidth=0.5, markersize=3)
    diamond: Marker = DEFAULT_TRIAL | {"markeredgecolor": "w"}
    for trial, trial_x, trial_y in zip(finished, x, y, strict=True):
        if is_default(trial):
            axes.plot([trial_x], [trial_y], **diamond)
    label_axis(axes, "x", x_key, plan.space[x_key])
    label_axis(axes, "y", y_key, plan.space[y_key])
    axes.grid(False)
    figure.colorbar(filled, ax=axes, label=label_of(plan.objectives[0]), format="%.4g")
    set_title(
        figure,
        f"The two that matter most in {plan.study} (dots: trials, diamond: the default)",
    )
    return figure


def _surface(
    x: np.ndarray, y: np.ndarray, values: np.ndarray
) -> tuple[matplotlib.tri.Triangulation, np.ndarray] | None:
    """A triangulation of the trials, and the mean value at each of its points.

    Args:
        x: Places of the trials on the first axis (trials,).
        y: Places on the second axis (trials,).
        values: The objective (trials,).

    Returns:
        None if no surface can be drawn.
    """
    # Trials that differ in other settings only are one point, with their mean value.
    unit = np.stack([_to_unit(x), _to_unit(y)], 1).round(9)
    points, point_of_trial = np.unique(unit, axis=0, return_inverse=True)
    point_of_trial = point_of_trial.ravel()
    means = np.bincount(point_of_trial, values) / np.bincount(point_of_trial)

    on_a_line = np.linalg.matrix_rank(points - points.mean(0), tol=1e-6) < 2
    if len(points) < 4 or on_a_line or np.ptp(means) == 0:
        return None

    # The triangles are chosen on the unit square, where both axes count the same.
    triangles = matplotlib.tri.Triangulation(points[:, 0], points[:, 1]).triangles
    first = [int(np.flatnonzero(point_of_trial == i)[0]) for i in range(len(points))]
    return matplotlib.tri.Triangulation(x[first], y[first], triangles), means


def _to_unit(places: np.ndarray) -> np.ndarray:
    """The places moved and scaled to [0, 1]."""
    return (places - places.min()) / (np.ptp(places) or 1.0)
