"""A class-conditional rectified flow on a client's images: the network, its training, its steps.

Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, ICLR
2023, Algorithm 1, for x_1 an image of label y and x_0 ~ N(0, 1):

    x_t = (1 - t) x_0 + t x_1,  t uniform in [0, 1]
    train:  min E |v(x_t, t, y) - (x_1 - x_0)|^2
    draw:   x_0 ~ N(0, 1),  dx/dt = v(x, t, y)  from t = 0 to 1, by Euler's method

Differs from the paper:
- The network predicts x_1, and v = (prediction of x_1 - x_t) / (1 - t), which is the same v. Each
  step then moves towards an image, and the last one is an image: few steps suffice. Its loss is the
  reconstruction error of the CVAEs, whose minimum is the same mean of x_1 as the square's.
- The network is a perceptron with two hidden layers, and not a U-Net of tens of millions of
  weights: 472,848 weights at 28x28 and ten classes, at the FLOPs of a client.
- No reflow and no moving average of the weights.

In the shapes below, B is a batch, K the number of classes, and P = C S S the values of an image.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from mosaic.fl.contract import added_later, scaled_steps
from mosaic.fl.costs import metered
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State
from mosaic.fl.rng import seed_of, stream
from mosaic.fl.synthesis.cvae import n_pixels, perceptron, reconstruction, with_label
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import Samples, batches

TIME_FEATURES = 8
"""Values that tell the network the time: cosines of its multiples."""


@dataclass(frozen=True)
class FlowConfig:
    """What determines the clients' rectified flows."""

    flow_hidden: int = added_later(256)  # units of each hidden layer
    # Lipman et al., Flow Matching, ICLR 2023, on CIFAR-10: 1,000 epochs, here of a client's 5,400
    # images of Fashion-MNIST
    flow_steps: int = scaled_steps(84_400, "client", batch="flow_batch", later=True)
    flow_batch: int = added_later(64)
    flow_lr: float = added_later(1e-3)  # Adam; Lipman et al.: 5e-4, for a U-Net
    flow_euler: int = added_later(8)  # Euler's steps from noise to an image


def flow_config(config: FlowConfig) -> FlowConfig:
    """The part of a method's configuration that determines the flows."""
    return FlowConfig(**{f.name: getattr(config, f.name) for f in fields(FlowConfig)})


class Flow(nn.Module):
    """Predicts the image x_1 that a noisy one x_t will be.

    Args:
        n_values: P.
        n_classes: K.
        hidden: Units of each hidden layer.
        n_steps: Euler's steps of a draw.
    """

    def __init__(self, n_values: int, n_classes: int, hidden: int, n_steps: int):
        super().__init__()
        self.n_values = n_values
        self.n_steps = n_steps
        self.network = perceptron(n_values + n_classes + TIME_FEATURES, hidden, n_values)

    def predict(self, x: Tensor, t: Tensor, one_hot: Tensor) -> Tensor:
        """Logits (B, P) of x_1 from x_t (B, P), the times (B,) and the labels' one-hot (B, K)."""
        frequencies = math.pi * torch.arange(TIME_FEATURES, device=x.device)
        times = torch.cos(t[:, None] * frequencies)
        return self.network(torch.cat([x, one_hot, times], 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Noise x_0 with the labels' one-hot (B, P + K) to logits of an image's values (B, P)."""
        x, one_hot = inputs[:, : self.n_values], inputs[:, self.n_values :]
        logits = x
        for step in range(self.n_steps):
            t = step / self.n_steps
            logits = self.predict(x, torch.full((len(x),), t, device=x.device), one_hot)
            image = torch.tanh(logits.float() / 2)  # in [-1, 1]
            velocity = (image - x) / (1 - t)
            x = x + velocity / self.n_steps
        return logits  # the last step ends at the image that it predicts


def train_flow(
    task: Task, config: FlowConfig, samples: Samples, *names: int | str
) -> tuple[State, dict[str, float]]:
    """Train a rectified flow; all clients start from the same weights.

    Args:
        task: The data set, the precision and the seed.
        config: The network and how to train it.
        samples: The images and labels to train on, for example a client's shard.
        *names: With the task's seed they fix the batches, the times and the noise.

    Returns:
        The flow, and its loss "reconstruction" in nats per image, the mean over the last tenth of
        the steps.

    Raises:
        FloatingPointError: A loss or a weight is not finite.
    """
    rng = stream(task.seed, *names)
    n_classes = task.source.n_classes
    flow = new_flow(task, config)
    adam = torch.optim.Adam(flow.parameters(), lr=config.flow_lr, fused=True)
    order = batches(len(samples.indices), config.flow_batch, config.flow_steps, rng).to(device())
    first_averaged = config.flow_steps - max(1, config.flow_steps // 10)
    total = torch.zeros((), device=device())

    for step, batch in enumerate(samples.indices[order]):
        image = normalise(samples.images[batch]).flatten(1)  # x_1 (B, P) in [-1, 1]
        noise = torch.randn(image.shape, generator=rng).to(device(), non_blocking=True)
        t = torch.rand(len(batch), generator=rng).to(device(), non_blocking=True)
        x = (1 - t[:, None]) * noise + t[:, None] * image
        one_hot = with_label(x[:, :0], samples.labels[batch], n_classes)
        with metered("flow", *flop_shapes(task, config), items=len(batch)):
            with autocast(task.precision):
                logits = flow.predict(x, t, one_hot).float()
            loss = reconstruction(logits, (image + 1) / 2, task.source.channels)
            adam.zero_grad(set_to_none=True)
            loss.backward()
        adam.step()
        if step >= first_averaged:
            total += loss.detach()

    state = LiveNetwork(flow).save()
    mean = float(total) / (config.flow_steps - first_averaged)
    weights = sum(float(tensor.sum()) for tensor in state.values())
    if not math.isfinite(mean + weights):
        raise FloatingPointError(
            f"{'/'.join(map(str, names))} diverged: {mean}; lower flow_lr {config.flow_lr}"
        )
    return state, {"reconstruction": mean}


def new_flow(task: Task, config: FlowConfig) -> Flow:
    """The flow that all clients start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(task.seed, "flow"))
        flow = flow_network(task, config)
    return flow.to(device())


def flow_network(task: Task, config: FlowConfig) -> Flow:
    """A flow for the task's images."""
    n_classes = task.source.n_classes
    return Flow(n_pixels(task), n_classes, config.flow_hidden, config.flow_euler)


def flop_shapes(task: Task, config: FlowConfig) -> tuple[int, ...]:
    """All that the FLOPs of training and drawing depend on, but the number of images."""
    return n_pixels(task), config.flow_hidden, task.source.n_classes, config.flow_euler
