"""The Dirichlet laws that draw how many samples of each class every client has."""

import numpy as np


def _by_class(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """Cut each class among the clients by p ~ Dir(omega 1_N), whatever sizes result.

    Args:
        class_sizes: samples per class in the pool (K,).
        n_clients: N.
        omega: concentration, in [1e-4, inf].
        rng: of the law's draws.

    Returns:
        Samples per client and class (N, K).
    """
    logits = _log_dirichlet(omega, np.ones((len(class_sizes), n_clients)), rng)
    return _cut(logits, class_sizes, rng).T


def _by_class_balanced(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """As `_by_class`, but a client with n/N samples or more gets none of the next class.

    The law of LightFed, DENSE and Mosaic. Arguments and result are those of `_by_class`.
    """
    logits = _log_dirichlet(omega, np.ones((len(class_sizes), n_clients)), rng)  # (K, N)
    counts = np.zeros((n_clients, len(class_sizes)), np.int64)
    for k, size in enumerate(class_sizes):
        if size == 0:
            continue
        # Some client is always below the mean while samples are left. The p of those clients could
        # all underflow; their logarithms cannot.
        full = counts.sum(1) * n_clients >= class_sizes.sum()
        counts[:, k] = _cut(np.where(full, -np.inf, logits[k]), size, rng)
    return counts


def _by_client(
    class_sizes: np.ndarray, n_clients: int, omega: float, rng: np.random.Generator
) -> np.ndarray:
    """Each client draws its class proportions q ~ Dir(omega K prior); all have n/N samples.

    The law of FedFTG and Co-Boosting. Arguments and result are those of `_by_class`. Where N does
    not divide n, some clients have one sample more.

    The base measure is the pool's own prior, not the uniform one. The two agree on a balanced pool;
    with the prior, omega = inf gives each client the pool's distribution on any pool.

    Sampling is without replacement. All clients request their samples of all classes together.
    Where more of a class is requested than is left, chance decides which requests are met, and the
    others are repeated with q renormalised over the classes that are left. Each repetition uses up
    at least one class, so K of them are enough.
    """
    present = np.flatnonzero(class_sizes)
    stock = class_sizes[present].copy()
    base = np.tile(stock / stock.mean(), (n_clients, 1))
    logits = _log_dirichlet(omega, base, rng)

    missing = np.full(n_clients, stock.sum() // n_clients)
    missing[: stock.sum() % n_clients] += 1
    counts = np.zeros((n_clients, len(class_sizes)), np.int64)
    while missing.any():
        requests = _cut(np.where(stock, logits, -np.inf), missing, rng)
        for k in np.flatnonzero(requests.sum(0) > stock):
            requests[:, k] = rng.multivariate_hypergeometric(
                requests[:, k], stock[k], method="marginals"
            )
        counts[:, present] += requests
        stock -= requests.sum(0)
        missing -= requests.sum(1)
    return counts


LAWS = {"class": _by_class, "class_balanced": _by_class_balanced, "client": _by_client}
"""The laws that draw a table of samples per client and class, by name."""


def _log_dirichlet(omega: float, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw from Dir(omega * row) for each row of `base` (R, M).

    At omega = 1e-4 all shares but one are below the smallest float, and only their logarithms can
    be compared. They come from Gamma(a) = Gamma(a + 1) U^(1/a). At 1e30 the draw equals its mean in
    all digits, so it serves for infinity.

    Returns:
        The logarithms of the shares, up to a constant per row, (R, M).
    """
    alpha = min(omega, 1e30) * base
    return np.log(rng.standard_gamma(alpha + 1)) + np.log1p(-rng.random(alpha.shape)) / alpha


def _cut(
    logits: np.ndarray, totals: np.ndarray | np.integer, rng: np.random.Generator
) -> np.ndarray:
    """Cut each total at the cumulative shares of its row, softmax(logits).

    All cuts of a row are shifted by one random fraction before they are rounded down. So each count
    is within one of its share, and exact in the mean. Without the shift, equal shares would favour
    the same clients in every class.

    Args:
        logits: (..., M).
        totals: (...).
        rng: of the shifts.

    Returns:
        Counts (..., M), whose sums are the totals.
    """
    totals = np.asarray(totals)[..., None]
    cumulative = np.cumsum(np.exp(logits - logits.max(-1, keepdims=True)), -1)
    edges = np.floor(cumulative / cumulative[..., -1:] * totals + rng.random(totals.shape))
    return np.diff(np.minimum(edges, totals), axis=-1, prepend=0).astype(np.int64)
