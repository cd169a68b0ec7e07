"""How near each hot loop comes to what this machine can do.

The FLOP/s of each loop are compared with those of a large matrix product. Only products and
convolutions count as FLOPs, so no loop can reach the rate of the product itself.
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
from mosaic.fl.models.spec import State
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train
from mosaic.fl.training.teachers import teacher_logits, teachers_of

Loop = Callable[[int], object]
"""Takes the number of steps; what it returns is not used."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

SHOWN_FROM = 0.02  # operators with a smaller share of every loop are not in the profile


def roofline(task: Task) -> Table:
    """Measure the GFLOP/s of the hot loops at the laptop scale's sizes.

    The loops are training, generator training, teaching, distillation and scoring. Each is timed
    in turn with the same loop on PyTorch's layers; the better of two times counts.

    Args:
        task: The task; its sizes are replaced.

    Returns:
        A table of GFLOP/s, their share of a matrix product's, milliseconds per step, the same with
        PyTorch's layers, and the ratio of the two times (below 1: this project is faster).
    """
    use_cache(None)
    task = at_laptop_scale(task)
    best = peak(task.precision)
    title = f"a matrix product: {best / 1e9:.0f} GFLOP/s in {task.precision}"
    table = Table(
        "hot loop", "GFLOP/s", "of that", "ms per step", "with PyTorch's", "ratio", title=title
    )
    for name, loop in loops(task).items():
        project: list[tuple[float, float]] = []
        pytorch: list[tuple[float, float]] = []
        for _ in range(2):
            project.append(_step(loop))
            with pytorchs_layers():
                pytorch.append(_step(loop))

        seconds = min(seconds for seconds, _ in project)
        flops = min(flops for _, flops in project)
        pytorch_seconds = min(seconds for seconds, _ in pytorch)
        rate = flops / seconds
        table.add_row(
            name,
            _gflops_text(rate),
            f"{rate / best:.0%}",
            f"{seconds * 1e3:.1f}",
            f"{pytorch_seconds * 1e3:.1f}",
            f"{seconds / pytorch_seconds:.2f}",
        )
    return table


def _gflops_text(rate: float) -> str:
    """FLOP/s as GFLOP/s, with two digits where it is below 10."""
    gflops = rate / 1e9
    return f"{gflops:.0f}" if gflops >= 10 else f"{gflops:.2g}"


def at_laptop_scale(task: Task) -> Task:
    """The task with the laptop scale's sizes, and a single step in a single round."""
    sizes = SCALES["laptop"].task | {"rounds": 1, "score_every": 1, "steps": 1}
    return dataclasses.replace(task, **sizes)


def _step(loop: Loop) -> tuple[float, float]:
    """The seconds and the FLOPs of one step."""
    # The FLOPs of a name are counted in its first block, and the first steps warm up.
    loop(10)
    with opened(Account()) as account:
        loop(10)
    cost = account.own
    n_steps = sum(cost.steps.values())
    return cost.seconds / n_steps, cost.flops / n_steps


def profile(task: Task) -> Table:
    """Measure the operators' shares of the time of each training loop, by PyTorch's profiler.

    Args:
        task: The task; its sizes are replaced.

    Returns:
        A table of the operators that have a share of 2 % or more in some loop.
    """
    use_cache(None)
    task = at_laptop_scale(task)
    shares: dict[str, dict[str, float]] = {}
    for name, loop in loops(task).items():
        if "training" in name:
            shares[name] = _operator_shares(loop)

    total: dict[str, float] = {}
    shown: set[str] = set()
    for of_loop in shares.values():
        for operator, share in of_loop.items():
            total[operator] = total.get(operator, 0.0) + share
            if share >= SHOWN_FROM:
                shown.add(operator)

    table = Table(Column("operator", overflow="fold"), *shares)
    for operator in sorted(shown, key=total.__getitem__, reverse=True):
        texts = [f"{of_loop.get(operator, 0.0):.0%}" for of_loop in shares.values()]
        table.add_row(operator, *texts)
    return table


def _operator_shares(loop: Loop) -> dict[str, float]:
    """Each operator's share of the time on the device."""
    attribute = "self_cpu_time_total" if device() == "cpu" else "self_device_time_total"
    loop(3)  # see _step
    with torch.profiler.profile() as profiler:
        loop(3)
    spent = {event.key: getattr(event, attribute) for event in profiler.key_averages()}
    total = sum(spent.values())
    return {operator: time_spent / total for operator, time_spent in spent.items()}


def peak(precision: str, n: int = 2048, seconds: float = 1.0) -> float:
    """The FLOP/s of n x n matrix products.

    Args:
        precision: "fp32" or "bf16".
        n: Size of the matrices.
        seconds: For how long products are timed; the fastest counts.
    """
    a = torch.randn(n, n, device=device(), dtype=DTYPES[precision])
    b = torch.randn(n, n, device=device(), dtype=DTYPES[precision])
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        float((a @ b)[0, 0])  # waits for the product
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


@contextlib.contextmanager
def pytorchs_layers() -> Iterator[None]:
    """In the block, networks are computed by PyTorch's own layers, one after the other.

    That is what somebody's first script would do.
    """

    def doubling(self: nn.Conv2d, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, F.interpolate(x, scale_factor=2))

    def norm_relu_pool(self: kernels.NormReluPool, x: Tensor) -> Tensor:
        x = F.relu(nn.BatchNorm2d.forward(self, x), inplace=True)
        return F.max_pool2d(x, 2) if self.pool else x

    forward_of = {
        layers.Conv2d: nn.Conv2d.forward,
        layers.ConvTranspose2d: nn.ConvTranspose2d.forward,
        layers.PixelwiseConv2d: nn.Conv2d.forward,
        layers.DoublingConv2d: doubling,
        kernels.NormReluPool: norm_relu_pool,
    }
    with contextlib.ExitStack() as stack:
        for layer, forward in forward_of.items():
            stack.enter_context(patch.object(layer, "forward", forward))
        yield


def loops(task: Task) -> dict[str, Loop]:
    """The hot loops, each as a function of the number of its steps.

    Local training takes five steps, and scoring 200 images, for each step that is asked for.
    """
    shard = open_federation(task).shards[0]
    server = initial_model(task.spec, 0)

    def train_locally(n: int) -> None:
        train(server, shard, task, "roofline", steps=5 * n)

    laptop = SCALES["laptop"].methods["mosaic"]
    small_gan = GeneratorConfig(ngf=laptop["ngf"], generator_batch=laptop["generator_batch"])
    paper_gan = GeneratorConfig()
    return {
        "local training": train_locally,
        _gan_name(small_gan): partial(_train_generator, task, small_gan),
        _gan_name(paper_gan): partial(_train_generator, task, paper_gan),
        **_server_loops(task, server, shard.images.shape[1:]),
    }


def _server_loops(task: Task, server: State, shape: torch.Size) -> dict[str, Loop]:
    """The loops of the server: the teachers' logits, distillation from fixed logits, scoring.

    Args:
        task: The task.
        server: The weights of the student and of all teachers.
        shape: Shape of an image (C, H, W).
    """
    test = load(task.dataset, "test")

    # 320 random images in [-1, 1], and random logits.
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(320, *shape, generator=rng).to(device()) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    logits = torch.randn(320, test.n_classes, generator=rng).to(device())
    teachers = teachers_of(task, [server] * task.n_clients)
    adam = partial(torch.optim.Adam, lr=1e-3, fused=True)

    def teach(n: int) -> None:
        for _ in range(n):
            teacher_logits(teachers, images, task)

    def distil_steps(n: int) -> None:
        batches = iter([(images, logits)] * n)
        distil(server, batches, task, adam, losses.soft_distillation, True)

    def score_images(n: int) -> None:
        some_images = test.images[: 200 * n]
        some_labels = test.labels[: 200 * n]
        score(predictor(server, task), some_images, some_labels, test.n_classes)

    return {
        "ten teachers' answers": teach,
        "distillation": distil_steps,
        "scoring": score_images,
    }


def _gan_name(config: GeneratorConfig) -> str:
    return f"generator training, ngf {config.ngf}, batch {config.generator_batch}"


def _train_generator(task: Task, config: GeneratorConfig, n: int) -> None:
    # __wrapped__ is the function without its cache.
    config = dataclasses.replace(config, generator_steps=n)
    client_generator.__wrapped__(task, config, 0)
