"""The axes of a suite's grid as a user writes them: seeds, widths, omega."""

import math

from benchmarks.planning.scales import MIXED
from mosaic.fl.errors import InputError
from mosaic.fl.task import capacity_widths


def seeds_of(given: str | int | list[int]) -> list[int]:
    """ "3" or 3: the seeds 0, 1, 2; "0,4": these."""
    if isinstance(given, list):
        return given
    parts = str(given).split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise InputError(
            f"seeds are {given!r}; give how many (3) or which (0,1,2), as whole numbers."
        ) from None
    if len(numbers) > 1:
        seeds = numbers
    elif numbers[0] < 1:
        raise InputError(f"{numbers[0]} seeds; give at least 1.")
    else:
        seeds = list(range(numbers[0]))
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds are {given!r}; they must be different and not negative.")
    return seeds


def widths_of(name: str, n_clients: int) -> tuple[float, ...]:
    """The clients' widths: "full", "mixed", "rho=5" (and ",sigma=4"), or a list "1,0.5" spread over N clients."""
    if name == "full":
        return ()
    if name == "mixed":
        return capacity_widths(n_clients, **MIXED)
    try:
        if name.startswith("rho="):
            law = {"sigma": 4.0} | {
                k: float(v) for k, v in (part.split("=") for part in name.split(","))
            }
            widths = capacity_widths(n_clients, **law)
            return () if all(width == 1 for width in widths) else widths
        listed = [float(part) for part in name.split(",")]
    except (ValueError, TypeError, OverflowError):
        raise InputError(
            f"widths are {name!r}; possible: full, mixed, rho=5, rho=5,sigma=4, or a list such as 1,0.5,0.25."
        ) from None
    for width in listed:
        if not 0 < width <= 1:
            raise InputError(
                f"width {width:g} in {name!r} is outside (0, 1]: it is a sub-model's share of the channels."
            )
    widths = tuple(listed[k * len(listed) // n_clients] for k in range(n_clients))
    return () if all(width == 1 for width in widths) else widths


def batch_norm_of(widths: tuple[float, ...]) -> str:
    """BatchNorm's policy at test where nobody chose one, the same for all methods of a comparison.

    Where widths differ it is the batch's own statistics, as FedRolex and HeteroFL test: the running ones of narrow
    sub-models are not the full model's.
    """
    return "batch" if widths else "average"


def check_omega(text: str) -> float:
    """An omega from the command line: a number in [1e-4, inf]."""
    try:
        omega = float(text)
    except ValueError:
        omega = math.nan
    if not omega >= 1e-4:
        raise InputError(f"omega is {text!r}; it is a number of at least 0.0001, or inf.")
    return omega
