"""FedRolex: the plain loop, and FedAvg at width 1."""

import dataclasses

import torch
from contract_runs import logits_of

from baselines import (
    fedavg,
    fedrolex,
)
from mosaic.fl.aggregation import average_parts
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.training.sgd import train


def test_fedrolex_without_its_two_parts_is_fedavg_at_width_one(task, store):
    task = dataclasses.replace(task, widths=(1.0, 1.0, 1.0))
    of_fedrolex, of_fedavg = (
        list(fedrolex.run(task, fedrolex.WITHOUT_PARTS)),
        list(fedavg.run(task, fedavg.Config())),
    )
    for a, b in zip(of_fedrolex, of_fedavg, strict=True):
        assert torch.equal(logits_of(a), logits_of(b))


def test_fedrolex_is_the_plain_loop(task, store):
    """Alam et al., Algorithm 1, written out: in round t the window starts at channel t."""
    task = dataclasses.replace(task, rounds=3, widths=(1.0, 0.5, 0.25), roll="channel")
    federation, server, parts = (
        open_federation(task),
        initial_model(task.spec, task.seed),
        task.layout,
    )
    for t in range(1, 4):
        clients = []
        for shard, width in zip(federation.shards, task.widths, strict=True):
            held = window(task.spec_at(width), shift=t)
            part = train(cut(server, parts, held), shard, task, round=t, width=width)
            clients.append((part, held))
        server = average_parts(server, clients, federation.sizes, parts)
    found = federated_model(task, 3)
    assert all(torch.equal(found[name], server[name]) for name in server)


def test_the_round_in_the_file_is_what_the_cached_stage_computes(task, store):
    task = dataclasses.replace(task, rounds=3, widths=(1.0, 0.5, 0.25))
    server = initial_model(task.spec, task.seed)
    for t in range(1, 4):
        server = fedrolex.one_round(task, fedrolex.WITHOUT_PARTS, server, t)
    cached = federated_model(task, 3)
    assert all(torch.equal(cached[name], server[name]) for name in server)
