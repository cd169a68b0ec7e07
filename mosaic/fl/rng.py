"""Random numbers from named parts, so that no draw depends on what else ran before it, or where.

Every draw is made on the CPU by a generator of its own and moved to the device, so a seed means the same on each
device. A method's name is never a part: methods are paired seed by seed.
"""

import hashlib

import numpy as np
import torch


def seed_of(*names: int | float | str) -> int:
    """A 63-bit seed hashed from the parts, e.g. ``seed_of(task.seed, "local", round, client)``."""
    text = "\x1f".join(f"{type(n).__name__}:{n!r}" for n in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(*names: int | float | str) -> torch.Generator:
    """A CPU generator seeded by :func:`seed_of`."""
    return torch.Generator().manual_seed(seed_of(*names))


def numpy_stream(*names: int | float | str) -> np.random.Generator:
    """The same for numpy."""
    return np.random.default_rng(seed_of(*names))
