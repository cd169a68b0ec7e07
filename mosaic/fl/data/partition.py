"""Dirichlet laws that always succeed; the partition's certificate.

A law draws a table of counts, clients x classes. The table is repaired until each client has `min_samples`, and only
then are the samples dealt out by it, so a partition is disjoint and complete by construction, and is never redrawn.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.json_values import to_json
from mosaic.fl.rng import numpy_stream

OMEGA_MIN = 1e-4


@dataclass(frozen=True, eq=False)
class Partition:
    """Who holds what.

    indices: for each client its positions in the pool's labels, ascending, int64 (n_i,).
    moved: how many samples the repair took from one client for another; 0 where the law itself gave enough.
    label_counts: int64 (N, K), samples of class k at client i; K is the pool's largest label + 1.
    """

    indices: tuple[torch.Tensor, ...]
    moved: int
    label_counts: torch.Tensor
    omega: float
    law: str
    seed: int

    def certificate(self) -> dict:
        """What shows, as JSON, that two runs stood on the same partition, and how heterogeneous it is.

        `mean_total_variation` is the distance in [0, 1) from a client's label distribution to the pool's, averaged over
        clients with equal weight, whatever their sizes. `gini` of the sizes is 0 for equal ones, and below 1.
        `omega` is the text "inf" where it is infinite, for which JSON has no number.
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
            "moved": self.moved,
            "mean_total_variation": float(np.abs(shares - prior).sum(1).mean() / 2),
            "mean_classes_per_client": float((counts > 0).sum(1).mean()),
            "gini": _gini(sizes),
            "sizes": sizes.tolist(),
            "label_counts": counts.tolist(),
        }


def partition(
    labels: torch.Tensor, n_clients: int, omega: float, law: str, min_samples: int, seed: int
) -> Partition:
    """Split a pool of labels (n,) among `n_clients`, by one of LAWS, each client getting at least `min_samples`.

    omega: concentration in [1e-4, inf]; small gives each client few classes, inf gives all clients the same.
    min_samples: at least 1. The repair moves as few samples as can be: the sum of what the clients lack.

    A pure function of its arguments. InputError for any of them that is out of its range.
    """
    _check(labels, n_clients, omega, law, min_samples)
    pool = labels.cpu().numpy()
    drawn = LAWS[law](
        np.bincount(pool), n_clients, float(omega), numpy_stream(int(seed), "partition", law)
    )
    counts, moved = _repair(drawn, min_samples)
    indices = _deal(pool, counts, numpy_stream(int(seed), "partition", "deal"))
    return Partition(indices, moved, torch.from_numpy(counts), float(omega), law, int(seed))


def _check(labels: torch.Tensor, n_clients: int, omega: float, law: str, min_samples: int) -> None:
    if labels.ndim != 1 or labels.dtype != torch.int64 or not len(labels) or labels.min() < 0:
        raise InputError(
            f"labels must be a non-empty int64 vector of classes from 0, not {labels.dtype} {labels.shape}"
        )
    if law not in LAWS:
        raise did_you_mean("partition law", law, LAWS)
    if (
        isinstance(omega, bool) or not isinstance(omega, int | float) or not omega >= OMEGA_MIN
    ):  # nan fails `>=` too
        raise InputError(f"omega must be a number from {OMEGA_MIN} to inf, not {omega!r}")
    for what, value in ("n_clients", n_clients), ("min_samples", min_samples):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{what} must be a whole number from 1, not {value!r}")
    if n_clients * min_samples > len(labels):
        raise InputError(
            f"{n_clients} clients with at least {min_samples} samples each need {n_clients * min_samples} samples, but "
            f"the pool has {len(labels)}: give at most {len(labels) // min_samples} clients, or a smaller min_samples"
        )


def _by_class(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """Each class is cut among the clients by p ~ Dir(omega 1_N); sizes fall out as they may. (K,) -> (N, K)."""
    logits = _log_dirichlet(omega, np.ones((len(class_sizes), n_clients)), rng)
    return _cut(logits, class_sizes, rng).T


def _by_class_balanced(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """As `class`, class after class, but a client that already holds n/N samples or more gets none of the next class.

    The law of LightFed, DENSE and Mosaic. (K,) -> (N, K).
    """
    logits = _log_dirichlet(omega, np.ones((len(class_sizes), n_clients)), rng)  # (K, N)
    counts = np.zeros((n_clients, len(class_sizes)), np.int64)
    for k, size in enumerate(class_sizes):
        # Someone is always below the mean while samples are left. In logarithms the p of those cannot all underflow.
        full = counts.sum(1) * n_clients >= class_sizes.sum()
        if size:
            counts[:, k] = _cut(np.where(full, -np.inf, logits[k]), size, rng)
    return counts


def _by_client(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """Each client draws its class proportions q ~ Dir(omega K prior); all have n/N samples (or one more). -> (N, K).

    The base measure is the pool's own prior, not the uniform one: the two agree on a balanced pool, and with the prior
    omega = inf means the pool's distribution at each client on any pool. The law of FedFTG and Co-Boosting.

    Sampling is without replacement. All clients ask at once; where more is asked of a class than is left, chance
    decides who gets it, and those who went without ask again with q renormalised over the classes that are left. Each
    time at least one class is used up, so K times are enough.
    """
    present = np.flatnonzero(class_sizes)
    stock = class_sizes[present].copy()
    base = np.tile(stock / stock.mean(), (n_clients, 1))
    logits = _log_dirichlet(omega, base, rng)
    missing = np.full(n_clients, stock.sum() // n_clients)
    missing[: stock.sum() % n_clients] += 1
    counts = np.zeros((n_clients, len(class_sizes)), np.int64)
    while missing.any():
        asked = _cut(np.where(stock, logits, -np.inf), missing, rng)
        for k in np.flatnonzero(asked.sum(0) > stock):
            asked[:, k] = rng.multivariate_hypergeometric(asked[:, k], stock[k], method="marginals")
        counts[:, present] += asked
        stock -= asked.sum(0)
        missing -= asked.sum(1)
    return counts


LAWS = {"class": _by_class, "class_balanced": _by_class_balanced, "client": _by_client}


def _log_dirichlet(omega: float, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logarithms, up to a constant a row, of one draw from Dir(omega * row) for each row of `base`. (R, M) -> (R, M).

    At omega = 1e-4 all but one share are below the smallest float, so only their logarithms can be compared:
    Gamma(a) = Gamma(a + 1) U^(1/a). At 1e30 the draw is its mean to the last digit, which serves for infinity.
    """
    alpha = min(omega, 1e30) * base
    return np.log(rng.standard_gamma(alpha + 1)) + np.log1p(-rng.random(alpha.shape)) / alpha


def _cut(logits: np.ndarray, totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut each total at its row's cumulative shares, softmax(logits). (..., M), (...) -> counts (..., M).

    All cuts of a row are shifted by one random fraction before they are rounded down. Each count is then within one of
    its share, and exact in the mean; unshifted, equal shares would favour the same clients in every class.
    """
    totals = np.asarray(totals)[..., None]
    cumulative = np.cumsum(np.exp(logits - logits.max(-1, keepdims=True)), -1)
    edges = np.floor(cumulative / cumulative[..., -1:] * totals + rng.random(totals.shape))
    return np.diff(np.minimum(edges, totals), axis=-1, prepend=0).astype(np.int64)


def _repair(counts: np.ndarray, min_samples: int) -> tuple[np.ndarray, int]:
    """Give each client `min_samples` by moving the fewest samples: (N, K) -> (N, K) and how many moved.

    Nothing moves but what is lacking. Each gift is the largest that one client can make of one class without falling
    below `min_samples` itself, of a class that the receiver already holds where anyone can spare one. So a receiver
    gets few new classes, and the large piles give, whose owners' distributions it changes least.
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
    """Deal the shuffled samples of each class to the clients by `counts` (N, K)."""
    n_clients, n_classes = counts.shape
    shuffled = rng.permutation(len(pool))
    by_class = shuffled[np.argsort(pool[shuffled], kind="stable")]
    owners = np.empty(len(pool), np.int64)
    owners[by_class] = np.repeat(np.tile(np.arange(n_clients), n_classes), counts.T.ravel())
    return torch.from_numpy(np.argsort(owners, kind="stable")).split(counts.sum(1).tolist())


def _gini(sizes: np.ndarray) -> float:
    """sum_ij |s_i - s_j| / (2 N sum_i s_i), from the sorted sizes."""
    n = len(sizes)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(sizes) / (n * sizes.sum()))
