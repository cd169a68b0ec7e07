"""Task: one federated problem, as the frozen facts that all methods share."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from mosaic.fl.contract import added_later, choice
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.partition_laws import LAWS
from mosaic.fl.data.source import Source
from mosaic.fl.errors import InputError, did_you_mean, not_a_choice
from mosaic.fl.models.live_network import layout_of
from mosaic.fl.models.norms import NORMS
from mosaic.fl.models.registry import MODELS
from mosaic.fl.models.spec import Layout, Spec


@dataclass(frozen=True)
class Task:
    """One federated problem: data, their split among clients, networks and local training.

    No field names a method. The task is in the key of every record and stage, with two exceptions.
    A field declared with :func:`added_later` is left out at its default. A stage that depends on
    less than the whole task has a reduced one in its key: :meth:`without_clients`,
    :meth:`without_models`.
    """

    # Data
    dataset: str = "digits"
    n_train: int | None = None  # training images used, besides the held-out ones; None: all
    validation: float = 0.1  # share of the training images held out for selection and tuning

    # Their split among clients
    omega: float = 0.1  # Dirichlet concentration; inf: each client's labels like the whole pool's
    law: str = "class_balanced"  # class | class_balanced (the paper's) | client | file
    min_samples: int = 10  # the least number of samples of a client
    # Tables of samples per client and class that are drawn, until each client has min_samples; if
    # none of them is accepted, the first one is repaired
    max_draws: int = 1000
    n_clients: int = 10
    widths: tuple[float, ...] = ()  # of each client's sub-model, in (0, 1]; empty: all 1

    seed: int = 0

    # Networks
    model: str = "cnn"  # cnn | cnn2 | resnet18
    base_width: int = 32  # channels of the server model's first layer
    # BatchNorm wherever a model is not trained: scored, taught from, or distilled with statistics
    # that are kept. average: running statistics, averaged by the server like weights; batch: the
    # statistics of the batch
    batch_norm: str = choice("average", "batch")
    norm: str = choice(*NORMS)  # the networks' normalisation layers

    # Rounds, and the clients' local training by SGD
    rounds: int = 100
    # How far the window of a narrow client's sub-model moves per round: once around in all rounds,
    # or by a channel. See submodel.rolling_window
    roll: str = choice("turn", "channel")
    score_every: int = 10  # rounds from one scored snapshot to the next
    steps: int = 10  # local steps per client and round
    epochs: int = 0  # local epochs per client and round; if above 0, they replace steps
    batch_size: int = 64
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 1e-4

    # Arithmetic
    precision: str = "fp32"  # fp32 | bf16 (autocast)
    threads: int = 1  # per CPU process; they fix the order of sums, and so the last bits

    participation: float = added_later(1.0)  # share of the clients drawn for each round, in (0, 1]

    # The hash of a partition file, from partition_file.register_partition; only with law "file"
    partition: str = added_later("")

    # The fingerprint of the training images and labels; "": it was not asked for. Other data under
    # the same name are another task.
    data: str = added_later("")

    def __post_init__(self) -> None:
        _check_at_least("rounds", self.rounds, 1)
        _check_at_least("score_every", self.score_every, 1)
        _check_at_least("steps", self.steps, 1)
        _check_at_least("epochs", self.epochs, 0)
        _check_at_least("batch_size", self.batch_size, 2)
        _check_at_least("base_width", self.base_width, 1)
        _check_at_least("n_clients", self.n_clients, 1)
        _check_at_least("min_samples", self.min_samples, 1)
        _check_at_least("max_draws", self.max_draws, 1)
        _check_at_least("threads", self.threads, 1)
        _check_at_least("lr", self.lr, 0)
        _check_at_least("momentum", self.momentum, 0)
        _check_at_least("weight_decay", self.weight_decay, 0)

        if self.n_train is not None:
            _check_at_least("n_train", self.n_train, 1)
        if self.law not in (*LAWS, "file"):
            raise did_you_mean("partition law", self.law, LAWS)
        if self.model not in MODELS:
            raise did_you_mean("model", self.model, MODELS)
        _check_one_of("batch_norm", self.batch_norm, ("average", "batch"))
        _check_one_of("roll", self.roll, ("turn", "channel"))
        _check_one_of("norm", self.norm, NORMS)
        _check_one_of("precision", self.precision, ("fp32", "bf16"))

        if not 0 <= self.validation < 1:
            raise InputError(
                f"validation is {self.validation}; it is a share of the training pool, in [0, 1)."
            )
        if not 0 < self.participation <= 1:
            raise InputError(
                f"participation is {self.participation}; it is a share of the clients, in (0, 1]."
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

        if self.widths and len(self.widths) != self.n_clients:
            raise InputError(
                f"{len(self.widths)} widths for {self.n_clients} clients; "
                "give one width per client, or none."
            )
        for width in self.widths:
            if not 0 < width <= 1:
                raise InputError(
                    f"width {width} is outside (0, 1]: it is a sub-model's share of the channels."
                )

    @property
    def source(self) -> Source:
        """The data set's description: channels, size and classes of its images, augmentation."""
        return DATASETS[self.dataset]

    @cached_property
    def spec(self) -> Spec:
        """The server's network."""
        return self.spec_at(1.0)

    def spec_at(self, width: float) -> Spec:
        """The network of a client of a width in (0, 1]."""
        source = self.source
        return Spec(
            model=self.model,
            channels=source.channels,
            n_classes=source.n_classes,
            base_width=self.base_width,
            width=width,
            size=source.size,
            norm=self.norm,
        )

    @cached_property
    def layout(self) -> Layout:
        """For each tensor of the server's model, the channel groups of its first dimensions."""
        return layout_of(self.spec)

    def width(self, client: int) -> float:
        """The width of a client's sub-model, in (0, 1]."""
        return self.widths[client] if self.widths else 1.0

    @property
    def full_width(self) -> bool:
        """Whether every client trains the whole model."""
        return all(width == 1 for width in self.widths)

    def scored(self, t: int) -> bool:
        """Whether the snapshot after round ``t`` is scored: every ``score_every``, and the last."""
        return t % self.score_every == 0 or t >= self.rounds

    # A stage that depends on less than the whole task gets a reduced one, in which all fields that
    # do not matter have fixed values. Its key is then the same for all tasks that differ only in
    # those, and they share its result. Either the caller reduces the task, or the stage itself
    # does: @stage(..., sees=Task.without_models).

    def without_clients(self) -> "Task":
        """The task with one client that has all data: for what does not depend on the partition.

        A partition file stays, because it also decides which images are in the pool.
        """
        if self.partition:
            return replace(self, omega=math.inf, min_samples=1, widths=())

        return replace(
            self,
            omega=math.inf,
            law="class",
            min_samples=1,
            max_draws=1,
            n_clients=1,
            widths=(),
        )

    def without_models(self) -> "Task":
        """The task with default networks and training: for what depends on the clients' data only.

        The arithmetic stays that of the task.
        """
        data = (
            "dataset",
            "n_train",
            "validation",
            "omega",
            "law",
            "min_samples",
            "max_draws",
            "n_clients",
            "seed",
            "partition",
            "data",
        )
        arithmetic = ("precision", "threads")
        return Task(**{name: getattr(self, name) for name in (*data, *arithmetic)})


def _check_at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise InputError(f"{name} is {value}; it must be at least {least}.")


def _check_one_of(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise not_a_choice(name, value, possible)


def capacity_widths(n_clients: int, rho: float, sigma: float) -> tuple[float, ...]:
    """The clients' widths R_k = (1/2)^min(sigma, floor(rho k / N)), for k = 1..N.

    DFRD, Luo et al., NeurIPS 2023; Mosaic uses the same law.

    Args:
        n_clients: N.
        rho: How fast widths fall from client to client; with 0, all are 1.
        sigma: The narrowest width is (1/2)^sigma.
    """
    widths = []
    for k in range(1, n_clients + 1):
        halvings = min(sigma, math.floor(rho * k / n_clients))
        widths.append(0.5**halvings)
    return tuple(widths)
