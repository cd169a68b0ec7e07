"""SDA-FL: whose label an image has, what crosses, and where it is FedAvg."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import logits_of, rng, same

from baselines import fedavg
from baselines.sda_fl import UNSURE, Config, draw, labelled, mixed, run, trained
from benchmarks.planning.method_flops import PARTS
from mosaic.fl.cache import computed_stages
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise, to_uint8
from mosaic.fl.errors import InputError
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.rng import stream
from mosaic.fl.rounds import client_updates, participants
from mosaic.fl.synthesis.client_cvaes import client_cvae
from mosaic.fl.synthesis.client_images import cvae_images
from mosaic.fl.synthesis.cvae import CvaeConfig, cvae_config
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.training.prediction import predictor

SMALL = Config(
    latent=4,
    ngf=4,
    generator_steps=2,
    generator_batch=16,
    cvae_latent=4,
    cvae_hidden=16,
    cvae_steps=20,
    flow_hidden=16,
    flow_steps=20,
    flow_batch=16,
    images=30,
    threshold=0.1,  # of ten classes: every image has a label
    server_steps=2,
    server_batch=16,
)


def cost_of(task, config):
    with opened(Account()) as account:
        snapshots = list(run(task, config))
    return account.total(), snapshots


@pytest.mark.parametrize("generator", ["dcgan", "cvae", "flow"])
def test_without_a_confident_label_it_is_fedavg_to_the_bit(generator, task, store):
    config = replace(SMALL, threshold=1.0, generator=generator)
    found = [logits_of(snapshot) for snapshot in run(task, config)]
    assert same(found, [logits_of(s) for s in fedavg.run(task, fedavg.Config())])


def test_the_first_round_is_fedavgs_and_no_step_is_added(task, store):
    cost, found = cost_of(task, SMALL)
    plain = [logits_of(s) for s in fedavg.run(task, fedavg.Config())]
    equal = [torch.equal(logits_of(a), b) for a, b in zip(found, plain, strict=True)]
    assert equal == [True, False]
    assert cost.steps["train"] == task.rounds * task.n_clients * task.steps


def test_bytes_images_once_and_labels_in_each_round_but_the_first(task, store):
    cost, _ = cost_of(task, SMALL)
    models = task.rounds * 3 * n_bytes(initial_model(task.spec, 0))
    assert cost.upload == {"images": 30 * 8 * 8, "model": models}
    labels = (task.rounds - 1) * 3 * 30 * 8
    assert cost.download == {"images": 3 * 30 * 8 * 8, "labels": labels, "model": models}


def some_images(task, n=12):
    pool = open_federation(task).pool
    return pool.images[pool.indices[:n]], torch.arange(3).repeat_interleave(n // 3)


def test_the_label_is_of_the_clients_own_model_or_of_the_servers(task, store):
    images, owners = some_images(task)
    server = initial_model(task.spec, task.seed)
    clients = list(client_updates(task, server, 1))
    unsure = torch.full((12,), UNSURE)
    config = replace(SMALL, threshold=0.15)
    for labels, models in (("source", clients), ("server", [server] * 3)):
        found = labelled(
            task, replace(config, labels=labels), 1, server, clients, images, owners, unsure
        )
        for client, state in enumerate(models):
            own = owners == client
            # by the model alone, on the images of its client alone or on all: the same for running
            # statistics
            wanted = predictor(state, task)(normalise(images[own])).softmax(1)
            sure = wanted.max(1).values >= 0.15
            assert torch.equal(found[own], wanted.argmax(1).masked_fill(~sure, UNSURE))


def test_images_of_clients_who_do_not_take_part_keep_their_labels(task, store):
    task = replace(task, participation=0.4)
    images, owners = some_images(task)
    server = initial_model(task.spec, task.seed)
    [shard] = participants(task, 1)
    before = torch.full((12,), 7)
    config = replace(SMALL, threshold=0.999)
    clients = list(client_updates(task, server, 1))
    found = labelled(task, config, 1, server, clients, images, owners, before)
    assert torch.equal(found == UNSURE, owners == shard.client)


def test_all_clients_train_on_all_confident_images(task):
    shards = open_federation(task).shards
    images, _ = some_images(task)
    labels = torch.tensor([3] * 5 + [UNSURE] * 7)
    pool = torch.cat([shards[0].images, images])
    for shard, more in zip(shards, mixed(shards, pool, labels), strict=True):
        assert torch.equal(more.images[more.indices[-5:]], images[:5])
        assert more.size == shard.size + 5 and (more.labels[more.indices[-5:]] == 3).all()
        assert more.label_counts[3] == shard.label_counts[3] + 5


def test_the_server_trains_on_confident_images_only_if_there_are_any(task):
    images, _ = some_images(task)
    server = initial_model(task.spec, task.seed)
    unsure = torch.full((12,), UNSURE)
    assert trained(task, SMALL, 1, server, images, unsure) is server
    first = trained(task, SMALL, 1, server, images, torch.tensor([2] * 6 + [UNSURE] * 6))
    second = trained(task, SMALL, 1, server, images[:6], torch.tensor([2] * 6))
    assert same(first, second) and not same(first, server)


def test_the_images_of_a_cvae_are_those_of_fedcvaes_decoder(task, store):
    config = cvae_config(SMALL)
    shard = open_federation(task).shards[1]
    trained_cvae: Any = client_cvae(task, config, 1)
    source = Decoders(task, config, [trained_cvae["state"]], shard.label_counts[None])
    images, _ = source.draw(10, stream(task.seed, "images", 1))
    assert torch.equal(cvae_images(task, config, 1, 10), to_uint8(images))


def test_drawing_takes_no_image_twice_so_that_its_scores_are_of_different_ones(task):
    images, owners = some_images(task)
    for n in (len(images) - 2, len(images), 4 * len(images)):
        drawn, clients = draw(images, owners, n, rng())
        assert len(drawn) == len(clients) == min(n, len(images))
        assert len(to_uint8(drawn).flatten(1).unique(dim=0)) == len(drawn)


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": "cvae", "labels": "server"},
        {"generator": "flow"},
        {"server": "trained"},
    ],
)
def test_the_flops_of_variants_are_those_forecast(changes, task, store):
    config = replace(SMALL, **changes)
    cost, _ = cost_of(task, config)
    forecast = sum(part.flops for part in PARTS["sda_fl"](task, config))
    assert 0.85 * cost.flops <= forecast <= 1.15 * cost.flops


def test_a_threshold_above_one_is_refused():
    with pytest.raises(InputError, match="threshold"):
        Config(threshold=1.5)


def test_a_vae_is_trained_once_for_its_images_and_for_its_decoder(task, store):
    config = CvaeConfig(cvae_steps=4, cvae_hidden=16)
    client_cvae(task, config, 1)
    with computed_stages() as computed:
        cvae_images(task, config, 1, 10)
    assert {key.split("/")[0] for key in computed} == {"cvae_images"}
