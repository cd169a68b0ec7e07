"""Partitions by Dirichlet laws (``partition_laws.py``), and the certificate of a partition.

A law draws a table of counts, clients x classes. It is drawn up to `max_draws` times, until each
client has `min_samples`; the code of DENSE, DFRD and Mosaic draws without a limit. Where no draw is
accepted, the first one is repaired. Then the samples are dealt out by the table. So a partition is
disjoint and complete by construction, and always found.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from mosaic.fl.data.partition_laws import LAWS
from mosaic.fl.data.splits import shuffle_by_class
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.json_values import to_json
from mosaic.fl.rng import numpy_stream

OMEGA_MIN = 1e-4


@dataclass(frozen=True, eq=False)
class Partition:
    """Which client has which samples of a pool.

    Attributes:
        indices: for each client its positions in the pool's labels, ascending, int64 (n_i,).
        draws: tables that were drawn; 0 where a file gave the partition.
        moved: samples that the repair moved; 0 where a draw gave each client enough.
        label_counts: samples per client and class, int64 (N, K); K is the pool's largest label + 1.
        omega: concentration of the law; infinite where a file gave the partition.
        law: one of LAWS, or "file".
        seed: of the task.
    """

    indices: tuple[torch.Tensor, ...]
    draws: int
    moved: int
    label_counts: torch.Tensor
    omega: float
    law: str
    seed: int

    def certificate(self) -> dict[str, Any]:
        """What shows that two runs used the same partition, and how heterogeneous it is.

        Returns:
            Values for JSON. `sha256` is of the clients' positions. `mean_total_variation` is the
            distance in [0, 1) between a client's label distribution and the pool's, averaged over
            clients with equal weight, whatever their sizes. `gini` of the sizes is 0 for equal
            ones, and below 1. `omega` is the text "inf" where it is infinite, because JSON has no
            such number.
        """
        counts = self.label_counts.numpy()  # (N, K)
        sizes = counts.sum(1)  # (N,)
        shares = counts / sizes[:, None]
        prior = counts.sum(0) / counts.sum()

        digest = hashlib.sha256(sizes.astype("<i8").tobytes())
        digest.update(torch.cat(self.indices).numpy().astype("<i8").tobytes())
        return {
            "sha256": digest.hexdigest(),
            "law": self.law,
            "omega": to_json(self.omega),
            "seed": self.seed,
            "draws": self.draws,
            "moved": self.moved,
            "repaired": self.moved > 0,
            "mean_total_variation": float(np.abs(shares - prior).sum(1).mean() / 2),
            "mean_classes_per_client": float((counts > 0).sum(1).mean()),
            "gini": _gini(sizes),
            "sizes": sizes.tolist(),
            "label_counts": counts.tolist(),
        }


def partition(
    labels: torch.Tensor,
    n_clients: int,
    omega: float,
    law: str,
    min_samples: int,
    seed: int,
    max_draws: int = 1,
) -> Partition:
    """Split a pool of labels among clients. A pure function of its arguments.

    Args:
        labels: of the pool, int64 (n,).
        n_clients: at least 1.
        omega: concentration in [1e-4, inf]. Small values give each client few classes, inf gives
            all clients the same distribution.
        law: one of LAWS.
        min_samples: each client gets at least so many, at least 1. A repair, where it is needed,
            moves as few samples as possible: the sum of what the clients lack.
        seed: of the task.
        max_draws: tables that are drawn, at least 1, before the first one is repaired. At omega
            0.01 and ten clients of 60,000 samples a quarter of the draws give each client ten; with
            a hundred clients hardly any does.

    Returns:
        The partition: each sample belongs to exactly one client.

    Raises:
        InputError: an argument is out of its range, or the pool is too small.
    """
    _check(labels, n_clients, omega, law, min_samples, max_draws)
    pool = labels.cpu().numpy()
    seed = int(seed)

    rng = numpy_stream(seed, "partition", law)
    draw = partial(LAWS[law], np.bincount(pool), n_clients, float(omega), rng)
    counts, draws = _accepted(draw, min_samples, max_draws)
    counts, moved = _repair(counts, min_samples)
    indices = _deal(pool, counts, numpy_stream(seed, "partition", "deal"))
    return Partition(indices, draws, moved, torch.from_numpy(counts), float(omega), law, seed)


def _accepted(
    draw: Callable[[], np.ndarray], min_samples: int, max_draws: int
) -> tuple[np.ndarray, int]:
    """The first drawn table in which each client has enough samples, else the first of all.

    Args:
        draw: draws a table of samples per client and class (N, K).
        min_samples: what each client needs.
        max_draws: how many are drawn at most.

    Returns:
        The table, and how many were drawn.
    """
    first = counts = draw()
    draws = 1
    while counts.sum(1).min() < min_samples:
        if draws == max_draws:
            return first, draws
        counts = draw()
        draws += 1
    return counts, draws


def _check(
    labels: torch.Tensor, n_clients: int, omega: float, law: str, min_samples: int, max_draws: int
) -> None:
    """Raise an InputError for the first argument of `partition` that is out of its range."""
    if labels.ndim != 1 or labels.dtype != torch.int64 or not len(labels) or labels.min() < 0:
        raise InputError(
            "labels must be a non-empty int64 vector of classes from 0, "
            f"not {labels.dtype} {labels.shape}"
        )
    if law not in LAWS:
        raise did_you_mean("partition law", law, LAWS)

    is_number = isinstance(omega, int | float) and not isinstance(omega, bool)
    if not is_number or not omega >= OMEGA_MIN:  # nan fails `>=` too
        raise InputError(f"omega must be a number from {OMEGA_MIN} to inf, not {omega!r}")
    at_least_one = {"n_clients": n_clients, "min_samples": min_samples, "max_draws": max_draws}
    for what, value in at_least_one.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{what} must be a whole number from 1, not {value!r}")

    if n_clients * min_samples > len(labels):
        raise InputError(
            f"{n_clients} clients with at least {min_samples} samples each need "
            f"{n_clients * min_samples} samples, but the pool has {len(labels)}: "
            f"give at most {len(labels) // min_samples} clients, or a smaller min_samples"
        )


def _repair(counts: np.ndarray, min_samples: int) -> tuple[np.ndarray, int]:
    """Give each client `min_samples` by moving the fewest samples.

    Only what is lacking is moved. Each gift is the largest that one client can make of one class
    without falling below `min_samples` itself, and of a class that the receiver has already, if any
    client can spare some of it. So a receiver gets few new classes, and the givers are clients with
    many samples of a class, whose distributions change least.

    Args:
        counts: samples per client and class (N, K).
        min_samples: N times this is at most the sum of the counts.

    Returns:
        The repaired counts (N, K), and how many samples moved.
    """
    counts = counts.copy()
    sizes = counts.sum(1)
    lacking = np.maximum(min_samples - sizes, 0)
    for receiver in np.flatnonzero(lacking):
        while sizes[receiver] < min_samples:
            spare = np.minimum(counts, np.maximum(sizes - min_samples, 0)[:, None])  # (N, K)
            familiar = spare * (counts[receiver] > 0)
            gifts = familiar if familiar.any() else spare
            giver, k = np.unravel_index(gifts.argmax(), gifts.shape)

            gift = min(gifts[giver, k], min_samples - sizes[receiver])
            counts[[giver, receiver], k] += [-gift, gift]
            sizes[[giver, receiver]] += [-gift, gift]
    return counts, int(lacking.sum())


def _deal(
    pool: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, ...]:
    """Deal the shuffled samples of each class to the clients.

    Args:
        pool: labels (n,).
        counts: samples per client and class (N, K).
        rng: of the shuffle.

    Returns:
        For each client its positions in the pool, ascending.
    """
    n_clients, n_classes = counts.shape
    owners = np.empty(len(pool), np.int64)
    owners[shuffle_by_class(pool, rng)] = np.repeat(
        np.tile(np.arange(n_clients), n_classes), counts.T.ravel()
    )
    return torch.from_numpy(np.argsort(owners, kind="stable")).split(counts.sum(1).tolist())


def _gini(sizes: np.ndarray) -> float:
    """sum_ij |s_i - s_j| / (2 N sum_i s_i), from the sorted sizes."""
    n = len(sizes)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(sizes) / (n * sizes.sum()))
