"""Mosaic with feedback: what crosses, who mixes, and that nobody else is changed."""

from dataclasses import replace

import pytest
import torch
from helpers import logits_of, rng, same

from baselines import fedavg, fedrolex
from benchmarks.planning.method_flops import PARTS
from mosaic import feedback
from mosaic.feedback import Config, run, shared_set, task_before
from mosaic.fl.aggregation import average
from mosaic.fl.cache import computed_stages
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Skip
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import source_predictions
from mosaic.labelled_images import GENERATORS, labelled_source

SMALL = Config(
    generator="cvae",
    mix="complement",
    cvae_latent=4,
    cvae_hidden=16,
    cvae_steps=20,
    latent=4,
    ngf=4,
    generator_steps=3,
    generator_batch=16,
    images=60,
    distil_steps=3,
    distil_batch=16,
)
GAN = replace(SMALL, generator="dcgan", labels="soft", begin=0.5)
ALIKE = {"omega": float("inf")}  # each client has all classes
UNLIKE = {"omega": 0.05}


def cost_of(task, config):
    with opened(Account()) as account:
        snapshots = list(run(task, config))
    return account.total(), snapshots


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, mix="half", begin=0.5)])
def test_where_no_client_lacks_a_class_it_is_fedavg_to_the_bit(config, task, store):
    task = replace(task, **ALIKE)
    found = [logits_of(snapshot) for snapshot in run(task, config)]
    assert same(found, [logits_of(snapshot) for snapshot in fedavg.run(task, fedavg.Config())])


def test_at_mixed_widths_it_is_fedrolex(task, store):
    task = replace(task, widths=(1.0, 0.5, 0.25), **ALIKE)
    found = [logits_of(snapshot) for snapshot in run(task, SMALL)]
    assert same(found, [logits_of(s) for s in fedrolex.run(task, fedrolex.Config())])
    unlike = replace(task, **UNLIKE)
    found = [logits_of(snapshot) for snapshot in run(unlike, SMALL)]
    assert not same(found, [logits_of(s) for s in fedrolex.run(unlike, fedrolex.Config())])


def test_in_one_shot_a_client_that_lacks_no_class_trains_alone(task, store):
    task = replace(task, **ALIKE)
    cost, [snapshot] = cost_of(task, replace(SMALL, protocol="oneshot"))
    alone = [independent_client_model(task, client) for client in range(task.n_clients)]
    mean = average(alone, open_federation(task).sizes)
    assert same(logits_of(snapshot), logits_of(replace(snapshot, predict=predictor(mean, task))))
    one = n_bytes(initial_model(task.spec, 0))
    assert cost.upload["model"] == 3 * one and cost.download.keys() == {"images"}


@pytest.mark.parametrize("refresh, sets", [(0, 1), (1, 2)])
def test_bytes_generators_up_once_and_images_down_to_each_client(refresh, sets, task, store):
    cost, _ = cost_of(replace(task, **UNLIKE), replace(SMALL, refresh=refresh))
    models = task.rounds * 3 * n_bytes(initial_model(task.spec, 0))
    n_held = int((open_federation(replace(task, **UNLIKE)).label_counts.sum(0) > 0).sum())
    n = 60 // n_held * n_held
    assert cost.download == {"model": models, "images": sets * 3 * n * (8 * 8 + 8)}
    assert cost.upload.keys() == {"model", "generator", "counts"}
    assert cost.upload["model"] == models
    decoder = (14 * 16 + 16) + (16 * 16 + 16) + (16 * 64 + 64)
    assert cost.upload["generator"] == 3 * 4 * decoder


def test_clients_take_no_step_more(task, store):
    task = replace(task, **UNLIKE)
    cost, [*_, last] = cost_of(task, SMALL)
    assert last.diagnostics["clients_that_mix"] > 0
    assert cost.steps["train"] == task.rounds * task.n_clients * task.steps


def test_only_those_who_take_part_in_a_round_train(task, store):
    task = replace(task, participation=0.4, **UNLIKE)
    cost, _ = cost_of(task, SMALL)
    assert cost.steps["train"] == task.rounds * task.steps  # one client of three per round


def labelled(task, config):
    before = task_before(task, config)
    counts = open_federation(task).label_counts
    ensemble = GENERATORS[config.generator](before, config, counts)
    return ensemble, labelled_source(before, ensemble, config.labels), counts


@pytest.mark.parametrize("omega", [0.05, 1.0])
def test_drawn_classes_are_equally_frequent_in_what_is_sent(omega, task, store):
    task = replace(task, omega=omega)
    _, draw, counts = labelled(task, SMALL)
    shared = shared_set(task, SMALL, draw, counts, 1)
    held = counts.sum(0) > 0
    n = shared.classes.bincount(minlength=10)
    assert set(n[held].tolist()) == {60 // int(held.sum())} and n.sum() == n[held].sum()
    assert shared.images.dtype == torch.uint8 and len(shared.images) == n.sum()


def test_labels_of_the_source_are_its_clients_predictions(task, store):
    config = replace(SMALL, labels="soft", begin=0.5)
    ensemble, soft, _ = labelled(task, config)
    images, probabilities = soft(40, rng())
    again, by = ensemble.draw(40, rng())
    logits = source_predictions(final_client_models(task_before(task, config)), task, again, by)
    assert torch.equal(images, again) and torch.equal(probabilities, logits.softmax(1))
    _, hard, _ = labelled(task, replace(config, labels="source"))
    assert torch.equal(hard(40, rng())[1], logits.argmax(1))
    _, agreed, _ = labelled(task, replace(config, labels="agreed"))
    _, drawn_for, _ = ensemble.draw_labelled(40, rng())
    assert torch.equal(agreed(40, rng())[1], drawn_for[drawn_for == logits.argmax(1)])


@pytest.mark.parametrize("config", [GAN, replace(SMALL, labels="agreed", begin=0.5)])
def test_of_no_class_more_images_are_sent_than_its_share(config, task, store):
    _, draw, counts = labelled(task, config)
    shared = shared_set(task, config, draw, counts, 1)
    assert shared.classes.bincount().max() <= 60 // int((counts.sum(0) > 0).sum())


def test_rounds_before_the_exchange_are_fedavgs(task, store):
    task = replace(task, rounds=3, **UNLIKE)
    found = [logits_of(snapshot) for snapshot in run(task, replace(SMALL, begin=0.5))]
    plain = [logits_of(snapshot) for snapshot in fedavg.run(task, fedavg.Config())]
    assert [torch.equal(a, b) for a, b in zip(found, plain, strict=True)] == [True, True, False]


def test_the_servers_own_training_starts_from_the_last_average(task, store):
    task = replace(task, **UNLIKE)
    *_, plain = run(task, SMALL)
    *_, taught = run(task, replace(SMALL, distil="images"))
    before = replace(taught, predict=taught.probes["before"])
    assert same(logits_of(before), logits_of(plain)) and not same(
        logits_of(taught), logits_of(plain)
    )


VARIANTS = {
    "gan": GAN,
    "flow": replace(SMALL, generator="flow", flow_hidden=16, flow_steps=20, flow_batch=16),
    "convolutional": replace(SMALL, cvae_network="convolutional", cvae_width=2),
    "agreed": replace(SMALL, labels="agreed", begin=0.5, refresh=1),
    "oneshot": replace(SMALL, protocol="oneshot"),
    "distil": replace(SMALL, distil="images", refresh=1),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_a_variant_announces_its_stages_and_its_flops_are_those_forecast(config, task, store):
    task = replace(task, rounds=3)
    for wave in feedback.stages(task, config):
        for call in wave:
            call()
    with computed_stages() as computed:
        cost, _ = cost_of(task, config)
    assert all(key.startswith("warm_up") for key in computed)  # the initial model
    forecast = sum(part.flops for part in PARTS["mosaic_feedback"](task, config))
    assert 0.9 * cost.flops <= forecast <= 1.1 * cost.flops


def test_a_second_run_from_the_cache_has_the_same_bits_and_bill(task, store):
    task = replace(task, **UNLIKE)
    (cost, first), (again, second) = (cost_of(task, GAN) for _ in range(2))
    assert same([logits_of(s) for s in first], [logits_of(s) for s in second])
    assert (cost.upload, cost.download, cost.flops) == (again.upload, again.download, again.flops)


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"generator": "dcgan"}, "labels"),
        ({"labels": "source"}, "begin"),
        ({"labels": "agreed", "begin": 1.0}, "begin"),
        ({"protocol": "oneshot", "begin": 0.5}, "begin"),
        ({"protocol": "oneshot", "refresh": 2}, "refresh"),
        ({"generator": "dcgan", "labels": "agreed", "begin": 0.5}, "'soft'"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(wrong, named):
    with pytest.raises(InputError, match=named):
        Config(**wrong)


def test_fewer_images_than_classes_and_an_exchange_within_one_round_are_refused(task):
    with pytest.raises(InputError, match="at least one image per class"):
        list(run(task, replace(SMALL, images=5)))
    with pytest.raises(Skip, match="begin"):
        list(run(replace(task, rounds=1), GAN))


def test_the_last_snapshot_has_images_of_the_clients(task, store):
    *_, last = run(task, SMALL)
    assert last.synthesise is not None
    images, clients = last.synthesise(30, rng())
    assert images.shape == (30, 1, 8, 8) and set(clients.tolist()) <= {0, 1, 2}
