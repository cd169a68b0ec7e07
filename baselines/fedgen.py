"""FedGen: a server-side generator of features steers the clients' training towards what all clients know together.

Zhu et al., Data-Free Knowledge Distillation for Heterogeneous Federated Learning, ICML 2021, arXiv:2105.10056,
Algorithm 1. The generator maps a label and noise to the input of the classifier's last layer, so training it takes the
clients' heads alone. It is sent to all clients, and their own heads learn on what it draws.

Differs from the paper and its code:
- Every client takes part in every round; the code crashes where all do. SGD is the task's, at a constant rate.
- Each client uploads the label counts of its data once; the code counts those of the batches of a round, plus one.
- The noise is Gaussian, the text's; the code's is uniform in [0, 1).
- Labels are uniform over the classes that somebody has, as in the code; ``labels="counts"`` is the text's law, as
  frequent as in all clients' data.
- A client draws as many features as its batch has images, in the code 32 of each. The KL term is the code's; the text
  has only the other one. Both weights fall without the code's floor of 1e-4.
- The clients' models are averaged with BatchNorm's running statistics; the code never sends these.
- The result is the averaged model on the whole test set; the code scores it on each client's own, with its statistics.
- All clients must be of width 1, as their heads are asked about the same features.

As in the code, clients use the generator from round 2 on: what they receive in round 1 has learnt nothing yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip, Snapshot, choice, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard
from mosaic.fl.device import device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.rounds import average_round, client_updates, require_all_clients
from mosaic.fl.stages import federated_model
from mosaic.fl.task import Task
from mosaic.fl.training.losses import cross_entropy, noise_collapse, soft_distillation, weighted_nll
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import Loss
from mosaic.fl.training.teachers import class_shares

PAPER = "Zhu et al., ICML 2021"
PROTOCOL = "every round"
NEEDS = ("label counts",)

NOISE, HIDDEN = (
    32,
    256,
)  # the code's for MNIST. No settings: the FLOP meter knows a client's loss by its function alone


@dataclass(frozen=True)
class Config:
    # The code's defaults for MNIST
    alpha: float = 10.0  # weight of drawn features with their labels in a client's loss
    beta: float = (
        10.0  # of agreeing on an image with the head's answer to drawn features of its label
    )
    decay: float = 0.98  # of alpha, beta and generator_lr, a round
    generator_steps: int = scaled_steps(50, "server")  # a round
    batch: int = 32
    generator_lr: float = 3e-4  # Adam
    generator_weight_decay: float = 1e-2
    weight_nll: float = 1.0  # in the generator's loss
    weight_diversity: float = 1.0
    labels: str = choice("available", "counts")  # the code, the text


SPACE = {"alpha": (0.01, 100.0), "beta": (0.01, 100.0), "generator_lr": (1e-5, 1e-2)}


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    if not task.full_width:
        raise Skip(
            "FedGen asks all clients' heads about the same features: all clients must be of width 1"
        )
    label_counts = torch.stack(
        [upload(shard.label_counts, "counts") for shard in require_all_clients(task)]
    )
    law = law_of_labels(label_counts, config)
    server = federated_model(task, 0)
    G = new_generator(task, *server["linear.weight"].shape)
    adam = torch.optim.Adam(G.parameters(), weight_decay=config.generator_weight_decay, fused=True)
    for t in range(1, task.rounds + 1):
        # (1) Clients train on their images, and from round 2 on with the generator of the round before
        clients = list(
            client_updates(
                task,
                server,
                t,
                loss_of=partial(guided, G=G, law=law, task=task, config=config, t=t),
            )
        )

        # (2) The generator learns from their heads
        adam.param_groups[0]["lr"] = config.generator_lr * config.decay ** (t - 1)
        diagnostics = train_generator(G, adam, clients, label_counts, law, task, config, t)

        # (3) FedAvg
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task), diagnostics=diagnostics)


def law_of_labels(label_counts: Tensor, config: Config) -> Tensor:
    """How likely each label is drawn (K,), from the clients' samples a class (N, K): 0 where nobody has any."""
    total = label_counts.sum(0)
    total = (total > 0).float() if config.labels == "available" else total.float()
    return total / total.sum()


class FeatureGenerator(nn.Module):
    """Labels (B,) and noise (B, Z) to features (B, F): one hidden layer with BatchNorm."""

    def __init__(self, n_classes: int, n_features: int):
        super().__init__()
        self.n_classes = n_classes
        hidden = (nn.Linear(n_classes + NOISE, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
        self.layers = nn.Sequential(*hidden, nn.Linear(HIDDEN, n_features))

    def forward(self, labels: Tensor, noise: Tensor) -> Tensor:
        return self.layers(torch.cat([F.one_hot(labels, self.n_classes).float(), noise], 1))


def new_generator(task: Task, n_classes: int, n_features: int) -> FeatureGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "server generator"))
        return FeatureGenerator(n_classes, n_features).to(device())


def guided(
    shard: Shard, received: State, G: nn.Module, law: Tensor, task: Task, config: Config, t: int
) -> Loss:
    """The loss of a client that received the generator and the law of labels beside the model."""
    download(LiveNetwork(G).save(), "generator")
    law, rng = download(law, "labels"), stream(task.seed, "features", t, shard.client)
    if t == 1:
        return cross_entropy
    alpha, beta = (weight * config.decay ** (t - 1) for weight in (config.alpha, config.beta))
    return partial(guided_cross_entropy, G=G.eval(), law=law, rng=rng, alpha=alpha, beta=beta)


def guided_cross_entropy(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    G: nn.Module,
    law: Tensor,
    rng,
    alpha: float,
    beta: float,
) -> Tensor:
    """Cross entropy of a batch (B, C, H, W) with labels (B,), and two terms that hold it to what the generator knows.

    alpha NLL(head(G(y', noise)), y') of B drawn labels y', and beta KL(head(G(y, noise)) || f(x)) of the batch's own.
    """
    drawn, noise = labels_and_noise(law, len(labels), rng)
    other = torch.randn(noise.shape, generator=rng).to(device())
    with torch.no_grad():
        features = G(torch.cat([drawn, labels]), torch.cat([noise, other]))
    on_drawn, on_own = model.linear(features).float().chunk(2)
    logits = model(images).float()
    loss = F.cross_entropy(logits, labels) + alpha * F.cross_entropy(on_drawn, drawn)
    return loss + beta * soft_distillation(logits, on_own.detach())


def labels_and_noise(law: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Labels (n,) drawn by their law (K,), and Gaussian noise (n, Z)."""
    labels = torch.multinomial(law, n, replacement=True, generator=rng)
    return labels.to(device()), torch.randn(n, NOISE, generator=rng).to(device())


def train_generator(
    G: nn.Module,
    adam,
    clients: list[State],
    label_counts: Tensor,
    law: Tensor,
    task: Task,
    config: Config,
    t: int,
) -> dict[str, float]:
    """The generator's steps of round ``t``, in place; returns its losses at the last one."""
    shares, rng = class_shares(label_counts).to(device()), stream(task.seed, "server generator", t)
    weight = torch.stack([client["linear.weight"] for client in clients])  # (N, K, F)
    bias = torch.stack([client["linear.bias"] for client in clients])
    G.train()
    nll = collapse = torch.zeros(())
    for _ in range(config.generator_steps):
        labels, noise = labels_and_noise(law, config.batch, rng)
        with metered("fedgen", task.spec, len(clients), items=len(labels)):
            features = G(labels, noise)
            logits = torch.einsum("bf,nkf->nbk", features, weight) + bias[:, None]
            nll, collapse = (
                weighted_nll(logits, labels, shares),
                noise_collapse(noise, features, power=1),
            )
            loss = config.weight_nll * nll + config.weight_diversity * collapse
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()
    if not torch.isfinite(nll + collapse):
        raise FloatingPointError("the generator's loss is not finite: lower generator_lr")
    return {"generator_nll": nll.item(), "generator_collapse": collapse.item()}
