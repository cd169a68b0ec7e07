"""One result of a stage per client, read when it is used."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from mosaic.fl.cache import in_use

MODELS_IN_MEMORY = 10


class LazyModels(Sequence):
    """A sequence of a stage's results, one per client, of which the last ten are in memory.

    All are computed, and charged, when the sequence is made. Each is read from the cache when it is
    used: the large models of a hundred clients would not fit into memory. Without a cache all stay
    in memory.
    """

    def __init__(self, call: Callable[[int], Any], n: int):
        """
        Args:
            call: The stage as a function of the index.
            n: The length of the sequence.
        """
        limit = MODELS_IN_MEMORY if in_use() else None

        self._n = n
        self._read = functools.lru_cache(limit)(call)
        for i in range(n):
            self._read(i)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, i: int) -> Any:
        if not 0 <= i < self._n:
            raise IndexError(f"there is no item {i} of {self._n}")
        return self._read(i)
