"""FedGen: a server-side generator of features steers the clients' training towards what all clients
know together.

Zhu et al., Data-Free Knowledge Distillation for Heterogeneous Federated Learning, ICML 2021,
arXiv:2105.10056, Algorithm 1. The generator maps a label and noise to the input of the classifier's
last layer (the head), so training it takes the clients' heads alone. It is sent to all clients, and
their own heads learn on the features that it draws.

Differs from the paper and its code:
- All clients take part in each round; the code crashes in this case. SGD is the task's, at a
  constant rate.
- Each client uploads the label counts of its data once. The code counts those of the batches of a
  round, plus one.
- The noise is Gaussian, as in the text; the code's is uniform in [0, 1).
- Labels are uniform over the classes of which any client has a sample, as in the code.
  ``labels="counts"`` is the text's law: as frequent as in all clients' data.
- A client draws as many features as its batch has images; in the code 32 for either term. The KL
  term is the code's; the text has only the other one. Both weights fall without the code's floor of
  1e-4.
- The clients' models are averaged with BatchNorm's running statistics; the code never sends these.
- The result is the averaged model on the whole test set. The code scores it on each client's own
  test set, with the client's statistics.
- All clients must be of width 1, as their heads are applied to the same features.

As in the code, clients use the generator from round 2 on: what they receive in round 1 is
untrained.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.channel import download, upload
from mosaic.fl.contract import Skip, Snapshot, choice
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

# The generator's sizes, the code's for MNIST. They are no settings, because the FLOP meter names a
# client's work by its loss function alone.
NOISE = 32  # values of a noise vector, Z
HIDDEN = 256  # units of the hidden layer


@dataclass(frozen=True)
class Config:
    """Settings of FedGen: the code's defaults for MNIST."""

    alpha: float = 10.0  # weight of the head's loss on drawn features, in a client's loss
    beta: float = 10.0  # weight of the KL to the head's logits for drawn features of the same label
    decay: float = 0.98  # factor of alpha, beta and generator_lr per round
    generator_steps: int = 50  # per round; at no scale fewer, for they cost next to nothing
    batch: int = 32
    generator_lr: float = 3e-4  # Adam
    generator_weight_decay: float = 1e-2
    weight_nll: float = 1.0  # of the heads' cross entropy in the generator's loss
    weight_diversity: float = 1.0  # of the diversity term in the generator's loss
    labels: str = choice("available", "counts")  # the law of drawn labels: the code's, the text's


SPACE = {"alpha": (0.01, 100.0), "beta": (0.01, 100.0), "generator_lr": (1e-5, 1e-2)}
TUNED = ("alpha", "beta", "generator_lr")


def run(task: Task, config: Config) -> Iterator[Snapshot]:
    """Run T rounds of FedGen and yield the server's model of each scored round.

    Raises:
        Skip: clients' widths differ, or only some clients take part in a round.
    """
    if not task.full_width:
        raise Skip(
            "FedGen asks all clients' heads about the same features: all clients must be of width 1"
        )
    shards = require_all_clients(task)
    label_counts = torch.stack([upload(shard.label_counts, "counts") for shard in shards])
    label_law = law_of_labels(label_counts, config)

    server = federated_model(task, 0)
    n_classes, n_features = server["linear.weight"].shape
    generator = new_generator(task, n_classes, n_features)
    adam = torch.optim.Adam(
        generator.parameters(), weight_decay=config.generator_weight_decay, fused=True
    )
    for t in range(1, task.rounds + 1):
        # (1) Clients train on their images, and from round 2 on with the last round's generator.
        loss_of = partial(
            guided, generator=generator, label_law=label_law, task=task, config=config, t=t
        )
        clients = list(client_updates(task, server, t, loss_of=loss_of))

        # (2) The generator learns from their heads.
        adam.param_groups[0]["lr"] = config.generator_lr * config.decay ** (t - 1)
        sample = partial(
            labels_and_noise, label_law, config.batch, stream(task.seed, "server generator", t)
        )
        shares = class_shares(label_counts).to(device())
        diagnostics = train_generator(generator, adam, clients, shares, sample, task, config)

        # (3) The server averages the clients' models.
        server = average_round(task, server, clients, t)
        if task.scored(t):
            yield Snapshot(t, predictor(server, task), diagnostics=diagnostics)


def law_of_labels(label_counts: Tensor, config: Config) -> Tensor:
    """The probability (K,) that each label is drawn, from the samples per client and class (N, K).

    It is 0 for a class of which no client has a sample.
    """
    total = label_counts.sum(0).float()
    if config.labels == "available":
        total = (total > 0).float()
    return total / total.sum()


class FeatureGenerator(nn.Module):
    """Labels (B,) and noise (B, Z) to features (B, F): one hidden layer with BatchNorm."""

    def __init__(self, n_classes: int, n_features: int):
        super().__init__()
        self.n_classes = n_classes
        self.layers = nn.Sequential(
            nn.Linear(n_classes + NOISE, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, n_features),
        )

    def forward(self, labels: Tensor, noise: Tensor) -> Tensor:
        one_hot = F.one_hot(labels, self.n_classes).float()
        return self.layers(torch.cat([one_hot, noise], 1))


def new_generator(task: Task, n_classes: int, n_features: int) -> FeatureGenerator:
    """The generator with the initial weights that the task's seed fixes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "server generator"))
        return FeatureGenerator(n_classes, n_features).to(device())


def guided(
    shard: Shard,
    received: State,
    generator: nn.Module,
    label_law: Tensor,
    task: Task,
    config: Config,
    t: int,
) -> Loss:
    """The loss of a client, which downloads the generator and the labels' law beside the model."""
    download(LiveNetwork(generator).save(), "generator")
    label_law = download(label_law, "labels")
    if t == 1:
        return cross_entropy
    decay = config.decay ** (t - 1)
    return partial(
        guided_cross_entropy,
        generator=generator.eval(),
        label_law=label_law,
        rng=stream(task.seed, "features", t, shard.client),
        alpha=config.alpha * decay,
        beta=config.beta * decay,
    )


def guided_cross_entropy(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    generator: nn.Module,
    label_law: Tensor,
    rng: torch.Generator,
    alpha: float,
    beta: float,
) -> Tensor:
    """Cross entropy plus two terms that hold a client's model to what the generator knows.

    They are alpha NLL(head(G(y', noise)), y') of drawn labels y', one per image, and
    beta KL(head(G(y, noise)) || f(x)) of the batch's own labels y.

    Args:
        model: the client's network f, whose ``linear`` layer is the head.
        images: a batch x (B, C, H, W).
        labels: y (B,).
        generator: G, in eval mode.
        label_law: the probability of each y' (K,).
        rng: draws y' and the noise.
        alpha: weight of the first term.
        beta: weight of the second term.
    """
    drawn, noise = labels_and_noise(label_law, len(labels), rng)
    other_noise = torch.randn(noise.shape, generator=rng).to(device())
    with torch.no_grad():
        features = generator(torch.cat([drawn, labels]), torch.cat([noise, other_noise]))
    head = model.get_submodule("linear")
    on_drawn, on_own = head(features).float().chunk(2)
    logits = model(images).float()
    loss = F.cross_entropy(logits, labels) + alpha * F.cross_entropy(on_drawn, drawn)
    return loss + beta * soft_distillation(logits, on_own.detach())


def labels_and_noise(label_law: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Labels (n,) drawn by their law (K,), and Gaussian noise (n, Z)."""
    labels = torch.multinomial(label_law, n, replacement=True, generator=rng)
    noise = torch.randn(n, NOISE, generator=rng)
    return labels.to(device()), noise.to(device())


def train_generator(
    generator: nn.Module,
    adam: torch.optim.Optimizer,
    clients: list[State],
    shares: Tensor,
    sample: Callable[[], tuple[Tensor, Tensor]],
    task: Task,
    config: Config,
) -> dict[str, float]:
    """The generator's steps of a round, in place.

    It minimises weight_nll times the heads' cross entropy with the drawn labels, weighted by the
    clients' shares of the class, plus weight_diversity times the collapse of unlike noise.

    Args:
        generator: the network.
        adam: its optimiser, which persists over the rounds.
        clients: the clients' models of this round.
        shares: the clients' shares of each class (N, K).
        sample: returns the labels (B,) and the noise (B, Z) of the next batch.
        task: names the shapes for the FLOP meter.
        config: gives the steps and the two weights.

    Returns:
        The two terms at the last step.

    Raises:
        FloatingPointError: one of them is not finite.
    """
    weight = torch.stack([client["linear.weight"] for client in clients])  # (N, K, F)
    bias = torch.stack([client["linear.bias"] for client in clients])  # (N, K)
    generator.train()
    nll = collapse = torch.zeros(())
    for _ in range(config.generator_steps):
        labels, noise = sample()
        with metered("fedgen", task.spec, len(clients), items=len(labels)):
            features = generator(labels, noise)
            logits = torch.einsum("bf,nkf->nbk", features, weight) + bias[:, None]
            nll = weighted_nll(logits, labels, shares)
            collapse = noise_collapse(noise, features, power=1)
            loss = config.weight_nll * nll + config.weight_diversity * collapse
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()

    if not torch.isfinite(nll + collapse):
        raise FloatingPointError("the generator's loss is not finite: lower generator_lr")
    return {"generator_nll": nll.item(), "generator_collapse": collapse.item()}
