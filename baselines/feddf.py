"""FedDF: each round, the clients' ensemble teaches their average on unlabelled proxy images.

Lin et al., Ensemble Distillation for Robust Model Fusion in Federated Learning, NeurIPS 2020,
Algorithm 1. It is not data-free: by default the proxy images are the held-out ones of the clients'
own distribution, which favours it. It never sees their labels; but its ``accuracy_validation`` is
measured on images that it has learnt from.

Differs from the paper and its code:
- The server takes a fixed number of steps per round. The authors take up to 10,000, stop after
  1,000 without a gain on a labelled validation set, and keep the model that is best on it. Here a
  server has no such data. It keeps the model that is nearest to the ensemble on up to 200 proxy
  images, half of them at most, which it does not learn from; no labels are needed.
- The average that the student starts from is weighted by the clients' sample counts, as for all
  methods here. In the code it is uniform.
- Clients of different widths share one student, the server's model. The authors have one student
  per architecture.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.data.proxy import check_proxy, proxy_images
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates, require_all_clients
from mosaic.fl.stages import Waves, federated_model, waves_of_one_shot
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import Judged, distil, loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import batches
from mosaic.fl.training.teachers import mean_logits, teachers_of

PAPER = "Lin et al., NeurIPS 2020"
PROTOCOL = "every round"
NEEDS = ("proxy images",)
STUDENT = ("average", "trained")

IMAGES_PER_PASS = 512  # that the teachers label at a time
HELD_OUT = 200  # proxy images, at most, that judge the student
LOOKS = 4  # how often they do in a round, beside once at its start


@dataclass(frozen=True)
class Config:
    """Settings of FedDF."""

    proxy: str = "held_out"  # or "noise", or the name of another data set
    proxy_size: int = 10_000  # number of proxy images, at most
    # per round; the authors' patience, and so the fewest that they take
    steps: int = scaled_steps(1_000, "server", batch="batch", rounds=100)
    batch: int = 64
    lr: float = 1e-3  # Adam, cosine over the round's steps
    clip: float = 5.0  # of the gradient's norm
    # which of a round's models the server keeps; the best is of five, from its start on
    keep: str = choice("best", "last")
    mean: str = choice("logits", "probabilities")  # of the teachers'; the code: logits

    def __post_init__(self) -> None:
        check_proxy(self.proxy)


SPACE = {"lr": (1e-5, 1e-2)}
TUNED = ("lr",)


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedAvg, each followed by distillation of the clients' ensemble."""
    require_all_clients(task)
    proxy = proxy_images(task, config.proxy, config.proxy_size)
    n_held_out = n_judges(config, len(proxy))
    held_out, learnt = proxy[:n_held_out], proxy[n_held_out:]
    adam = partial(falling_adam, lr=config.lr, steps=config.steps)
    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        # (1) A round of FedAvg, or of FedRolex where widths differ.
        clients = list(client_updates(task, server, t))
        average = average_round(task, server, clients, t)

        # (2) The average learns the ensemble's logits for proxy images.
        teachers = teachers_of(task, clients)
        rng = stream(task.seed, "lessons", t)
        order = batches(len(learnt), config.batch, config.steps, rng)
        judged = None
        if config.keep == "best":
            distance = distance_from(teachers, held_out, task, config.mean)
            judged = Judged(distance, after=looks(config.steps))
        server, curve = distil(
            average,
            labelled_batches(teachers, learnt, order, task, config.mean),
            task,
            adam,
            losses.soft_distillation,
            frozen_norms=False,
            clip=config.clip,
            judged=judged,
        )

        if task.scored(t):
            start, end = loss_curve_ends(curve)
            probes = {
                "before": predictor(average, task),
                "teacher": partial(mean_logits, teachers, task=task, mean=config.mean),
            }
            diagnostics = {"distil_loss_start": start, "distil_loss_end": end}
            yield Snapshot(t, predictor(server, task), probes=probes, diagnostics=diagnostics)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return waves_of_one_shot(task)


def n_judges(config: Config, n_proxy: int) -> int:
    """How many of the proxy images judge the student, and are not learnt from."""
    return min(HELD_OUT, n_proxy // 2) if config.keep == "best" else 0


def looks(steps: int) -> set[int]:
    """After which of a round's steps the student is judged: at most LOOKS, the last one too."""
    return {math.ceil(steps * n / LOOKS) for n in range(1, LOOKS + 1)}


def labelled_batches(
    teachers: list[nn.Module], proxy: Tensor, order: Tensor, task: Task, mean: str = "logits"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of normalised images (B, C, H, W) and the ensemble's mean logits (B, K).

    The teachers label each image that occurs once, before the first batch.

    Args:
        teachers: the clients' frozen networks.
        proxy: uint8 images (n, C, H, W).
        order: for each step, the indices into ``proxy`` of its batch (steps, B).
        task: gives the precision.
        mean: what the teachers' mean is taken of, as :func:`mean_logits` takes it.
    """
    used, position = order.unique(return_inverse=True)
    images = proxy[used.to(proxy.device)]
    parts = [
        mean_logits(teachers, normalise(part), task, mean) for part in images.split(IMAGES_PER_PASS)
    ]
    logits = torch.cat(parts)
    for batch in position.to(proxy.device):
        batch_images = normalise(images[batch]).contiguous(memory_format=torch.channels_last)
        yield batch_images, logits[batch]


def distance_from(
    teachers: list[nn.Module], proxy: Tensor, task: Task, mean: str = "logits"
) -> Callable[[State], float]:
    """A student's KL divergence from the ensemble's mean on proxy images (n, C, H, W)."""
    images = [normalise(part) for part in proxy.split(IMAGES_PER_PASS)]
    logits = torch.cat([mean_logits(teachers, part, task, mean) for part in images])

    def distance(student: State) -> float:
        predict = predictor(student, task)
        predicted = torch.cat([predict(part) for part in images])
        return losses.soft_distillation(predicted, logits).item()

    return distance


def falling_adam(
    parameters: Iterable[nn.Parameter], lr: float, steps: int
) -> torch.optim.Optimizer:
    """Adam whose learning rate falls from ``lr`` to 0 by a cosine over ``steps`` steps."""
    adam = torch.optim.Adam(parameters, lr=lr, fused=True)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    adam.register_step_post_hook(lambda *_: cosine.step())
    return adam
