"""The axes of a suite's grid as a user writes them: seeds, widths, omega."""

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.planning.scales import MIXED
from benchmarks.planning.values import different, read_value, whole_number
from mosaic.fl.errors import InputError

MOST_SEEDS = 20
"""A single number above this is more likely a seed than a count of seeds, so the user is asked."""


def seeds_of(given: Any) -> list[int]:
    """The seeds that a user means.

    Args:
        given: a count, 3 or "3", for the seeds 0, 1, 2; or a list, "0,4" or "101,", of these seeds.

    Returns:
        Different, non-negative seeds.

    Raises:
        InputError: if it is neither; or if it is one number above MOST_SEEDS, which may be meant
            either way.
    """
    if isinstance(given, list | tuple):
        return _checked_seeds(given)

    text = str(given).strip()
    try:
        numbers = [int(part) for part in text.removesuffix(",").split(",")]
    except ValueError:
        raise InputError(
            f"seeds are {given!r}; give how many (3) or which (0,1,2), as whole numbers."
        ) from None

    if "," in text:
        return _checked_seeds(numbers)

    count = numbers[0]
    if count > MOST_SEEDS and not isinstance(given, int):
        raise InputError(
            f"--seeds {count} could be {count} seeds or the seed {count}: "
            f"write --n-seeds {count} for the first, --seeds {count}, (with a comma) for the other."
        )
    return first_seeds(count)


def first_seeds(count: int) -> list[int]:
    """The seeds 0, 1, ..., count - 1.

    Raises:
        InputError: if the count is below 1.
    """
    if count < 1:
        raise InputError(f"{count} seeds; give at least 1.")
    return list(range(count))


def _checked_seeds(given: Sequence[Any]) -> list[int]:
    seeds = [whole_number("each of the seeds", seed, least=0) for seed in given]
    different("the list of seeds", seeds)
    return seeds


def check_clients(given: Any) -> int:
    """A number of clients.

    Raises:
        InputError: if it is no whole number of at least 1.
    """
    return whole_number("n_clients", given)


def check_widths(name: Any) -> str:
    """The name of widths, which are right for some number of clients.

    Raises:
        InputError: as :func:`widths_of` does.
    """
    if name not in ("full", "mixed"):
        widths_of(name, str(name).count(",") + 1)
    return name


def widths_of(name: Any, n_clients: int) -> tuple[float, ...]:
    """The clients' widths.

    Args:
        name: "full"; "mixed"; "rho=5" or "rho=5,sigma=4", the law of ``capacity_widths``; or a list
            such as "1,0.5", which is spread over the clients in order.
        n_clients: the number of clients.

    Returns:
        One width in (0, 1] per client; empty if all are 1.

    Raises:
        InputError: if it is none of these, if a width is out of range, or if there are more widths
            than clients.
    """
    possible = "possible: full, mixed, rho=5, rho=5,sigma=4, or a list such as 1,0.5,0.25."
    if not isinstance(name, str):
        raise InputError(f'widths are {name!r}, which is no text such as "1,0.5"; {possible}')
    if name == "full":
        return ()
    if name == "mixed":
        return _law(n_clients, **MIXED)

    try:
        if name.startswith("rho="):
            listed = _widths_by_law(name, n_clients)
        else:
            listed = tuple(float(part) for part in name.split(","))
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"widths are {name!r}; {possible}") from None

    for width in listed:
        if not 0 < width <= 1:
            raise InputError(
                f"width {width:g} in {name!r} is outside (0, 1]: "
                "it is a sub-model's share of the channels."
            )

    if len(listed) > n_clients:
        raise InputError(
            f"widths are {name!r}, which is more than one for each of {n_clients} clients; "
            "give fewer widths or more clients."
        )
    widths = tuple(listed[k * len(listed) // n_clients] for k in range(n_clients))
    if all(width == 1 for width in widths):
        return ()
    return widths


def _widths_by_law(name: str, n_clients: int) -> tuple[float, ...]:
    """The widths of "rho=5" (sigma is then 4) or "rho=5,sigma=4"."""
    law: dict[str, float] = {}
    for part in name.split(","):
        key, value = part.split("=")
        if key in law:
            raise ValueError
        law[key] = float(value)
    return _law(n_clients, **{"sigma": 4.0, **law})


def _law(n_clients: int, rho: float, sigma: float) -> tuple[float, ...]:
    from mosaic.fl.task import (
        capacity_widths,  # not above: it needs PyTorch, seeds and omega do not
    )

    return capacity_widths(n_clients, rho, sigma)


def batch_norm_of(widths: tuple[float, ...]) -> str:
    """BatchNorm's policy at test where nobody chose one, the same for all methods of a comparison.

    If widths differ it is the batch's own statistics, as FedRolex and HeteroFL test: the running
    statistics of narrow sub-models are not those of the full model.
    """
    return "batch" if widths else "average"


def check_omega(given: Any) -> float:
    """A Dirichlet concentration, in [1e-4, inf].

    Raises:
        InputError: if it is no number, or out of range.
    """
    try:
        omega = read_value("omega", float, given, infinite=True)
    except InputError:
        omega = math.nan

    # NaN fails this comparison too.
    if not omega >= 1e-4:
        raise InputError(f"omega is {given!r}; it is a number of at least 0.0001, or inf.")
    return omega
