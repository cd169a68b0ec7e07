"""Random numbers from named parts, so that no draw depends on what was drawn before it.

Every draw is made on the CPU by a generator of its own and then moved to the device, so a seed
means the same on every device. Seeds of work that methods share (initial weights, batches,
participants, partitions) never contain a method's name: methods are compared seed by seed, and
must see the same draws. Draws that only one method makes, such as a server's noise, may contain it.
"""

import hashlib

import numpy as np
import torch


def seed_of(*names: int | float | str) -> int:
    """A seed of 63 bits, hashed from its parts.

    Args:
        names: What the draw is for, for example ``task.seed, "participants", round``.
    """
    text = "\x1f".join(f"{type(name).__name__}:{name!r}" for name in names)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(*names: int | float | str) -> torch.Generator:
    """A PyTorch generator on the CPU, seeded by :func:`seed_of` the same parts."""
    return torch.Generator().manual_seed(seed_of(*names))


def numpy_stream(*names: int | float | str) -> np.random.Generator:
    """A NumPy generator, seeded by :func:`seed_of` the same parts."""
    return np.random.default_rng(seed_of(*names))
