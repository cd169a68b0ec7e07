"""The clients' VAEs, how often whom and what they are asked to draw, and the two methods that live on their images."""

import math
from dataclasses import replace

import pytest
import torch

from baselines import fedcvae, federatedfactory
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.stages import federated_model
from mosaic.fl.synthesis.client_cvaes import client_cvae, client_modules
from mosaic.fl.synthesis.cvae import (
    CvaeConfig,
    cvae_config,
    gaussian_kl,
    new_decoder,
    reconstruction,
)
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.task import Task
from mosaic.fl.training.prediction import predictor

SMALL = CvaeConfig(cvae_latent=4, cvae_hidden=32, cvae_steps=6, cvae_batch=16)
LEARNS = dict(
    cvae_latent=4,
    cvae_hidden=32,
    cvae_steps=150,
    cvae_lr=1e-2,
    images=400,
    classifier_steps=60,
    classifier_lr=1e-2,
)


@pytest.fixture
def few_and_alike() -> Task:
    """Five clients, of which one has three samples, all of one class."""
    facts = dict(n_train=100, omega=1e-4, law="class", min_samples=3, n_clients=5)
    return Task(**facts, rounds=1, steps=2, batch_size=8, base_width=4)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def undrawn(task: Task, label_counts: torch.Tensor, **how) -> Decoders:
    """Decoders of random weights, the same for all."""
    n_classes = label_counts.shape[1] if how.get("conditional", True) else 0
    state = new_decoder(task, SMALL, n_classes).state_dict()
    return Decoders(task, SMALL, [state] * len(label_counts), label_counts, **how)


# Networks and losses


@pytest.mark.parametrize(
    "dataset, n_classes, n_parameters",
    [
        (
            "fashion_mnist",
            10,
            27 * 512 + 513 * 512 + 513 * 784,
        ),  # (16 + 10 and a bias) to 512 to 512 to 28 x 28
        ("cifar10", 10, 27 * 512 + 513 * 512 + 513 * 3072),
        ("digits", 0, 17 * 512 + 513 * 512 + 513 * 64),  # a module is told no label
    ],
)
def test_a_decoders_parameters_are_counted_by_hand(dataset, n_classes, n_parameters):
    decoder = new_decoder(Task(dataset=dataset), CvaeConfig(), n_classes)
    assert sum(p.numel() for p in decoder.parameters()) == n_parameters
    assert dataset != "fashion_mnist" or n_parameters == 678_672  # as the docstring says


def test_the_kl_term_is_zero_at_the_prior_and_as_by_hand_elsewhere():
    """KL(N(m, v) || N(0, 1)) = (m^2 + v - 1 - log v) / 2: for m = 2, v = 1 it is 2; for m = 0, v = e it is (e - 2) / 2.

    Summed over the two dimensions and averaged over two samples, one at the prior: half of 2 + (e - 2) / 2.
    """
    assert gaussian_kl(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0
    mean, log_var = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert gaussian_kl(mean, log_var).item() == pytest.approx((2 + (math.e - 2) / 2) / 2)


def test_the_kl_term_is_pytorchs():
    mean, log_var = torch.randn(5, 3, generator=rng()), torch.randn(5, 3, generator=rng(1))
    own, prior = (
        torch.distributions.Normal(mean, (log_var / 2).exp()),
        torch.distributions.Normal(0, 1),
    )
    expected = torch.distributions.kl_divergence(own, prior).sum(1).mean()
    torch.testing.assert_close(gaussian_kl(mean, log_var), expected)


def test_grey_pixels_cost_their_cross_entropy_and_colours_their_squared_error():
    """Logit 0 says 1/2: log 2 for each of four grey pixels whatever they are, 1/4 for each black or white colour."""
    x = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.3, 0.5, 1.0, 0.0]])
    assert reconstruction(torch.zeros(2, 4), x, channels=1).item() == pytest.approx(4 * math.log(2))
    assert reconstruction(torch.zeros(1, 4), x[:1], channels=3).item() == pytest.approx(4 / 4)


# Clients


def test_a_cvae_learns_to_draw_and_codes_something(store):
    """Its error falls far below the mean image's, its code is not the prior, and each class looks like itself."""
    task = Task(omega=100.0, n_clients=3)
    made = client_cvae(task, replace(SMALL, cvae_steps=300, cvae_lr=1e-2, cvae_kl=0.1), 0)
    shard = open_federation(task).shards[0]
    x = (normalise(shard.images[shard.indices]).flatten(1) + 1) / 2
    constant = reconstruction(torch.logit(x.mean(0), eps=1e-6).expand_as(x), x, channels=1)
    assert made["losses"]["reconstruction"] < 0.9 * constant and made["losses"]["kl"] > 0.5
    drawn, labels, _ = Decoders(
        task, SMALL, [made["state"]], shard.label_counts[None]
    ).draw_labelled(300, rng())
    mean_of = torch.stack([drawn[labels == c].mean(0) for c in range(10)]).flatten(1)
    real = normalise(shard.images[shard.indices])
    mean_real = torch.stack(
        [real[shard.labels[shard.indices] == c].mean(0) for c in range(10)]
    ).flatten(1)
    assert torch.equal(
        torch.cdist(mean_of, mean_real).argmin(1), torch.arange(10)
    )  # each class is its own


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_a_client_with_one_class_and_fewer_samples_than_a_batch_is_served(
    make, few_and_alike, store
):
    shard = min(open_federation(few_and_alike).shards, key=lambda shard: shard.size)
    assert len(shard.classes) == 1 and shard.size < SMALL.cvae_batch  # the fixture is what it says
    made = make(few_and_alike, SMALL, shard.client)
    for state in made.get("states", [made.get("state")]):
        assert all(tensor.isfinite().all() for tensor in state.values())
    assert all(math.isfinite(value) for value in made["losses"].values())


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_what_models_a_client_trains_does_not_make_its_generators_anew(make, task):
    others = {
        "widths": (0.5,) * task.n_clients,
        "batch_norm": "batch",
        "rounds": 7,
        "lr": 0.3,
        "base_width": 8,
    }
    same = [make.key_of(replace(task, **{k: v}), SMALL, 0) for k, v in others.items()]
    assert set(same) == {make.key_of(task, SMALL, 0)}
    for other in (
        {"omega": 0.7},
        {"seed": 9},
        {"n_train": 200},
        {"min_samples": 3},
        {"precision": "bf16"},
    ):
        assert make.key_of(replace(task, **other), SMALL, 0) not in same


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_a_hit_equals_a_miss_and_bytes_are_counted(make, task, store):
    with opened(Account()) as account:
        first = make(task, SMALL, 1)
    with opened(Account()) as again:
        hit = make(task, SMALL, 1)
    use_cache(None)
    made = make(task, SMALL, 1)
    for other in (hit, made):
        assert first["losses"] == other["losses"]
        for a, b in zip(*(m.get("states", [m.get("state")]) for m in (first, other)), strict=True):
            assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    sent = n_bytes(first.get("state", first.get("states")))
    assert account.total().upload == again.total().upload == {"generator": sent}
    assert account.total().flops == again.total().flops > 0


@pytest.mark.parametrize("steps", [5, 23])
def test_a_clients_modules_take_the_steps_of_one_cvae(steps, task, store):
    """Shared out as evenly as can be, and at least one each."""
    held = len(open_federation(task).shards[0].classes)
    with opened(Account()) as account:
        made = client_modules(task, replace(SMALL, cvae_steps=steps), 0)
    assert len(made["states"]) == held
    assert account.total().steps["cvae"] == max(steps, held)


def test_a_module_has_seen_its_own_class_alone(task, store, monkeypatch):
    """The images of all other classes may be what they will."""
    shard = open_federation(task).shards[0]
    first = client_modules(task, SMALL, 0)["states"][0]
    use_cache(None)
    images = shard.images.clone()
    images[shard.labels != shard.classes[0]] = 99
    altered = replace(open_federation(task), shards=(replace(shard, images=images),))
    monkeypatch.setattr("mosaic.fl.synthesis.client_cvaes.open_federation", lambda task: altered)
    again = client_modules(task, SMALL, 0)["states"]
    assert all(torch.equal(first[name], again[0][name]) for name in first)
    assert len(again) > 1  # and not because there is one only


@pytest.mark.parametrize("make", [client_cvae, client_modules])
def test_a_diverged_cvae_says_what_to_lower(make, task, store):
    with pytest.raises(FloatingPointError, match="lower cvae_lr"):
        make(task, replace(SMALL, cvae_steps=100, cvae_lr=1e30), 0)


def test_what_is_not_the_cvaes_does_not_make_them_anew():
    assert (
        cvae_config(fedcvae.Config(classifier_steps=3))
        == cvae_config(federatedfactory.Config())
        == CvaeConfig()
    )


# Draws

COUNTS = torch.tensor(
    [[5, 0, 3, 0], [0, 0, 40, 2], [1, 0, 0, 9]]
)  # three clients; nobody has class 1


@pytest.mark.parametrize("n", [1, 7, 60, 501])
@pytest.mark.parametrize("seed", range(3))
def test_clients_and_labels_come_as_often_as_they_are_among_the_data(n, seed, task):
    """Client in proportion to its size and label to that client's counts: n counts / 60 of each pair, within one."""
    _, labels, clients = undrawn(task, COUNTS).plan(n, rng(seed))
    drawn = torch.bincount(clients * 4 + labels, minlength=12).view(3, 4)
    assert drawn.sum() == n and ((drawn - n * COUNTS / 60).abs() < 1).all()
    assert n != 60 or torch.equal(drawn, COUNTS)
    assert (drawn[COUNTS == 0] == 0).all()  # nobody draws what it lacks


@pytest.mark.parametrize("n", [1, 7, 60, 501])
@pytest.mark.parametrize("seed", range(3))
def test_balanced_classes_are_equally_frequent_to_within_one_image(n, seed, task):
    """Three classes are held. Class 2 is drawn by clients 0 and 1 as 3 to 40."""
    _, labels, clients = undrawn(task, COUNTS, balanced=True).plan(n, rng(seed))
    drawn = torch.bincount(clients * 4 + labels, minlength=12).view(3, 4)
    of_class = drawn.sum(0)[[0, 2, 3]]
    assert of_class.sum() == n and of_class.max() - of_class.min() <= 1
    assert (drawn[COUNTS == 0] == 0).all()
    assert abs(drawn[0, 2] - n / 3 * 3 / 43) < 1


def test_the_order_of_draws_is_random(task):
    _, labels, _ = undrawn(task, COUNTS).plan(60, rng())
    assert not torch.equal(labels, labels.sort().values)


def test_noise_is_a_normal_cut_off_where_the_config_says(task):
    """N(0, 1) cut at 1 has variance 1 - 2 phi(1) / (2 Phi(1) - 1) = 1 - 0.48394 / 0.68269 = 0.2911; at 3, 0.9733."""
    for cut, variance in ((1.0, 0.2911), (3.0, 0.9733)):
        decoders = Decoders(task, replace(SMALL, cvae_truncation=cut), [], COUNTS)
        z, _, _ = decoders.plan(20_000, rng())
        assert z.abs().max() <= cut and z.dtype == torch.float32
        # 80,000 draws: a standard error of the variance below 0.005
        assert z.var().item() == pytest.approx(variance, abs=0.02) and abs(z.mean().item()) < 0.02


def test_images_have_the_datas_shape_and_range_and_repeat(task):
    decoders = undrawn(task, COUNTS)
    for state in decoders.states:
        for tensor in state.values():
            tensor.mul_(20)  # loud
    images, clients = decoders.draw(50, rng())
    assert (
        images.shape == (50, 1, 8, 8) and images.dtype == torch.float32 and clients.shape == (50,)
    )
    assert -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1
    again, labels, by = decoders.draw_labelled(50, rng())
    assert torch.equal(images, again) and torch.equal(clients, by) and labels.shape == (50,)


def test_images_of_colours_have_three_channels():
    images, _ = undrawn(Task(dataset="cifar10"), COUNTS).draw(5, rng())
    assert images.shape == (5, 3, 32, 32) and images.is_contiguous(
        memory_format=torch.channels_last
    )


def test_each_image_is_drawn_by_its_clients_decoder_for_its_label(task):
    """Decoders of which the last layer says 1 + client everywhere: the image is tanh((1 + client) / 2)."""
    states = []
    for client in range(3):
        state = {k: v.clone() for k, v in new_decoder(task, SMALL, 4).state_dict().items()}
        state["4.weight"].zero_()
        state["4.bias"].fill_(1.0 + client)
        states.append(state)
    images, _, clients = Decoders(task, SMALL, states, COUNTS).draw_labelled(1100, rng())
    expected = torch.tanh((1 + clients) / 2)[:, None, None, None].expand_as(images)
    torch.testing.assert_close(images, expected)

    said = undrawn(task, torch.eye(4, dtype=torch.int64))  # the label reaches the decoder
    z = torch.zeros(4, SMALL.cvae_latent)
    assert (
        len(said.decode(z, torch.arange(4), torch.zeros(4, dtype=torch.int64)).unique(dim=0)) == 4
    )


# Methods


def accuracy(snapshot) -> float:
    test = load("digits", "test")
    return (snapshot.predict(normalise(test.images)).argmax(1) == test.labels).float().mean().item()


@pytest.mark.parametrize(
    "method, changes",
    [
        (fedcvae, {}),
        (fedcvae, dict(variant="kd", kd_steps=200, kd_lr=1e-2)),
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
    images, by = snapshot.synthesise(40, rng())
    assert images.shape == (40, 1, 8, 8) and images.abs().max() <= 1
    assert set(by.tolist()) <= ({-1} if "variant" in changes else {0, 1, 2})


def test_from_the_average_they_begin_where_fedavg_ends(task, store):
    config = fedcvae.Config(
        **LEARNS | dict(cvae_steps=2, classifier_steps=1, classifier_lr=0.0), start="average"
    )
    [snapshot] = fedcvae.run(task, config)
    [cold] = fedcvae.run(task, replace(config, start="random"))
    assert cold.probes == {}
    with opened(Account()) as account:
        list(fedcvae.run(task, config))
    assert account.total().upload.keys() == {"model", "generator", "counts"}
    images = normalise(load("digits", "test").images)
    # one step at rate 0 moves BatchNorm's statistics alone
    begun, ended = snapshot.probes["before"](images), snapshot.predict(images)
    assert begun.shape == ended.shape and not torch.equal(begun, ended)
    assert torch.equal(begun, predictor(federated_model(task, task.rounds), task)(images))


@pytest.mark.parametrize("variant", ["ens", "kd"])
def test_fedcvae_sends_decoders_and_counts_once(variant, task, store):
    config = fedcvae.Config(
        **LEARNS | dict(cvae_steps=2, classifier_steps=2), variant=variant, kd_steps=2
    )
    with opened(Account()) as account:
        list(fedcvae.run(task, config))
    # (4 + 10 and a bias) to 32 to 32 to 8 x 8, of 4 bytes; ten counts of 8
    decoder = 4 * (15 * 32 + 33 * 32 + 33 * 64)
    assert account.total().upload == {"generator": 3 * decoder, "counts": 3 * 10 * 8}
    assert account.total().download == {}


def test_federatedfactory_sends_a_module_a_client_and_class(task, store):
    config = federatedfactory.Config(**LEARNS | dict(cvae_steps=2, classifier_steps=2))
    with opened(Account()) as account:
        [snapshot] = federatedfactory.run(task, config)
    modules = int((open_federation(task).label_counts > 0).sum())
    module = 4 * (5 * 32 + 33 * 32 + 33 * 64)
    assert account.total().upload == {"generator": modules * module, "counts": 3 * 10 * 8}
    assert account.total().download == {} and snapshot.diagnostics["modules"] == modules


def test_modules_draw_the_one_class_of_theirs_balanced_for_its_owner(task):
    owners, counts = federatedfactory.modules_of(COUNTS)
    assert owners.tolist() == [0, 0, 1, 1, 2, 2]
    assert counts.tolist() == [
        [5, 0, 0, 0],
        [0, 0, 3, 0],
        [0, 0, 40, 0],
        [0, 0, 0, 2],
        [1, 0, 0, 0],
        [0, 0, 0, 9],
    ]
    modules = undrawn(task, counts, balanced=True, conditional=False)
    images, labels, by = modules.draw_labelled(100, rng())
    assert images.shape == (100, 1, 8, 8) and (COUNTS[owners[by], labels] > 0).all()
    frequent = torch.bincount(labels, minlength=4)
    assert frequent[1] == 0 and sorted(frequent.tolist()) == [0, 33, 33, 34]
    assert torch.equal(federatedfactory.draw(modules, owners, 100, rng())[1], owners[by])


def test_the_servers_decoder_comes_to_draw_what_the_clients_draw(store):
    """Of two clients with a class each and loud, unlike decoders; the error falls to near the images' own entropy."""
    task, counts = Task(omega=100.0, n_clients=2), torch.eye(10, dtype=torch.int64)[:2] * 50
    decoders, (a, b) = undrawn(task, counts), ({}, {})
    for name, tensor in decoders.states[0].items():
        a[name], b[name] = tensor * 3, -tensor * 3
    decoders.states = [a, b]
    config = fedcvae.Config(**LEARNS, kd_lr=1e-2, kd_batch=32)
    state, end = fedcvae.distil_decoders(task, replace(config, kd_steps=300), decoders)
    _, start = fedcvae.distil_decoders(task, replace(config, kd_steps=1), decoders)
    z, labels, clients = decoders.plan(200, rng())
    wanted = decoders.decode(z, labels, clients)
    found = Decoders(task, SMALL, [state], counts.sum(0, keepdim=True)).decode(
        z, labels, torch.zeros_like(clients)
    )
    assert end < start and (found - wanted).square().mean() < 0.1 * wanted.var()


@pytest.mark.parametrize("method", [fedcvae, federatedfactory])
def test_flops_do_not_depend_on_what_ran_before(method, store, monkeypatch):
    """Names for the meter hold every shape: a larger CVAE, run first, changes no later count."""
    task = Task(n_train=240, omega=1.0, n_clients=3, rounds=1, base_width=4)
    config = method.Config(**LEARNS | dict(cvae_steps=2, classifier_steps=2, images=64))
    flops = []
    for before in ((), (replace(config, cvae_hidden=48), replace(config, cvae_latent=9))):
        monkeypatch.setattr(costs, "_flops", {})
        for other in before:
            list(method.run(task, other))
        use_cache(store / f"{len(before)}")
        with opened(Account()) as account:
            list(method.run(task, config))
        flops.append(account.total().flops)
    assert flops[0] == flops[1] > 0
