"""Mosaic's generators: their sizes, the clients that are hard to serve, who is inverted, and who
drew what.
"""

import math
from dataclasses import replace

import pytest
import torch

from mosaic.classifier_losses import classifier_losses
from mosaic.client_generators import GeneratorConfig, client_generator
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.synthesis.dcgan import Generator, dcgan_init, discriminator
from mosaic.fl.task import Task
from mosaic.generator_ensemble import Ensemble

SMALL = GeneratorConfig(latent=8, ngf=4, generator_steps=4, generator_batch=16)


@pytest.fixture
def few_and_alike() -> Task:
    """Five clients, of which one has three samples, all of one class."""
    facts = {"n_train": 100, "omega": 1e-4, "law": "class", "min_samples": 3, "n_clients": 5}
    return Task(**facts, rounds=1, steps=2, batch_size=8, base_width=4)


# Latent 100, ngf 64, 32x32: transposed 4x4 convolutions 16 (100x512 + 512x256 + 256x128 + 128x64) =
# 3,571,712;
# BatchNorm 2 (512 + 256 + 128 + 64) = 1,920; the last 1x1 convolution has 64 weights a channel.
@pytest.mark.parametrize("channels, n_parameters", [(3, 3_573_824), (1, 3_573_696)])
def test_parameter_counts(channels, n_parameters):
    network = Generator(latent=100, ngf=64, channels=channels, size=32)
    assert sum(p.numel() for p in network.parameters()) == n_parameters


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_images_have_the_datas_size_and_range_and_the_discriminator_reads_them(channels, size):
    images = Generator(latent=5, ngf=3, channels=channels, size=size)(10 * torch.randn(4, 5))
    assert images.shape == (4, channels, size, size)
    assert images.min() >= -1 and images.max() <= 1
    assert discriminator(3, channels, size, batch_norm=False)(images).shape == (4, 1)


@pytest.mark.parametrize("size", [4, 7, 8, 10, 28, 32, 33, 64, 96])
def test_the_discriminator_reads_any_size(size):
    assert discriminator(2, 1, size, batch_norm=True)(torch.zeros(2, 1, size, size)).shape == (2, 1)


def test_a_client_with_one_class_and_fewer_samples_than_a_batch_has_a_generator(
    few_and_alike, store
):
    shard = min(open_federation(few_and_alike).shards, key=lambda shard: shard.size)
    assert (
        len(shard.classes) == 1 and shard.size < SMALL.generator_batch
    )  # the fixture is what it says
    made = client_generator(few_and_alike, SMALL, shard.client)
    assert all(tensor.isfinite().all() for tensor in made["state"].values())
    assert all(math.isfinite(value) for value in made["losses"].values())


def test_a_client_with_two_samples_has_a_generator(store):
    task = Task(
        n_train=4, min_samples=2, n_clients=2, rounds=1, steps=2, batch_size=8, base_width=4
    )
    assert client_generator(task, SMALL, 0)["losses"]["discriminator"] > 0


def test_a_generator_is_made_once_the_same_and_its_bytes_are_counted(task, store):
    with opened(Account()) as account:
        first = client_generator(task, SMALL, 1)
    again = client_generator(task, SMALL, 1)
    assert all(torch.equal(first["state"][name], again["state"][name]) for name in first["state"])
    assert account.total().upload["generator"] == n_bytes(first["state"])
    assert account.total().flops > 0
    other = client_generator(task, SMALL, 2)
    assert not torch.equal(first["state"]["layers.0.weight"], other["state"]["layers.0.weight"])


def test_only_clients_below_tau_are_inverted_and_for_them_lambda_i_changes_the_generator(
    task, store
):
    size = open_federation(task).shards[0].size

    def made(tau: int, lambda_i: float):
        return client_generator(task, replace(SMALL, tau=tau, lambda_i=lambda_i), 0)

    def same(a, b):
        return all(torch.equal(a["state"][name], b["state"][name]) for name in a["state"])

    below, without, above = made(size + 1, 10.0), made(size + 1, 0.0), made(size, 10.0)
    assert below["losses"]["inversion"] > 0
    assert without["losses"]["inversion"] == above["losses"]["inversion"] == 0
    assert same(without, above) and not same(below, above)


def test_the_classifier_of_its_images_follows_the_tasks_batch_norm(task, store):
    a, b = (
        client_generator(replace(task, batch_norm=policy), SMALL, 0)["state"]
        for policy in ("average", "batch")
    )
    assert not torch.equal(a["layers.0.weight"], b["layers.0.weight"])


@pytest.mark.parametrize("weight", ["lambda_e", "lambda_d"])
def test_each_term_has_a_gradient_that_reaches_the_generator(task, store, weight):
    a, b = (
        client_generator(task, replace(SMALL, tau=0, **{weight: value}), 0)["state"]
        for value in (0.0, 5.0)
    )
    assert not torch.equal(a["layers.0.weight"], b["layers.0.weight"])


def test_the_classifiers_losses_are_over_the_clients_own_classes_only():
    """Logits (9, 0, 0): over all classes the classifier is sure; over the last two, entropy log 2
    and imbalance 0.
    """

    def classifier(fake):
        return torch.tensor([[9.0, 0.0, 0.0]]).expand(len(fake), 3)

    entropy, diversity, inversion = classifier_losses(
        classifier,
        torch.zeros(4, 1, 8, 8),
        torch.tensor([1, 2]),
        torch.tensor([0.5, 0.5]),
        inverts=False,
    )
    assert entropy.item() == pytest.approx(math.log(2)) and diversity.item() == pytest.approx(0)
    assert inversion.item() == 0


# Ensemble


def painted(task: Task, brightness: float) -> dict[str, torch.Tensor]:
    """A generator whose last layer is fed ones and so says tanh(4 x brightness) everywhere."""
    network = Generator(SMALL.latent, SMALL.ngf, 1, 8)
    state = {
        k: v.clone()
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    norm, last = list(state)[-6:-1], list(state)[-1]
    weight, bias = norm[1], norm[2]
    assert weight.endswith("weight") and bias.endswith("bias")
    state[weight].zero_()
    state[bias].fill_(1.0)
    state[last].fill_(brightness)
    return state


def test_an_ensemble_draws_by_its_probabilities_and_names_the_client_of_each_image(task):
    """Client 0 paints tanh(-4), client 1 nothing ever, client 2 tanh(4); 1 : 0 : 3."""
    ensemble = Ensemble(
        task, SMALL, [{"state": painted(task, x)} for x in (-1.0, 0.0, 1.0)], [1.0, 0.0, 3.0]
    )
    images, drawn_by = ensemble.draw(2000, torch.Generator().manual_seed(0))
    assert images.shape == (2000, 1, 8, 8) and drawn_by.shape == (2000,)
    colours = torch.tensor([-4.0, 0.0, 4.0]).tanh()[drawn_by]
    assert torch.allclose(images, colours[:, None, None, None].expand_as(images))
    assert (drawn_by == 1).sum() == 0
    assert (drawn_by == 2).float().mean().item() == pytest.approx(
        0.75, abs=0.04
    )  # 4 standard errors of 2,000
    assert len(drawn_by[:20].unique()) == 2  # in random order


def test_an_ensembles_draw_is_fixed_by_its_generator_of_random_numbers(task, store):
    ensemble = Ensemble(
        task, SMALL, [client_generator(task, SMALL, i) for i in range(3)], [1.0] * 3
    )
    before = torch.get_rng_state()
    a, b, c = (ensemble.draw(9, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], c[0])
    assert len(a[0].flatten(1).unique(dim=0)) == 9  # no image twice
    assert torch.equal(torch.get_rng_state(), before)


def test_a_discriminator_without_batch_norm_gives_images_different_logits_from_the_start():
    """He's law keeps the variance of what passes: the logits of noise images spread by the order of
    1, not of 0.01.
    """
    x = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1

    for batch_norm in (False, True):
        torch.manual_seed(0)
        network = discriminator(16, 1, 28, batch_norm)
        dcgan_init(network)
        first = next(network.parameters())
        assert first.std().item() == pytest.approx(
            0.02 if batch_norm else (2 / (1 + 0.2**2) / 16) ** 0.5, rel=0.1
        )
        assert batch_norm or network(x).std() > 0.1
