"""Mosaic's two protocols: what the server starts from."""

from dataclasses import replace

import pytest
import torch

from mosaic.fl.cache import computed_stages
from mosaic.fl.channel import n_bytes
from mosaic.fl.costs import Account, opened
from mosaic.fl.independent import independent_client_model
from mosaic.method import (
    Config,
    run,
)
from mosaic.starting_models import gather


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_with_one_round_the_two_protocols_have_the_same_models(widths, task, store):
    """One round's local training from the common start is training alone; the average is
    FedAvg's. Each client is trained once.
    """
    task = replace(task, rounds=1, widths=widths)
    with computed_stages() as computed:
        rounds, oneshot = gather(task, "rounds"), gather(task, "oneshot")
        assert same(rounds.server, oneshot.server)
        assert all(map(same, rounds.models, oneshot.models))
    assert sum(name.startswith("lone_model") for name in computed) == task.n_clients


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
