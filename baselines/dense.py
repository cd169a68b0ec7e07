"""DENSE: a server-side generator inverts the ensemble of client models; its images teach
the global model.

Zhang et al., DENSE: Data-Free One-Shot Federated Learning, NeurIPS 2022, arXiv:2112.12371,
Algorithm 1. There are two protocols, each in a file of its own:

- ``protocol="end"`` (``dense_once.py``): once, from the clients' models of the last round. With one
  round it is the paper's one-shot method.
- ``protocol="every round"`` (``dense_rounds.py``): the DENSE of the DFRD and Mosaic studies. A
  conditional generator persists over the rounds and takes turns with the clients' average; the
  result is sent to the clients.

Differs from the paper and its code, in both protocols:
- L_BN, a mean over teachers, works. The authors' code finds no BatchNorm layer in its plain list of
  teachers, and L_BN is 0 there.

With ``protocol="end"``:
- The teachers are the clients' models of the last warm-up round, and the student starts from their
  average. So DENSE is run in the Mosaic and DFRD studies; ``student="random"`` is the paper's.
- Images stay in memory and are labelled by the teachers once. They are not cropped and flipped
  again in each pass.
- The result is the last epoch's student, not the best one on the test set.

With ``protocol="every round"``, compared with the studies' code:
- L_BN has weight 1; it is 0 there, or 1 in a later version of the code. It is a sum over layers;
  the code divides it by their number.
- The student keeps the average's BatchNorm statistics.
- Where the ensemble and the student disagree on no sample, the loss is 0; it is NaN there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from baselines.dense_once import run_once
from baselines.dense_rounds import run_every_round
from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.rounds import require_batch_norm
from mosaic.fl.stages import Waves, waves_of_all_rounds
from mosaic.fl.task import Task

PAPER = "Zhang et al., NeurIPS 2022"
PROTOCOL = "once, after the rounds"
NEEDS = ()
STUDENT = {"end": ("config.student", "trained"), "every round": ("average", "kept")}  # by protocol


@dataclass(frozen=True)
class Config:
    """Settings of both protocols: the three weights are shared, ``round_*`` is for every round."""

    protocol: str = choice("end", "every round")
    student: str = choice("average", "random")  # initial weights, where the protocol is "end"

    # protocol="end"
    # each adds one batch to the pool of images
    epochs: int = scaled_steps(200, "server", batch="batch")
    synthesis_steps: int = 30  # of the generator and its noise, per epoch
    # of the student, shared among the epochs in proportion to their images; the paper's epochs are
    # one pass each over the images so far, 1 + 2 + ... + 200 batches
    distil_steps: int = scaled_steps(20_100, "server", batch="batch")
    batch: int = 256
    latent: int = 256
    synthesis_lr: float = 1e-3  # Adam, beta1 0.5

    # weights in the generator's loss, in both protocols
    weight_oh: float = 1.0  # of L_OH, the ensemble's cross entropy with the intended labels
    weight_bn: float = 1.0  # of L_BN, the mismatch with the teachers' BatchNorm statistics
    weight_adv: float = 1.0  # of L_adv, the disagreement of student and ensemble

    # protocol="end" again: the student
    student_lr: float = 0.005  # SGD, momentum 0.9
    temperature: float = 20.0

    # protocol="every round"
    # per round: generator steps, then student steps; the studies have 100 rounds
    round_turns: float = scaled_steps(10, "server", batch="round_batch", rounds=100)
    round_generator_steps: int = 1  # per turn
    round_student_steps: int = 5  # per turn
    round_batch: int = 64
    round_latent: int = 100
    round_ngf: int = 64  # 3.45 M parameters
    round_generator_lr: float = 2e-4  # Adam, beta1 0.5, starting again in each turn
    round_student_lr: float = 0.01  # SGD, weight decay 1e-4
    round_temperature: float = 10.0  # the KL is not scaled by its square

    # both protocols: what the mean of the teachers' predictions is taken of; the code: logits
    mean: str = choice("logits", "probabilities")


SPACE = {
    "weight_bn": (0.01, 10.0),
    "weight_adv": (0.1, 10.0),
    "synthesis_lr": (1e-4, 1e-2),
    "student_lr": (1e-4, 1e-1),
    "temperature": (1.0, 20.0),
}
TUNED = ("synthesis_lr", "student_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run DENSE by the protocol that ``config`` names."""
    require_batch_norm(task)
    if config.protocol == "end":
        return run_once(task, config)
    return run_every_round(task, config)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    if config.protocol == "end":
        return waves_of_all_rounds(task)
    return []
