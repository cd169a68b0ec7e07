"""A FedAvg round against a plain loop, against its own steps alone, and against peers."""

import copy
import dataclasses
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import nn

from benchmarks.speed.output import console
from benchmarks.speed.roofline import pytorchs_layers
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import autocast, device
from mosaic.fl.models.live_network import initial_model, live_network
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.rounds import average_round, client_updates
from mosaic.fl.task import Task
from mosaic.fl.training.sgd import batches


def compare_rounds(
    task: Task, rounds: int, peers: Sequence[str] = (), python: str = sys.executable
) -> None:
    """Seconds a round: the project's loop, the same steps bare, and the loop that anybody would write first.

    Then the peers' scripts, at 10 and at 100 clients, each followed by this project's rounds of that many.
    """
    variants: dict[str, Callable[[int], None]] = {
        "plain loop, float32": plain_rounds(task)[0],
        "bare steps": bare_rounds(task),
        "this project": our_rounds(task),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for t in range(1, rounds + 3):
        for name, run in variants.items():
            begun = time.perf_counter()
            run(t)
            seconds[name].append(time.perf_counter() - begun)
    table = Table("variant", "s a round (median)", "this project against it")
    medians = {
        name: statistics.median(values[2:]) for name, values in seconds.items()
    }  # two rounds to warm up
    for name in variants:
        ratio = statistics.median(
            theirs / ours
            for theirs, ours in zip(seconds[name][2:], seconds["this project"][2:], strict=True)
        )
        table.add_row(name, f"{medians[name]:.3f}", f"{ratio:.3f} times as fast")
    console.print(table)
    for script, n in itertools.product(peers, (10, 100)):
        few = max(3, rounds * 10 // n)  # the scripts leave out the first ones
        command = [python, Path(script).name, "--clients", str(n), "--rounds", str(few)]
        ran = subprocess.run(
            command, cwd=Path(script).parent, capture_output=True, text=True, check=True
        )
        theirs = float(ran.stdout.split()[-1])
        run, took = our_rounds(dataclasses.replace(task, n_clients=n)), []
        for t in range(1, few + 1):
            begun = time.perf_counter()
            run(t)
            took.append(time.perf_counter() - begun)
        ours = statistics.median(took[1:])
        name = f"{Path(script).stem}, {n} clients"
        console.print(
            f"{name}: {theirs:.2f} s a round, this project {ours:.2f} s, {theirs / ours:.2f} times as fast",
            highlight=False,
        )


def our_rounds(task: Task) -> Callable[[int], None]:
    server = initial_model(task.spec, task.seed)

    def run(t: int) -> None:
        nonlocal server
        server = average_round(task, server, client_updates(task, server, t), t)

    return run


def bare_rounds(task: Task) -> Callable[[int], None]:
    """The same training steps on the same batches and nothing else: no model is exchanged, averaged or counted."""
    federation = open_federation(task)
    network = copy.deepcopy(live_network(task.spec, device()).network).train()

    def run(t: int) -> None:
        for shard in federation.shards:
            sgd = torch.optim.SGD(
                network.parameters(), lr=task.lr, weight_decay=task.weight_decay, fused=True
            )
            for batch in batches_of(task, shard, t):
                images = normalise(shard.images[batch]).contiguous(
                    memory_format=torch.channels_last
                )
                sgd.zero_grad(set_to_none=True)
                with autocast(task.precision):
                    loss = F.cross_entropy(network(images).float(), shard.labels[batch])
                loss.backward()
                sgd.step()

    return run


def batches_of(task: Task, shard: Shard, t: int) -> torch.Tensor:
    """Indices (steps, b) into the pool: the batches that this project's client sees in round ``t``."""
    rng = stream(task.seed, "batches", "round", t, shard.client)
    return shard.indices[batches(shard.size, task.batch_size, task.steps, rng).to(device())]


def plain_rounds(task: Task, as_peers: bool = True) -> tuple[Callable[[int], None], nn.Module]:
    """FedAvg as a first script has it, and its server model: float32, PyTorch's layers, default layout, models copied.

    It is what the peers' scripts compute, whose batches are drawn with replacement; else from this project's batches.
    """
    federation = open_federation(task)
    images = normalise(federation.pool.images)
    server = copy.deepcopy(live_network(task.spec, device()).network).to(
        memory_format=torch.contiguous_format
    )
    server.load_state_dict(
        initial_model(task.spec, task.seed), strict=False
    )  # BatchNorm's counters are in no state
    client = copy.deepcopy(server)
    total = sum(federation.sizes)

    @pytorchs_layers()
    def run(t: int) -> None:
        mean: State = {}
        for shard in federation.shards:
            client.load_state_dict(server.state_dict())
            client.train()
            sgd = torch.optim.SGD(client.parameters(), lr=task.lr)
            drawn = torch.randint(shard.size, (task.steps, task.batch_size))
            for batch in shard.indices[drawn] if as_peers else batches_of(task, shard, t):
                sgd.zero_grad()
                F.cross_entropy(client(images[batch]), shard.labels[batch]).backward()
                sgd.step()
            for name, tensor in client.state_dict().items():
                mean[name] = mean.get(name, 0) + tensor.float() * (shard.size / total)
        server.load_state_dict(mean)

    return run, server
