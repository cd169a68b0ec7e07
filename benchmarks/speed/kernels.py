"""The compiled kernel and the fast convolutions against PyTorch's operators."""

import contextlib
import dataclasses
import itertools
import time
from functools import partial
from unittest.mock import patch

import torch
from rich.table import Table
from torch import nn

from benchmarks.speed.output import console
from mosaic.fl.data.federation import open_federation
from mosaic.fl.device import device
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import train


def compare_kernels(task: Task) -> None:
    """Milliseconds of the processor a training step, with the compiled BatchNorm and with PyTorch's operators."""
    table = Table("base width", "precision", "compiled ms", "PyTorch ms", "times as fast")
    if kernels.library() is None:
        console.print("no compiled kernel here: no C++ compiler, or MOSAIC_KERNELS=torch")
        return
    for width, precision in itertools.product((16, 32), ("bf16", "fp32")):
        one = dataclasses.replace(task, base_width=width, precision=precision, steps=20)
        shard, state = open_federation(one).shards[0], initial_model(one.spec, 0)
        took: dict[bool, list[float]] = {True: [], False: []}
        for again in range(5):
            for fused in took:
                begun = time.process_time()
                with (
                    contextlib.nullcontext()
                    if fused
                    else patch.object(kernels, "library", lambda: None)
                ):
                    train(state, shard, one, "speed")
                took[fused] += [(time.process_time() - begun) / one.steps * 1e3] if again else []
        ours, theirs = min(took[True]), min(took[False])
        table.add_row(str(width), precision, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.2f}")
    console.print(table)


LAYERS = {  # what it is: ours, PyTorch's with the same weights, what goes in
    "a CNN's first, of grey images": (layers.Conv2d, nn.Conv2d, (1, 16, 3, 1, 1), (64, 1, 28, 28)),
    "a discriminator's first": (layers.Conv2d, nn.Conv2d, (1, 16, 4, 2, 1), (64, 1, 28, 28)),
    "a discriminator's last": (layers.Conv2d, nn.Conv2d, (64, 1, 3), (64, 64, 3, 3)),
    "DENSE's last": (layers.Conv2d, nn.Conv2d, (64, 1, 3, 1, 1), (64, 64, 28, 28)),
    "DFRD's last": (layers.ConvTranspose2d, nn.ConvTranspose2d, (64, 1, 4, 2, 1), (64, 64, 16, 16)),
    "a generator's first": (
        partial(layers.ConvTranspose2d, bias=False),
        nn.ConvTranspose2d,
        (100, 128, 4),
        (32, 100, 1, 1),
    ),
}


def compare_layers() -> None:
    """Milliseconds of the processor, there and back, of the convolutions that ``layers`` computes its own way."""
    table = Table("convolution, float32", "ours ms", "PyTorch ms", "times as fast")
    for name, (ours, theirs, sizes, shape) in LAYERS.items():
        x = (
            torch.randn(shape, device=device())
            .contiguous(memory_format=torch.channels_last)
            .requires_grad_()
        )
        both = [
            build(*sizes).to(device(), memory_format=torch.channels_last)
            for build in (ours, theirs)
        ]
        g, took = torch.randn_like(both[0](x)), ([], [])
        for _, i in itertools.product(range(10), (0, 1)):
            begun = time.process_time()
            for _ in range(5):
                both[i](x).backward(g)
            took[i].append((time.process_time() - begun) / 5 * 1e3)
        mine, other = map(min, took)
        table.add_row(name, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.2f}")
    console.print(table)
