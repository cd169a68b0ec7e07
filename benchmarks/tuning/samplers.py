"""Optuna's samplers and pruners by the names of --sampler and --pruner."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)

from benchmarks.tuning.plan import Plan
from benchmarks.tuning.sobol import sobol_point
from mosaic.fl.rng import seed_of

HOLDING = ("tpe", "random")
"""The samplers that can draw with some settings held fixed: others need a space of fixed size."""


@contextmanager
def no_experimental_warnings() -> Iterator[None]:
    """Ignore the warnings that some versions of Optuna give for some samplers and pruners."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def sampler_of(plan: Plan, ordinal: int) -> BaseSampler:
    """The sampler for one trial.

    Each trial has a sampler of its own, with a seed of its own. Everything else that a sampler
    knows is in the storage, so a study that was stopped continues with the same draws.

    Args:
        plan: The study's plan.
        ordinal: How many trials the study has had before.
    """
    seed = seed_of(plan.seed, "sampler", ordinal) % 2**32
    with no_experimental_warnings():
        if plan.sampler == "tpe":
            return TPESampler(multivariate=True, constant_liar=True, seed=seed)
        if plan.sampler == "cmaes":
            return CmaEsSampler(seed=seed)
        if plan.sampler == "gp":
            return GPSampler(seed=seed)
        if plan.sampler == "sobol":
            return PartialFixedSampler(sobol_point(plan, ordinal), RandomSampler(seed=seed))
        return RandomSampler(seed=seed)


def pruner_of(plan: Plan) -> BasePruner:
    """The study's pruner. With several objectives no trial is pruned."""
    if len(plan.objectives) > 1 or plan.pruner == "none":
        return NopPruner()
    with no_experimental_warnings():
        if plan.pruner == "wilcoxon":
            return WilcoxonPruner(n_startup_steps=2)
        return MedianPruner()
