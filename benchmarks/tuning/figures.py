"""The figures of a study: history, importances, slices, contour and Pareto front."""

import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from benchmarks.reporting.figures.look import LOOK, save
from benchmarks.reporting.figures.style import PALETTE, finish, new_panels, set_title
from benchmarks.reporting.figures.text import drawable
from benchmarks.reporting.parts import Failures, part
from benchmarks.tuning.figure_parts import (
    BEST_SO_FAR,
    DEFAULT_TRIAL,
    FINISHED,
    PRUNED,
    Marker,
    factor_of,
    is_default,
    label_of,
    legend_of,
    values_of,
)
from benchmarks.tuning.figures_of_settings import contour_figure, slices_figure
from benchmarks.tuning.plan import Plan
from benchmarks.tuning.retries import counted


def write_figures(
    study: optuna.Study, plan: Plan, folder: Path, failures: Failures | None = None
) -> list[Path]:
    """Write the figures that have something to show, each as PNG and SVG; return the paths.

    Args:
        study: The study.
        plan: Its plan.
        folder: Where the figures are written.
        failures: Get the figures that cannot be drawn; None: their errors are raised.
    """
    trials = counted(study, study.get_trials(False))
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    figures: dict[str, Callable[[], Figure | None]] = {
        "history": lambda: _history(trials, plan),
        "slices": lambda: slices_figure(finished, plan),
    }
    with part("figures/importances and contour", failures):
        weights = [importances(study, plan, i) for i in range(len(plan.objectives))]
        if any(weights):
            figures["importances"] = lambda: _importances(weights, plan)
            figures["contour"] = lambda: contour_figure(finished, plan, list(weights[0]))
    if len(plan.objectives) > 1:
        front = {trial.number for trial in study.best_trials}
        figures["pareto"] = lambda: _pareto(finished, front, plan)

    paths: list[Path] = []
    for name, draw in figures.items():
        with part(f"figures/{name}", failures), matplotlib.rc_context(LOOK):
            figure = draw()
            if figure is not None:
                paths += save(figure, folder, name)
    return paths


def importances(study: optuna.Study, plan: Plan, objective: int) -> dict[str, float]:
    """The share of an objective's variance that fANOVA attributes to each setting.

    Args:
        study: The study.
        plan: Its plan.
        objective: The objective's index.

    Returns:
        The shares by setting, largest first; empty with fewer than two settings or four trials,
        and where all trials have the same value.
    """
    finished = [trial for trial in study.get_trials(False) if trial.state == TrialState.COMPLETE]
    different = {trial.values[objective] for trial in finished}
    if len(plan.space) < 2 or len(finished) < 4 or len(different) < 2:
        return {}

    def value(trial: FrozenTrial) -> float:
        return trial.values[objective]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = FanovaImportanceEvaluator(seed=0)
        return get_param_importances(study, evaluator=evaluator, target=value)


def _history(trials: Sequence[FrozenTrial], plan: Plan) -> Figure:
    """Each objective over the number of the trial, and the best value so far."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    numbers = [trial.number for trial in finished]
    pruned = [
        trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values
    ]

    figure, panels = new_panels([""] * len(plan.objectives), (3.4, 2.2), "trial", "")
    for i, (axes, name) in enumerate(zip(panels, plan.objectives, strict=True)):
        values = values_of(finished, plan, i)
        axes.plot(numbers, values, **FINISHED)
        better = np.maximum if plan.directions[i] == "maximize" else np.minimum
        axes.plot(numbers, better.accumulate(values), **BEST_SO_FAR)

        # A pruned trial has no value; what it shows is the mean over its finished seeds.
        means = [np.mean(list(trial.intermediate_values.values())) for trial in pruned]
        axes.plot([trial.number for trial in pruned], np.array(means) * factor_of(name), **PRUNED)

        for trial, value in zip(finished, values, strict=True):
            if is_default(trial):
                axes.plot([trial.number], [value], **DEFAULT_TRIAL)
        axes.set_ylabel(label_of(name))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    markers = {"trial": FINISHED, "best so far": BEST_SO_FAR, "default": DEFAULT_TRIAL}
    if pruned:
        markers["pruned"] = PRUNED
    finish(figure, f"Trials of {plan.study}", legend_of(markers))
    return figure


def _importances(weights: Sequence[dict[str, float]], plan: Plan) -> Figure:
    """One bar per setting and objective."""
    titles = [label_of(name) for name in plan.objectives]
    size = (2.6, 0.28 * len(plan.space) + 0.2)
    figure, panels = new_panels(titles, size, "share of the variance (fANOVA)", "")
    for axes, shares in zip(panels, weights, strict=True):
        places = range(len(shares))
        axes.barh(places, list(shares.values()), height=0.6, color=PALETTE[0])
        axes.set_yticks(places, [drawable(name) for name in shares])
        for place, share in zip(places, shares.values(), strict=True):
            axes.text(share, place, f" {share:.2f}", va="center_baseline", size=6)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.15), axisbelow=True)
        axes.grid(False, axis="y")
    set_title(figure, f"What matters in {plan.study}")
    return figure


def _pareto(finished: Sequence[FrozenTrial], front: set[int], plan: Plan) -> Figure:
    """One panel per pair of objectives.

    Args:
        finished: The trials with a result.
        front: Numbers of the trials on the Pareto front.
        plan: The study's plan.
    """
    on_front = np.array([trial.number in front for trial in finished])
    default = np.array([is_default(trial) for trial in finished])
    dominated: Marker = PRUNED | {"marker": "o"}

    pairs = list(itertools.combinations(range(len(plan.objectives)), 2))
    figure, panels = new_panels([""] * len(pairs), (3.0, 2.4), "", "")
    for axes, (i, j) in zip(panels, pairs, strict=True):
        x = np.array(values_of(finished, plan, i))
        y = np.array(values_of(finished, plan, j))
        axes.plot(x[~on_front], y[~on_front], **dominated)
        axes.plot(x[on_front], y[on_front], **FINISHED)
        axes.plot(x[default], y[default], **DEFAULT_TRIAL)
        axes.set(xlabel=label_of(plan.objectives[i]), ylabel=label_of(plan.objectives[j]))

    markers = {"Pareto front": FINISHED, "dominated": dominated, "default": DEFAULT_TRIAL}
    finish(figure, f"Trade-offs in {plan.study}", legend_of(markers))
    return figure
