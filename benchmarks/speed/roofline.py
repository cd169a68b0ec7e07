"""How near each hot loop comes to what this machine can do: its FLOP/s against those of a large matrix product.

Only products and convolutions count as FLOPs, so a loop can never reach the product's own rate.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from rich.table import Column, Table
from torch import Tensor, nn

from benchmarks.metrics.accuracy import score
from benchmarks.planning.scales import SCALES
from mosaic.client_generators import GeneratorConfig, client_generator
from mosaic.fl.cache import use_cache
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.device import device
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train
from mosaic.fl.training.teachers import teacher_logits, teachers_of

Loop = Callable[[], None]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def roofline(task: Task) -> Table:
    """GFLOP/s of training, generator training, teaching, distillation and scoring at the laptop scale's sizes.

    Each beside the same loop with PyTorch's layers, in turn: the better of two times.
    """
    use_cache(None)
    task = at_laptop_scale(task)
    best = peak(task.precision)
    title = f"a matrix product: {best / 1e9:.0f} GFLOP/s in {task.precision}"
    table = Table(
        "hot loop", "GFLOP/s", "of that", "ms a step", "with PyTorch's", "ratio", title=title
    )
    for name, loop in loops(task).items():
        turns = [(_step(loop), pytorchs_layers()(_step)(loop)) for _ in range(2)]
        (ours, flops), (theirs, _) = map(min, zip(*turns, strict=True))
        rate = flops / ours
        row = f"{rate / 1e9:.0f}", f"{rate / best:.0%}", f"{ours * 1e3:.1f}", f"{theirs * 1e3:.1f}"
        table.add_row(name, *row, f"{ours / theirs:.2f}")
    return table


def at_laptop_scale(task: Task) -> Task:
    return dataclasses.replace(
        task, **SCALES["laptop"].task | {"rounds": 1, "score_every": 1, "steps": 1}
    )


def _step(loop: Callable[[int], None]) -> tuple[float, float]:
    """A step's seconds and FLOPs."""
    loop(10)  # the meter counts FLOPs in a name's first block, and the first steps warm up
    with opened(Account()) as account:
        loop(10)
    cost, steps = account.own, sum(account.own.steps.values())
    return cost.seconds / steps, cost.flops / steps


def profile(task: Task) -> Table:
    """Operators' shares of the time in what trains, by torch's profiler: those of 2 % or more in one loop."""
    use_cache(None)
    task = at_laptop_scale(task)
    of_device = "self_cpu_time_total" if device() == "cpu" else "self_device_time_total"
    shares: dict[str, dict[str, float]] = {}
    for name, loop in loops(task).items():
        if "training" not in name:
            continue
        loop(3)  # see _step
        with torch.profiler.profile() as profiler:
            loop(3)
        spent = {event.key: getattr(event, of_device) for event in profiler.key_averages()}
        total = sum(spent.values())
        shares[name] = {operator: one / total for operator, one in spent.items()}
    found = {
        operator for one in shares.values() for operator, share in one.items() if share >= 0.02
    }
    table = Table(Column("operator", overflow="fold"), *shares)
    for operator in sorted(
        found, key=lambda operator: -sum(one.get(operator, 0.0) for one in shares.values())
    ):
        table.add_row(operator, *(f"{one.get(operator, 0.0):.0%}" for one in shares.values()))
    return table


@contextlib.contextmanager
def pytorchs_layers() -> Iterator[None]:
    """In it networks are computed as a first script would: by PyTorch's own layers, one after the other."""

    def doubling(self: nn.Conv2d, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, F.interpolate(x, scale_factor=2))

    def norm_relu_pool(self: kernels.NormReluPool, x: Tensor) -> Tensor:
        x = F.relu(nn.BatchNorm2d.forward(self, x), inplace=True)
        return F.max_pool2d(x, 2) if self.pool else x

    theirs = {
        layers.Conv2d: nn.Conv2d.forward,
        layers.ConvTranspose2d: nn.ConvTranspose2d.forward,
        layers.PixelwiseConv2d: nn.Conv2d.forward,
        layers.DoublingConv2d: doubling,
        kernels.NormReluPool: norm_relu_pool,
    }
    with contextlib.ExitStack() as stack:
        for layer, forward in theirs.items():
            stack.enter_context(patch.object(layer, "forward", forward))
        yield


def peak(precision: str, n: int = 2048, seconds: float = 1.0) -> float:
    """FLOP/s of n x n matrix products, the best of those that fit into the time."""
    a, b = (torch.randn(n, n, device=device(), dtype=DTYPES[precision]) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        float((a @ b)[0, 0])  # waits for the product
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


def loops(task: Task) -> dict[str, Callable[[int], None]]:
    """Each hot loop as a function of how many steps it shall take."""
    spec, shard, rng = task.spec, open_federation(task).shards[0], torch.Generator().manual_seed(0)
    server, source = initial_model(spec, 0), load(task.dataset, "test")
    images = torch.rand(320, *shard.images.shape[1:], generator=rng).to(device()) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    said = torch.randn(320, source.n_classes, generator=rng).to(device())
    teachers = teachers_of(task, [server] * task.n_clients)
    laptop = SCALES["laptop"].methods["mosaic"]
    gan = GeneratorConfig(**{k: laptop[k] for k in ("ngf", "generator_batch", "generator_lr")})
    gan_paper = GeneratorConfig()
    adam = partial(torch.optim.Adam, lr=1e-3, fused=True)

    def lessons(n: int) -> Iterator:
        return iter([(images, said)] * n)

    def generate(config: GeneratorConfig, n: int) -> None:
        client_generator.__wrapped__(task, dataclasses.replace(config, generator_steps=n), 0)

    return {
        "local training": lambda n: train(server, shard, task, "roofline", steps=5 * n) and None,
        f"generator training, ngf {gan.ngf}, batch {gan.generator_batch}": partial(generate, gan),
        f"generator training, ngf {gan_paper.ngf}, batch {gan_paper.generator_batch}": partial(
            generate, gan_paper
        ),
        "ten teachers' answers": lambda n: (
            [teacher_logits(teachers, images, task) for _ in range(n)] and None
        ),
        "distillation": lambda n: (
            distil(server, lessons(n), task, adam, losses.soft_distillation, True) and None
        ),
        "scoring": lambda n: (
            score(
                predictor(server, task),
                source.images[: 200 * n],
                source.labels[: 200 * n],
                source.n_classes,
            )
            and None
        ),
    }
