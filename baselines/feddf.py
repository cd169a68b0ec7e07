"""FedDF: each round, the clients' ensemble teaches their average on unlabelled proxy images.

Lin et al., Ensemble Distillation for Robust Model Fusion in Federated Learning, NeurIPS 2020, Algorithm 1. It is not
data-free: by default the proxy images are the held-out ones of the clients' own distribution, which favours it. It
never sees their labels; but its ``accuracy_validation`` is on images that it has learnt from.

Differs from the paper and its code:
- The server takes a fixed number of steps a round. The authors take up to 10,000, stop where 1,000 bring no gain on a
  labelled validation set, and keep the model that is best on it: data that a server is not given here.
- The average that the student starts from is weighted by the clients' sample counts, as for all methods here (the code:
  uniform).
- Clients of unlike width share one student, the server's model, where the authors have one for each architecture.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mosaic.fl.contract import Snapshot, scaled_steps
from mosaic.fl.data.proxy import proxy_images
from mosaic.fl.data.transforms import normalise
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates, require_all_clients
from mosaic.fl.stages import Waves, federated_model, waves_of_one_shot
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import batches
from mosaic.fl.training.teachers import teacher_logits, teachers_of

PAPER = "Lin et al., NeurIPS 2020"
PROTOCOL = "every round"
NEEDS = ("proxy images",)
STUDENT = ("average", "trained")


@dataclass(frozen=True)
class Config:
    proxy: str = "held_out"  # | noise | the name of another data set
    proxy_size: int = 10_000  # images at most
    steps: int = scaled_steps(
        1_000, "server"
    )  # a round; the authors' patience, where they stop at the earliest
    batch: int = 64
    lr: float = 1e-3  # Adam, cosine over the round's steps
    clip: float = 5.0  # of the gradient's norm


SPACE = {"lr": (1e-5, 1e-2)}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    require_all_clients(task)
    server, proxy = federated_model(task, 0), proxy_images(task, config.proxy, config.proxy_size)
    adam = partial(falling_adam, lr=config.lr, steps=config.steps)
    for t in range(1, task.rounds + 1):
        clients = list(client_updates(task, server, t))
        before = average_round(task, server, clients, t)
        teachers = teachers_of(task, clients)
        order = batches(len(proxy), config.batch, config.steps, stream(task.seed, "lessons", t))
        lesson = taught(teachers, proxy, order, task)
        server, curve = distil(
            before,
            lesson,
            task,
            adam,
            losses.soft_distillation,
            frozen_norms=False,
            clip=config.clip,
        )
        if task.scored(t):
            probes = {
                "before": predictor(before, task),
                "teacher": partial(ensemble, teachers, task),
            }
            tenth = max(1, len(curve) // 10)
            found = {
                "distil_loss_start": sum(curve[:tenth]) / tenth,
                "distil_loss_end": sum(curve[-tenth:]) / tenth,
            }
            yield Snapshot(t, predictor(server, task), probes=probes, diagnostics=found)


def stages(task: Task, config: Config) -> Waves:
    return waves_of_one_shot(task)


def ensemble(teachers: list[nn.Module], task: Task, images: Tensor) -> Tensor:
    """The mean of the clients' logits (B, K)."""
    return teacher_logits(teachers, images, task).mean(0)


def taught(
    teachers: list[nn.Module], proxy: Tensor, order: Tensor, task: Task
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and the ensemble's logits, in an order (steps, B) of the proxy; it is asked once an image."""
    asked, place = order.unique(return_inverse=True)
    images = proxy[asked.to(proxy.device)]
    said = torch.cat([ensemble(teachers, task, normalise(part)) for part in images.split(512)])
    for batch in place.to(proxy.device):
        yield normalise(images[batch]).contiguous(memory_format=torch.channels_last), said[batch]


def falling_adam(
    parameters: Iterable[nn.Parameter], lr: float, steps: int
) -> torch.optim.Optimizer:
    """Adam whose rate falls to 0 by a cosine over so many steps."""
    adam = torch.optim.Adam(parameters, lr=lr, fused=True)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    adam.register_step_post_hook(lambda *_: cosine.step())
    return adam
