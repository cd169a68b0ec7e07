"""FedCVAE: each client uploads the decoder of a conditional VAE once; what they draw trains the
server's classifier.

Heinbaugh et al., Data-Free One-Shot Federated Learning Under Very High Statistical Heterogeneity,
ICLR 2023: FedCVAE-Ens (``variant="ens"``: the classifier learns from all clients' decoders) and
FedCVAE-KD (``variant="kd"``: it learns from one decoder at the server, into which the clients'
decoders are distilled).

Differs from the paper's code (github.com/ceh-2000/fed_cvae, with its best settings for ten
clients):
- Encoder and decoder are perceptrons with two hidden layers of 512 units. The code's are
  convolutions with BatchNorm, for image sizes that 16 divides. Here the encoder reads the label as
  well. ``cvae_network="convolutional"`` has convolutions too, without BatchNorm.
- All clients train for the same number of steps, those of the code on Fashion-MNIST: 2,350 (25
  epochs of 3,000 images at batch 32). In the code a client's steps depend on its size, and on the
  data set: on CIFAR-10 they are 15,700 (100 epochs of 5,000 images).
- The classifier's 785 steps are those of 5 epochs of 5,000 images, on Fashion-MNIST (1,570 steps
  on MNIST). Here they draw from 20,000 images.
- The one decoder at the server learns from new images in each of its 1,570 steps, the code's number
  on Fashion-MNIST (9,390 on CIFAR-10), at rate 1e-3. The code's learns over and over from 5,000 or
  10,000 images, at 1e-2. As in the code it imitates images, noise by noise, begins with the weights
  that the clients' decoders began with, and draws uniform labels afterwards.
- The prior is centred on 0. The shift of its centre that hides it from attackers is left out.
- Each client and label occurs as often as its probability says, to within one image. In the code
  labels are drawn at random.

``start="average"`` is not the paper's: the classifier goes on from FedAvg's final model, as
Mosaic's does, so that both begin alike. Decoders are still sent once, but after T rounds of models.

Clients' widths matter for that start only: all clients train the same CVAE, and the server's model
has width 1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import upload
from mosaic.fl.contract import Snapshot, choice, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import open_federation
from mosaic.fl.device import autocast
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.stages import Waves, federated_model
from mosaic.fl.synthesis.cvae import (
    CvaeConfig,
    flop_shapes,
    new_decoder,
    reconstruction,
    with_label,
)
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.labelled import labelled_stages, uploaded_generators
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import BATCHES_PER_DRAW, distil, loss_curve_ends
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Heinbaugh et al., ICLR 2023"
PROTOCOL = "one upload"
NEEDS = ("label counts", "generators")
STUDENT = ("config.start", "trained")


@dataclass(frozen=True)
class Config(CvaeConfig):
    """Settings of FedCVAE.

    Those of the clients' CVAEs (``cvae_latent``, ``cvae_hidden``, ``cvae_steps``, ``cvae_batch``,
    ``cvae_lr``, ``cvae_kl``, ``cvae_truncation``) are inherited from ``CvaeConfig``.
    """

    variant: str = choice("ens", "kd")
    start: str = choice("random", "average")  # initial weights of the classifier; the paper: random
    images: int = 20_000  # that the classifier learns from; the code 2,500 to 7,500
    # the code on Fashion-MNIST: 5 epochs of 5,000 images
    classifier_steps: int = scaled_steps(785, "server", batch="classifier_batch")
    classifier_batch: int = 32
    classifier_lr: float = 1e-3  # Adam; the code's
    # of the server's decoder, with variant="kd"; the code on Fashion-MNIST
    kd_steps: int = scaled_steps(1_570, "server", batch="kd_batch")
    kd_batch: int = 32
    kd_lr: float = 1e-3  # Adam; the code: 1e-2


SPACE = {
    "cvae_lr": (1e-4, 1e-2),
    "cvae_kl": (0.1, 10.0),
    "classifier_lr": (1e-4, 1e-2),
    "kd_lr": (1e-4, 1e-2),
}
TUNED = ("cvae_lr", "classifier_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Train the clients' CVAEs, and a classifier at the server on what they draw; one snapshot."""
    # (1) Each client trains a CVAE on its own data. Its decoder and its label counts are all it
    # sends.
    shards = open_federation(task).shards
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    cvaes = uploaded_generators("cvae", task, config)
    decoders = Decoders(task, config, [cvae["state"] for cvae in cvaes], label_counts)
    draw = decoders.draw
    diagnostics = {}

    # (2) KD: one decoder at the server learns to draw what the clients' decoders draw. From here on
    #     all classes are equally frequent.
    if config.variant == "kd":
        state, diagnostics["kd_loss_end"] = distil_decoders(task, config, decoders)
        total_counts = label_counts.sum(0, keepdim=True)
        decoders = Decoders(task, config, [state], total_counts, balanced=True)
        draw = partial(draw_at_server, decoders)

    # (3) The classifier learns from the images and the labels that they were drawn for.
    start = federated_model(task, task.rounds if config.start == "average" else 0)
    rng = stream(task.seed, "lessons")
    images, labels, _ = decoders.draw_labelled(config.images, rng)
    batches = shuffled_batches(
        images, labels, config.classifier_batch, config.classifier_steps, rng
    )
    adam = partial(torch.optim.Adam, lr=config.classifier_lr, fused=True)
    student, curve = distil(start, batches, task, adam, F.cross_entropy, frozen_norms=False)

    for name in cvaes[0]["losses"]:
        diagnostics[f"cvae_{name}"] = sum(cvae["losses"][name] for cvae in cvaes) / len(cvaes)
    diagnostics["distil_loss_start"], diagnostics["distil_loss_end"] = loss_curve_ends(curve)
    probes = {"before": predictor(start, task)} if config.start == "average" else {}
    yield Snapshot(task.rounds, predictor(student, task), draw, probes, diagnostics)


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    return [labelled_stages("cvae", task, config)]


def distil_decoders(task: Task, config: Config, decoders: Decoders) -> tuple[State, float]:
    """Train one decoder that imitates the clients' decoders, noise by noise and label by label.

    Args:
        task: gives the seed and the precision.
        config: gives the steps, the batch and the learning rate.
        decoders: the clients' decoders, which are drawn by the clients' label counts.

    Returns:
        The decoder's state, and the loss of its last batch.

    Raises:
        FloatingPointError: the loss or a weight is not finite.
    """
    source = task.source
    rng = stream(task.seed, "decoder's lessons")  # "decoder" is what its weights start from
    shapes = flop_shapes(task, config, source.n_classes)
    server = new_decoder(task, config, source.n_classes)
    adam = torch.optim.Adam(server.parameters(), lr=config.kd_lr, fused=True)
    loss = torch.zeros(())
    for first in range(0, config.kd_steps, BATCHES_PER_DRAW):
        n_batches = min(BATCHES_PER_DRAW, config.kd_steps - first)
        noise, labels, clients = decoders.plan(config.kd_batch * n_batches, rng)
        images = decoders.decode(noise, labels, clients)
        targets = (images.flatten(1) + 1) / 2  # (n, P) in [0, 1]

        for batch in torch.arange(len(noise), device=noise.device).split(config.kd_batch):
            with metered("decoder", *shapes, items=len(batch)):
                with autocast(task.precision):
                    inputs = with_label(noise[batch], labels[batch], source.n_classes)
                    logits = server(inputs).float()
                loss = reconstruction(logits, targets[batch], source.channels)
                adam.zero_grad(set_to_none=True)
                loss.backward()
            adam.step()

    # The losses do not see the result of the last step, so the weights are checked too
    state = LiveNetwork(server).save()
    end = loss.item()
    if not math.isfinite(end + sum(float(tensor.sum()) for tensor in state.values())):
        raise FloatingPointError(f"the server's decoder diverged: lower kd_lr {config.kd_lr}")
    return state, end


def draw_at_server(decoders: Decoders, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` images (n, C, S, S) of the server's decoder, and -1 for each: no client drew it."""
    images, _ = decoders.draw(n, rng)
    return images, torch.full((n,), -1)
