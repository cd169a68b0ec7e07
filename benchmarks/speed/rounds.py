"""A round of FedAvg against a plain loop, against its training steps alone, and against peers."""

import copy
import dataclasses
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

from benchmarks.output import print_table
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

Rounds = Callable[[int], None]
"""Runs the round of a number, 1 to T, and keeps the server model between calls."""

WARM_UP = 2  # rounds that are run before the timed ones
PEER_CLIENTS = (10, 100)  # numbers of clients at which the peers run
HERE = "this project"


def compare_rounds(
    task: Task, rounds: int, peers: Sequence[str] = (), python: str = sys.executable
) -> None:
    """Print the seconds per round of FedAvg, as medians, and what they are in this project.

    Compared are this project's loop, its training steps alone, and a plain loop, in turn. Then the
    peers' scripts run, each at 10 and at 100 clients, followed by this project's rounds with as
    many clients.

    Args:
        task: The task.
        rounds: Timed rounds per variant.
        peers: Scripts that take --clients and --rounds and print their seconds per round last.
        python: The Python that runs them.
    """
    plain, _ = plain_rounds(task)
    _print_variants(
        {
            "plain loop, float32": plain,
            "bare steps": bare_rounds(task),
            HERE: our_rounds(task),
        },
        rounds,
    )
    for script in peers:
        for n_clients in PEER_CLIENTS:
            n_rounds = max(3, rounds * 10 // n_clients)
            peer_seconds = _run_peer(Path(script), python, n_clients, n_rounds)
            seconds = _time_rounds(dataclasses.replace(task, n_clients=n_clients), n_rounds)
            console.print(
                f"{Path(script).stem}, {n_clients} clients: {peer_seconds:.2f} s per round, "
                f"this project {seconds:.2f} s, {peer_seconds / seconds:.2f} times as fast",
                highlight=False,
            )


def _print_variants(variants: dict[str, Rounds], rounds: int) -> None:
    """Time the variants round by round, in turn, and print a table."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for t in range(1, rounds + WARM_UP + 1):
        for name, run in variants.items():
            begun = time.perf_counter()
            run(t)
            elapsed = time.perf_counter() - begun
            if t > WARM_UP:
                seconds[name].append(elapsed)

    table = Table("variant", "s per round (median)", "this project against it")
    for name, values in seconds.items():
        # The ratio within each round: what slows the machine slows both.
        ratios = [other / here for other, here in zip(values, seconds[HERE], strict=True)]
        table.add_row(
            name,
            f"{statistics.median(values):.3f}",
            f"{statistics.median(ratios):.3f} times as fast",
        )
    print_table(console, table)


def _run_peer(script: Path, python: str, n_clients: int, n_rounds: int) -> float:
    """Run a peer's script; its seconds per round, which are the last word that it prints."""
    command = [python, script.name, "--clients", str(n_clients), "--rounds", str(n_rounds)]
    ended = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=True)
    return float(ended.stdout.split()[-1])


def _time_rounds(task: Task, n_rounds: int) -> float:
    """The median seconds of this project's rounds, without the first one, as the peers do."""
    run = our_rounds(task)
    seconds: list[float] = []
    for t in range(1, n_rounds + 1):
        begun = time.perf_counter()
        run(t)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


def our_rounds(task: Task) -> Rounds:
    """This project's rounds of FedAvg."""
    server = initial_model(task.spec, task.seed)

    def run(t: int) -> None:
        nonlocal server
        server = average_round(task, server, client_updates(task, server, t), t)

    return run


def bare_rounds(task: Task) -> Rounds:
    """The same training steps on the same batches, and nothing else.

    No model is exchanged, averaged or counted.
    """
    federation = open_federation(task)
    network = copy.deepcopy(live_network(task.spec, device()).network).train()

    def run(t: int) -> None:
        for shard in federation.shards:
            sgd = torch.optim.SGD(
                network.parameters(), lr=task.lr, weight_decay=task.weight_decay, fused=True
            )
            for batch in batches_of(task, shard, t):
                images = normalise(shard.images[batch])
                images = images.contiguous(memory_format=torch.channels_last)
                sgd.zero_grad(set_to_none=True)
                with autocast(task.precision):
                    loss = F.cross_entropy(network(images).float(), shard.labels[batch])
                loss.backward()
                sgd.step()

    return run


def batches_of(task: Task, shard: Shard, t: int) -> torch.Tensor:
    """The batches of this project's client in round ``t``: indices (steps, B) into the pool."""
    rng = stream(task.seed, "batches", "round", t, shard.client)
    places = batches(shard.size, task.batch_size, task.steps, rng)
    return shard.indices[places.to(device())]


def plain_rounds(task: Task, as_peers: bool = True) -> tuple[Rounds, nn.Module]:
    """FedAvg as a first script has it: float32, PyTorch's layers and layout, models copied.

    Args:
        task: The task.
        as_peers: Whether batches are drawn with replacement, as the peers' scripts do. Else they
            are those of this project.

    Returns:
        The rounds, and the server model, which they change.
    """
    federation = open_federation(task)
    images = normalise(federation.pool.images)
    total = sum(federation.sizes)

    server = copy.deepcopy(live_network(task.spec, device()).network)
    server = server.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    # strict=False, because BatchNorm's counters are in no state of this project.
    server.load_state_dict(initial_model(task.spec, task.seed), strict=False)
    client = copy.deepcopy(server)

    def batches_in_round(shard: Shard, t: int) -> torch.Tensor:
        if not as_peers:
            return batches_of(task, shard, t)
        return shard.indices[torch.randint(shard.size, (task.steps, task.batch_size))]

    def update_client(shard: Shard, t: int) -> None:
        client.load_state_dict(server.state_dict())
        client.train()
        sgd = torch.optim.SGD(client.parameters(), lr=task.lr)
        for batch in batches_in_round(shard, t):
            sgd.zero_grad()
            F.cross_entropy(client(images[batch]), shard.labels[batch]).backward()
            sgd.step()

    @pytorchs_layers()
    def run(t: int) -> None:
        mean: State = {}
        for shard in federation.shards:
            update_client(shard, t)
            weight = shard.size / total
            for name, tensor in client.state_dict().items():
                mean[name] = mean.get(name, 0) + tensor.float() * weight
        server.load_state_dict(mean)

    return run, server
