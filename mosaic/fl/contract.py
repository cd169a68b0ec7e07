"""What a method's module must have, and what its ``run`` gives to the harness for scoring.

A method is one Python module with

- a docstring that begins with "Name: idea.", followed by the paper and every deviation from it;
- ``PAPER``: authors, venue and year, or "" where there is none;
- ``PROTOCOL``: one of :data:`PROTOCOLS`;
- ``NEEDS``: a tuple of names from :data:`NEEDS`;
- ``Config``: a frozen dataclass with the method's settings, each with a default;
- ``SPACE``: what a tuner may try, by field of ``Config``: (low, high) or a list of choices;
- ``run(task, config)``: a generator of :class:`Snapshot`.

It may also have

- ``TUNED``: the one to three settings of ``SPACE`` that matter most; they are what is tuned where
  all methods are tuned alike. Without it they are the first three of ``SPACE``;
- ``STUDENT``: (start, norms), for a method whose server trains a model. ``start`` is one of
  :data:`STUDENT_STARTS`, or "config.x" for the value of the setting x; ``norms`` is one of
  :data:`STUDENT_NORMS`. Where they depend on the setting ``protocol``, a dict by its values;
- ``stages(task, config)``: the shared stages that it will use (:data:`mosaic.fl.stages.Waves`).

:func:`check_method` checks all of this. Tables of methods are made from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""A model as a function: normalised images (B, C, H, W) in [-1, 1] to logits (B, K)."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a method after a round, as the harness scores it.

    The method's clock is stopped while the harness works on a snapshot.

    Attributes:
        round: The round after which the snapshot is taken, from 1 to ``task.rounds`` or beyond.
        predict: The server model, or several models whose mean accuracy is the result.
        synthesise: ``synthesise(n, rng)`` draws ``n`` images (n, C, H, W) in [-1, 1] and gives the
            client whose generator drew each (n,), -1 for a generator of the server. A method that
            has a fixed set of images gives different ones, and fewer where it has no more.
        probes: Further models by name. The harness scores them on the test set, for diagnosis only.
        diagnostics: Further numbers by name. They are written to the record.
    """

    round: int
    predict: Predict | Sequence[Predict]
    synthesise: Callable[[int, Any], tuple[Tensor, Tensor]] | None = None
    probes: dict[str, Predict] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


class Skip(Exception):
    """Raised by ``run`` before its first yield if the method does not apply to the task.

    Its text is the reason.
    """


NEEDS = {
    "label counts": True,
    "generators": True,
    "prototypes": True,
    "feature statistics": True,
    "synthetic images": True,
    "all models at test": True,
    "proxy images": False,
    "raw data": False,
}
"""What a method may need besides models, and whether a method that needs it is still data-free.

Results of a method that needs "all models at test" are not those of one model: all clients' models
predict.
"""

PROTOCOLS = (
    "every round",
    "once, after the rounds",
    "once, before the rounds",
    "one upload",
    "none",
)
"""When a method sends what it adds to FedAvg: in each of the T rounds, once after the last or
before the first round, in the only round of a one-shot method, or never.
"""

MOST_TUNED = 3
"""So many settings of each method at most are tuned where all methods are tuned alike."""

STUDENT_STARTS = ("average", "random", "")
"""What the server's training starts from; "" if the server trains no model."""

STUDENT_NORMS = ("kept", "trained", "clients' own")
"""Whether the server keeps or trains BatchNorm's running statistics, or each client has its own."""


def added_later(default: Any, *others: Any) -> Any:
    """A dataclass field that was added after records already existed.

    At its default value it is left out of the keys of cells and stages, so older results stay
    valid.

    Args:
        default: The default value.
        others: The other possible values, if there is a closed set of them.
    """
    metadata: dict[str, Any] = {"later": True}
    if others:
        metadata["choices"] = (default, *others)
    return field(default=default, metadata=metadata)


def scaled_steps(
    default: int, side: str, *, batch: str = "", rounds: int = 0, later: bool = False
) -> Any:
    """A ``Config`` field that counts training steps.

    With ``--budget equal`` each method gets the share of its paper's images that the budget pays
    for; with ``--budget paper`` all methods get the same share.

    Args:
        default: The paper's number of steps.
        side: Who takes the steps, "client" or "server".
        batch: The field with the number of images per step, whose default is the paper's. With
            another value of it there are as many more or fewer steps. "": there is no such field.
        rounds: The paper's number of rounds, if the steps are those of one round.
        later: Whether the field was added after records existed, as :func:`added_later`. Its steps
            are solved only where they make a difference, so that other cells keep their keys.
    """
    metadata = {"work": side, "batch": batch, "rounds": rounds, "later": later}
    return field(default=default, metadata=metadata)


def choice(default: str, *others: str, later: bool = False) -> Any:
    """A ``Config`` field with a closed set of values.

    Args:
        default: The default value.
        others: The other possible values.
        later: Whether the field was added after records existed, as :func:`added_later`.
    """
    return field(default=default, metadata={"choices": (default, *others), "later": later})


def check_method(name: str, module: ModuleType) -> None:
    """Check that a module has all that the docstring of this file asks of a method.

    Args:
        name: The name under which the method is listed, for the error message.
        module: The method's module.

    Raises:
        InputError: If a line is missing or wrong. The message shows a line to write.
    """
    from mosaic.fl.method_checks import CHECKS  # not above: that file imports this one

    for check in CHECKS:
        check(name, module)
