"""Clients' conditional VAEs: their networks, their losses, and what is trained, cached and sent."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from baselines import fedcvae, federatedfactory
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.synthesis.client_cvaes import client_cvae, client_modules
from mosaic.fl.synthesis.cvae import (
    CvaeConfig,
    cvae_config,
    gaussian_kl,
    new_decoder,
    reconstruction,
)
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.labelled import uploaded_generators
from mosaic.fl.task import Task


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states_of(trained: dict) -> list[dict]:
    """The decoders that a stage returned: one of a CVAE, or several modules."""
    if "states" in trained:
        return trained["states"]
    return [trained["state"]]


# Networks and losses


# (16 + 10 and a bias) to 512 to 512 to the image's values; a module has no label among its inputs
@pytest.mark.parametrize(
    "dataset, n_classes, n_parameters",
    [
        ("fashion_mnist", 10, 27 * 512 + 513 * 512 + 513 * 784),
        ("cifar10", 10, 27 * 512 + 513 * 512 + 513 * 3072),
        ("digits", 0, 17 * 512 + 513 * 512 + 513 * 64),
    ],
)
def test_a_decoders_parameters_are_counted_by_hand(dataset, n_classes, n_parameters):
    decoder = new_decoder(Task(dataset=dataset), CvaeConfig(), n_classes)
    assert sum(p.numel() for p in decoder.parameters()) == n_parameters
    assert dataset != "fashion_mnist" or n_parameters == 678_672  # as the comment at Config says


def test_the_kl_term_is_zero_at_the_prior_and_as_by_hand_elsewhere():
    """KL(N(m, v) || N(0, 1)) = (m^2 + v - 1 - log v) / 2.

    For m = 2, v = 1 it is 2; for m = 0, v = e it is (e - 2) / 2. Summed over the two dimensions and
    averaged over two samples, one of them at the prior: half of 2 + (e - 2) / 2.
    """
    assert gaussian_kl(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0
    mean = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    log_var = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert gaussian_kl(mean, log_var).item() == pytest.approx((2 + (math.e - 2) / 2) / 2)


def test_the_kl_term_is_pytorchs():
    mean = torch.randn(5, 3, generator=rng())
    log_var = torch.randn(5, 3, generator=rng(1))
    posterior = torch.distributions.Normal(mean, (log_var / 2).exp())
    prior = torch.distributions.Normal(0, 1)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(gaussian_kl(mean, log_var), expected)


def test_grey_pixels_cost_their_cross_entropy_and_colours_their_squared_error():
    """Logit 0 is the value 1/2.

    It costs log 2 for each of four grey pixels, whatever they are, and 1/4 for each black or white
    colour.
    """
    x = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.3, 0.5, 1.0, 0.0]])
    assert reconstruction(torch.zeros(2, 4), x, channels=1).item() == pytest.approx(4 * math.log(2))
    assert reconstruction(torch.zeros(1, 4), x[:1], channels=3).item() == pytest.approx(4 / 4)


# Clients


def test_a_cvae_learns_to_draw_each_class_and_uses_its_code(store, small):
    """Its error falls far below the mean image's, and its code is not the prior."""
    task = Task(omega=100.0, n_clients=3)
    config = replace(small, cvae_steps=300, cvae_lr=1e-2, cvae_kl=0.1)
    trained = client_cvae(task, config, 0)
    shard = open_federation(task).shards[0]
    real = normalise(shard.images[shard.indices])
    labels = shard.labels[shard.indices]
    x = (real.flatten(1) + 1) / 2
    mean_image = torch.logit(x.mean(0), eps=1e-6).expand_as(x)
    assert trained["losses"]["reconstruction"] < 0.9 * reconstruction(mean_image, x, channels=1)
    assert trained["losses"]["kl"] > 0.5

    # The mean image that is drawn of a class is nearest to the mean real image of that class.
    decoders = Decoders(task, small, [trained["state"]], shard.label_counts[None])
    drawn, drawn_labels, _ = decoders.draw_labelled(300, rng())
    mean_drawn = torch.stack([drawn[drawn_labels == c].mean(0) for c in range(10)]).flatten(1)
    mean_real = torch.stack([real[labels == c].mean(0) for c in range(10)]).flatten(1)
    assert torch.equal(torch.cdist(mean_drawn, mean_real).argmin(1), torch.arange(10))


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_a_client_with_one_class_and_fewer_samples_than_a_batch_trains_too(make, small, store):
    """Of five clients one has three samples, all of one class."""
    task = Task(
        n_train=100,
        omega=1e-4,
        law="class",
        min_samples=3,
        n_clients=5,
        rounds=1,
        steps=2,
        batch_size=8,
        base_width=4,
    )
    shard = min(open_federation(task).shards, key=lambda shard: shard.size)
    assert len(shard.classes) == 1 and shard.size < small.cvae_batch
    trained = make(task, small, shard.client)
    for state in states_of(trained):
        assert all(tensor.isfinite().all() for tensor in state.values())
    assert all(math.isfinite(value) for value in trained["losses"].values())


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_settings_of_models_do_not_train_a_clients_generators_again(make, task, small):
    of_models = {
        "widths": (0.5,) * task.n_clients,
        "batch_norm": "batch",
        "rounds": 7,
        "lr": 0.3,
        "base_width": 8,
    }
    of_data = {"omega": 0.7, "seed": 9, "n_train": 200, "min_samples": 3, "precision": "bf16"}
    key = make.key_of(task, small, 0)
    for name, value in of_models.items():
        assert make.key_of(replace(task, **{name: value}), small, 0) == key
    for name, value in of_data.items():
        assert make.key_of(replace(task, **{name: value}), small, 0) != key


@pytest.mark.parametrize(
    "make",
    [partial(uploaded_generators, "cvae"), lambda *given: [client_modules(*given, client=1)]],
    ids=["all clients' CVAEs", "one client's modules"],
)
def test_a_hit_equals_a_miss_and_bytes_are_counted(make, task, small, store):
    with opened(Account()) as account:
        first = make(task, small)
    with opened(Account()) as again:
        hit = make(task, small)
    use_cache(None)
    miss = make(task, small)
    for other in (hit, miss):
        for one, same in zip(first, other, strict=True):
            assert one["losses"] == same["losses"]
            for a, b in zip(states_of(one), states_of(same), strict=True):
                assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    sent = n_bytes([one.get("state", one.get("states")) for one in first])
    assert account.total().upload == again.total().upload == {"generator": sent}
    assert account.total().flops == again.total().flops > 0


def test_each_module_takes_all_steps_where_they_are_the_modules(task, small, store):
    n_classes = len(open_federation(task).shards[0].classes)
    with opened(Account()) as account:
        client_modules(task, replace(small, cvae_steps=5), 0, together=False)
    assert n_classes > 1 and account.total().steps["cvae"] == 5 * n_classes


@pytest.mark.parametrize("steps", [5, 23])
def test_a_clients_modules_take_the_steps_of_one_cvae(steps, task, small, store):
    """Shared out as evenly as possible, and at least one each."""
    n_classes = len(open_federation(task).shards[0].classes)
    with opened(Account()) as account:
        trained = client_modules(task, replace(small, cvae_steps=steps), 0)
    assert len(trained["states"]) == n_classes
    assert account.total().steps["cvae"] == max(steps, n_classes)


def test_a_module_is_trained_on_its_own_class_alone(task, small, store, monkeypatch):
    """Other images of all other classes change nothing."""
    shard = open_federation(task).shards[0]
    first = client_modules(task, small, 0)["states"]
    assert len(first) > 1
    use_cache(None)
    images = shard.images.clone()
    images[shard.labels != shard.classes[0]] = 99
    altered = replace(open_federation(task), shards=(replace(shard, images=images),))
    monkeypatch.setattr("mosaic.fl.synthesis.client_cvaes.open_federation", lambda task: altered)
    again = client_modules(task, small, 0)["states"]
    assert all(torch.equal(first[0][name], again[0][name]) for name in first[0])


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_a_diverged_cvae_says_what_to_lower(make, task, small, store):
    with pytest.raises(FloatingPointError, match="lower cvae_lr"):
        make(task, replace(small, cvae_steps=100, cvae_lr=1e30), 0)


def test_settings_that_are_not_the_cvaes_are_no_part_of_their_configuration():
    expected = CvaeConfig()
    assert cvae_config(fedcvae.Config(classifier_steps=3)) == expected
    assert cvae_config(federatedfactory.Config()) == expected
