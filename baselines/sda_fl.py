"""SDA-FL: clients upload images of their generators; the server labels them anew in each round, and
all clients train on them beside their own.

Li et al., Federated Learning with GAN-based Data Synthesis for Non-IID Clients, 2022,
arXiv:2206.05507. Before round 1 each client trains a GAN on its own data and uploads images that it
draws. In each round the server labels them with confidence before it averages the models, and each
client trains on its own data and on all images with a confident label.

No code of the authors was found, and only the abstract was read, with descriptions by others. What
those leave open is decided here:
- The images are drawn without differential privacy; the paper's are private.
- The GAN is DCGAN, the same network as Mosaic's clients train, without Mosaic's losses. With
  ``generator="cvae"`` or "flow", which are not the paper's, clients draw from the conditional VAEs
  of FedCVAE or from rectified flows, so that the protocol can be compared with Mosaic's feedback on
  images of the same generators. Their labels are not sent.
- Each image is labelled by the model that its own client has just uploaded ("source"), or by the
  server's model that the clients received in this round ("server"). A label is kept if its
  probability is at least ``threshold``. Images are sent once, labels in each round.
- In round 1 there are no labels yet: it is FedAvg's.
- A client takes its batches from both sets mixed, for as many steps as in FedAvg; a description
  with a term for each set would weigh them otherwise.
- One description lets the server train on the images too. With ``server="trained"`` it does, after
  each average, for ``server_steps`` steps; the paper's number is not known.
- With a share of the clients per round, images of the others keep their last labels.

Where widths differ the rounds are FedRolex's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.channel import download
from mosaic.fl.contract import Predict, Snapshot, choice, scaled_steps
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.shared_images import with_added
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device
from mosaic.fl.errors import InputError
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates, participants
from mosaic.fl.stages import Waves, federated_model
from mosaic.fl.synthesis.client_images import cvae_images, flow_images, gan_images
from mosaic.fl.synthesis.cvae import CvaeConfig
from mosaic.fl.synthesis.flow import FlowConfig
from mosaic.fl.synthesis.gan_training import GanConfig
from mosaic.fl.synthesis.labelled import LABELLED, labelled_stages
from mosaic.fl.task import Task
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import shuffled_batches

PAPER = "Li et al., 2022 (arXiv 2206.05507)"
PROTOCOL = "every round"
NEEDS = ("synthetic images",)

UNSURE = -1
"""In the place of the label of an image whose label is not confident."""


IMAGES = {"cvae": cvae_images, "flow": flow_images}
"""The cached stages in which a client draws images with a generator that knows the label."""


@dataclass(frozen=True)
class Config(GanConfig, CvaeConfig, FlowConfig):
    """Settings of SDA-FL.

    Those of the clients' generators are inherited from ``GanConfig``, ``CvaeConfig`` and
    ``FlowConfig``.
    """

    generator: str = choice("dcgan", "cvae", "flow")  # what clients train; the paper: a GAN
    images: int = 1000  # of all clients together, each as many
    labels: str = choice("source", "server")  # whose model labels an image
    threshold: float = 0.8  # of a label's probability; with 0.95 few images have one in few rounds
    server: str = choice("average", "trained")  # what the server does in a round
    # per round, with server="trained"
    server_steps: int = scaled_steps(1000, "server", batch="server_batch")
    server_batch: int = 64
    server_lr: float = 1e-3  # Adam

    def __post_init__(self) -> None:
        if self.threshold > 1:
            raise InputError(
                f"threshold is {self.threshold}; it is the least probability of a label, at most 1."
            )


SPACE = {
    "threshold": (0.5, 0.99),
    "generator_lr": (1e-4, 1e-2),
    "server_lr": (1e-5, 1e-2),
    "server": ["average", "trained"],
}
TUNED = ("threshold", "generator_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of SDA-FL and yield the server's model of each scored round."""
    # (1) Each client trains a generator and uploads images; all clients receive all of them.
    shards = open_federation(task).shards
    drawn = [images_of(task, config, client) for client in range(task.n_clients)]
    owners = torch.arange(task.n_clients, device=device()).repeat_interleave(len(drawn[0]))
    synthetic = torch.cat(drawn)
    for _ in shards:
        download(synthetic, "images")
    pool = torch.cat([shards[0].images, synthetic])
    labels = torch.full((len(synthetic),), UNSURE, device=device())

    server = federated_model(task, 0)
    for t in range(1, task.rounds + 1):
        # (2) Clients train on their own images and on those with a confident label.
        if t > 1:
            for _ in participants(task, t):
                download(labels, "labels")
        samples = mixed(shards, pool, labels)
        clients = list(client_updates(task, server, t, samples=samples))

        # (3) Before it averages, the server labels the images anew.
        labels = labelled(task, config, t, server, clients, synthetic, owners, labels)
        server = average_round(task, server, clients, t)
        if config.server == "trained":
            server = trained(task, config, t, server, synthetic, labels)

        if task.scored(t):
            yield Snapshot(
                t,
                predictor(server, task),
                partial(draw, synthetic, owners),
                diagnostics={"confident_images": (labels != UNSURE).float().mean().item()},
            )


def stages(task: Task, config: Config) -> Waves:
    """The cached stages that ``run`` calls, in waves."""
    waves: Waves = []
    if config.generator in LABELLED:
        waves.append(labelled_stages(config.generator, task, config))
    waves.append([image_stage(task, config, client) for client in range(task.n_clients)])
    return waves


def image_stage(task: Task, config: Config, client: int) -> partial:
    """The stage of a client's images, as a call without arguments."""
    n = max(1, config.images // task.n_clients)
    if config.generator in LABELLED:
        settings = LABELLED[config.generator].settings(config)
        return partial(IMAGES[config.generator], task, settings, client, n)
    return partial(gan_images, task, gan_config(config), client, n)


def gan_config(config: GanConfig) -> GanConfig:
    """The settings that determine the GANs: a change of any other keeps the cached ones valid."""
    return GanConfig(**{f.name: getattr(config, f.name) for f in fields(GanConfig)})


def images_of(task: Task, config: Config, client: int) -> Tensor:
    """The images that a client uploads, uint8 (n, C, S, S)."""
    return image_stage(task, config, client)()


def mixed(shards: Sequence[Shard], pool: Tensor, labels: Tensor) -> list[Shard]:
    """What each client trains on: its own images and all that have a confident label.

    Args:
        shards: The clients' own data.
        pool: Their images, then the shared ones (N + M, C, S, S).
        labels: Of the shared images (M,); :data:`UNSURE` without a confident one.
    """
    n_own = len(shards[0].labels)
    confident = (labels != UNSURE).nonzero().flatten()
    counts = labels[confident].bincount(minlength=len(shards[0].label_counts)).cpu()
    all_labels = torch.cat([shards[0].labels, labels])
    return [with_added(shard, pool, all_labels, n_own + confident, counts) for shard in shards]


def labelled(
    task: Task,
    config: Config,
    t: int,
    server: State,
    clients: Sequence[State],
    images: Tensor,
    owners: Tensor,
    labels: Tensor,
) -> Tensor:
    """The labels (M,) of the images after the uploads of round ``t``.

    Args:
        task, config: The federated problem and the settings.
        t: The round.
        server: The server's model that the clients received in this round.
        clients: The models of the round's participants.
        images: The shared images, uint8 (M, C, S, S).
        owners: The client (M,) that drew each.
        labels: The labels so far (M,).
    """
    if config.labels == "server":
        return confident_labels(predictor(server, task), images, config.threshold)

    renewed = labels.clone()
    for shard, state in zip(participants(task, t), clients, strict=True):
        own = (owners == shard.client).nonzero().flatten()
        predict = predictor(state, task, shard.width)
        renewed[own] = confident_labels(predict, images[own], config.threshold)
    return renewed


def confident_labels(predict: Predict, images: Tensor, threshold: float) -> Tensor:
    """A model's labels (M,) of images, uint8 (M, C, S, S); :data:`UNSURE` below the threshold."""
    probability, label = predict(normalise(images)).softmax(1).max(1)
    return label.masked_fill(probability < threshold, UNSURE)


def trained(
    task: Task, config: Config, t: int, server: State, images: Tensor, labels: Tensor
) -> State:
    """The server's model after its own steps of round ``t`` on the confident images."""
    confident = labels != UNSURE
    if config.server_steps == 0 or not confident.any():
        return server
    rng = stream(task.seed, "synthetic images", t)
    batches = shuffled_batches(
        normalise(images[confident]),
        labels[confident],
        config.server_batch,
        config.server_steps,
        rng,
    )
    adam = partial(torch.optim.Adam, lr=config.server_lr, fused=True)
    return distil(server, batches, task, adam, F.cross_entropy, frozen_norms=True)[0]


def draw(images: Tensor, owners: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` different ones of the shared images (n, C, S, S) in [-1, 1], or all where there are
    fewer, and the client (n,) that drew each.
    """
    order = torch.randperm(len(images), generator=rng)[:n].to(images.device)
    return normalise(images[order]), owners[order]
