"""Ensemble: the plain mean of the clients' logits. What one-shot methods try to distil into one
model.

The upper reference of DENSE (Zhang et al., NeurIPS 2022) and of the one-shot methods after it. Its
members are the clients' models of the last round, those that FedAvg's last average is over. It is
not one model: serving it takes the models of all N clients, and N passes per image.

``mean="probabilities"`` takes the mean of the clients' probabilities instead. A client that has
never seen a class, and is too sure of the others, then counts no more than any other client. It is
not what the papers call their ensemble: the code of DENSE, Co-Boosting and FuseFL takes the mean of
logits. That the mean of probabilities agrees with DENSE's published row
(results/laptop/oneshot/README.md) is unexplained.

Differs from the one-shot papers:
- The members come from T rounds of FedAvg (FedRolex where widths differ), not from training alone.

As in these papers, the mean is plain: clients are not weighted by n_k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from mosaic.fl.contract import Predict, Snapshot, choice
from mosaic.fl.device import device
from mosaic.fl.models.spec import State
from mosaic.fl.stages import Waves, final_client_models, waves_of_all_rounds
from mosaic.fl.task import Task
from mosaic.fl.training.teachers import mean_logits, teachers_of

PAPER = ""
PROTOCOL = "once, after the rounds"
NEEDS = ("all models at test",)


@dataclass(frozen=True)
class Config:
    """Settings of the ensemble."""

    mean: str = choice("logits", "probabilities")  # what the mean is taken of


SPACE = {}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Yield the ensemble of the clients' models of the last round."""
    yield Snapshot(task.rounds, ensemble_of(task, config, final_client_models(task)))


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_all_rounds(task)[:-1]  # all but the server's model of the last round


def ensemble_of(task: Task, config: Config, clients: Sequence[State]) -> Predict:
    """The ensemble as a function of images.

    Args:
        task: gives the clients' widths and the precision.
        config: says what the mean is taken of.
        clients: the clients' models, in their order.

    Returns:
        A function from images (B, C, H, W) to logits (B, K): the mean of the clients' logits, or
        the logarithm of the mean of their probabilities.
    """
    members = teachers_of(task, clients)

    def predict(images: Tensor) -> Tensor:
        return mean_logits(members, images.to(device()), task, config.mean)

    return predict
