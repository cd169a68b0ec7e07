"""The sizes a suite can be run at, in one place: --scale quick | laptop | paper.

A scale says which data, how much local work, and by which factor the steps that methods spend on generators at the
clients (``client_work``) and on synthesis and distillation at the server (``server_work``) fall short of their
papers': one factor for all methods of a side. It is in every record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mosaic.fl.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Scale:
    datasets: tuple[str, ...]
    seeds: int
    client_work: float
    server_work: float
    fidelity_n: int  # generated images that FID / IS / KID are measured on
    task: dict[str, Any]
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


SCALES = {
    # Does it all work, and roughly in which order? 1,797 images of 8x8.
    "quick": Scale(
        datasets=("digits",),
        seeds=2,
        client_work=0.01,  # 170 steps a generator
        server_work=0.04,  # 60 steps of distillation, 8 epochs of DENSE
        fidelity_n=180,  # the test set's 360 images are two halves of 180
        task={
            "rounds": 10,
            "score_every": 5,
            "steps": 10,
            "base_width": 16,
            "batch_size": 32,
            "lr": 0.05,
        },
        methods={
            # 8x8 images need no 3.57 M parameters; few steps, so a higher rate
            # (FID at omega 0.1 and batch 64: 19 at 2e-4, 2.7 at 1e-3)
            "mosaic": {"ngf": 32, "generator_batch": 32, "generator_lr": 1e-3, "distil_lr": 1e-3},
            "dense": {"batch": 32},
            "coboosting": {"batch": 32},
            "feddf": {"lr": 1e-4},
        },
    ),
    # Real images at the size and depth of the papers' small experiments.
    "laptop": Scale(
        datasets=("fashion_mnist",),
        seeds=3,
        client_work=0.03,  # 510 steps a generator
        server_work=0.04,  # 60 steps of distillation, 8 epochs of DENSE
        fidelity_n=2048,
        # rounds x steps x rate is a third of the papers' 300 x 10 x 0.01: few rounds, at five times their rate
        task={"rounds": 20, "score_every": 10, "steps": 10, "base_width": 16, "lr": 0.05},
        methods={
            "mosaic": {"ngf": 16, "generator_batch": 32, "generator_lr": 5e-4, "distil_lr": 1e-3},
            "dense": {
                "batch": 64
            },  # each of its 240 steps goes through all clients' models, there and back
            "coboosting": {"batch": 64},
            # After ten local steps teachers hardly differ from the student, and Adam's steps do not shrink with the
            # loss: at 1e-3 and omega 0.1 they undo what the clients learnt (26 % where FedAvg has 65 %)
            "feddf": {"lr": 1e-4},
        },
    ),
    # The seed's seven data sets as its authors ran them, for a GPU.
    "paper": Scale(
        datasets=(
            "mnist",
            "fashion_mnist",
            "svhn",
            "cifar10",
            "cifar100",
            "tiny_imagenet",
            "food101",
        ),
        seeds=3,
        client_work=1.0,
        server_work=1.0,
        fidelity_n=10_000,
        task={"rounds": 300, "score_every": 10, "steps": 10, "model": "resnet18", "base_width": 64},
    ),
}

MIXED = {"rho": 3, "sigma": 2}
"""The widths called "mixed", by the seed's law: for ten clients three of 1, three of 1/2 and four of 1/4."""

TUNING_SEEDS_FROM = 1000
"""Seeds from here on are ``benchmarks.tune``'s, those below are reported: what is reported was never tuned on."""


def check_reporting(seeds: Sequence[int]) -> None:
    """InputError where one of the seeds is for tuning."""
    for seed in seeds:
        if seed >= TUNING_SEEDS_FROM:
            raise InputError(
                f"seed {seed} is for tuning alone, so that what is reported was never tuned on; "
                f"give seeds from 0 to {TUNING_SEEDS_FROM - 1}."
            )


def known_scale(name: str) -> Scale:
    if name not in SCALES:
        raise did_you_mean("scale", name, SCALES)
    return SCALES[name]
