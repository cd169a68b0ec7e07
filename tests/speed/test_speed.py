"""The speed command: its parts run, and what it derives from the measurements is right."""

import copy
import dataclasses
import math
import re

import pytest
import torch
from rich.console import Console

from benchmarks.speed import __main__ as speed
from benchmarks.speed import accuracy, executors, roofline, rounds
from benchmarks.speed import kernels as speed_kernels
from benchmarks.speed.growth import exponent, growth, mosaic_memory
from mosaic.fl.cache import use_cache
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models import live_network
from mosaic.fl.synthesis import dcgan, upsampling
from mosaic.fl.task import Task

PIXELS = torch.rand(512, 512)
TASK = Task(n_train=400, n_clients=4, steps=1, batch_size=8, base_width=4)


@pytest.fixture(autouse=True)
def no_store():
    yield
    use_cache(None)


def text(table) -> str:
    console = Console(width=200, record=True)
    console.print(table)
    return console.export_text()


def test_the_exponent_of_a_power_is_found():
    assert exponent([10, 100, 1000], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert exponent([10, 40], [3.0, 6.0]) == pytest.approx(0.5) and math.isnan(
        exponent([10], [1.0])
    )


@pytest.mark.slow
def test_rounds_of_more_clients_are_measured_and_drawn(tmp_path):
    told = text(growth(dataclasses.replace(TASK, omega=100.0), [2, 8], tmp_path))
    assert "seconds grow as N^" in told and (tmp_path / "growth_digits.png").stat().st_size > 5000


@pytest.mark.slow
def test_mosaics_peak_is_that_of_a_run_over_files_of_cifar100s_format():
    told = mosaic_memory(n_clients=3, model="cnn", base_width=16)
    peak, model, experts = (float(x) for x in re.findall(r"([0-9.]+) [GM]iB", told))
    assert "synthetic pixels" in told and 0.1 < peak < 4 and model > 0 and experts > 0


def test_a_matrix_product_has_two_operations_for_each_of_n_cubed_pairs(monkeypatch):
    """On a clock whose every reading is a second later, n^3 products and sums take a second."""
    ticks = iter(range(100))
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: float(next(ticks)))
    assert roofline.peak("fp32", n=64, seconds=5.0) == 2 * 64**3


def test_each_hot_loop_is_measured(monkeypatch):
    small = {"rounds": 1, "score_every": 1, "steps": 1, "base_width": 32}
    monkeypatch.setitem(
        roofline.SCALES, "laptop", dataclasses.replace(roofline.SCALES["laptop"], task=small)
    )
    kept = roofline.loops
    cheap = ("local training", "distillation", "scoring")
    monkeypatch.setattr(
        roofline, "loops", lambda task: {k: v for k, v in kept(task).items() if k in cheap}
    )
    rows = [line.split("│") for line in text(roofline.roofline(TASK)).splitlines() if "│" in line]
    assert [row[1].strip() for row in rows] == list(cheap)
    assert all(float(row[i]) > 0 for row in rows for i in (2, 4, 5, 6))


def test_an_operators_shares_are_of_all_that_the_profiler_saw(monkeypatch):
    products = {"training": lambda n: [PIXELS @ PIXELS for _ in range(50 * n)]}
    monkeypatch.setattr(roofline, "loops", lambda task: products)
    lines = text(roofline.profile(TASK)).splitlines()
    shares = {
        row[1].strip(): int(row[2].strip().rstrip("%"))
        for line in lines
        if len(row := line.split("│")) > 2
    }
    assert 50 < shares["aten::mm"] <= 100 and sum(shares.values()) <= 101
    assert all(share >= 2 for share in shares.values())


def nodes(y: torch.Tensor) -> set[str]:
    """Names of the operations that a gradient goes through."""
    seen, ahead = {}, [y.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen[node] = type(node).__name__
            ahead += [before for before, _ in node.next_functions]
    return set(seen.values())


NETWORKS = {
    "a client's network": (
        lambda: copy.deepcopy(live_network.live_network(TASK.spec, "cpu").network).train(),
        (8, 1, 8, 8),
    ),
    "a generator": (lambda: dcgan.Generator(100, 16, 1, 28), (8, 100)),
    "a discriminator": (lambda: dcgan.discriminator(16, 1, 28, batch_norm=False), (8, 1, 28, 28)),
    "DENSE's generator": (lambda: upsampling.UpsamplingGenerator(100, 1, 28), (8, 100)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_pytorchs_layers_give_equal_results_and_ours_are_back_after_them(name):
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    network, x = build(), torch.randn(shape)
    ours = network(x)
    with roofline.pytorchs_layers():
        theirs = network(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not any(operation.startswith("_") for operation in nodes(theirs)), (
        "a Function of this project's"
    )
    assert nodes(network(x)) == nodes(ours) != nodes(theirs)


def test_the_plain_loop_has_none_of_our_layers(monkeypatch):
    """It once ran on them, and this project seemed no faster than a first script."""

    def ours(*_):
        raise AssertionError("this project's own layer in the plain loop")

    for operation in (kernels._Fused, layers._FromOneChannel):
        monkeypatch.setattr(operation, "apply", ours)
    rounds.plain_rounds(TASK)[0](1)
    with pytest.raises(AssertionError, match="own layer"):
        rounds.our_rounds(TASK)(1)


@pytest.mark.slow
def test_the_plain_loop_and_this_project_are_scored_over_three_seeds(capsys):
    accuracy.compare_accuracy(
        dataclasses.replace(TASK, omega=100.0, rounds=4, steps=15, batch_size=32, lr=0.1)
    )
    said = dict(re.findall(r"^(.+): accuracy ([0-9.]+)%", capsys.readouterr().out, re.MULTILINE))
    same, peers, ours = map(float, said.values())
    assert list(said)[0].endswith("the same batches") and ours == pytest.approx(same, abs=2)
    assert min(same, peers, ours) > 20  # of ten classes


def test_after_the_part_kernels_the_other_parts_have_the_compiled_ones(monkeypatch):
    """They once ran without them: the last variant timed, PyTorch's operators, stayed switched on."""
    before = kernels.library
    monkeypatch.setattr(speed_kernels, "train", lambda *_: None)
    speed_kernels.compare_kernels(TASK)
    assert kernels.library is before


@pytest.mark.slow
def test_two_processes_are_timed_against_one(capsys):
    executors.compare_jobs(["local"])
    said = capsys.readouterr().out
    assert (
        said.count("for 1 cells") == 3
        and float(re.search(r"take ([0-9.]+) of one job's", said)[1]) > 0
    )


def test_an_unknown_part_is_a_wrong_command(capsys):
    with pytest.raises(SystemExit) as ended:
        speed.main(["round"])
    assert ended.value.code == 2 and "possible: rounds, kernels" in capsys.readouterr().err
