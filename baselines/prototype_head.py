"""PrototypeHead: the classifier of FedAvg's last model is trained again on Mosaic's prototypes, by
Mosaic's own rule. Nothing else is.

The ablation of Mosaic: the server gets the same models and the same prototypes (arXiv 2505.19699,
phase 1), but there are no generators, no experts and no distillation. What Mosaic has above it is
what these add.

It is no published method. What it shares with Mosaic:
- The prototypes are those of ``mosaic/prototypes.py``, from the same cache.
- The head's training is the meta model's of ``mosaic/meta_model.py``: cross entropy weighted by the
  clusters' sizes, Adam, a held-out fifth of the prototypes, the best weights. It begins at FedAvg's
  head, where the meta model begins at the experts' mean.
- ``protocol="oneshot"`` has no rounds, as there: clients train alone, and each computes prototypes
  with its own model, though the head will read the features of their average.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mosaic.fl.contract import Snapshot, choice
from mosaic.fl.heads import head_of, with_head
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.meta_model import accuracy, fit
from mosaic.prototypes import client_prototypes, joined
from mosaic.starting_models import gather
from mosaic.starting_models import stages as starting_stages

PAPER = ""
PROTOCOL = "once, after the rounds"
NEEDS = ("prototypes",)
STUDENT = ("average", "kept")


@dataclass(frozen=True)
class Config:
    """Settings of PrototypeHead: Mosaic's, of the same names."""

    protocol: str = choice("rounds", "oneshot")  # what the server starts from
    k: int = 10  # prototypes per client and class
    prototype_norm: str = choice("average", "task")  # BatchNorm where they are embedded
    patience: int = 20  # epochs without a gain; Mosaic's meta_patience


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the head of the server's model on the clients' prototypes; one snapshot."""
    # (1) Each client uploads prototypes of its classes, once.
    server = gather(task, config.protocol).server
    prototypes = joined(client_prototypes(task, config.k, config.protocol, config.prototype_norm))

    # (2) The server trains its head on them.
    head = head_of(server)
    inputs, labels = prototypes["features"], prototypes["labels"]
    before = head(inputs).detach()
    shape = tuple(head.weight.shape)
    rng = stream(task.seed, "head")
    held_out, epochs = fit(head, inputs, prototypes, rng, config.patience, "head", *shape)

    yield Snapshot(
        round=task.rounds,
        predict=predictor(with_head(server, head.weight, head.bias), task),
        probes={"before": predictor(server, task)},
        diagnostics={
            "head_accuracy": accuracy(head(inputs[held_out]), labels[held_out]),
            "head_accuracy_before": accuracy(before[held_out], labels[held_out]),
            "head_epochs": epochs,
            "prototypes": len(labels),
        },
    )


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    settings = (config.k, config.protocol, config.prototype_norm)
    prototypes = partial(client_prototypes, task, *settings)
    return [*starting_stages(task, config.protocol), [prototypes]]
