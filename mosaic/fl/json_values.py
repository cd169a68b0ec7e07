"""Numbers that JSON does not have: infinities are written as text, NaN as null."""

import math
from typing import Any

INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def to_json(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: infinity as the text "inf" or "-inf", NaN as None."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "inf" if value > 0 else "-inf"


def from_json(value: Any) -> Any:
    """Undo :func:`to_json` for infinities; None stays None, which pandas reads as a missing value.

    The texts "inf" and "-inf" therefore always mean numbers; no other text changes.
    """
    if isinstance(value, str):
        return INFINITIES.get(value, value)
    return value
