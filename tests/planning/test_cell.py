"""A cell's key is all that determines its numbers, and nothing else."""

import dataclasses

import pytest

from benchmarks.planning.budget import steps_by_factor
from benchmarks.planning.cell import Work
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import Budget
from benchmarks.planning.settings import configure
from benchmarks.planning.suite import read_suite
from mosaic.fl.task import Task


def cells(**overrides):
    return expand_cells(*read_suite("heterogeneity"), "quick", **overrides)


@pytest.fixture
def cell():
    return next(cell for cell in cells() if cell.label == "mosaic")


@pytest.mark.parametrize(
    "change",
    [
        {"label": "x"},
        {"suite": "x"},
        {"scale": "x"},
        {"widths": "x"},
        {"work": Work("paper", client_work=0.5)},
    ],
)
def test_a_key_does_not_depend_on_what_does_not_determine_the_numbers(cell, change):
    assert dataclasses.replace(cell, **change).key == cell.key


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(METHODS["mosaic"].Config)])
def test_a_key_depends_on_every_setting(cell, field):
    value = getattr(cell.config, field)
    config = dataclasses.replace(
        cell.config, **{field: value + 1 if not isinstance(value, str) else value + "x"}
    )
    assert dataclasses.replace(cell, config=config).key != cell.key


OTHER = {
    "dataset": "mnist",
    "n_train": 100,
    "validation": 0.2,
    "omega": 0.5,
    "law": "class",
    "min_samples": 2,
    "max_draws": 2,
    "norm": "group",
    "roll": "channel",
    "n_clients": 7,
    "seed": 9,
    "widths": (0.5,) * 10,
    "model": "resnet18",
    "base_width": 5,
    "batch_norm": "batch",
    "rounds": 7,
    "score_every": 7,
    "steps": 7,
    "epochs": 7,
    "batch_size": 7,
    "lr": 0.7,
    "momentum": 0.7,
    "weight_decay": 0.7,
    "precision": "bf16",
    "threads": 7,
    "participation": 0.5,
    "partition": "0123456789abcdef",
    "data": "0123456789abcdef",
}
"""Another value of each field of Task."""


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Task)])
def test_a_key_depends_on_every_fact_of_the_task(cell, field):
    changes = {field: OTHER[field]}
    if field == "partition":
        changes["law"] = "file"
    task = dataclasses.replace(cell.task, **changes)
    assert dataclasses.replace(cell, task=task).key != cell.key


@pytest.mark.parametrize("field", ["test_data", "proxy_data"])
def test_a_key_depends_on_the_data_that_it_names(cell, field):
    assert dataclasses.replace(cell, **{field: ""}).key == cell.key
    assert dataclasses.replace(cell, **{field: "0123456789abcdef"}).key != cell.key


def test_a_key_depends_on_the_method_and_on_how_many_images_are_scored(cell):
    keys = {
        cell.key,
        dataclasses.replace(cell, method="x").key,
        dataclasses.replace(cell, fidelity_n=1).key,
    }
    assert len(keys) == 3 and len(cell.key) == 16


def test_numbers_that_are_equal_are_one_key_however_they_are_written():
    def key(settings, omega):
        return cells(
            methods=["mosaic"], settings=settings, omega=[omega], widths=["full"], seeds=[0]
        )[0].key

    assert key({"mosaic": {"k": "5", "lambda_e": "2"}, "task": {"lr": "1e-1"}}, 1) == key(
        {"mosaic": {"k": 5.0, "lambda_e": 2}, "task": {"lr": 0.1}}, 1.0
    )


def test_work_is_rounded_and_never_vanishes():
    steps = steps_by_factor("mosaic", Task(), {}, Budget(1e-9, 0.5))
    assert (steps["generator_steps"], steps["distil_steps"]) == (1, 750)
    given = steps_by_factor("mosaic", Task(), {"generator_steps": 12}, Budget(0.1, 0.1))
    assert "generator_steps" not in given
    assert configure("mosaic", given | {"generator_steps": 12}).generator_steps == 12
