"""Stages that go on from their own earlier results, in chains of any length."""

from collections.abc import Sequence
from typing import Any, TypeVar

from mosaic.fl.cache import Stage, in_use

Result = TypeVar("Result")


def in_order(stage: Stage[Any, Result], calls: Sequence[tuple]) -> Result:
    """The last result of a chain of calls, each of which uses the result of the one before it.

    Those that are missing are computed first to last, so that each finds the one before it in the
    cache. The last one alone would call back to the first, nested as deep as the chain is long, and
    Python's stack is not endless. Without a cache it does call back.

    Args:
        stage: The stage.
        calls: The arguments of each call, at least one.
    """
    missing = []
    for call in reversed(calls[:-1]):
        if not in_use() or stage.is_cached(*call):
            break
        missing.append(call)
    for call in reversed(missing):
        stage(*call)
    return stage(*calls[-1])
