"""The server's conditional generator: the network of DFRD, FedFTG and DENSE in rounds, its training
and its images.

Luo et al., DFRD: Data-Free Robustness Distillation for Heterogeneous Federated Learning, NeurIPS
2023. The network is that of the authors' code, which runs all three methods with it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.fl.device import autocast, device
from mosaic.fl.fast.convolutions import ConvTranspose2d
from mosaic.fl.rng import seed_of
from mosaic.fl.task import Task

IMAGES_PER_PASS = 512
"""Images that ``synthesise`` draws in one pass."""

NoiseAndLabels = tuple[Tensor, Tensor]
"""Noise (B, Z) and labels (B,): what the generator turns into images."""


class ConditionalGenerator(nn.Module):
    """Noise (B, Z) and labels (B,) to images (B, C, S, S) in [-1, 1], by transposed convolutions.

    The first layer has 4x4 pixels. Each further layer doubles them until the image size is reached;
    a size between two powers of two is cut from the middle. At noise 100, 10 classes, 3 channels
    and 32x32 pixels it has 3,448,552 ("multiply") or 4,267,752 parameters ("concatenate").
    """

    def __init__(
        self, latent: int, n_classes: int, channels: int, size: int, condition: str, ngf: int = 64
    ):
        """Build the network with PyTorch's initial weights.

        Args:
            latent: values of a noise vector, Z.
            n_classes: number of labels.
            channels: channels of an image, C.
            size: height and width of an image, S.
            condition: "multiply" multiplies the noise by the label's embedding (DFRD),
                "concatenate" appends the embedding to the noise (FedFTG).
            ngf: channels of the narrowest hidden layer are twice this number.
        """
        super().__init__()
        self.latent = latent
        self.size = size
        self.multiply = condition == "multiply"
        self.embedding = nn.Embedding(n_classes, latent)

        doublings = max(1, math.ceil(math.log2(size / 4)))
        widths = [ngf * min(8, 2**i) for i in reversed(range(1, doublings + 1))]
        n_inputs = latent if self.multiply else 2 * latent
        layers: list[nn.Module] = [
            ConvTranspose2d(n_inputs, widths[0], 4, 1, 0, bias=False),
            nn.ReLU(),  # without BatchNorm, as in the authors' code
        ]
        for i, (n_in, n_out) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
            if i > 0:
                layers += [nn.BatchNorm2d(n_in), nn.ReLU(inplace=True)]
            layers.append(ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def code(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Combine noise (B, Z) and labels (B,) to the network's input, (B, Z) or (B, 2Z)."""
        embedding = self.embedding(labels)
        if self.multiply:
            return noise * embedding
        return torch.cat([noise, embedding], 1)

    def draw(self, code: Tensor) -> Tensor:
        """Images (B, C, S, S) from what ``code`` returned."""
        images = self.layers(code[:, :, None, None])
        edge = (images.shape[-1] - self.size) // 2
        return images[:, :, edge : edge + self.size, edge : edge + self.size]

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        return self.draw(self.code(noise, labels))


def server_generator(task: Task, latent: int, condition: str, ngf: int) -> ConditionalGenerator:
    """The server's generator with the initial weights that the task's seed fixes.

    Args:
        task: gives the seed, the number of classes and the shape of an image.
        latent: values of a noise vector.
        condition: "multiply" or "concatenate", see :class:`ConditionalGenerator`.
        ngf: see :class:`ConditionalGenerator`.

    Returns:
        The network on the task's device. The global random state is left as it is.
    """
    source = task.source
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "server generator"))
        generator = ConditionalGenerator(
            latent, source.n_classes, source.channels, source.size, condition, ngf
        )
    return generator.to(device()).to(memory_format=torch.channels_last)


def labels_by_counts(
    label_counts: Tensor, latent: int, n: int, rng: torch.Generator
) -> NoiseAndLabels:
    """Gaussian noise, and labels as frequent as among all clients' samples (DFRD, FedFTG).

    Args:
        label_counts: samples per client and class (N, K).
        latent: values of a noise vector, Z.
        n: number of images that will be drawn.
        rng: source of the random numbers; noise is drawn first.

    Returns:
        Noise (n, Z) and labels (n,) on the task's device.
    """
    noise = torch.randn(n, latent, generator=rng)
    frequencies = label_counts.sum(0).double()
    labels = torch.multinomial(frequencies, n, replacement=True, generator=rng)
    return noise.to(device()), labels.to(device())


def uniform_labels(n_classes: int, latent: int, n: int, rng: torch.Generator) -> NoiseAndLabels:
    """Gaussian noise (n, Z), and labels (n,) of which each class is equally likely (DENSE)."""
    noise = torch.randn(n, latent, generator=rng)
    labels = torch.randint(n_classes, (n,), generator=rng)
    return noise.to(device()), labels.to(device())


def new_adam(generator: ConditionalGenerator, learning_rate: float) -> torch.optim.Adam:
    """Adam with beta1 0.5, the authors' choice for DENSE, DFRD and FedFTG."""
    return torch.optim.Adam(
        generator.parameters(), lr=learning_rate, betas=(0.5, 0.999), fused=True
    )


def train_generator(
    generator: ConditionalGenerator,
    steps: int,
    learning_rate: float,
    sample: Callable[[], NoiseAndLabels],
    loss_of: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    work: tuple,
    advice: str,
    adam: torch.optim.Adam | None = None,
) -> float:
    """Take the generator's steps of one turn, in place.

    Args:
        generator: the network, which is put into training mode.
        steps: number of steps.
        learning_rate: of an Adam that starts in this turn, with :func:`new_adam`.
        sample: returns the noise (B, Z) and the labels (B,) of the next batch.
        loss_of: turns noise and labels into the loss that is minimised, and the value to report.
        work: the name of this work for the FLOP meter, with every shape that it depends on.
        advice: what to lower where the loss is not finite.
        adam: the optimiser of an earlier turn, to go on with.

    Returns:
        The value to report, of the last step; 0 without steps.

    Raises:
        FloatingPointError: the last step's loss is not finite.
    """
    generator.train()
    if adam is None:
        adam = new_adam(generator, learning_rate)
    loss = reported = torch.zeros(())
    for _ in range(steps):
        noise, labels = sample()
        with metered(*work, items=len(noise)):
            loss, reported = loss_of(noise, labels)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()

    if not torch.isfinite(loss):
        raise FloatingPointError(f"the generator's loss is not finite: lower {advice}")
    return reported.item()


@torch.no_grad()
def draw(
    generator: ConditionalGenerator, noise: Tensor, labels: Tensor, task: Task, config: object
) -> Tensor:
    """Images (B, C, S, S) of the generator in eval mode, in float32, without gradients.

    Args:
        generator: the network, which is put into eval mode.
        noise: (B, Z).
        labels: (B,).
        task: gives the precision.
        config: the method's settings, which determine the generator's shape for the FLOP meter.
    """
    generator.eval()
    with (
        metered("draw", config, task.spec, generator.size, items=len(noise)),
        autocast(task.precision),
    ):
        return generator(noise, labels).float()


def synthesise(
    generator: ConditionalGenerator,
    task: Task,
    config: object,
    label_counts: Tensor | None,
    n: int,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw images for a ``Snapshot``, :data:`IMAGES_PER_PASS` at a time.

    Args:
        generator: the server's generator.
        task: gives the number of classes and the precision.
        config: see :func:`draw`.
        label_counts: samples per client and class (N, K), which labels are drawn by; None:
            uniformly.
        n: number of images.
        rng: source of noise and labels.

    Returns:
        Images (n, C, S, S) in [-1, 1], and -1 for each (n,): no client's generator drew them.
    """
    if label_counts is None:
        # Noise and labels of one part after the other: committed results have this order of draws
        sizes = [min(IMAGES_PER_PASS, n - start) for start in range(0, n, IMAGES_PER_PASS)]
        n_classes = task.source.n_classes
        parts = [uniform_labels(n_classes, generator.latent, size, rng) for size in sizes]
    else:
        noise, labels = labels_by_counts(label_counts, generator.latent, n, rng)
        of_parts = noise.split(IMAGES_PER_PASS), labels.split(IMAGES_PER_PASS)
        parts = list(zip(*of_parts, strict=True))

    images = [draw(generator, noise, labels, task, config) for noise, labels in parts]
    return torch.cat(images), torch.full((n,), -1)
