"""FederatedFactory: clients upload a generative module for each class they hold; the server learns
from their images.

Moleri et al., FederatedFactory: Generative One-Shot Learning for Extremely Non-IID Distributed
Scenarios, 2026, arXiv:2603.16370. A module is learned from the images of one client and one class
alone, so that modules can be taken away one by one, and the classifier begins with random weights.

Differs from the paper and its code (github.com/andreamoleri/FederatedFactory; "the code's" numbers
are those of its scripts):
- The modules are small VAEs, not diffusion models. The code's are EDM2 networks of 128 channels,
  each trained on 25 million images and run many times per image, which is out of reach of a
  processor. (The code has a convolutional VAE too.) VAEs blur. So results here say what the
  protocol is worth with cheap modules, not what the paper reached with its own. The more colour and
  detail the images have, the less the results say about the paper.
- As in the code, each module trains equally long, so that a client with ten classes works ten times
  as much as one with one. With ``steps_per="client"`` a client's steps are divided evenly among its
  classes: its work is that of FedCVAE's clients, and modules are worse where clients have more
  classes.
- The VAEs train as long as FedCVAE's: for them the paper has no number.
- 20,000 images in all; in the code 10,000 per class, of which a tenth is held out. The classifier's
  211,200 steps are those of the code's 300 epochs of 90,000 images at batch 128. It trains with
  Adam at 1e-3, as FedCVAE's here. The code has SGD of momentum 0.9 and a rate that falls from 0.1
  by a cosine.
- Where several clients hold a class, they draw it in proportion to their counts ("weighted", a flag
  of the code).
- The server trains the one classifier. The other mode is left out: modules go to all clients, each
  client trains a classifier of its own, and their probabilities are multiplied.

Clients' widths do not matter: all clients train the same modules, and the server's model has width
1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.data.federation import open_federation
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model
from mosaic.fl.synthesis.client_cvaes import client_modules
from mosaic.fl.synthesis.cvae import CvaeConfig, cvae_config
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Moleri et al., 2026 (arXiv 2603.16370)"
PROTOCOL = "one upload"
NEEDS = ("label counts", "generators")
STUDENT = ("random", "trained")


@dataclass(frozen=True)
class Config(CvaeConfig):
    """Settings of FederatedFactory.

    Those of the modules (``cvae_latent``, ``cvae_hidden``, ``cvae_steps``, ``cvae_batch``,
    ``cvae_lr``, ``cvae_kl``, ``cvae_truncation``) are inherited from ``CvaeConfig``.
    """

    steps_per: str = choice("module", "client")  # what cvae_steps are of
    images: int = 20_000  # of all classes, that the classifier learns from; the code: 10,000 each
    # the code for ten classes: 300 epochs of 90,000 images
    classifier_steps: int = scaled_steps(211_200, "server", batch="classifier_batch")
    classifier_batch: int = 128
    classifier_lr: float = 1e-3  # Adam


SPACE = {"cvae_lr": (1e-4, 1e-2), "cvae_kl": (0.1, 10.0), "classifier_lr": (1e-4, 1e-2)}
TUNED = ("cvae_lr", "classifier_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the clients' modules, and the server's classifier on what they draw; one snapshot."""
    # (1) Each client trains a module per class. The modules and its label counts are all it sends.
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    uploads: list[Any] = [
        client_modules(task, cvae_config(config), shard.client, config.steps_per == "client")
        for shard in shards
    ]
    states = [state for of_client in uploads for state in of_client["states"]]

    # (2) All modules together draw a set in which all classes are equally frequent.
    owners, counts = modules_of(label_counts)
    modules = Decoders(task, config, states, counts, balanced=True, conditional=False)
    rng = stream(task.seed, "lessons")
    images, labels, _ = modules.draw_labelled(config.images, rng)

    # (3) A classifier learns from that set, from random weights.
    batches = shuffled_batches(
        images, labels, config.classifier_batch, config.classifier_steps, rng
    )
    adam = partial(torch.optim.Adam, lr=config.classifier_lr, fused=True)
    start = federated_model(task, 0)
    student, curve = distil(start, batches, task, adam, F.cross_entropy, frozen_norms=False)

    diagnostics: dict[str, float] = {}
    for name in uploads[0]["losses"]:
        diagnostics[f"cvae_{name}"] = sum(u["losses"][name] for u in uploads) / len(uploads)
    diagnostics["distil_loss_start"], diagnostics["distil_loss_end"] = loss_curve_ends(curve)
    diagnostics["modules"] = len(owners)
    yield Snapshot(
        round=task.rounds,
        predict=predictor(student, task),
        synthesise=partial(draw, modules, owners),
        diagnostics=diagnostics,
    )


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    together = config.steps_per == "client"
    modules = partial(client_modules, task, cvae_config(config), together=together)
    return [[partial(modules, client) for client in range(task.n_clients)]]


def modules_of(label_counts: Tensor) -> tuple[Tensor, Tensor]:
    """The modules in the order of uploads: client by client, and class by class.

    Args:
        label_counts: samples per client and class (N, K).

    Returns:
        The client of each module (M,), and a row of counts per module (M, K), which is 0 but for
        the module's class.
    """
    owners, classes = label_counts.nonzero().T
    counts = torch.zeros(len(owners), label_counts.shape[1], dtype=label_counts.dtype)
    of_modules = label_counts[owners, classes]
    return owners, counts.scatter_(1, classes[:, None], of_modules[:, None])


def draw(modules: Decoders, owners: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S), classes equally frequent, and the client (n,) that drew each."""
    images, chosen = modules.draw(n, rng)
    return images, owners.to(chosen.device)[chosen]
