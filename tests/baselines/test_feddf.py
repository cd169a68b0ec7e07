"""FedDF: where its proxy images come from, and that it is FedAvg until they teach it something."""

import dataclasses

import pytest
import torch

from baselines import feddf
from baselines.feddf import Config, distance_from, falling_adam, labelled_batches
from benchmarks.planning.methods import facts_of
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.proxy import in_shape, proxy_images
from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import teacher_logits, teachers_of

SMALL = Config(steps=3, batch=16)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


# The proxy


def test_held_out_images_are_the_validation_images_each_once(task):
    held_out = open_federation(task).validation_images
    found = proxy_images(task, "held_out", 10_000)
    assert found.shape == held_out.shape and found.dtype == torch.uint8
    assert sorted(found.flatten(1).sum(1).tolist()) == sorted(held_out.flatten(1).sum(1).tolist())
    assert len(proxy_images(task, "held_out", 7)) == 7


def test_noise_is_of_the_tasks_shape_and_the_same_again(task):
    noise = proxy_images(task, "noise", 500)
    assert noise.shape == (500, 1, 8, 8) and noise.dtype == torch.uint8
    assert torch.equal(noise, proxy_images(task, "noise", 500))
    assert noise.float().mean().item() == pytest.approx(127.5, abs=2)


def test_another_data_set_comes_in_the_tasks_shape_by_hand():
    """Luma of pure red, green, blue and white: 76.2, 149.7, 29.1, 255. Four pixels to one: their
    mean.
    """
    colours = torch.tensor(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=torch.uint8
    )
    red_green_blue_white = colours.T.reshape(1, 3, 2, 2)
    assert in_shape(red_green_blue_white, 1, 2).flatten().tolist() == [76, 150, 29, 255]
    flat = torch.full((1, 1, 4, 4), 90, dtype=torch.uint8)
    assert in_shape(flat, 3, 2).shape == (1, 3, 2, 2) and in_shape(
        flat, 3, 2
    ).unique().tolist() == [90]
    digit = load("digits", "test").images[:1]
    assert torch.equal(in_shape(digit, 3, 8), digit.expand(1, 3, 8, 8))


@pytest.mark.parametrize(
    "proxy, text",
    [
        ("digits", "the clients' own data"),
        ("cifar01", "did you mean 'cifar10'"),
        ("held_out", "validation is 0"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_an_input_error(proxy, text):
    task = Task(n_train=240, n_clients=3, validation=0.0)
    with pytest.raises(InputError, match=text):
        proxy_images(task, proxy, 10)


# The method


def test_it_says_that_it_is_not_data_free():
    assert facts_of("feddf")["data_free"] is False and facts_of("dense")["data_free"] is True


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_what_comes_before_the_first_distillation_is_fedavgs(widths, task, store):
    task = dataclasses.replace(task, widths=widths)
    first = next(feddf.run(task, dataclasses.replace(SMALL, keep="last")))
    assert torch.equal(
        first.probes["before"](images()), predictor(federated_model(task, 1), task)(images())
    )
    assert not torch.equal(first.predict(images()), first.probes["before"](images()))


def test_each_image_is_labelled_by_the_ensembles_mean(task, store):
    teachers, proxy = teachers_of(task, final_client_models(task)), proxy_images(task, "noise", 20)
    order = torch.tensor([[3, 5], [5, 7]])
    for (shown, logits), batch in zip(
        labelled_batches(teachers, proxy, order, task), order, strict=True
    ):
        assert torch.equal(shown, normalise(proxy[batch]))
        assert torch.allclose(
            logits, teacher_logits(teachers, normalise(proxy[batch]), task).mean(0), atol=1e-5
        )


def test_the_rate_falls_by_a_cosine_to_nothing():
    """After 0, 1, 2, 3 of 4 steps: (1 + cos(pi i / 4)) / 2 = 1, 0.854, 0.5, 0.146; then 0."""
    weight = torch.nn.Parameter(torch.ones(1))
    adam, rates = falling_adam([weight], lr=1.0, steps=4), []
    for _ in range(4):
        rates.append(adam.param_groups[0]["lr"])
        weight.grad = torch.ones(1)
        adam.step()
    assert rates == pytest.approx([1.0, 0.8536, 0.5, 0.1464], abs=1e-4)
    assert adam.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_the_best_model_is_the_nearest_to_the_ensemble_on_images_it_did_not_learn_from(task, store):
    """With a rate that ruins the student, the best is the start: FedAvg's, in each round."""
    ruin = dataclasses.replace(SMALL, lr=10.0)
    [*_, kept] = feddf.run(task, ruin)
    fedavg = predictor(federated_model(task, task.rounds), task)(images())
    assert torch.equal(kept.predict(images()), fedavg)
    [*_, last] = feddf.run(task, dataclasses.replace(ruin, keep="last"))
    assert not torch.equal(last.predict(images()), fedavg)


def test_a_student_is_at_distance_zero_from_itself_as_the_only_teacher(task, store):
    state = federated_model(task, 1)
    alone = dataclasses.replace(task, n_clients=1)
    distance = distance_from(teachers_of(alone, [state]), proxy_images(task, "noise", 20), task)
    assert distance(state) == pytest.approx(0, abs=1e-6)
    assert distance(federated_model(task, 0)) > 1e-4
