"""Mosaic's distillation: its teachers, its batches and its loss."""

from dataclasses import replace

import pytest
import torch

from mosaic.client_generators import GeneratorConfig
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import final_client_models
from mosaic.fl.training import losses
from mosaic.fl.training.prediction import features, predictor
from mosaic.fl.training.teachers import source_predictions
from mosaic.image_sources import generator_config
from mosaic.method import (
    Config,
    distillation_loss,
    head,
    labelled_batches,
    run,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("teacher", ["meta", "source"])
@pytest.mark.parametrize("sampling", ["uniform", "size"])
def test_mosaic_with_conditional_vaes_trains_no_gan(teacher, sampling, task, store):
    config = Config(
        generator="cvae", teacher=teacher, sampling=sampling, cvae_steps=3, cvae_hidden=8, k=3
    )
    with opened(Account()) as account:
        (snapshot,) = list(run(task, replace(config, distil_steps=2, distil_batch=16)))[-1:]
    steps, sent = account.total().steps, account.total().upload
    assert steps["cvae"] == 3 * 3 and "generator" not in steps and sent["generator"] > 0
    images, clients = snapshot.synthesise(30, rng())
    assert images.shape == (30, 1, 8, 8) and set(clients.tolist()) <= {0, 1, 2}
    counts, sizes = torch.bincount(clients, minlength=3), torch.tensor(open_federation(task).sizes)
    expected = torch.full((3,), 10.0) if sampling == "uniform" else 30 * sizes / sizes.sum()
    assert (
        counts - expected
    ).abs().max() <= 10  # stratified by client and label: to within one of each of 10 labels


def test_a_head_on_features_has_the_models_logits(task):
    state, images = initial_model(task.spec, 0), open_federation(task).shards[0].images[:8]
    predicted = head(state, features(state, task, images))
    assert torch.allclose(predicted, predictor(state, task)(normalise(images)), atol=1e-5)


def test_the_source_teacher_is_the_client_whose_generator_drew_the_image(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    clients, images = final_client_models(task), torch.rand(12, 1, 8, 8, generator=rng()) * 2 - 1
    drawn_by = torch.tensor([2, 0, 0, 2, 1, 1, 0, 2, 2, 2, 0, 1])
    predicted = source_predictions(clients, task, images, drawn_by)
    for i, client in enumerate(drawn_by.tolist()):
        own = predictor(clients[client], task, task.width(client))(images[i : i + 1])
        assert torch.allclose(predicted[i : i + 1], own, atol=1e-5)


class NumberedImages:
    """An ensemble that numbers its images."""

    def draw(self, n, rng):
        first = torch.randint(10**6, (), generator=rng)
        return (first + torch.arange(n)).float()[:, None], torch.arange(n)


@pytest.mark.parametrize("steps", [1, 8, 11])
def test_batches_are_new_images_with_the_teachers_logits_for_each(steps):
    batches = list(
        labelled_batches(NumberedImages(), lambda images, drawn_by: 2 * images, steps, 5, rng())
    )
    assert len(batches) == steps and all(len(images) == 5 for images, _ in batches)
    assert all(torch.equal(logits, 2 * images) for images, logits in batches)
    assert len(torch.cat([images for images, _ in batches]).unique()) == 5 * steps


def test_the_distillation_loss_is_the_weighted_sum_of_its_terms():
    student, teacher = (torch.randn(6, 10, generator=rng(i)) for i in range(2))

    def loss(**weights):
        zero = {"weight_soft": 0.0, "weight_hard": 0.0, "weight_jsd": 0.0}
        return distillation_loss(student, teacher, Config(**zero | weights))

    terms = {"weight_soft": 0.8, "weight_hard": 0.2, "weight_jsd": 1.5}
    expected = sum(value * loss(**{name: 1.0}) for name, value in terms.items())
    assert loss(**terms).item() == pytest.approx(expected.item())


def test_the_third_loss_is_the_texts_or_the_codes():
    student, teacher = (torch.randn(6, 10, generator=rng(i)) for i in range(2))
    only = {"weight_soft": 0.0, "weight_hard": 0.0, "weight_jsd": 1.0}
    for name in ("jensen_shannon", "bhattacharyya"):
        wanted = getattr(losses, name)(student, teacher)
        assert distillation_loss(student, teacher, Config(**only, third_loss=name)) == wanted


def test_settings_of_other_parts_keep_the_generators_configuration():
    assert generator_config(Config(teacher="source", distil_lr=1.0, k=3)) == GeneratorConfig()
    assert generator_config(Config(tau=7)) == GeneratorConfig(tau=7)
