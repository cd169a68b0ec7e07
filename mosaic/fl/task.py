"""Task: the frozen facts that all methods share, and what a method hands back for scoring."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from mosaic.fl.errors import InputError

State = dict[str, Tensor]
"""A model by value: parameters and BatchNorm running statistics, by name. Never changed in place."""


def later(default: Any) -> Any:
    """A field that came after the first records: where it has its default, the keys of stages and records lack it."""
    return field(default=default, metadata={"later": True})


@dataclass(frozen=True)
class Task:
    """One federated problem. All of it is in the key of every stage and record; nothing of it names a method."""

    dataset: str = "digits"
    n_train: int | None = None  # images of the training pool that are used; None: all of them
    validation: float = 0.1  # share of the pool held out for selection and tuning
    omega: float = 0.1  # Dirichlet concentration; inf: every client like the pool
    law: str = "class_balanced"  # class | class_balanced (the paper's) | client
    min_samples: int = 10  # every client has at least so many
    n_clients: int = 10
    widths: tuple[float, ...] = ()  # of each client's sub-model, in (0, 1]; empty: all 1
    seed: int = 0
    model: str = "cnn"  # cnn | resnet18
    base_width: int = 32  # channels of the server model's first layer
    batch_norm: str = "average"  # average: running statistics averaged like weights | batch: the batch's, at test
    rounds: int = 100
    score_every: int = 10  # rounds between two scored snapshots
    steps: int = 10  # local steps a round; the authors' I
    epochs: int = 0  # local epochs a round; where above 0 it takes the place of steps
    batch_size: int = 64
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 1e-4
    precision: str = "fp32"  # fp32 | bf16 (autocast)
    threads: int = 1  # of a CPU process: they fix the order of sums, and so the last bits
    participation: float = later(1.0)  # share of the clients that is drawn for a round, for all methods alike

    def __post_init__(self) -> None:
        _within("rounds", self.rounds, 1)
        _within("score_every", self.score_every, 1)
        _within("steps", self.steps, 1)
        _within("epochs", self.epochs, 0)
        _within("batch_size", self.batch_size, 2)
        _within("base_width", self.base_width, 1)
        _within("n_clients", self.n_clients, 1)
        if not 0 <= self.validation < 1:
            raise InputError(f"validation is {self.validation}; it is a share of the training pool, in [0, 1).")
        if not 0 < self.participation <= 1:
            raise InputError(f"participation is {self.participation}; it is a share of the clients, in (0, 1].")
        for name, value, known in (
            ("batch_norm", self.batch_norm, ("average", "batch")),
            ("precision", self.precision, ("fp32", "bf16")),
        ):
            if value not in known:
                raise InputError(f"{name} is {value!r}; possible: {', '.join(known)}.")
        if self.widths and len(self.widths) != self.n_clients:
            raise InputError(f"{len(self.widths)} widths for {self.n_clients} clients; give one a client, or none.")
        for width in self.widths:
            if not 0 < width <= 1:
                raise InputError(f"width {width} is outside (0, 1]: it is a sub-model's share of the channels.")

    def width(self, client: int) -> float:
        return self.widths[client] if self.widths else 1.0

    @property
    def full_width(self) -> bool:
        return all(width == 1 for width in self.widths)

    def scored(self, t: int) -> bool:
        """Is the snapshot of round ``t`` scored? Every ``score_every`` rounds, and from the last one on."""
        return t % self.score_every == 0 or t >= self.rounds

    def without_clients(self) -> "Task":
        """The same data and recipe with nobody to split it: the key of what all partitions have in common."""
        return replace(self, omega=math.inf, law="class", min_samples=1, n_clients=1, widths=())

    def without_models(self) -> "Task":
        """The same images in the same hands, whatever models are trained on them and how."""
        hands = ("dataset", "n_train", "validation", "omega", "law", "min_samples", "n_clients", "seed")
        return Task(**{name: getattr(self, name) for name in (*hands, "precision", "threads")})


def _within(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; it must be at least {least}.")


def capacity_widths(n_clients: int, rho: float, sigma: float) -> tuple[float, ...]:
    """Client widths R_k = (1/2)^min(sigma, floor(rho k / N)), k = 1..N (DFRD, Luo et al., NeurIPS 2023, and Mosaic)."""
    return tuple(0.5 ** min(sigma, math.floor(rho * k / n_clients)) for k in range(1, n_clients + 1))


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


def work(default: int, side: str) -> Any:
    """A ``Config`` field that counts steps, with the paper's number as default.

    ``--scale`` multiplies all such fields of one ``side`` ("client" or "server") by the same factor for every method.
    """
    return field(default=default, metadata={"work": side})


def choice(default: str, *others: str, later: bool = False) -> Any:
    """A ``Config`` field with a closed set of values; ``later``: see the function of that name."""
    return field(default=default, metadata={"choices": (default, *others), "later": later})
