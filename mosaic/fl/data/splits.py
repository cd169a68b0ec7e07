"""Stratified splits of labels."""

import numpy as np
import torch

from mosaic.fl.errors import InputError
from mosaic.fl.rng import numpy_stream


def split_validation(
    labels: torch.Tensor, fraction: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hold out a stratified part of the training split for validation.

    Args:
        labels: int64 (n,).
        fraction: share to hold out, in [0, 1).
        seed: of the task.

    Returns:
        The positions of the training and of the validation images in `labels`, both ascending.
        There are v = round(fraction * n) validation images.

    Raises:
        InputError: the fraction is out of its range.
    """
    if not 0 <= fraction < 1:
        raise InputError(
            f"the validation fraction must be at least 0 and below 1, not {fraction!r}"
        )
    rng = numpy_stream(seed, "validation")
    kept, held_out = stratify(labels.cpu().numpy(), fraction, rng)
    return torch.from_numpy(kept), torch.from_numpy(held_out)


def stratify(
    labels: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split positions at random so that each class is divided in about the same proportion.

    Args:
        labels: of n images, int64 (n,).
        fraction: share of the second part, in [0, 1].
        rng: decides which images of a class are in which part.

    Returns:
        The positions in the first and in the second part, ascending.
    """
    sizes = np.bincount(labels)  # (K,)

    # Quotas are rounded down; what is missing goes to the classes that rounding cost most.
    wanted = fraction * sizes
    quotas = np.floor(wanted).astype(int)
    missing = round(fraction * len(labels)) - quotas.sum()
    quotas[np.argsort(quotas - wanted, kind="stable")[:missing]] += 1

    # The first images of each class, up to its quota, are the second part.
    by_class = shuffle_by_class(labels, rng)
    starts = np.cumsum(sizes) - sizes
    rank_in_class = np.arange(len(labels)) - np.repeat(starts, sizes)
    chosen = rank_in_class < np.repeat(quotas, sizes)
    return np.sort(by_class[~chosen]), np.sort(by_class[chosen])


def shuffle_by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions (n,) in the order of their classes, shuffled within each class."""
    shuffled = rng.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]
