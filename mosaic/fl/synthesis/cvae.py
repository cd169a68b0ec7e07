"""Conditional VAEs: a decoder that draws a client's images by label.

Sohn et al., Learning Structured Output Representation using Deep Conditional Generative Models,
NeurIPS 2015; the loss is that of FedCVAE's code. The networks are small enough for a CPU: two
hidden layers each, no convolution; or those of ``conv_cvae.py``, which convolve. Training needs no
model of any client.

In the shapes below, B is a batch, Z the noise's dimension, K the number of classes, and P = C S S
the values of an image (C, S, S).
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.contract import added_later, choice, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.synthesis.conv_cvae import ConvDecoder, ConvEncoder
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import Samples, batches


@dataclass(frozen=True)
class CvaeConfig:
    """What determines the clients' CVAEs.

    The prefix of the fields lets a method's Config inherit them beside those of other generators.
    """

    cvae_latent: int = 16  # Z
    cvae_hidden: int = 512  # units of each hidden layer: a decoder of 678,672 parameters at 28x28
    # FedCVAE's code on Fashion-MNIST: 25 epochs of a client's 3,000 images
    cvae_steps: int = scaled_steps(2_350, "client", batch="cvae_batch")
    cvae_batch: int = 32
    cvae_lr: float = 1e-3  # Adam
    cvae_kl: float = 1.0  # weight of the KL term
    cvae_truncation: float = 3.0  # noise comes from N(0, 1), without values beyond this one
    cvae_network: str = choice("perceptron", "convolutional", later=True)
    cvae_width: int = added_later(16)  # channels of the convolutional network, at half the size


def cvae_config(config: CvaeConfig) -> CvaeConfig:
    """The part of a method's configuration that determines the CVAEs.

    Cached CVAEs depend on that part alone, so other settings do not train them again.
    """
    return CvaeConfig(**{f.name: getattr(config, f.name) for f in fields(CvaeConfig)})


def train_cvae(
    task: Task,
    config: CvaeConfig,
    samples: Samples,
    steps: int,
    n_classes: int,
    *names: int | str,
) -> tuple[State, dict[str, float]]:
    """Train a conditional VAE; all clients start from the same weights.

    Args:
        task: The data set, the precision and the seed.
        config: The networks and how to train them.
        samples: The images and labels to train on, for example a client's shard.
        steps: Steps of Adam, at least 1.
        n_classes: K; 0: encoder and decoder do not see the labels.
        *names: With the task's seed they fix the batches and the noise.

    Returns:
        The decoder, and its losses "reconstruction" and "kl" in nats per image, means over the
        last tenth of the steps.

    Raises:
        FloatingPointError: A loss or a weight is not finite.
    """
    rng = stream(task.seed, *names)
    encoder = _new_encoder(task, config, n_classes)
    decoder = new_decoder(task, config, n_classes)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=config.cvae_lr, fused=True)
    order = batches(len(samples.indices), config.cvae_batch, steps, rng).to(device())
    first_averaged = steps - max(1, steps // 10)
    total = torch.zeros(2, device=device())  # of both losses, from that step on

    for step, batch in enumerate(samples.indices[order]):
        x = (normalise(samples.images[batch]).flatten(1) + 1) / 2  # (B, P) in [0, 1]
        labels = samples.labels[batch]
        noise = torch.randn(len(batch), config.cvae_latent, generator=rng)
        noise = noise.to(device(), non_blocking=True)
        with metered("cvae", *flop_shapes(task, config, n_classes), items=len(batch)):
            with autocast(task.precision):
                mean, log_var = encoder(with_label(x, labels, n_classes)).float().chunk(2, 1)
                z = mean + (log_var / 2).exp() * noise  # (B, Z)
                logits = decoder(with_label(z, labels, n_classes)).float()
            error = reconstruction(logits, x, task.source.channels)
            kl = gaussian_kl(mean, log_var)
            adam.zero_grad(set_to_none=True)
            (error + config.cvae_kl * kl).backward()
        adam.step()
        if step >= first_averaged:
            total += torch.stack([error, kl]).detach()

    state = LiveNetwork(decoder).save()
    error, kl = (total / (steps - first_averaged)).tolist()
    losses = {"reconstruction": error, "kl": kl}
    if not _all_finite(losses, state):
        raise FloatingPointError(
            f"{'/'.join(map(str, names))} diverged: {losses}; lower cvae_lr {config.cvae_lr}"
        )
    return state, losses


def _all_finite(losses: dict[str, float], state: State) -> bool:
    """Whether losses and weights are finite. The losses do not see the last step's result."""
    weights = sum(float(tensor.sum()) for tensor in state.values())
    return math.isfinite(sum(losses.values()) + weights)


def _new_encoder(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """The encoder that all clients start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "encoder"))
        network = encoder_network(task, config, n_classes)
    return network.to(device()).to(memory_format=torch.channels_last)


def new_decoder(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """The decoder that all clients start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "decoder"))
        network = decoder_network(task, config, n_classes)
    return network.to(device()).to(memory_format=torch.channels_last)


def encoder_network(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """An image (B, P) with the label's one-hot (B, K) to its code's mean and log-variance, (B,
    2Z)."""
    n_out = 2 * config.cvae_latent
    if config.cvae_network == "convolutional":
        source = task.source
        return ConvEncoder(n_classes, config.cvae_width, source.channels, source.size, n_out)
    return perceptron(n_pixels(task) + n_classes, config.cvae_hidden, n_out)


def decoder_network(task: Task, config: CvaeConfig, n_classes: int) -> nn.Module:
    """Noise (B, Z) with the label's one-hot (B, K) to logits of an image's values, (B, P)."""
    n_in = config.cvae_latent + n_classes
    if config.cvae_network == "convolutional":
        return ConvDecoder(n_in, config.cvae_width, task.source.channels, task.source.size)
    return perceptron(n_in, config.cvae_hidden, n_pixels(task))


def perceptron(n_in: int, hidden: int, n_out: int) -> nn.Module:
    """(B, n_in) to (B, n_out) through two hidden layers of ``hidden`` units with ReLU."""
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, n_out),
    )


def n_pixels(task: Task) -> int:
    """P = C S S, the number of values of an image."""
    return task.source.channels * task.source.size**2


def flop_shapes(task: Task, config: CvaeConfig, n_classes: int) -> tuple[int | str, ...]:
    """All that the FLOPs of encoder and decoder depend on, but the number of images."""
    width = config.cvae_width if config.cvae_network == "convolutional" else config.cvae_hidden
    source = task.source
    return config.cvae_network, source.channels, source.size, width, config.cvae_latent, n_classes


def with_label(x: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """``x`` (B, D) with the one-hot of the labels (B,) appended, (B, D + K); ``x`` if K is 0."""
    if n_classes == 0:
        return x
    return torch.cat([x, F.one_hot(labels, n_classes).to(x.dtype)], 1)


def reconstruction(logits: Tensor, x: Tensor, channels: int) -> Tensor:
    """The reconstruction error, summed over an image's values, mean over the batch.

    Args:
        logits: The decoder's output (B, P).
        x: The images (B, P) in [0, 1].
        channels: 1: cross entropy in nats, for grey values. 3: squared error, for colours.
    """
    if channels == 1:
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    return (logits.sigmoid() - x).square().sum() / len(x)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)) in nats, summed over Z, mean over the batch (B, Z).

    Kingma and Welling, 2014, appendix B.
    """
    return (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean() / 2
