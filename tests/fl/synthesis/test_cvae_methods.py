"""The two methods that learn from the images of clients' VAEs: FedCVAE and FederatedFactory."""

from dataclasses import replace

import pytest
import torch

from baselines import fedcvae, federatedfactory
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.rng import seed_of
from mosaic.fl.stages import federated_model
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

LEARNS = {
    "cvae_latent": 4,
    "cvae_hidden": 32,
    "cvae_steps": 150,
    "cvae_lr": 1e-2,
    "images": 400,
    "classifier_steps": 60,
    "classifier_lr": 1e-2,
}
"""Enough to learn the digits."""

SHORT = LEARNS | {"cvae_steps": 2, "classifier_steps": 2}


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def accuracy(snapshot) -> float:
    test = load("digits", "test")
    return (snapshot.predict(normalise(test.images)).argmax(1) == test.labels).float().mean().item()


@pytest.mark.parametrize(
    "method, changes",
    [
        (fedcvae, {}),
        (fedcvae, {"variant": "kd", "kd_steps": 200, "kd_lr": 1e-2}),
        (federatedfactory, {}),
    ],
    ids=["ens", "kd", "federatedfactory"],
)
@pytest.mark.parametrize("omega", [100.0, 0.01])
def test_they_learn_digits_however_skewed_the_clients_are(method, changes, omega, store):
    task = Task(omega=omega, n_clients=3, rounds=2, base_width=8)
    [snapshot] = method.run(task, method.Config(**LEARNS | changes))
    assert snapshot.round == 2 and accuracy(snapshot) > 0.3  # chance is 0.1
    assert snapshot.diagnostics["distil_loss_end"] < snapshot.diagnostics["distil_loss_start"]
    images, drawn_by = snapshot.synthesise(40, rng())
    assert images.shape == (40, 1, 8, 8) and images.abs().max() <= 1
    authors = {-1} if "variant" in changes else {0, 1, 2}  # -1: a decoder of the server
    assert set(drawn_by.tolist()) <= authors


def test_from_the_average_fedcvae_begins_where_fedavg_ends(task, store):
    """One step at rate 0 moves BatchNorm's statistics alone."""
    changes = {"classifier_steps": 1, "classifier_lr": 0.0, "start": "average"}
    config = fedcvae.Config(**SHORT | changes)
    [snapshot] = fedcvae.run(task, config)
    [from_random] = fedcvae.run(task, replace(config, start="random"))
    assert from_random.probes == {}
    with opened(Account()) as account:
        list(fedcvae.run(task, config))
    assert account.total().upload.keys() == {"model", "generator", "counts"}

    images = normalise(load("digits", "test").images)
    before = snapshot.probes["before"](images)
    after = snapshot.predict(images)
    assert before.shape == after.shape and not torch.equal(before, after)
    assert torch.equal(before, predictor(federated_model(task, task.rounds), task)(images))


@pytest.mark.parametrize("variant", ["ens", "kd"])
def test_fedcvae_sends_decoders_and_counts_once(variant, task, store):
    config = fedcvae.Config(**SHORT, variant=variant, kd_steps=2)
    with opened(Account()) as account:
        list(fedcvae.run(task, config))
    # (4 + 10 and a bias) to 32 to 32 to 8 x 8, of 4 bytes; ten counts of 8
    decoder = 4 * (15 * 32 + 33 * 32 + 33 * 64)
    assert account.total().upload == {"generator": 3 * decoder, "counts": 3 * 10 * 8}
    assert account.total().download == {}


def test_federatedfactory_sends_one_module_per_client_and_class(task, store):
    with opened(Account()) as account:
        [snapshot] = federatedfactory.run(task, federatedfactory.Config(**SHORT))
    modules = int((open_federation(task).label_counts > 0).sum())
    module = 4 * (5 * 32 + 33 * 32 + 33 * 64)
    assert account.total().upload == {"generator": modules * module, "counts": 3 * 10 * 8}
    assert account.total().download == {} and snapshot.diagnostics["modules"] == modules


def test_each_module_draws_its_one_class_and_classes_are_balanced(task, untrained):
    label_counts = torch.tensor([[5, 0, 3, 0], [0, 0, 40, 2], [1, 0, 0, 9]])
    owners, counts = federatedfactory.modules_of(label_counts)
    assert owners.tolist() == [0, 0, 1, 1, 2, 2]
    assert counts.tolist() == [
        [5, 0, 0, 0],
        [0, 0, 3, 0],
        [0, 0, 40, 0],
        [0, 0, 0, 2],
        [1, 0, 0, 0],
        [0, 0, 0, 9],
    ]
    modules = untrained(task, counts, balanced=True, conditional=False)
    images, labels, drawn_by = modules.draw_labelled(100, rng())
    assert images.shape == (100, 1, 8, 8)
    assert (label_counts[owners[drawn_by], labels] > 0).all()
    frequencies = torch.bincount(labels, minlength=4)
    assert frequencies[1] == 0 and sorted(frequencies.tolist()) == [0, 33, 33, 34]
    assert torch.equal(federatedfactory.draw(modules, owners, 100, rng())[1], owners[drawn_by])


def test_the_servers_decoder_comes_to_draw_what_the_clients_draw(store, small, untrained):
    """Of two clients with one class each, whose decoders have large weights of opposite signs.

    The error falls to near the images' own entropy.
    """
    task = Task(omega=100.0, n_clients=2)
    counts = torch.eye(10, dtype=torch.int64)[:2] * 50
    decoders = untrained(task, counts)
    state = decoders.states[0]
    positive = {name: tensor * 3 for name, tensor in state.items()}
    negative = {name: -tensor * 3 for name, tensor in state.items()}
    decoders.states = [positive, negative]

    config = fedcvae.Config(**LEARNS, kd_lr=1e-2, kd_batch=32)
    server, end = fedcvae.distil_decoders(task, replace(config, kd_steps=300), decoders)
    _, start = fedcvae.distil_decoders(task, replace(config, kd_steps=1), decoders)
    z, labels, clients = decoders.plan(200, rng())
    expected = decoders.decode(z, labels, clients)
    server_decoder = Decoders(task, small, [server], counts.sum(0, keepdim=True))
    drawn = server_decoder.decode(z, labels, torch.zeros_like(clients))
    assert end < start and (drawn - expected).square().mean() < 0.1 * expected.var()


@pytest.mark.parametrize("method", [fedcvae, federatedfactory])
def test_flops_do_not_depend_on_earlier_runs(method, store, monkeypatch):
    """Names for the meter contain every shape: a larger CVAE, run first, changes no later count."""
    task = Task(n_train=240, omega=1.0, n_clients=3, rounds=1, base_width=4)
    config = method.Config(**SHORT | {"images": 64})
    others = (replace(config, cvae_hidden=48), replace(config, cvae_latent=9))
    flops = []
    for earlier in ((), others):
        monkeypatch.setattr(costs, "_flops", {})
        for other in earlier:
            list(method.run(task, other))
        use_cache(store / f"{len(earlier)}")
        with opened(Account()) as account:
            list(method.run(task, config))
        flops.append(account.total().flops)
    assert flops[0] == flops[1] > 0


def test_the_servers_decoder_learns_from_other_numbers_than_it_starts_with(task):
    """One stream once gave both its first weights and its noise."""

    class Stop(Exception):
        pass

    class Source:
        def plan(self, n, rng):
            assert rng.initial_seed() != seed_of(task.seed, "decoder")
            raise Stop

    with pytest.raises(Stop):
        fedcvae.distil_decoders(task, fedcvae.Config(), Source())  # type: ignore
