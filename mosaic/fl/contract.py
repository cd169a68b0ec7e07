"""The contract between a method and the harness: what a method's module says, and what it hands back for scoring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


def added_later(default: Any) -> Any:
    """A field that came after the first records: where it has its default, the keys of stages and records lack it."""
    return field(default=default, metadata={"later": True})


Predict = Callable[[Tensor], Tensor]
"""Normalised images (B, C, H, W) in [-1, 1] to logits (B, K)."""


@dataclass(frozen=True)
class Snapshot:
    """What a method shows the harness after round ``round``; the method's clock stands still meanwhile.

    ``predict``: the server model, or several models whose mean accuracy is the result. ``synthesise(n, rng)``: ``n``
    images (n, C, H, W) in [-1, 1] and the client whose generator drew each (n,). ``probes``: further models that the
    harness scores on the test set, for diagnosis only. ``diagnostics``: numbers for the record.
    """

    round: int
    predict: Predict | Sequence[Predict]
    synthesise: Callable[[int, Any], tuple[Tensor, Tensor]] | None = None
    probes: dict[str, Predict] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


class Skip(Exception):
    """Raised by a method before its first yield where it does not apply to the task; its text is the reason."""


NEEDS = {
    "label counts": True,
    "BatchNorm statistics": True,
    "generators": True,
    "prototypes": True,
    "proxy images": False,
    "raw data": False,
}
"""What a method may ask of clients or of the world beyond models, and whether it is data-free all the same.

A method's module says it in ``NEEDS``, a tuple of these names, beside ``PAPER`` (authors, venue and year) and
``PROTOCOL`` (one of ``PROTOCOLS``); tables are made from that. A method whose server trains a model also says, in
``STUDENT``, which weights it starts from ("average" or "random") and whether its BatchNorm statistics are "kept" or
"trained"; "config.x" stands for what the method's setting x is.
"""

PROTOCOLS = ("every round", "once, after the rounds", "one upload", "none")
"""When what a method adds crosses the network: in each of the T rounds, once after them, in the only one there is."""


def scaled_steps(default: int, side: str) -> Any:
    """A ``Config`` field that counts steps, with the paper's number as default.

    ``--scale`` multiplies all such fields of one ``side`` ("client" or "server") by the same factor for every method.
    """
    return field(default=default, metadata={"work": side})


def choice(default: str, *others: str, later: bool = False) -> Any:
    """A ``Config`` field with a closed set of values; ``added_later``: see the function of that name."""
    return field(default=default, metadata={"choices": (default, *others), "later": later})
