"""The speed command: its parts run, and what it computes from the measurements is right."""

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
from benchmarks.speed.parts import PARTS
from mosaic.fl.cache import use_cache
from mosaic.fl.fast import convolutions as layers
from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.models import live_network
from mosaic.fl.synthesis import dcgan, upsampling
from mosaic.fl.task import Task

PIXELS = torch.rand(512, 512)
TASK = Task(n_train=400, n_clients=4, steps=1, batch_size=8, base_width=4)


@pytest.fixture(autouse=True)
def no_cache_is_left():
    yield
    use_cache(None)


def text_of(table) -> str:
    """The table as it is printed."""
    console = Console(width=200, record=True)
    console.print(table)
    return console.export_text()


def test_the_exponent_of_a_power_law_is_estimated():
    assert exponent([10, 100, 1000], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert exponent([10, 40], [3.0, 6.0]) == pytest.approx(0.5)
    assert math.isnan(exponent([10], [1.0]))


@pytest.mark.slow
def test_rounds_of_more_clients_are_measured_and_drawn(tmp_path):
    table = growth(dataclasses.replace(TASK, omega=100.0), [2, 8], tmp_path)
    assert "seconds grow as N^" in text_of(table)
    assert (tmp_path / "growth_digits.png").stat().st_size > 5000


@pytest.mark.slow
def test_mosaics_peak_memory_is_measured_over_files_in_the_format_of_cifar100():
    sentence = mosaic_memory(n_clients=3, model="cnn", base_width=16)
    peak, model, experts = map(float, re.findall(r"([0-9.]+) [GM]iB", sentence))
    assert "synthetic pixels" in sentence
    assert 0.1 < peak < 4
    assert model > 0 and experts > 0


def test_a_matrix_product_has_two_operations_per_pair_of_numbers_and_n_cubed_pairs(monkeypatch):
    """Each reading of this clock is a second later: n^3 products and n^3 sums take a second."""
    ticks = iter(range(100))
    monkeypatch.setattr(roofline.time, "perf_counter", lambda: float(next(ticks)))
    assert roofline.peak("fp32", n=64, seconds=5.0) == 2 * 64**3


@pytest.mark.slow
def test_each_hot_loop_is_measured(monkeypatch):
    small = {"rounds": 1, "score_every": 1, "steps": 1, "base_width": 32}
    monkeypatch.setitem(
        roofline.SCALES, "laptop", dataclasses.replace(roofline.SCALES["laptop"], task=small)
    )
    cheap = ("local training", "distillation", "scoring")
    all_loops = roofline.loops

    def cheap_loops(task):
        loops = all_loops(task)
        return {name: loops[name] for name in cheap}

    monkeypatch.setattr(roofline, "loops", cheap_loops)
    rows = rows_of(text_of(roofline.roofline(TASK)))
    assert [row[0] for row in rows] == list(cheap)
    for row in rows:
        _, rate, _, milliseconds, pytorch_milliseconds, ratio = row
        assert min(map(float, (rate, milliseconds, pytorch_milliseconds, ratio))) > 0


def rows_of(printed: str) -> list[list[str]]:
    """The texts of a printed table, row by row, without its header."""
    lines = [line.split("│") for line in printed.splitlines() if "│" in line]
    return [[text.strip() for text in line[1:-1]] for line in lines]


def test_an_operators_share_is_that_of_all_time_which_the_profiler_saw(monkeypatch):
    def products(n: int) -> None:
        for _ in range(50 * n):
            PIXELS @ PIXELS

    monkeypatch.setattr(roofline, "loops", lambda task: {"training": products})
    rows = rows_of(text_of(roofline.profile(TASK)))
    shares = {operator: int(share.rstrip("%")) for operator, share in rows}
    assert 50 < shares["aten::mm"] <= 100 and sum(shares.values()) <= 101
    assert all(share >= 2 for share in shares.values())


def nodes(y: torch.Tensor) -> set[str]:
    """Names of the operations that the gradient of ``y`` goes through."""
    names = {}
    ahead = [y.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in names:
            names[node] = type(node).__name__
            ahead += [before for before, _ in node.next_functions]
    return set(names.values())


def client_network() -> torch.nn.Module:
    return copy.deepcopy(live_network.live_network(TASK.spec, "cpu").network).train()


NETWORKS = {  # how it is built, and the shape of its input
    "a client's network": (client_network, (8, 1, 8, 8)),
    "a generator": (lambda: dcgan.Generator(100, 16, 1, 28), (8, 100)),
    "a discriminator": (lambda: dcgan.discriminator(16, 1, 28, batch_norm=False), (8, 1, 28, 28)),
    "DENSE's generator": (lambda: upsampling.UpsamplingGenerator(100, 1, 28), (8, 100)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_pytorchs_layers_give_equal_results_and_the_projects_are_back_after_them(name):
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    network = build()
    x = torch.randn(shape)
    project = network(x)
    with roofline.pytorchs_layers():
        pytorch = network(x)
    torch.testing.assert_close(project, pytorch, rtol=1e-4, atol=1e-4)

    # The names of this project's autograd functions begin with "_".
    assert not any(operation.startswith("_") for operation in nodes(pytorch))
    assert nodes(project) != nodes(pytorch)
    assert nodes(network(x)) == nodes(project)


def test_the_plain_loop_has_none_of_the_projects_layers(monkeypatch):
    """With them, this project would seem no faster than a first script."""

    def fail(*_):
        raise AssertionError("a layer of this project")

    for operation in (kernels._Fused, layers._FromOneChannel):
        monkeypatch.setattr(operation, "apply", fail)
    run_plain, _ = rounds.plain_rounds(TASK)
    run_plain(1)
    with pytest.raises(AssertionError, match="a layer of this project"):
        rounds.our_rounds(TASK)(1)


@pytest.mark.slow
def test_the_plain_loop_and_this_project_are_scored_over_three_seeds(capsys):
    task = dataclasses.replace(TASK, omega=100.0, rounds=4, steps=15, batch_size=32, lr=0.1)
    accuracy.compare_accuracy(task)
    printed = capsys.readouterr().out
    lines = re.findall(r"^(.+): accuracy ([0-9.]+)%", printed, re.MULTILINE)
    same_batches, as_peers, project, *_ = (float(per_cent) for _, per_cent in lines)
    first_name, _ = lines[0]
    assert first_name.endswith("the same batches")
    assert project == pytest.approx(same_batches, abs=2)
    assert min(same_batches, as_peers, project) > 20  # chance is 10


def test_after_the_part_kernels_the_other_parts_have_the_compiled_kernel(monkeypatch):
    """The last variant that is timed, PyTorch's operators, does not stay switched on."""
    before = kernels.library
    monkeypatch.setattr(speed_kernels, "train", lambda *_: None)
    speed_kernels.compare_kernels(TASK)
    assert kernels.library is before


@pytest.mark.slow
def test_two_processes_are_timed_against_one(capsys):
    executors.compare_jobs(["local"])
    printed = capsys.readouterr().out
    assert printed.count("for 1 cells") == 3
    ratio = re.search(r"take ([0-9.]+) of one job's", printed)[1]
    assert float(ratio) > 0


def test_an_unknown_part_is_a_wrong_command(capsys):
    assert speed.main(["round"]) == 2
    assert "did you mean 'rounds'" in capsys.readouterr().err


def test_each_named_part_can_be_measured():
    assert tuple(PARTS) == speed.PART_NAMES
