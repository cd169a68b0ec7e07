"""Clients' conditional VAEs: a decoder that draws a client's images by label, and needs no model of anybody's.

Sohn et al., Learning Structured Output Representation using Deep Conditional Generative Models, NeurIPS 2015; the loss
is that of FedCVAE's code. Networks are small enough for a processor: two hidden layers each, no convolution.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.federation import Shard
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import batches


@dataclass(frozen=True)
class CvaeConfig:
    """What determines the clients' CVAEs; the prefix lets a method's Config inherit it beside other generators'."""

    cvae_latent: int = 16
    cvae_hidden: int = 512  # units of each hidden layer: a decoder of 678,672 parameters at 28x28
    cvae_steps: int = scaled_steps(23_000, "client")  # of the 64 below
    cvae_batch: int = 64
    cvae_lr: float = 1e-3  # Adam
    cvae_kl: float = 1.0  # weight of the KL term
    cvae_truncation: float = 3.0  # noise is drawn from a normal cut off there


def cvae_config(config: CvaeConfig) -> CvaeConfig:
    """What of a method's configuration determines the CVAEs: the rest does not make them anew."""
    return CvaeConfig(**{f.name: getattr(config, f.name) for f in fields(CvaeConfig)})


def train_cvae(
    task: Task,
    config: CvaeConfig,
    shard: Shard,
    indices: Tensor,
    steps: int,
    n_classes: int,
    *names: int | str,
) -> tuple[State, dict[str, float]]:
    """The decoder of a VAE trained on the images ``indices`` of a shard's pool, given their labels unless K is 0.

    Everybody begins from the same weights; ``names`` and the task's seed fix the batches and the noise.
    """
    source, rng = task.source, stream(task.seed, *names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "encoder"))
        encoder = perceptron(n_pixels(task) + n_classes, config.cvae_hidden, 2 * config.cvae_latent)
    decoder = new_decoder(task, config, n_classes)
    adam = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], lr=config.cvae_lr, fused=True
    )
    order = indices[batches(len(indices), config.cvae_batch, steps, rng).to(device())]
    late = steps - max(1, steps // 10)
    total = torch.zeros(2, device=device())
    for step, batch in enumerate(order):
        x = (normalise(shard.images[batch]).flatten(1) + 1) / 2  # (B, P) in [0, 1]
        labels = shard.labels[batch]
        noise = torch.randn(len(batch), config.cvae_latent, generator=rng).to(
            device(), non_blocking=True
        )
        with metered("cvae", *flop_shapes(task, config, n_classes), items=len(batch)):
            with autocast(task.precision):
                mean, log_var = encoder(with_label(x, labels, n_classes)).float().chunk(2, 1)
                logits = decoder(
                    with_label(mean + (log_var / 2).exp() * noise, labels, n_classes)
                ).float()
            misses, kl = reconstruction(logits, x, source.channels), gaussian_kl(mean, log_var)
            adam.zero_grad(set_to_none=True)
            (misses + config.cvae_kl * kl).backward()
        adam.step()
        if step >= late:
            total += torch.stack([misses, kl]).detach()
    state = LiveNetwork(decoder).save()
    losses = dict(zip(("reconstruction", "kl"), (total / (steps - late)).tolist(), strict=True))
    weights = sum(
        float(tensor.sum()) for tensor in state.values()
    )  # the losses do not see the last step's result
    if not math.isfinite(sum(losses.values()) + weights):
        raise FloatingPointError(
            f"{'/'.join(map(str, names))} diverged: {losses}; lower cvae_lr {config.cvae_lr}"
        )
    return state, losses


def new_decoder(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """The decoder that everybody begins from: noise (B, Z), with the label's one-hot (B, K), to logits (B, C S S)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "decoder"))
        return perceptron(config.cvae_latent + n_classes, config.cvae_hidden, n_pixels(task))


def perceptron(n_in: int, hidden: int, n_out: int) -> nn.Module:
    layers = (
        nn.Linear(n_in, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, n_out),
    )
    return nn.Sequential(*layers).to(device())


def n_pixels(task: Task) -> int:
    return task.source.channels * task.source.size**2


def flop_shapes(task: Task, config: CvaeConfig, n_classes: int) -> tuple[int, ...]:
    """Every shape that the FLOPs depend on but the number of images."""
    return n_pixels(task), config.cvae_hidden, config.cvae_latent, n_classes


def with_label(x: Tensor, labels: Tensor, n_classes: int) -> Tensor:
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
