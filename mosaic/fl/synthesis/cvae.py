"""Clients' conditional VAEs: a decoder that draws a client's images by label, and needs no model of anybody's.

Sohn et al., Learning Structured Output Representation using Deep Conditional Generative Models, NeurIPS 2015; the loss
is that of FedCVAE's code. Networks are small enough for a processor: two hidden layers each, no convolution.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.readers import DATASETS, normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.cnn import Resident
from mosaic.fl.rng import generator, seed_of
from mosaic.fl.task import State, Task, work
from mosaic.fl.training.sgd import batches


@dataclass(frozen=True)
class CvaeConfig:
    """What determines the clients' CVAEs; the prefix lets a method's Config inherit it beside other generators'."""

    cvae_latent: int = 16
    cvae_hidden: int = 512  # units of each hidden layer: a decoder of 678,672 parameters at 28x28
    cvae_steps: int = work(23_000, "client")  # of the 64 below
    cvae_batch: int = 64
    cvae_lr: float = 1e-3  # Adam
    cvae_kl: float = 1.0  # weight of the KL term
    cvae_truncation: float = 3.0  # noise is drawn from a normal cut off there


def cvae_config(config: CvaeConfig) -> CvaeConfig:
    """What of a method's configuration determines the CVAEs: the rest does not make them anew."""
    return CvaeConfig(**{f.name: getattr(config, f.name) for f in fields(CvaeConfig)})


@stage(version=1, sees=Task.without_models)
def client_cvae(task: Task, config: CvaeConfig, client: int) -> dict[str, State | dict[str, float]]:
    """One client's decoder, uploaded, and the means of its losses (nats an image) over the last tenth of its steps."""
    shard = open_federation(task).shards[client]
    n_classes = DATASETS[task.dataset].n_classes
    decoder, losses = train_cvae(task, config, shard, shard.indices, config.cvae_steps, n_classes, "cvae", client)
    return {"state": upload(decoder, "generator"), "losses": losses}


@stage(version=1, sees=Task.without_models)
def client_modules(task: Task, config: CvaeConfig, client: int) -> dict[str, list[State] | dict[str, float]]:
    """A decoder for each class that the client holds, ascending, uploaded; together they take a client's steps.

    The losses are means over the modules.
    """
    shard = open_federation(task).shards[client]
    held = shard.classes.tolist()
    states, losses = [], []
    for rank, label in enumerate(held):
        steps = config.cvae_steps // len(held) + (rank < config.cvae_steps % len(held))
        own = shard.indices[shard.labels[shard.indices] == label]
        state, loss = train_cvae(task, config, shard, own, max(1, steps), 0, "module", client, label)
        states.append(upload(state, "generator"))
        losses.append(loss)
    return {"states": states, "losses": {k: sum(loss[k] for loss in losses) / len(losses) for k in losses[0]}}


def train_cvae(
    task: Task, config: CvaeConfig, shard: Shard, indices: Tensor, steps: int, n_classes: int, *names: int | str
) -> tuple[State, dict[str, float]]:
    """The decoder of a VAE trained on the images ``indices`` of a shard's pool, given their labels unless K is 0.

    Everybody begins from the same weights; ``names`` and the task's seed fix the batches and the noise.
    """
    source, rng = DATASETS[task.dataset], generator(task.seed, *names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "encoder"))
        encoder = network(pixels(task) + n_classes, config.cvae_hidden, 2 * config.cvae_latent)
    decoder = new_decoder(task, config, n_classes)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=config.cvae_lr, fused=True)
    order = indices[batches(len(indices), config.cvae_batch, steps, rng).to(device())]
    late = steps - max(1, steps // 10)
    total = torch.zeros(2, device=device())
    for step, batch in enumerate(order):
        x = (normalise(shard.images[batch]).flatten(1) + 1) / 2  # (B, P) in [0, 1]
        labels = shard.labels[batch]
        noise = torch.randn(len(batch), config.cvae_latent, generator=rng).to(device(), non_blocking=True)
        with metered("cvae", *shape_of(task, config, n_classes), items=len(batch)):
            with autocast(task.precision):
                mean, log_var = encoder(told(x, labels, n_classes)).float().chunk(2, 1)
                logits = decoder(told(mean + (log_var / 2).exp() * noise, labels, n_classes)).float()
            misses, kl = reconstruction(logits, x, source.channels), gaussian_kl(mean, log_var)
            adam.zero_grad(set_to_none=True)
            (misses + config.cvae_kl * kl).backward()
        adam.step()
        if step >= late:
            total += torch.stack([misses, kl]).detach()
    state = Resident(decoder).save()
    losses = dict(zip(("reconstruction", "kl"), (total / (steps - late)).tolist(), strict=True))
    weights = sum(float(tensor.sum()) for tensor in state.values())  # the losses do not see the last step's result
    if not math.isfinite(sum(losses.values()) + weights):
        raise FloatingPointError(f"{'/'.join(map(str, names))} diverged: {losses}; lower cvae_lr {config.cvae_lr}")
    return state, losses


def new_decoder(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """The decoder that everybody begins from: noise (B, Z), with the label's one-hot (B, K), to logits (B, C S S)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "decoder"))
        return network(config.cvae_latent + n_classes, config.cvae_hidden, pixels(task))


def network(n_in: int, hidden: int, n_out: int) -> nn.Module:
    layers = nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_out)
    return nn.Sequential(*layers).to(device())


def pixels(task: Task) -> int:
    return DATASETS[task.dataset].channels * DATASETS[task.dataset].size ** 2


def shape_of(task: Task, config: CvaeConfig, n_classes: int) -> tuple[int, ...]:
    """Every shape that the FLOPs depend on but the number of images."""
    return pixels(task), config.cvae_hidden, config.cvae_latent, n_classes


def told(x: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """``x`` (B, D) with the label's one-hot appended, (B, D + K); as it is where K is 0."""
    return torch.cat([x, F.one_hot(labels, n_classes).to(x.dtype)], 1) if n_classes else x


def reconstruction(logits: Tensor, x: Tensor, channels: int) -> Tensor:
    """Sum over pixels, mean over a batch: cross entropy of grey pixels x (B, P) in [0, 1], squared error of colours."""
    if channels == 1:
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    return (logits.sigmoid() - x).square().sum() / len(x)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)), summed over Z, mean over a batch (B, Z) (Kingma and Welling, 2014, appendix B)."""
    return (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean() / 2


class Decoders:
    """Clients' decoders as one source of images that come with their labels.

    A client is drawn in proportion to its size and a label in proportion to that client's counts; with ``balanced``
    all classes that somebody holds are equally frequent, and a class's clients are drawn by their counts of it. Nobody
    draws a class that it lacks. Draws are stratified: each pair of client and label is met as often as its probability
    says, to within one image, and so is each class where ``balanced``.
    """

    def __init__(
        self,
        task: Task,
        config: CvaeConfig,
        states: Sequence[State],
        label_counts: Tensor,
        balanced: bool = False,
        conditional: bool = True,
    ):
        """``label_counts`` (N, K); decoders that are not ``conditional`` draw a single class and are told no label."""
        self.task, self.config, self.states = task, config, states
        self.n_classes = label_counts.shape[1] if conditional else 0
        self.home = Resident(new_decoder(task, config, self.n_classes).eval().requires_grad_(False))
        weights = label_counts.double()
        self.weights = weights / weights.sum(0).clamp_min(1) if balanced else weights

    def draw_labelled(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1] in random order, their labels (n,) and who drew each (n,)."""
        z, labels, clients = self.plan(n, rng)
        return self.decode(z, labels, clients), labels, clients

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images (n, C, S, S) in [-1, 1] and the client (n,) whose decoder drew each."""
        images, _, clients = self.draw_labelled(n, rng)
        return images, clients

    def plan(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noise (n, Z), labels (n,) and clients (n,) of ``n`` images in random order."""
        edges = self.weights.T.flatten().cumsum(0)  # class by class: a class's clients lie side by side
        at = (torch.arange(n, dtype=torch.float64) + torch.rand((), generator=rng)) / n * edges[-1]
        cell = torch.searchsorted(edges, at, right=True)[torch.randperm(n, generator=rng)]
        u = 2 * torch.rand(n, self.config.cvae_latent, generator=rng, dtype=torch.float64) - 1
        z = math.sqrt(2) * torch.erfinv(u * math.erf(self.config.cvae_truncation / math.sqrt(2)))
        n_clients = len(self.weights)
        return z.float().to(device()), (cell // n_clients).to(device()), (cell % n_clients).to(device())

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor, clients: Tensor) -> Tensor:
        """The images (n, C, S, S) in [-1, 1] that these clients' decoders draw from noise (n, Z) and labels (n,)."""
        source = DATASETS[self.task.dataset]
        images = torch.empty(len(z), source.channels, source.size, source.size, device=device())
        for client in clients.unique().tolist():
            self.home.load(self.states[client])
            for part in (clients == client).nonzero().flatten().split(512):
                asked = told(z[part], labels[part], self.n_classes)
                shape = shape_of(self.task, self.config, self.n_classes)
                with metered("draw", "cvae", *shape, items=len(part)), autocast(self.task.precision):
                    logits = self.home.network(asked).float()
                images[part] = torch.tanh(logits / 2).view(-1, *images.shape[1:])  # 2 sigmoid - 1
        return images.contiguous(memory_format=torch.channels_last)


def passes(images: Tensor, labels: Tensor, batch: int, steps: int, rng: torch.Generator) -> Iterator[tuple]:
    """``steps`` batches of images and labels, in passes over the shuffled set."""
    for chosen in batches(len(images), batch, steps, rng).to(images.device):
        yield images[chosen], labels[chosen]
