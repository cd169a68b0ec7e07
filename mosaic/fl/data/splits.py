"""Stratified splits of labels."""

import numpy as np
import torch

from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream


def split_validation(
    labels: torch.Tensor, fraction: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hold out a stratified `fraction` in [0, 1) of the training pool: positions in labels (n,), ascending.

    Returns (training, validation), of n - v and v = round(fraction * n) positions.
    """
    if not 0 <= fraction < 1:
        raise InputError(
            f"the validation fraction must be at least 0 and below 1, not {fraction!r}"
        )
    kept, held = stratify(labels.cpu().numpy(), fraction, numpy_stream(seed, "validation"))
    return torch.from_numpy(kept), torch.from_numpy(held)


def stratify(
    labels: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.bincount(labels)
    wanted = fraction * sizes
    quotas = np.floor(wanted).astype(int)
    rest = round(fraction * len(labels)) - quotas.sum()
    quotas[np.argsort(quotas - wanted, kind="stable")[:rest]] += (
        1  # to the classes that rounding down cost most
    )
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
    held = rank < np.repeat(quotas, sizes)
    return np.sort(by_class[~held]), np.sort(by_class[held])
