"""The methods that change FedAvg's local training or its average: where they are FedAvg, and what
they cost.
"""

import dataclasses

import pytest
import torch
from method_runs import (
    MIXED,
    cost_of,
    run,
    same,
)

from baselines import fedbn, scaffold
from mosaic.fl.channel import n_bytes
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window


@pytest.mark.parametrize("widths", [(), MIXED])
@pytest.mark.parametrize("name, settings", [("fedprox", {"mu": 0.0}), ("fedrs", {"alpha": 1.0})])
def test_without_its_own_term_a_method_is_fedavg_to_the_bit(name, settings, widths, task, store):
    """And FedRolex at mixed widths."""
    task = dataclasses.replace(task, widths=widths)
    assert same(run(name, task, **settings), run("fedrolex", task, mask="none", rows="all"))


@pytest.mark.parametrize("name", ["fedprox", "fedrs"])
def test_with_its_own_term_it_is_not(name, task, store):
    task = dataclasses.replace(task, omega=0.1)
    assert not same(run(name, task), run("fedavg", task))


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_fedbn_and_the_ensemble_of_one_client_are_fedavg(model, task, store):
    task = dataclasses.replace(task, model=model, n_clients=1)
    wanted = run("fedavg", task)
    assert same(run("fedbn", task), wanted) and torch.equal(run("ensemble", task)[-1], wanted[-1])


@pytest.mark.parametrize("widths", [(), MIXED])
def test_bytes(widths, task, store):
    """T rounds of each client's model both ways; less BatchNorm for FedBN, and SCAFFOLD's controls
    beside it.
    """
    task = dataclasses.replace(task, widths=widths)
    server, parts, private = federated_model(task, 0), task.layout, fedbn.batch_norms(task.spec)
    sent = [cut(server, parts, window(task.spec_at(width))) for width in widths or (1.0,) * 3]
    models = {"model": task.rounds * n_bytes(sent)}
    for name in ("fedprox", "fedrs", "heterofl", "ensemble"):
        cost = cost_of(name, task)
        assert cost.upload == cost.download == models, name
    cost = cost_of("fedbn", task)
    shared = [fedbn.only(part, part.keys() - private) for part in sent]
    assert cost.upload == cost.download == {"model": task.rounds * n_bytes(shared)}
    assert n_bytes(shared) < n_bytes(sent)
    if not widths:
        controls = task.rounds * 3 * n_bytes(scaffold.no_controls(task, server))
        cost = cost_of("scaffold", task)
        assert cost.upload == cost.download == models | {"controls": controls}


@pytest.mark.parametrize("name", ["fedprox", "fedrs", "fedbn", "scaffold", "heterofl", "ensemble"])
def test_local_work_is_fedavgs(name, task, store):
    """The same number of local steps for the same FLOPs: what differs costs next to nothing."""
    of_method, of_fedavg = cost_of(name, task), cost_of("fedavg", task)
    assert of_method.steps == of_fedavg.steps and of_method.flops == of_fedavg.flops
