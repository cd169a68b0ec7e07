"""Equal budgets: each method spends what it is given, or its paper's full number of steps."""

import dataclasses

import pytest

from benchmarks.planning.budget import SIDES, Budget, federated_flops, spent, steps_within
from benchmarks.planning.flop_parts import local_training
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import SCALES
from mosaic.fl.data.federation import open_federation
from mosaic.fl.rounds import turns_of_round
from mosaic.fl.task import Task, capacity_widths

TASK = Task(rounds=20, steps=10, batch_size=64, base_width=16)
BUDGETS = {"quick": Budget(client=12, server=6), "laptop": Budget(client=4, server=3)}


def papers(method: str, side: str) -> dict[str, float]:
    found = {}
    for field in dataclasses.fields(METHODS[method].Config):
        if field.metadata.get("work") == side:
            found[field.name] = field.metadata["papers"]
    return found


@pytest.mark.parametrize("method", PARTS)
@pytest.mark.parametrize("scale", BUDGETS)
@pytest.mark.parametrize("widths", [(), capacity_widths(10, 3, 2)])
def test_each_method_spends_its_budget_or_its_papers_steps(method, scale, widths):
    size = SCALES[scale]
    task = Task(dataset=size.datasets[0], widths=widths, **size.task)
    settings = size.methods.get(method, {})
    steps = steps_within(method, task, settings, BUDGETS[scale])
    found = spent(method, task, METHODS[method].Config(**settings, **steps))
    for side in SIDES:
        full = papers(method, side)
        budget = getattr(BUDGETS[scale], side)
        # DFDG's turns cost a tenth of the budget each: nobody can be nearer than half of one.
        tolerance = 0.06 if method == "dfdg" else 0.05
        has_its_budget = found[side] == pytest.approx(budget, rel=tolerance)
        assert has_its_budget or steps.items() >= full.items(), (steps, found)


def test_all_steps_of_a_side_have_the_same_share_of_the_papers():
    steps = steps_within("fedcvae", TASK, {"variant": "kd"}, Budget(1.0, 0.5))
    config = METHODS["fedcvae"].Config()
    shares = [steps[name] / getattr(config, name) for name in ("classifier_steps", "kd_steps")]
    assert shares[0] == pytest.approx(shares[1], rel=0.01) and shares[0] < 1


def test_a_given_number_of_steps_stays_and_a_large_budget_is_the_paper():
    assert "distil_steps" not in steps_within("mosaic", TASK, {"distil_steps": 7}, Budget(1, 1))
    steps = steps_within("mosaic", TASK, {}, Budget(1e9, 1e9))
    assert steps == papers("mosaic", "client") | papers("mosaic", "server")


def test_with_epochs_the_local_training_is_that_of_the_data():
    """Digits among ten clients; with batches that no client fills, a step has all its images."""
    task = dataclasses.replace(TASK, epochs=3, rounds=2, batch_size=1000)
    one_image = local_training(dataclasses.replace(TASK, rounds=1, steps=1, batch_size=2))
    one_image /= 2 * TASK.n_clients
    images = 3 * 2 * sum(open_federation(task).sizes)
    assert federated_flops(task) == pytest.approx(images * one_image)
    assert federated_flops(TASK) == local_training(TASK)


@pytest.mark.parametrize("turns", [0, 0.3, 1, 2.5, 3.4, 10])
def test_turns_of_all_rounds_are_those_of_the_average(turns):
    of_rounds = [turns_of_round(turns, t) for t in range(1, 21)]
    assert sum(of_rounds) == int(20 * turns + 1e-9)
    assert max(of_rounds) - min(of_rounds) <= 1
