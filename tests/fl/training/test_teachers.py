"""The clients' models as teachers: which BatchNorm statistics they use; a pool of their images."""

import dataclasses

import pytest
import torch
from helpers import rng

from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.stages import final_client_models
from mosaic.fl.training.losses import StatisticsMatch
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import (
    clients_mean,
    drawn_from,
    mean_logits,
    source_predictions,
    teacher_logits,
    teachers_of,
)


def images() -> torch.Tensor:
    return normalise(load("digits", "train").images[:24])


@pytest.mark.parametrize("norm", ["average", "batch"])
def test_teachers_follow_the_policy_that_the_task_gives_them(norm, task, store):
    """The same logits as those of students and experts, which ``predictor`` computes."""
    task = dataclasses.replace(task, widths=(1.0, 0.5, 0.25), batch_norm=norm)
    clients = final_client_models(task)
    expected = torch.stack(
        [predictor(state, task, task.width(i))(images()) for i, state in enumerate(clients)]
    )

    teachers = teachers_of(task, clients)
    assert torch.allclose(teacher_logits(teachers, images(), task), expected, atol=1e-5)
    assert torch.allclose(mean_logits(teachers, images(), task), expected.mean(0), atol=1e-5)
    assert torch.allclose(clients_mean(clients, task)(images()), expected.mean(0), atol=1e-5)
    drawn_by = torch.full((24,), 2)
    of_source = source_predictions(clients, task, images(), drawn_by)
    assert torch.allclose(of_source, expected[2], atol=1e-5)


def test_a_teacher_with_batch_statistics_keeps_its_running_ones(task, store):
    """DENSE compares the two: the images' statistics with those of the client's training."""
    task = dataclasses.replace(task, batch_norm="batch")
    [state, *_] = clients = final_client_models(task)
    [teacher, *_] = teachers_of(task, clients)
    with StatisticsMatch(teacher) as match:
        teacher(images())
    assert match.norms() > 0
    kept = LiveNetwork(teacher).state
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())


def test_images_of_a_pool_are_drawn_without_replacement_and_no_more_than_there_are():
    pool = torch.arange(512.0).reshape(512, 1, 1, 1)
    for asked, given in ((512, 512), (180, 180), (2048, 512)):
        images, drawn_by = drawn_from(pool, asked, rng(1))
        assert len(images.unique()) == len(images) == len(drawn_by) == given
        assert (drawn_by == -1).all()
    # in random order: a part of the pool is not that of its first generators
    assert not torch.equal(drawn_from(pool, 512, rng(1))[0], pool)
    assert torch.equal(drawn_from(pool, 90, rng(1))[0], drawn_from(pool, 90, rng(1))[0])
