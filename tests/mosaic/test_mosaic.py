"""Mosaic's own laws: experts, prototypes, meta models and teachers."""

from dataclasses import replace

import pytest
import torch

from mosaic.client_generators import GeneratorConfig
from mosaic.experts import class_experts, predictions
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.training.prediction import features, predictor
from mosaic.meta_model import META, train_meta
from mosaic.method import (
    Config,
    distillation_loss,
    generator_config,
    head,
    lessons,
    run,
    source_predictions,
)
from mosaic.prototypes import client_prototypes, cluster, embedded, prototypes_of
from mosaic.starting_models import gather


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Protocols


def test_with_one_round_the_two_protocols_have_the_same_models(task, store):
    """One round's local training from the common start is training alone; the average is FedAvg's."""
    task = replace(task, rounds=1)
    rounds, oneshot = gather(task, "rounds"), gather(task, "oneshot")
    assert same(rounds.server, oneshot.server)
    assert all(map(same, rounds.models, oneshot.models))


def test_one_shot_clients_train_alone_and_upload_once(task, store):
    with opened(Account()) as account:
        clients = gather(task, "oneshot")
    cost = account.total()
    assert cost.upload == {"model": 3 * n_bytes(clients.server)} and cost.download == {}
    assert cost.steps == {"train": 3 * task.rounds * task.steps}
    assert all(
        same(model, independent_client_model(task, i)) for i, model in enumerate(clients.models)
    )


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_one_shot_mosaic_sends_nothing_back(widths, task, store):
    config = Config(
        protocol="oneshot",
        latent=8,
        ngf=4,
        generator_steps=2,
        generator_batch=16,
        k=3,
        distil_steps=2,
    )
    with opened(Account()) as account:
        (snapshot,) = run(replace(task, widths=widths), replace(config, distil_batch=16))
    cost = account.total()
    assert cost.download == {} and cost.upload.keys() == {
        "model",
        "generator",
        "prototypes",
        "counts",
    }
    assert snapshot.predict(torch.zeros(2, 1, 8, 8)).isfinite().all()


def test_a_narrow_clients_own_features_stand_at_its_channels(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    shard = open_federation(task).shards[2]
    own = features(independent_client_model(task, 2), task, shard.images[shard.indices], width=0.25)
    wide = embedded(task, shard, "oneshot")
    assert own.shape[1] == 4 and wide.shape[1] == 16  # c4 is four base widths of 4
    assert torch.equal(wide[:, :4], own) and not wide[:, 4:].any()


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


# Experts


def experts_of(task, counts):
    return class_experts(task, gather(task, "rounds"), counts)


def test_an_expert_whose_class_only_one_client_has_is_that_clients_model(task, store):
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[0, 0], counts[1, 1], counts[2, 2] = 7, 3, 1
    experts, clients = experts_of(task, counts), final_client_models(task)
    assert all(same(experts[c], clients[c]) for c in range(3))


def test_the_expert_of_a_class_that_nobody_has_is_the_warm_up_model(task, store):
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[:, 0] = 5
    experts, server = experts_of(task, counts), federated_model(task, task.rounds)
    assert len(experts) == 10 and all(same(expert, server) for expert in experts[1:])


def test_an_expert_is_the_mean_of_the_clients_by_their_samples_of_its_class(task, store):
    """Counts 1, 0 and 3 of the class: (w_0 + 3 w_2) / 4."""
    counts = torch.zeros(3, 10, dtype=torch.int64)
    counts[:, 4] = torch.tensor([1, 0, 3])
    expert, clients = experts_of(task, counts)[4], final_client_models(task)
    for name in expert:
        assert torch.allclose(
            expert[name], (clients[0][name] + 3 * clients[2][name]) / 4, atol=1e-6
        ), name


def test_counts_in_proportion_to_the_sizes_make_the_expert_the_average(task, store):
    sizes = torch.tensor(open_federation(task).sizes)
    expert, server = (
        experts_of(task, sizes[:, None].expand(3, 10))[0],
        federated_model(task, task.rounds),
    )
    assert same(expert, server)


def test_a_narrow_clients_expert_keeps_the_servers_other_coordinates(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    counts = torch.eye(3, 10, dtype=torch.int64)
    experts, server, clients = (
        experts_of(task, counts),
        federated_model(task, task.rounds),
        final_client_models(task),
    )
    assert same(experts[0], clients[0])
    weight = "blocks.1.conv.weight"
    held = (experts[2][weight] != server[weight]).sum()
    assert 0 < held <= clients[2][weight].numel()
    assert sorted(
        experts[2][weight][experts[2][weight] != server[weight]].tolist()
    ) == pytest.approx(sorted(clients[2][weight].flatten().tolist()))


# Prototypes


def test_the_mean_stands_for_a_class_with_fewer_than_k_samples_and_k_centres_for_the_others(task):
    shard = open_federation(task).shards[0]
    embedded = torch.randn(shard.size, 6, generator=rng())
    found = prototypes_of(embedded, shard, k=5)
    labels = shard.labels[shard.indices]
    for c in shard.classes.tolist():
        own, mine = embedded[labels == c], found["labels"] == c
        assert mine.sum() == (5 if len(own) >= 5 else 1)
        assert found["weights"][mine].sum() == len(own)
        weighted = (found["weights"][mine, None] * found["features"][mine]).sum(0)
        assert torch.allclose(
            weighted, own.sum(0), atol=1e-4
        )  # centres keep their class's centre of mass
        if len(own) < 5:
            assert torch.allclose(found["features"][mine][0], own.mean(0))
    assert {int((labels == c).sum()) < 5 for c in shard.classes} == {
        True,
        False,
    }  # the case has both


def test_prototypes_stand_for_all_samples_and_are_uploaded_once(task, store):
    federation = open_federation(task)
    for _ in range(2):  # a miss and a hit
        with opened(Account()) as account:
            said = client_prototypes(task, 3, "rounds")
            client_prototypes(task, 3, "rounds")
        assert account.total().upload["prototypes"] == n_bytes(said)
    assert [int(p["weights"].sum()) for p in said] == federation.sizes


def test_k_equal_points_are_one_prototype(task):
    """k-means finds fewer distinct points than k and would warn; the empty clusters go, no sample is lost."""
    shard = open_federation(task).shards[0]
    found = prototypes_of(torch.ones(shard.size, 6), shard, k=5)
    assert len(found["labels"]) == len(shard.classes) and found["weights"].sum() == shard.size


def test_clusters_are_those_that_anybody_sees():
    points = torch.cat(
        [torch.randn(20, 2, generator=rng()) * 0.1 + centre for centre in (-5, 0, 5)]
    )
    found = cluster(points, 3)
    assert [len(part.unique()) for part in found.split(20)] == [1, 1, 1] and len(
        found.unique()
    ) == 3


def test_a_head_on_features_says_what_the_model_says(task):
    state, images = initial_model(task.spec, 0), open_federation(task).shards[0].images[:8]
    said = head(state, features(state, task, images))
    assert torch.allclose(said, predictor(state, task)(normalise(images)), atol=1e-5)


# Meta models: E experts, of which each is right about one class only, told by 2 prototypes in 3


def babel(n: int, n_classes: int = 4) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Experts' logits (n, K, K), and prototypes: expert 2 knows the label, the others shout one of their own choice."""
    labels = torch.randint(n_classes, (n,), generator=rng(1))
    shouted = torch.randint(n_classes, (n, n_classes), generator=rng(2))
    shouted[:, 2] = labels
    logits = 3.0 * torch.nn.functional.one_hot(shouted, n_classes).float()
    return logits, {"features": torch.zeros(n, 1), "labels": labels, "weights": torch.ones(n)}


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_a_gate_and_a_linear_map_start_as_the_experts_mean(kind):
    logits, _ = babel(50)
    assert torch.allclose(META[kind](4, 4)(logits), logits.mean(1), atol=1e-5)


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_meta_training_finds_the_one_expert_who_is_right(kind):
    logits, prototypes = babel(400)
    meta, learned = train_meta(kind, logits, prototypes, rng(), 20)
    assert learned["meta_accuracy"] > 0.95 > learned["meta_accuracy_of_mean"]
    assert learned["meta_epochs"] > 0 and learned["prototypes"] == 400
    assert not any(p.requires_grad for p in meta.parameters()) and not meta.training


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_meta_training_never_ends_worse_than_the_mean_on_the_held_out_prototypes(kind):
    """Experts who know nothing: the best epoch is kept, and the first is the mean itself."""
    logits = torch.randn(40, 4, 4, generator=rng(5)) * 0.01
    prototypes = {"labels": torch.randint(4, (40,), generator=rng(6)), "weights": torch.ones(40)}
    held_out = torch.randperm(40, generator=_after_the_seed(rng()))[:8]
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)

    def loss(said):
        return torch.nn.functional.cross_entropy(said[held_out], prototypes["labels"][held_out])

    assert loss(meta(logits)) <= loss(logits.mean(1)) + 1e-6


@pytest.mark.parametrize("kind", ["gate", "linear"])
def test_without_patience_the_meta_model_stays_the_mean_and_more_of_it_never_stops_earlier(kind):
    logits, prototypes = babel(100)
    meta, _ = train_meta(kind, logits, prototypes, rng(), patience=0)
    assert torch.allclose(meta(logits), logits.mean(1), atol=1e-5)
    epochs = [
        train_meta(kind, logits, prototypes, rng(), patience)[1]["meta_epochs"]
        for patience in (0, 1, 20)
    ]
    assert epochs == sorted(epochs) and epochs[0] == 0 < epochs[-1]


def _after_the_seed(generator: torch.Generator) -> torch.Generator:
    torch.randint(2**62, (), generator=generator)  # train_meta draws the seed of its weights first
    return generator


@pytest.mark.parametrize(
    "kind, knows_who", [("gate", True), ("linear", True), ("transformer", False)]
)
def test_who_said_it_matters_to_all_but_the_authors_transformer(kind, knows_who, monkeypatch):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 10)
    logits, prototypes = babel(100)
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)
    swapped = meta(logits[:, [2, 0, 3, 1]])
    assert torch.allclose(swapped, meta(logits), atol=1e-4) != knows_who


@pytest.mark.parametrize("kind", META)
def test_meta_training_is_a_function_of_its_arguments_and_leaves_the_global_random_state(
    kind, monkeypatch
):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 3)
    logits, prototypes = babel(60)
    before = torch.get_rng_state()
    a, b = (train_meta(kind, logits, prototypes, rng(), 20)[0](logits) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("kind", META)
def test_a_handful_of_prototypes_is_enough_not_to_fail(kind, n, monkeypatch):
    monkeypatch.setattr("mosaic.meta_model.MOST_EPOCHS", 3)
    logits, prototypes = babel(n)
    meta, _ = train_meta(kind, logits, prototypes, rng(), 20)
    assert meta(logits).isfinite().all()


def test_prototypes_count_by_the_samples_they_stand_for():
    """The same expert's word is right for label 0 in the one, for label 1 in the other; 9 samples against 1."""
    logits = torch.ones(200, 1, 2)
    labels = torch.arange(200) % 2
    weights = torch.where(labels == 0, 9.0, 1.0)
    meta, _ = train_meta("gate", logits, {"labels": labels, "weights": weights}, rng(), 20)
    assert meta(logits).softmax(1)[0, 0].item() == pytest.approx(0.9, abs=0.05)


# Teachers


def test_the_source_teacher_says_what_the_client_says_whose_generator_drew_the_image(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    clients, images = final_client_models(task), torch.rand(12, 1, 8, 8, generator=rng()) * 2 - 1
    drawn_by = torch.tensor([2, 0, 0, 2, 1, 1, 0, 2, 2, 2, 0, 1])
    said = source_predictions(clients, task, images, drawn_by)
    for i, client in enumerate(drawn_by.tolist()):
        own = predictor(clients[client], task, task.width(client))(images[i : i + 1])
        assert torch.allclose(said[i : i + 1], own, atol=1e-5)


def test_predictions_are_the_experts_logits_in_their_order(task):
    experts, images = [initial_model(task.spec, seed) for seed in range(3)], torch.zeros(2, 1, 8, 8)
    said = predictions(experts, task, images)  # (B, E, K)
    assert said.shape == (2, 3, 10)
    assert all(
        torch.equal(said[:, e], predictor(expert, task)(images)) for e, expert in enumerate(experts)
    )


class Scribe:
    """An ensemble that numbers its images."""

    def draw(self, n, rng):
        first = torch.randint(10**6, (), generator=rng)
        return (first + torch.arange(n)).float()[:, None], torch.arange(n)


@pytest.mark.parametrize("steps", [1, 8, 11])
def test_lessons_are_fresh_images_each_with_its_own_answer(steps):
    taught = list(lessons(Scribe(), lambda images, drawn_by: 2 * images, steps, 5, rng()))
    assert len(taught) == steps and all(len(images) == 5 for images, _ in taught)
    assert all(torch.equal(logits, 2 * images) for images, logits in taught)
    assert len(torch.cat([images for images, _ in taught]).unique()) == 5 * steps


def test_the_distillation_loss_is_the_weighted_sum_of_its_terms():
    student, teacher = (torch.randn(6, 10, generator=rng(i)) for i in range(2))

    def loss(**weights):
        zero = {"weight_soft": 0.0, "weight_hard": 0.0, "weight_jsd": 0.0}
        return distillation_loss(student, teacher, Config(**zero | weights))

    terms = {"weight_soft": 0.8, "weight_hard": 0.2, "weight_jsd": 1.5}
    apart = sum(value * loss(**{name: 1.0}) for name, value in terms.items())
    assert loss(**terms).item() == pytest.approx(apart.item())


def test_what_does_not_make_a_generator_does_not_make_it_anew():
    assert generator_config(Config(teacher="source", distil_lr=1.0, k=3)) == GeneratorConfig()
    assert generator_config(Config(tau=7)) == GeneratorConfig(tau=7)
