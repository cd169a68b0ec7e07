"""FedCGS: its sums do not depend on the partition, and its head is that of Gaussian classes."""

import dataclasses
import math

import pytest
import torch
from method_runs import MIXED, cost_of, images, run

from baselines import fedcgs
from mosaic.fl.data.federation import open_federation
from mosaic.fl.heads import features_of_clients
from mosaic.fl.stages import federated_model
from mosaic.fl.training.prediction import predictor


def head(features: torch.Tensor, labels: torch.Tensor, n_classes: int, ridge: float = 0.0):
    sums = fedcgs.sums_of(features, labels, n_classes)
    counts = labels.bincount(minlength=n_classes)
    return fedcgs.gaussian_head(counts, sums["sums"], sums["squares"], ridge)


def test_the_head_by_hand():
    """Features -3, -1 of class 0 and 2 of class 1: means -2 and 2, S = 19 / 3, of all three.

    The mean is -2/3, the squares sum to 14: (14 - 3 x 4/9) / 2 = 19/3.
    """
    weight, bias = head(torch.tensor([[-3.0], [-1.0], [2.0]]), torch.tensor([0, 0, 1]), 2)
    assert weight.flatten().tolist() == pytest.approx([-6 / 19, 6 / 19])
    wanted = [-6 / 19 + math.log(2 / 3), -6 / 19 + math.log(1 / 3)]
    assert bias.tolist() == pytest.approx(wanted)
    ridged, _ = head(torch.tensor([[-3.0], [-1.0], [2.0]]), torch.tensor([0, 0, 1]), 2, 2 / 3)
    assert ridged.flatten().tolist() == pytest.approx([-2 / 7, 2 / 7])


def test_a_constant_feature_does_not_count_and_a_class_of_nobody_is_never_predicted():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    features = torch.randn(40, 3, generator=rng) + labels[:, None]
    alone, _ = head(features, labels, 2)
    weight, bias = head(torch.cat([features, torch.full((40, 1), 0.5)], 1), labels, 3)
    torch.testing.assert_close(weight[:2, :3], alone)
    assert not weight[:, 3].any() and not weight[2].any()
    assert bias[2] == fedcgs.LOWEST


def test_the_sums_are_those_of_all_data_whatever_the_partition(task, store):
    """Three clients' sums, added up, are the sums over all features at once."""
    clients = list(features_of_clients(dataclasses.replace(task, omega=0.1)))
    own = [fedcgs.sums_of(features, labels, 10) for _, features, labels in clients]
    features = torch.cat([features for _, features, _ in clients])
    labels = torch.cat([labels for _, _, labels in clients])
    for name, together in fedcgs.sums_of(features, labels, 10).items():
        torch.testing.assert_close(sum(sums[name] for sums in own), together)


def test_what_is_sent(task, store):
    """F = 16 features and 10 classes: 160 sums, 136 values of f f^T, in float64; 10 counts."""
    cost, fedavgs = cost_of("fedcgs", task), cost_of("fedavg", task)
    assert cost.upload == fedavgs.upload | {
        "statistics": task.n_clients * 8 * (160 + 136),
        "counts": task.n_clients * 80,
    }
    assert cost.steps.keys() == fedavgs.steps.keys() | {"predict"}, "nothing is trained"


def test_the_start_is_fedavgs_and_its_logits_are_used(task, store):
    (snapshot,) = fedcgs.run(task, fedcgs.Config())
    server = federated_model(task, task.rounds)
    before = snapshot.probes["before"](images())
    assert torch.equal(before, predictor(server, task)(images()))
    assert not torch.allclose(snapshot.predict(images()), before, atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": MIXED, "batch_norm": "batch"},
        {"n_clients": 1, "rounds": 1},
        {"participation": 0.4, "omega": 0.01},
    ],
)
def test_mixed_widths_one_client_and_clients_without_some_classes(changes, task, store):
    task = dataclasses.replace(task, **changes)
    assert len(open_federation(task).shards) == task.n_clients
    assert run("fedcgs", task)[-1].isfinite().all()
