"""The figures of a study, in the look of the other figures: history, importances, slices, contour, Pareto front."""

import itertools
import textwrap
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.tri
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from benchmarks.reporting.figures.style import LOOK, PALETTE, PANEL, finish, new_panels, save
from benchmarks.tuning.board import PER_CENT
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.studies import counted

DONE = {"color": PALETTE[0], "marker": "o", "linestyle": ""}
CUT = {"color": "0.6", "marker": "x", "linestyle": ""}
BEST = {"color": PALETTE[1], "marker": "", "drawstyle": "steps-post"}
FIRST = {"color": PALETTE[2], "marker": "D", "linestyle": "", "markersize": 5.5}


def write_figures(study: optuna.Study, plan: Plan, folder: Path) -> list[Path]:
    """Write those of the figures that have something to show, each as PNG and SVG; return the paths."""
    trials = counted(study, study.get_trials(False))
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    weights = [importances(study, plan, i) for i in range(len(plan.objectives))]
    with matplotlib.rc_context(LOOK):
        drawn = {"history": _history(trials, plan), "slices": _slices(done, plan)}
        if any(weights):
            drawn["importances"] = _importances(weights, plan)
            drawn["contour"] = _contour(done, plan, weights[0])
        if len(plan.objectives) > 1:
            drawn["pareto"] = _pareto(done, [trial.number for trial in study.best_trials], plan)
    return [path for name, figure in drawn.items() if figure for path in save(figure, folder, name)]


def importances(study: optuna.Study, plan: Plan, objective: int) -> dict[str, float]:
    """The share of an objective's variance that fANOVA gives to each setting, largest first; {} with too few trials."""
    done = [trial for trial in study.get_trials(False) if trial.state == TrialState.COMPLETE]
    if len(plan.space) < 2 or len(done) < 4 or len({trial.values[objective] for trial in done}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = FanovaImportanceEvaluator(seed=0)
        return get_param_importances(
            study, evaluator=evaluator, target=lambda trial: trial.values[objective]
        )


def _history(trials: list[FrozenTrial], plan: Plan) -> Figure:
    figure, panels = new_panels([""] * len(plan.objectives), (3.4, 2.2), "trial", "")
    for i, (axes, name) in enumerate(zip(panels, plan.objectives, strict=True)):
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        numbers, values = [trial.number for trial in done], _values(done, plan, i)
        axes.plot(numbers, values, **DONE)
        best = (np.maximum if plan.directions[i] == "maximize" else np.minimum).accumulate(values)
        axes.plot(numbers, best, **BEST)
        cut = [
            trial
            for trial in trials
            if trial.state == TrialState.PRUNED and trial.intermediate_values
        ]
        means = [np.mean([*trial.intermediate_values.values()]) for trial in cut]
        axes.plot([trial.number for trial in cut], np.array(means) * _factor(name), **CUT)
        for trial, value in zip(done, values, strict=True):
            if trial.user_attrs.get("default"):
                axes.plot([trial.number], [value], **FIRST)
        axes.set_ylabel(_label(name))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    looks = {"trial": DONE, "best so far": BEST, "default": FIRST} | (
        {"pruned": CUT} if cut else {}
    )
    finish(
        figure,
        f"Trials of {plan.study}",
        [Line2D([], [], label=text, **look) for text, look in looks.items()],
    )
    return figure


def _importances(weights: list[dict[str, float]], plan: Plan) -> Figure:
    size = (2.6, 0.28 * len(plan.space) + 0.2)
    figure, panels = new_panels(
        [_label(name) for name in plan.objectives], size, "share of the variance (fANOVA)", ""
    )
    for axes, shares in zip(panels, weights, strict=True):
        names = list(shares)
        axes.barh(names, [shares[name] for name in names], height=0.6, color=PALETTE[0])
        for name in names:
            axes.text(shares[name], name, f" {shares[name]:.2f}", va="center_baseline", size=6)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.15), axisbelow=True)
        axes.grid(False, axis="y")
    figure.suptitle(textwrap.fill(f"What matters in {plan.study}", 13 * int(figure.get_figwidth())))
    return figure


def _slices(done: list[FrozenTrial], plan: Plan) -> Figure:
    pairs = list(itertools.product(range(len(plan.objectives)), plan.space))
    figure, panels = new_panels([""] * len(pairs), PANEL, "", "", across=min(3, len(plan.space)))
    for axes, (i, key) in zip(panels, pairs, strict=True):
        where, values = [trial.params[key] for trial in done], _values(done, plan, i)
        look = {"c": [trial.number for trial in done], "cmap": "viridis_r", "s": 14, "zorder": 3}
        points = axes.scatter(_places(plan.space[key], where), values, **look)
        _axis(axes, "x", key, plan.space[key])
        axes.set_ylabel(_label(plan.objectives[i]))
        for trial, value in zip(done, values, strict=True):
            if trial.user_attrs.get("default"):
                ring = {"facecolors": "none", "edgecolors": PALETTE[1], "s": 42, "zorder": 4}
                axes.scatter(_places(plan.space[key], [trial.params[key]]), [value], **ring)
    figure.colorbar(points, ax=panels, label="trial", aspect=30)
    figure.suptitle(
        textwrap.fill(
            f"Each setting of {plan.study} (ring: the default)", 13 * int(figure.get_figwidth())
        )
    )
    return figure


def _contour(done: list[FrozenTrial], plan: Plan, weights: dict[str, float]) -> Figure | None:
    """The first objective over the two numbers that matter most, between the trials that were run.

    None where there are no two, or where all trials lie on a line.
    """
    keys = [key for key in weights if not isinstance(plan.space[key], CategoricalDistribution)][:2]
    if len(keys) < 2:
        return None
    across, up = (_places(plan.space[key], [trial.params[key] for trial in done]) for key in keys)
    values = np.array(_values(done, plan, 0))
    points, first = np.unique(
        np.stack([_unit(across), _unit(up)], 1).round(9), axis=0, return_inverse=True
    )
    means = np.bincount(first.ravel(), values) / np.bincount(
        first.ravel()
    )  # of trials that differ elsewhere only
    if (
        len(points) < 4
        or np.linalg.matrix_rank(points - points.mean(0), tol=1e-6) < 2
        or np.ptp(means) == 0
    ):
        return None
    order = [int(np.flatnonzero(first.ravel() == i)[0]) for i in range(len(points))]
    corners = matplotlib.tri.Triangulation(points[:, 0], points[:, 1]).triangles
    figure, (axes,) = new_panels([""], (3.2, 2.6), "", "")
    shape = matplotlib.tri.Triangulation(across[order], up[order], corners)
    filled = axes.tricontourf(
        shape, means, levels=np.linspace(means.min(), means.max(), 11), cmap="viridis"
    )
    axes.plot(across, up, "o", color="w", markeredgecolor="0.2", markeredgewidth=0.5, markersize=3)
    for trial, x, y in zip(done, across, up, strict=True):
        if trial.user_attrs.get("default"):
            axes.plot([x], [y], **FIRST | {"markeredgecolor": "w"})
    for way, key in zip("xy", keys, strict=True):
        _axis(axes, way, key, plan.space[key])
    axes.grid(False)
    figure.colorbar(filled, ax=axes, label=_label(plan.objectives[0]), format="%.4g")
    title = f"The two that matter most in {plan.study} (dots: trials, diamond: the default)"
    figure.suptitle(textwrap.fill(title, 13 * int(figure.get_figwidth())))
    return figure


def _pareto(done: list[FrozenTrial], front: list[int], plan: Plan) -> Figure:
    pairs = list(itertools.combinations(range(len(plan.objectives)), 2))
    figure, panels = new_panels([""] * len(pairs), (3.0, 2.4), "", "")
    for axes, (i, j) in zip(panels, pairs, strict=True):
        x, y = np.array(_values(done, plan, i)), np.array(_values(done, plan, j))
        best = np.array([trial.number in front for trial in done])
        axes.plot(x[~best], y[~best], **CUT | {"marker": "o"})
        axes.plot(x[best], y[best], **DONE)
        first = np.array([bool(trial.user_attrs.get("default")) for trial in done])
        axes.plot(x[first], y[first], **FIRST)
        axes.set(xlabel=_label(plan.objectives[i]), ylabel=_label(plan.objectives[j]))
    looks = {"Pareto front": DONE, "dominated": CUT | {"marker": "o"}, "default": FIRST}
    finish(
        figure,
        f"Trade-offs in {plan.study}",
        [Line2D([], [], label=text, **look) for text, look in looks.items()],
    )
    return figure


def _factor(name: str) -> float:
    return 100 if name in PER_CENT else 1


def _label(name: str) -> str:
    return "accuracy (validation, per cent)" if name == "accuracy" else name.replace("_", " ")


def _values(trials: list[FrozenTrial], plan: Plan, objective: int) -> list[float]:
    return [_factor(plan.objectives[objective]) * trial.values[objective] for trial in trials]


def _places(distribution: BaseDistribution, values: list[Any]) -> np.ndarray:
    """Where the values stand on an axis: choices at 0, 1, 2; on a log scale the logarithm to base ten."""
    if isinstance(distribution, CategoricalDistribution):
        return np.array([distribution.choices.index(value) for value in values], float)
    return np.log10(values) if distribution.log else np.array(values, float)


def _unit(places: np.ndarray) -> np.ndarray:
    return (places - places.min()) / (np.ptp(places) or 1.0)


def _axis(axes: Axes, way: str, key: str, distribution: BaseDistribution) -> None:
    axis = getattr(axes, f"{way}axis")
    axis.set_label_text(key)
    if isinstance(distribution, CategoricalDistribution):
        axis.set_ticks(
            range(len(distribution.choices)), [str(choice) for choice in distribution.choices]
        )
        return
    low, high = _places(distribution, [distribution.low, distribution.high])
    getattr(axes, f"set_{way}lim")(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axis.set_major_locator(MaxNLocator(4))
    if distribution.log:
        axis.set_major_locator(
            MaxNLocator(4, integer=high - low >= 2)
        )  # whole powers of ten where there are some
        axis.set_major_formatter(lambda place, _: f"{10**place:.2g}")
        axis.set_label_text(f"{key} (log scale)")
