"""python -m benchmarks.speed: how fast the training loop is here, against a plain one and against its own bare steps.

The work is FedAvg on Fashion-MNIST: 10 clients, Dirichlet(0.1), 10 steps of batch 64 a client and round, a 4-layer CNN.
All variants run in turn, round by round in one process, so that a busy machine slows them alike; read the ratios.
"""

import argparse
import contextlib
import copy
import dataclasses
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.metrics.accuracy import score
from benchmarks.planning.cell import METHODS, Cell, configure, known_method
from benchmarks.planning.scales import SCALES
from benchmarks.planning.suite import read_suite, spell_out
from benchmarks.running.processes import run_cells
from benchmarks.running.ray_cluster import cells_on_ray
from benchmarks.running.run_cell import Session, environment
from benchmarks.speed.growth import growth, mosaic_memory
from benchmarks.speed.roofline import profile, pytorchs_layers, roofline
from mosaic.fl.cache import use_store, write_whole
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.readers import load, normalise
from mosaic.fl.device import autocast, choose_precision, device, fast_bfloat16, use_device
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models.cnn import initial, resident
from mosaic.fl.rng import generator
from mosaic.fl.stages import average_round, updates, warm_up
from mosaic.fl.task import Skip, State, Task
from mosaic.fl.training.sgd import batches, predictor, spec_of, train

console = Console(record=True)


PARTS = ("rounds", "kernels", "roofline", "profile", "methods", "clients", "memory", "executors", "jobs", "accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=8, help="timed rounds of each variant (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default: all)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peer", action="append", default=[], help="a script that prints its seconds a round last")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs peers (default: this one)")
    parser.add_argument("--methods", default="all", help="those of the parts methods and jobs (default: all)")
    parser.add_argument("--clients", default="10,100,1000", help="numbers of clients of the part clients")
    parser.add_argument("--out", type=Path, help="a folder for what is printed, as speed.txt, and for figures")
    options = parser.parse_args(argv)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; possible: {', '.join(PARTS)}")
    use_device(options.device)
    use_store(None)
    torch.set_num_threads(options.threads)
    task = Task(dataset="fashion_mnist", omega=0.1, precision=choose_precision("auto"), threads=options.threads)
    console.print(
        f"{environment()['processor']}, {options.threads} threads, torch {torch.__version__}, {task.precision}, "
        f"kernels: {environment()['kernels']}, commit {environment()['commit']}"
    )
    names = list(METHODS) if options.methods == "all" else options.methods.split(",")
    run = {
        "rounds": lambda: compare_rounds(task, options.rounds, options.peer, options.python),
        "kernels": lambda: (compare_kernels(task), compare_layers()),
        "roofline": lambda: console.print(roofline(task)),
        "profile": lambda: console.print(profile(task)),
        "methods": lambda: compare_methods(task, [name for name in names if known_method(name)], options.rounds),
        "clients": lambda: compare_clients(task, [int(n) for n in options.clients.split(",")], options.out),
        "memory": lambda: console.print(mosaic_memory()),
        "executors": lambda: compare_executors(40, options.threads),
        "jobs": lambda: compare_jobs(None if options.methods == "all" else names),
        "accuracy": lambda: compare_accuracy(dataclasses.replace(task, rounds=20)),
    }
    for part in options.parts or PARTS:
        console.rule(part)
        run[part]()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / "speed.txt", console.export_text().encode())
    return 0


def compare_rounds(task: Task, rounds: int, peers: Sequence[str] = (), python: str = sys.executable) -> None:
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
    medians = {name: statistics.median(values[2:]) for name, values in seconds.items()}  # two rounds to warm up
    for name in variants:
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(seconds[name][2:], seconds["this project"][2:], strict=True)
        )
        table.add_row(name, f"{medians[name]:.3f}", f"{ratio:.3f} times as fast")
    console.print(table)
    for script, n in itertools.product(peers, (10, 100)):
        few = max(3, rounds * 10 // n)  # the scripts leave out the first ones
        command = [python, Path(script).name, "--clients", str(n), "--rounds", str(few)]
        ran = subprocess.run(command, cwd=Path(script).parent, capture_output=True, text=True, check=True)
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
    server = initial(spec_of(task), task.seed)

    def run(t: int) -> None:
        nonlocal server
        server = average_round(task, server, updates(task, server, t), t)

    return run


def bare_rounds(task: Task) -> Callable[[int], None]:
    """The same training steps on the same batches and nothing else: no model is exchanged, averaged or counted."""
    federation = open_federation(task)
    network = copy.deepcopy(resident(spec_of(task), device()).network).train()

    def run(t: int) -> None:
        for shard in federation.shards:
            sgd = torch.optim.SGD(network.parameters(), lr=task.lr, weight_decay=task.weight_decay, fused=True)
            for batch in batches_of(task, shard, t):
                images = normalise(shard.images[batch]).contiguous(memory_format=torch.channels_last)
                sgd.zero_grad(set_to_none=True)
                with autocast(task.precision):
                    loss = F.cross_entropy(network(images).float(), shard.labels[batch])
                loss.backward()
                sgd.step()

    return run


def batches_of(task: Task, shard: Shard, t: int) -> torch.Tensor:
    """Indices (steps, b) into the pool: the batches that this project's client sees in round ``t``."""
    rng = generator(task.seed, "batches", "round", t, shard.client)
    return shard.indices[batches(shard.size, task.batch_size, task.steps, rng).to(device())]


def plain_rounds(task: Task, as_peers: bool = True) -> tuple[Callable[[int], None], nn.Module]:
    """FedAvg as a first script has it, and its server model: float32, PyTorch's layers, default layout, models copied.

    It is what the peers' scripts compute, whose batches are drawn with replacement; else from this project's batches.
    """
    federation = open_federation(task)
    images = normalise(federation.pool.images)
    server = copy.deepcopy(resident(spec_of(task), device()).network).to(memory_format=torch.contiguous_format)
    server.load_state_dict(initial(spec_of(task), task.seed), strict=False)  # BatchNorm's counters are in no state
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


def compare_methods(task: Task, names: Sequence[str], rounds: int) -> None:
    """Where each method's seconds go: the share of bare forward and backward passes in all that its clock counts.

    ``rounds`` rounds from an empty store, at the laptop scale's sizes and a tenth of its generator and server steps.
    """
    scale = SCALES["laptop"]
    task = dataclasses.replace(task, **scale.task | {"rounds": rounds, "score_every": rounds})
    work = {"client": scale.client_work / 10, "server": scale.server_work / 10}
    table = Table("method", "seconds", "a round", "bare passes", "steps")
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            use_store(Path(scratch))
            try:
                with opened(Account()) as account:
                    for _ in METHODS[name].run(task, configure(name, work, scale.methods.get(name, {}))):
                        pass
            except Skip as reason:
                table.add_row(name, f"n/a: {reason}")
                continue
        cost = account.total()
        steps = ", ".join(f"{n} {kind}" for kind, n in cost.steps.items())
        share = f"{cost.pass_seconds / cost.seconds:.0%}"
        table.add_row(name, f"{cost.seconds:.1f}", f"{cost.seconds / rounds:.2f}", share, steps)
    console.print(table)


def compare_kernels(task: Task) -> None:
    """Milliseconds of the processor a training step, with the compiled BatchNorm and with PyTorch's operators."""
    table = Table("base width", "precision", "compiled ms", "PyTorch ms", "times as fast")
    if kernels.library() is None:
        console.print("no compiled kernel here: no C++ compiler, or MOSAIC_KERNELS=torch")
        return
    for width, precision in itertools.product((16, 32), ("bf16", "fp32")):
        one = dataclasses.replace(task, base_width=width, precision=precision, steps=20)
        shard, state = open_federation(one).shards[0], initial(spec_of(one), 0)
        took: dict[bool, list[float]] = {True: [], False: []}
        for again in range(5):
            for fused in took:
                begun = time.process_time()
                with contextlib.nullcontext() if fused else patch.object(kernels, "library", lambda: None):
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
        x = torch.randn(shape, device=device()).contiguous(memory_format=torch.channels_last).requires_grad_()
        both = [build(*sizes).to(device(), memory_format=torch.channels_last) for build in (ours, theirs)]
        g, took = torch.randn_like(both[0](x)), ([], [])
        for _, i in itertools.product(range(10), (0, 1)):
            begun = time.process_time()
            for _ in range(5):
                both[i](x).backward(g)
            took[i].append((time.process_time() - begun) / 5 * 1e3)
        mine, other = map(min, took)
        table.add_row(name, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.2f}")
    console.print(table)


def compare_clients(task: Task, counts: Sequence[int], out: Path | None) -> None:
    """Rounds of more and more clients, which share the images of Fashion-MNIST, and of digits, down to one each.

    Two steps a client: it is what a client costs beside its steps that could grow otherwise.
    """
    short = dataclasses.replace(task, steps=2, base_width=16)
    for one in (short, dataclasses.replace(short, dataset="digits", min_samples=1)):
        console.print(growth(one, counts, out))


def compare_executors(n: int, cores: int) -> None:
    """What a cell costs beyond its own seconds in processes and as a Ray task: ``n`` small cells on ``cores`` cores.

    From the first cell's end to the last one's, so that the start of processes and of Ray is not in it.
    """
    task = Task(rounds=1, score_every=1, base_width=8)
    config = configure("fedprox", {"client": 1.0, "server": 1.0}, {})
    cells = [
        Cell("speed", "quick", "fedprox", "fedprox", dataclasses.replace(task, seed=i), config, "full", 1.0, 1.0, 0)
        for i in range(n)
    ]
    executors = {"processes": partial(run_cells, jobs=cores), "Ray tasks": partial(cells_on_ray, address="local")}
    for name, run in executors.items():
        with tempfile.TemporaryDirectory() as scratch:
            outcomes = run(cells, Session(Path(scratch)), watch=lambda *_: None)
            ended = [(time.perf_counter(), outcome.seconds) for outcome in outcomes]
        own = [seconds for _, seconds in ended[cores:]]
        beyond = (ended[-1][0] - ended[cores - 1][0]) * cores - sum(own)
        console.print(
            f"{name}: {beyond / len(own):.3f} s a cell beyond the cell's own {statistics.mean(own):.3f} s "
            f"({len(own)} cells, {cores} at a time)",
            highlight=False,
        )


def compare_jobs(names: Sequence[str] | None) -> None:
    """Seconds of the quick suite at omega 0.1, full width and seed 0, from an empty store, by processes and threads."""
    took: dict[str, float] = {}
    for jobs, threads in ((2, 1), (1, 1), (1, 2)):
        where = {"omega": [0.1], "widths": ["full"], "seeds": [0], "methods": names, "threads": threads}
        cells = spell_out(*read_suite("heterogeneity"), "quick", precision=choose_precision("auto"), **where)
        with tempfile.TemporaryDirectory() as scratch:
            begun = time.perf_counter()
            ended = [outcome.status for outcome in run_cells(cells, Session(Path(scratch)), jobs, lambda *_: None)]
        name = f"{jobs} job{'s' * (jobs > 1)} of {threads} thread{'s' * (threads > 1)}"
        took[name] = time.perf_counter() - begun
        console.print(f"{name}: {took[name]:.0f} s for {ended.count('done')} cells", highlight=False)
    two, one, threaded = took.values()
    console.print(f"two jobs take {two / one:.2f} of one job's time, {two / threaded:.2f} of one with two threads")


def compare_accuracy(task: Task) -> None:
    """Test accuracy after the task's rounds over 3 seeds: plain loops, this project, and it in bfloat16.

    On the same batches the plain loop differs in how it computes alone; as the peers draw them, in what it sees, too.
    """
    test = load(task.dataset, "test")
    precisions = ("fp32", "bf16") if fast_bfloat16(device()) else ("fp32",)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        use_store(Path(scratch))
        for seed in range(3):
            one = dataclasses.replace(task, seed=seed, precision="fp32", score_every=task.rounds)
            torch.manual_seed(seed)  # batches with replacement come from PyTorch's global generator
            models = {}
            for name, as_peers in (("the same batches", False), ("batches with replacement, as the peers'", True)):
                run, server = plain_rounds(one, as_peers)
                for t in range(1, one.rounds + 1):
                    run(t)
                models[f"plain loop, {name}"] = server.eval()
            for precision in precisions:
                ours = dataclasses.replace(one, precision=precision)
                models[f"this project, {precision}"] = predictor(warm_up(ours, ours.rounds), ours)
            for name, model in models.items():
                accuracy = score(model, test.images, test.labels, test.n_classes, device=device()).accuracy
                found.setdefault(name, []).append(accuracy)
    for name, accuracies in found.items():
        mean_sd = f"{statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%}"
        each = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
        console.print(f"{name}: accuracy {mean_sd} after {task.rounds} rounds, seeds: {each}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
