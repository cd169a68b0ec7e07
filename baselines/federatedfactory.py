"""FederatedFactory: clients upload a generative module for each class they hold; the server learns from their images.

Moleri et al., FederatedFactory: Generative One-Shot Learning for Extremely Non-IID Distributed Scenarios, 2026,
arXiv:2603.16370. In it a module is learned from the images of one client and one class alone, so that modules can be
taken away one by one, and the classifier begins from nothing.

Differs from the paper and its code (github.com/andreamoleri/FederatedFactory; numbers are those of its scripts):
- The modules are small VAEs, not diffusion models. Theirs are EDM2 networks of 128 channels, each trained on 25 million
  images and asked many times for each image it draws, which is out of reach of a processor. (Their code has a VAE too,
  a convolutional one.) VAEs blur: results here say what the protocol is worth with cheap modules, not what the paper
  reached with its own, and the more colour and detail the images have, the less they say about it.
- A client's steps are shared out evenly over its classes, so that its work is that of FedCVAE's; there each module
  trains equally long, and a client with ten classes works ten times as much as one with one.
- 20,000 images in all; there 10,000 a class, of which a tenth is held out. The classifier trains 10,000 steps of 64
  with Adam at 1e-3, as FedCVAE's here, so that the two differ in modules and balance alone; there 300 epochs at batch
  128 of SGD with momentum 0.9, from rate 0.1 down by a cosine.
- Where several clients hold a class they draw it in proportion to their counts ("weighted", a flag there).
- The server trains the one classifier. The other mode is left out: modules go to all clients, each of which trains a
  classifier of its own, and their answers are multiplied.

Clients' widths play no part: all train the same modules, and the server's model has width 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, scaled_steps
from mosaic.fl.data.federation import open_federation
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model
from mosaic.fl.synthesis.client_cvaes import client_modules
from mosaic.fl.synthesis.cvae import CvaeConfig, cvae_config
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Moleri et al., 2026 (arXiv 2603.16370)"
PROTOCOL = "one upload"
NEEDS = ("label counts", "generators")
STUDENT = ("random", "trained")


@dataclass(frozen=True)
class Config(CvaeConfig):
    images: int = (
        20_000  # that the classifier learns from, all classes together; the code: 10,000 a class
    )
    classifier_steps: int = scaled_steps(10_000, "server")
    classifier_batch: int = 64  # the code: 128
    classifier_lr: float = 1e-3  # Adam


SPACE = {"cvae_lr": (1e-4, 1e-2), "cvae_kl": (0.1, 10.0), "classifier_lr": (1e-4, 1e-2)}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    # (1) Each client trains a module for each of its classes; they and its label counts are all it ever sends.
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    made = [client_modules(task, cvae_config(config), shard.client) for shard in shards]

    # (2) All modules together draw a set in which all classes are equally frequent.
    owners, counts = modules_of(label_counts)
    modules = Decoders(
        task,
        config,
        [state for m in made for state in m["states"]],
        counts,
        balanced=True,
        conditional=False,
    )
    rng = stream(task.seed, "lessons")
    images, labels, _ = modules.draw_labelled(config.images, rng)

    # (3) A classifier learns from that set, from random weights.
    lesson = shuffled_batches(images, labels, config.classifier_batch, config.classifier_steps, rng)
    adam = partial(torch.optim.Adam, lr=config.classifier_lr, fused=True)
    student, curve = distil(
        federated_model(task, 0), lesson, task, adam, F.cross_entropy, frozen_norms=False
    )

    tenth = max(1, len(curve) // 10)
    found = {f"cvae_{k}": sum(m["losses"][k] for m in made) / len(made) for k in made[0]["losses"]}
    found |= {
        "distil_loss_start": sum(curve[:tenth]) / tenth,
        "distil_loss_end": sum(curve[-tenth:]) / tenth,
    }
    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=partial(draw, modules, owners),
        diagnostics=found | {"modules": len(owners)},
    )


def stages(task: Task, config: Config) -> Waves:
    return [
        [
            partial(client_modules, task, cvae_config(config), client)
            for client in range(task.n_clients)
        ]
    ]


def modules_of(label_counts: Tensor) -> tuple[Tensor, Tensor]:
    """Of the modules, client by client and class by class: whose each is (M,), and its only class's count (M, K)."""
    owners, classes = label_counts.nonzero().T
    return owners, torch.zeros(
        len(owners), label_counts.shape[1], dtype=label_counts.dtype
    ).scatter_(1, classes[:, None], label_counts[owners, classes][:, None])


def draw(modules: Decoders, owners: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S), classes equally frequent, and the client (n,) whose module drew each."""
    images, by = modules.draw(n, rng)
    return images, owners.to(by.device)[by]
