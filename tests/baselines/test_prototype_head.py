"""PrototypeHead: FedAvg's body, Mosaic's prototypes, and Mosaic's own rule of training."""

import dataclasses

import torch
from method_runs import MIXED, cost_of, images, run, same

from baselines import prototype_head
from benchmarks.planning.methods import METHODS
from mosaic import method as mosaic
from mosaic.fl.cache import computed_stages
from mosaic.fl.costs import Account, opened
from mosaic.fl.heads import head_of
from mosaic.fl.rng import stream
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor
from mosaic.prototypes import client_prototypes


def test_without_patience_it_is_fedavg(task, store):
    assert same(run("prototype_head", task, patience=0), run("fedavg", task)[-1:])
    assert not same(run("prototype_head", task), run("fedavg", task)[-1:])


def test_it_uploads_models_and_mosaics_prototypes_and_nothing_else(task, store):
    with opened(Account()) as mosaics:
        client_prototypes(task, 10, "rounds", "average")
    cost = cost_of("prototype_head", task)
    fedavgs = cost_of("fedavg", task)
    assert cost.upload == {
        "model": fedavgs.upload["model"],
        "prototypes": mosaics.total().upload["prototypes"],
    }
    with computed_stages() as computed:
        client_prototypes(task, 10, "rounds", "average")
    assert not computed, "the prototypes are Mosaic's own, from the same cache"


def test_prototypes_are_mosaics_at_mixed_widths_too(task, store):
    """Also where models are scored with the statistics of a batch."""
    task = dataclasses.replace(task, widths=MIXED, batch_norm="batch")
    client_prototypes(task, 10, "rounds", mosaic.Config().prototype_norm)
    with computed_stages() as computed:
        run("prototype_head", task)
    assert not any(name.startswith("client_prototypes") for name in computed)


def test_the_diagnostics_are_of_the_held_out_prototypes_before_and_after(task, store):
    (snapshot,) = prototype_head.run(task, prototype_head.Config())
    server = federated_model(task, task.rounds)
    assert torch.equal(snapshot.probes["before"](images()), predictor(server, task)(images()))

    prototypes = client_prototypes(task, 10, "rounds", "average")
    inputs = torch.cat([of_client["features"] for of_client in prototypes])
    labels = torch.cat([of_client["labels"] for of_client in prototypes])
    order = torch.randperm(len(labels), generator=stream(task.seed, "head"))
    held_out = order[: len(labels) // 5]
    right = head_of(server)(inputs[held_out]).argmax(1) == labels[held_out]
    found = snapshot.diagnostics
    assert found["prototypes"] == len(labels)
    assert found["head_accuracy_before"] == right.float().mean().item()
    assert found["head_epochs"] > 0


def test_one_shot_mixed_widths_one_client_and_some_clients(task, store):
    """Without rounds the server sends nothing to the clients."""
    config = prototype_head.Config(protocol="oneshot")
    with opened(Account()) as account:
        (snapshot,) = prototype_head.run(task, config)
    assert snapshot.predict(images()).isfinite().all()
    assert not account.total().download

    mixed = dataclasses.replace(task, widths=MIXED, batch_norm="batch")
    alone = dataclasses.replace(task, n_clients=1, rounds=1, score_every=1)
    some = dataclasses.replace(task, participation=0.4, omega=0.01)
    for changed in (mixed, alone, some):
        assert run("prototype_head", changed)[-1].isfinite().all()
    assert list(METHODS).index("prototype_head") < list(METHODS).index("mosaic")
