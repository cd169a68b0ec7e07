"""What the numbers among the settings of this package's methods can be, declared in one place.

Below zero, a number of steps is no step, a batch is empty and a temperature turns the teacher's
answers round: cells ran to their end with such values, and their numbers meant something else. A
user's method has its own rules, in the ``__post_init__`` of its Config.
"""

from typing import Any

from mosaic.fl.errors import InputError

METHODS_OF_THIS_PACKAGE = ("baselines.", "mosaic.method", "mosaic.feedback")
"""How the names of their modules begin."""

SIZES = ("batch", "latent", "ngf", "hidden", "images", "size", "euler", "k", "every")
"""Last words of settings that count what there must be one of: of no images nothing is learned."""

POSITIVE = ("temperature",)
"""Last words of settings that something is divided by."""

SHARES = ("begin", "rare", "share", "threshold")
"""Last words of settings that are shares, in [0, 1]."""

DECAYS = ("ema",)
"""Last words of settings that are the past's weight in a moving average, in [0, 1): with 1 the
average stays what it was at the start."""


def check_range(what: str, config: type, name: str, value: Any) -> None:
    """Check that a number is one that its setting can have.

    Args:
        what: how errors call the setting, e.g. "mosaic.k".
        config: the dataclass that has it; only those of this package's methods are checked here.
        name: the setting.
        value: its value, in its type.

    Raises:
        InputError: if it is below 0, or what the lists above say.
    """
    own = config.__module__.startswith(METHODS_OF_THIS_PACKAGE)
    if not own or isinstance(value, bool) or not isinstance(value, int | float):
        return
    word = name.rpartition("_")[2]
    if word in SIZES and value < 1:
        raise InputError(f"{what} is {value}; it must be at least 1.")
    if word in POSITIVE and value <= 0:
        raise InputError(f"{what} is {value}; it must be above 0.")
    if value < 0:
        raise InputError(f"{what} is {value}; it must be at least 0.")
    if word in SHARES and value > 1:
        raise InputError(f"{what} is {value}; it is a share, in [0, 1].")
    if word in DECAYS and value >= 1:
        raise InputError(f"{what} is {value}; it is the weight of the past, in [0, 1).")
