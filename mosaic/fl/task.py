"""Task: the frozen facts that all methods share, and what a method hands back for scoring."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from mosaic.fl.contract import added_later
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.source import Source
from mosaic.fl.errors import InputError
from mosaic.fl.models.live_network import layout_of
from mosaic.fl.models.spec import Layout, Spec


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
    batch_norm: str = (
        "average"  # average: running statistics averaged like weights | batch: the batch's, at test
    )
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
    participation: float = added_later(
        1.0
    )  # share of the clients that is drawn for a round, for all methods alike
    # The hash of a partition file, from partition_file.register_partition; only with law "file".
    partition: str = added_later("")

    def __post_init__(self) -> None:
        _within("rounds", self.rounds, 1)
        _within("score_every", self.score_every, 1)
        _within("steps", self.steps, 1)
        _within("epochs", self.epochs, 0)
        _within("batch_size", self.batch_size, 2)
        _within("base_width", self.base_width, 1)
        _within("n_clients", self.n_clients, 1)
        if not 0 <= self.validation < 1:
            raise InputError(
                f"validation is {self.validation}; it is a share of the training pool, in [0, 1)."
            )
        if self.law == "file" and not self.partition:
            raise InputError(
                "law is 'file', but no partition is given. Give the partition file, "
                "or choose a law that draws the clients' images, e.g. 'class_balanced'."
            )
        if self.partition and self.law != "file":
            raise InputError(
                f"partition is {self.partition!r}, but law is {self.law!r}. "
                "Set law to 'file' to use the partition file, or leave it out."
            )
        if not 0 < self.participation <= 1:
            raise InputError(
                f"participation is {self.participation}; it is a share of the clients, in (0, 1]."
            )
        for name, value, known in (
            ("batch_norm", self.batch_norm, ("average", "batch")),
            ("precision", self.precision, ("fp32", "bf16")),
        ):
            if value not in known:
                raise InputError(f"{name} is {value!r}; possible: {', '.join(known)}.")
        if self.widths and len(self.widths) != self.n_clients:
            raise InputError(
                f"{len(self.widths)} widths for {self.n_clients} clients; give one a client, or none."
            )
        for width in self.widths:
            if not 0 < width <= 1:
                raise InputError(
                    f"width {width} is outside (0, 1]: it is a sub-model's share of the channels."
                )

    @property
    def source(self) -> Source:
        """What the data set's images are: channels, size, classes, augmentation."""
        return DATASETS[self.dataset]

    @cached_property
    def spec(self) -> Spec:
        """The server's network."""
        return self.spec_at(1.0)

    def spec_at(self, width: float) -> Spec:
        """The network of a client of that width, in (0, 1]."""
        source = self.source
        return Spec(
            self.model, source.channels, source.n_classes, self.base_width, width, source.size
        )

    @cached_property
    def layout(self) -> Layout:
        """For each tensor of the server's state, the channel group of each of its first dimensions."""
        return layout_of(self.spec)

    def width(self, client: int) -> float:
        return self.widths[client] if self.widths else 1.0

    @property
    def full_width(self) -> bool:
        return all(width == 1 for width in self.widths)

    def scored(self, t: int) -> bool:
        """Is the snapshot of round ``t`` scored? Every ``score_every`` rounds, and from the last one on."""
        return t % self.score_every == 0 or t >= self.rounds

    def without_clients(self) -> "Task":
        """The same data and recipe, undivided: the key of what all partitions have in common.

        A partition file stays, because it also says which images are in the pool.
        """
        if self.partition:
            return replace(self, omega=math.inf, min_samples=1, widths=())
        return replace(self, omega=math.inf, law="class", min_samples=1, n_clients=1, widths=())

    def without_models(self) -> "Task":
        """The same images in the same hands, whatever models are trained on them and how."""
        hands = (
            "dataset",
            "n_train",
            "validation",
            "omega",
            "law",
            "min_samples",
            "n_clients",
            "seed",
            "partition",
        )
        return Task(**{name: getattr(self, name) for name in (*hands, "precision", "threads")})


def _within(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; it must be at least {least}.")


def capacity_widths(n_clients: int, rho: float, sigma: float) -> tuple[float, ...]:
    """Client widths R_k = (1/2)^min(sigma, floor(rho k / N)), k = 1..N (DFRD, Luo et al., NeurIPS 2023, and Mosaic)."""
    return tuple(
        0.5 ** min(sigma, math.floor(rho * k / n_clients)) for k in range(1, n_clients + 1)
    )
