"""The compiled kernel and the fast convolutions against PyTorch's operators, in milliseconds."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import patch

import torch
from rich.table import Table
from torch import nn

from benchmarks.output import print_table
from benchmarks.speed.output import console
from mosaic.fl.data.federation import open_federation
from mosaic.fl.device import device
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import train

TURNS = 5  # timed turns of each variant, of which the fastest counts; the first one warms up


def compare_kernels(task: Task) -> None:
    """Print the milliseconds of processor time per training step of a client.

    Compared are the compiled BatchNorm kernel and PyTorch's operators, by base width and precision.
    """
    if kernels.library() is None:
        console.print("no compiled kernel here: no C++ compiler, or MOSAIC_KERNELS=torch")
        return
    table = Table("base width", "precision", "compiled ms", "PyTorch ms", "times as fast")
    for width, precision in itertools.product((16, 32), ("bf16", "fp32")):
        variant = dataclasses.replace(task, base_width=width, precision=precision, steps=20)
        compiled, pytorch = _time_steps(variant)
        table.add_row(
            str(width),
            precision,
            f"{compiled:.1f}",
            f"{pytorch:.1f}",
            f"{pytorch / compiled:.2f}",
        )
    print_table(console, table)


def _time_steps(task: Task) -> tuple[float, float]:
    """Milliseconds per step with the compiled kernel, and with PyTorch's operators."""
    shard = open_federation(task).shards[0]
    state = initial_model(task.spec, 0)

    def steps() -> float:
        begun = time.process_time()
        train(state, shard, task, "speed")
        return (time.process_time() - begun) / task.steps * 1e3

    # In turn, so that other work on the machine slows both alike.
    compiled: list[float] = []
    pytorch: list[float] = []
    for _ in range(TURNS):
        compiled.append(steps())
        with _without_kernel():
            pytorch.append(steps())
    return min(compiled[1:]), min(pytorch[1:])


@contextlib.contextmanager
def _without_kernel() -> Iterator[None]:
    """In the block there is no compiled kernel, so that PyTorch's operators are used."""

    def no_library() -> None:
        return None

    with patch.object(kernels, "library", no_library):
        yield


@dataclasses.dataclass(frozen=True)
class Pair:
    """A convolution of this project, and PyTorch's of the same size."""

    project: Callable[..., nn.Module]
    pytorch: Callable[..., nn.Module]
    arguments: tuple[int, ...]  # input channels, output channels, kernel size, stride, padding
    shape: tuple[int, ...]  # of the input (B, C, H, W)


LAYERS = {
    "a CNN's first, of grey images": Pair(
        layers.Conv2d, nn.Conv2d, (1, 16, 3, 1, 1), (64, 1, 28, 28)
    ),
    "a discriminator's first": Pair(layers.Conv2d, nn.Conv2d, (1, 16, 4, 2, 1), (64, 1, 28, 28)),
    "a discriminator's last": Pair(layers.Conv2d, nn.Conv2d, (64, 1, 3), (64, 64, 3, 3)),
    "DENSE's last": Pair(layers.Conv2d, nn.Conv2d, (64, 1, 3, 1, 1), (64, 64, 28, 28)),
    "DFRD's last": Pair(
        layers.ConvTranspose2d, nn.ConvTranspose2d, (64, 1, 4, 2, 1), (64, 64, 16, 16)
    ),
    "a generator's first": Pair(
        partial(layers.ConvTranspose2d, bias=False),
        nn.ConvTranspose2d,
        (100, 128, 4),
        (32, 100, 1, 1),
    ),
}
"""The layers that are timed, by what they are."""


def compare_layers() -> None:
    """Print the milliseconds of processor time of a forward and backward pass of each layer.

    Compared are the convolutions that this project computes in its own way and PyTorch's.
    """
    table = Table("convolution, float32", "project ms", "PyTorch ms", "times as fast")
    for name, pair in LAYERS.items():
        project, pytorch = _time_layers(pair)
        table.add_row(name, f"{project:.2f}", f"{pytorch:.2f}", f"{pytorch / project:.2f}")
    print_table(console, table)


def _time_layers(pair: Pair) -> tuple[float, float]:
    """Milliseconds per pass of this project's layer and of PyTorch's: the fastest of ten turns."""
    x = torch.randn(pair.shape, device=device())
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    project_layer = _build(pair.project, pair.arguments)
    pytorch_layer = _build(pair.pytorch, pair.arguments)
    gradient = torch.randn_like(project_layer(x))

    def passes(layer: nn.Module, n: int = 5) -> float:
        begun = time.process_time()
        for _ in range(n):
            layer(x).backward(gradient)
        return (time.process_time() - begun) / n * 1e3

    project: list[float] = []
    pytorch: list[float] = []
    for _ in range(10):
        project.append(passes(project_layer))
        pytorch.append(passes(pytorch_layer))
    return min(project), min(pytorch)


def _build(layer: Callable[..., nn.Module], arguments: tuple[int, ...]) -> nn.Module:
    module = layer(*arguments)
    return module.to(device=device(), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
