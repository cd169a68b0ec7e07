"""Equal budgets: each method spends what it is given, or its paper's full number of steps."""

import dataclasses

import pytest

from benchmarks.planning.budget import (
    counted_fields,
    federated_flops,
    papers_steps,
    shares_of_papers,
    spent,
    steps_by_factor,
    steps_within,
)
from benchmarks.planning.flop_parts import local_training
from benchmarks.planning.method_flops import PARTS
from benchmarks.planning.methods import METHODS
from benchmarks.planning.scales import SCALES, Budget
from mosaic.fl.data.federation import open_federation
from mosaic.fl.keys import canonical
from mosaic.fl.rounds import part_of_turn, turns_of_round
from mosaic.fl.task import Task

TASK = Task(rounds=20, steps=10, batch_size=64, base_width=16)


def papers(method: str, side: str) -> dict[str, float]:
    """Of the kinds of generator that are always solved, whichever is in use."""
    config = METHODS[method].Config()
    counted = [field for field in counted_fields(config, side) if not field.metadata.get("later")]
    return {field.name: papers_steps(config, field) for field in counted}


def test_all_steps_of_a_side_have_the_same_share_of_the_papers():
    steps = steps_within("fedcvae", TASK, {"variant": "kd"}, Budget(1.0, 0.2))
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


def test_in_a_single_round_moon_has_no_earlier_model_to_compare_with():
    """From two rounds on, each image of all but the first passes two more networks."""
    beyond = []
    for rounds in (1, 2, 3):
        parts = PARTS["moon"](dataclasses.replace(TASK, rounds=rounds), None)
        beyond.append(sum(part.flops for part in parts if part.side == "client"))
    assert beyond[0] == 0 and beyond[2] == 2 * beyond[1] > 0


@pytest.mark.parametrize("turns", [0, 0.3, 1, 2.5, 3.4, 10])
def test_turns_of_all_rounds_are_those_of_the_average(turns):
    of_rounds = [turns_of_round(turns, 20, t) for t in range(1, 21)]
    assert sum(map(sum, of_rounds)) == pytest.approx(20 * turns)
    numbers = [len(shares) for shares in of_rounds]
    assert max(numbers[:-1]) - min(numbers[:-1]) <= 1


def test_a_turn_that_is_not_whole_is_the_last_one_and_has_its_share_of_the_steps():
    names = ("generator_steps", "student_steps")
    config = METHODS["dfdg"].Config(generator_steps=20, student_steps=2)
    assert turns_of_round(0.75, 2, 1) == [] and turns_of_round(0.75, 2, 2) == [1, 0.5]
    half = part_of_turn(config, 0.5, *names)
    assert (half.generator_steps, half.student_steps) == (10, 1)
    tenth = part_of_turn(config, 0.1, *names)
    assert (tenth.generator_steps, tenth.student_steps) == (2, 1)
    assert part_of_turn(config, 1.0, *names) == config


def test_steps_of_the_paper_are_images_so_that_smaller_batches_are_more_steps():
    """DENSE: 20,100 steps of 256 images are 80,400 of 64; a share of 0.01 of them is 804."""
    config = METHODS["dense"].Config(batch=64)
    (steps,) = [f for f in counted_fields(config, "server") if f.name == "distil_steps"]
    assert papers_steps(config, steps) == 80_400
    found = steps_by_factor("dense", TASK, {"batch": 64}, Budget(1, 0.01))
    assert (found["distil_steps"], found["epochs"]) == (804, 8)
    given = METHODS["dense"].Config(batch=64, **found)
    assert shares_of_papers("dense", TASK, given) == {"server": pytest.approx(0.01)}


def test_fewer_rounds_than_the_papers_are_more_steps_per_round():
    """DFRD has 10 turns in each of 100 rounds: a share of 0.1 in 20 rounds is 5 turns a round."""
    for factor, turns, share in ((0.1, 5, 0.1), (0.2, 10, 0.2), (0.5, 25, 0.5)):
        steps = steps_by_factor("dfrd", TASK, {}, Budget(1, factor))
        assert steps["turns"] == pytest.approx(turns)
        shares = shares_of_papers("dfrd", TASK, METHODS["dfrd"].Config(**steps))
        assert shares == {"server": pytest.approx(share)}


@pytest.mark.parametrize("method", ["dfrd", "fedftg", "feddf"])
def test_in_one_round_a_method_of_many_rounds_has_its_budget_too(method):
    """In a one-shot task it once had its paper's steps of one round, a hundredth of the paper's."""
    task = dataclasses.replace(TASK, rounds=1, steps=4_000, base_width=4)
    config = METHODS[method].Config(**steps_within(method, task, {}, Budget(1, 1)))
    assert spent(method, task, config)["server"] == pytest.approx(1, rel=0.05)
    assert shares_of_papers(method, task, config)["server"] < 1
    plenty = METHODS[method].Config(**steps_within(method, task, {}, Budget(1, 1e9)))
    assert shares_of_papers(method, task, plenty) == {"server": pytest.approx(1)}


def test_a_share_is_that_of_the_generator_in_use():
    config = METHODS["mosaic"].Config(generator_steps=1_700, cvae_steps=2_350)
    assert shares_of_papers("mosaic", TASK, config)["client"] == pytest.approx(0.1)
    config = dataclasses.replace(config, generator="cvae")
    assert shares_of_papers("mosaic", TASK, config)["client"] == pytest.approx(1)


def test_the_budget_is_met_where_costs_do_not_grow_with_the_steps_alone():
    """FedDF labels each proxy image once, and its steps go on: here over some 30,000."""
    task = dataclasses.replace(TASK, rounds=1, steps=4_000, base_width=4)
    config = METHODS["feddf"].Config(**steps_within("feddf", task, {}, Budget(1, 0.025)))
    assert config.steps < 1_000 and config.steps * config.batch > 1.5 * config.proxy_size
    assert spent("feddf", task, config)["server"] == pytest.approx(0.025, rel=0.01)


@pytest.mark.parametrize("limit", [0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
@pytest.mark.parametrize("method", ["dense", "coboosting"])
def test_whole_epochs_do_not_take_the_students_steps(method, limit):
    """Two or three epochs are dear: with one too many the student had a fifth of its share."""
    config = METHODS[method].Config(batch=64)
    found = steps_within(method, TASK, {"batch": 64}, Budget(1, limit))
    of_student = found["distil_steps"] / (20_100 * config.batch)
    of_epochs = found["epochs"] / (200 * config.batch)
    assert 0.4 < of_student / of_epochs < 5
    config = dataclasses.replace(config, **found)
    assert spent(method, TASK, config)["server"] == pytest.approx(limit, rel=0.05)


def test_a_unit_of_epochs_is_the_same_for_all_seeds_and_splits():
    task = dataclasses.replace(TASK, epochs=2)
    others = [{"seed": 1}, {"omega": 0.01}, {"n_clients": 5}]
    assert {federated_flops(dataclasses.replace(task, **o)) for o in others} == {
        federated_flops(task)
    }
    more = dataclasses.replace(task, epochs=4, rounds=40)
    assert federated_flops(more) == pytest.approx(4 * federated_flops(task))


def test_mosaic_has_its_papers_numbers_at_the_paper_scale():
    scale = SCALES["paper"]
    for dataset in scale.datasets:
        task = Task(dataset=dataset, **scale.task)
        steps = steps_within("mosaic", task, {}, scale.budget)
        assert steps == papers("mosaic", "client") | papers("mosaic", "server")


def budgeted(method: str, **settings):
    steps = steps_within(method, TASK, settings, Budget(0.5, 0.5))
    return METHODS[method].Config(**settings, **steps)


@pytest.mark.parametrize("method", ["mosaic_feedback", "sda_fl", "mosaic"])
@pytest.mark.parametrize(
    "kind", [{"generator": "flow"}, {"generator": "cvae", "cvae_network": "convolutional"}]
)
def test_a_new_kind_of_generator_spends_the_clients_budget(method, kind):
    config = budgeted(method, **kind)
    counted = config.flow_steps if kind["generator"] == "flow" else config.cvae_steps
    full = METHODS[method].Config()
    assert counted in (full.flow_steps, full.cvae_steps) or spent(method, TASK, config)[
        "client"
    ] == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("method", ["mosaic_feedback", "sda_fl", "mosaic"])
def test_steps_of_a_later_kind_stay_out_of_the_keys_of_other_kinds(method):
    config = budgeted(method, generator="cvae")
    assert config.flow_steps == METHODS[method].Config().flow_steps
    assert "flow" not in canonical(config)
    assert "flow_steps" in canonical(budgeted(method, generator="flow"))


def test_fine_tuning_in_epochs_is_paid_from_the_clients_budget():
    """Its images were not counted, no comparison was true, and Mosaic had all of its steps."""
    task = dataclasses.replace(TASK, epochs=2)
    settings = {"finetune_rounds": 4}  # a fifth of the rounds
    steps = steps_within("mosaic", task, settings, Budget(0.5, 0.5))
    config = METHODS["mosaic"].Config(**settings, **steps)
    assert steps["generator_steps"] < METHODS["mosaic"].Config().generator_steps
    assert spent("mosaic", task, config)["client"] == pytest.approx(0.5, rel=0.05)
    only_tuning = dataclasses.replace(config, generator_steps=0)
    assert spent("mosaic", task, only_tuning)["client"] == pytest.approx(0.2)
