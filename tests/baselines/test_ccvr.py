"""CCVR: the statistics of all clients' samples from those of each, and what is drawn by them."""

import dataclasses

import pytest
import torch
from method_runs import MIXED, cost_of, run

from baselines import ccvr
from mosaic.fl.channel import n_bytes
from mosaic.fl.data.federation import open_federation
from mosaic.fl.stages import federated_model


def some_clients() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Features and labels of three clients; one has one sample of class 1, one has none."""
    rng = torch.Generator().manual_seed(0)
    labels = [torch.tensor([0] * 5 + [1] * 4), torch.tensor([1, 2, 2]), torch.tensor([2, 2])]
    return [(torch.randn(len(of), 3, generator=rng) + of[:, None], of) for of in labels]


def test_the_gaussian_of_a_class_is_that_of_all_its_samples():
    clients = some_clients()
    sent = [ccvr.statistics_of(*client) for client in clients]
    features = torch.cat([features for features, _ in clients]).double()
    labels = torch.cat([labels for _, labels in clients])
    for c in range(3):
        n, mean, covariance = ccvr.class_gaussian(sent, c)
        members = features[labels == c]
        assert n == len(members)
        torch.testing.assert_close(mean, members.mean(0), atol=1e-6, rtol=0)
        torch.testing.assert_close(covariance, members.T.cov(), atol=1e-6, rtol=0)
    n, mean, covariance = ccvr.class_gaussian(sent, 3)
    assert n == 0 and not mean.any() and not covariance.any()


def test_a_classs_only_sample_has_no_covariance():
    sent = [ccvr.statistics_of(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))]
    n, mean, covariance = ccvr.class_gaussian(sent, 0)
    assert n == 1 and mean.tolist() == [1.0, 2.0] and not covariance.any()


def test_virtual_features_are_as_frequent_as_classes_and_have_their_moments():
    """Counts 5, 5, 4 and 0 of 14, and 100 per class of four: 143, 143, 114 and none."""
    clients = some_clients()
    sent = [ccvr.statistics_of(*client) for client in clients]
    rng = torch.Generator().manual_seed(0)
    features, labels = ccvr.virtual_features(sent, 100, 4, rng)
    assert labels.bincount(minlength=4).tolist() == [143, 143, 114, 0]
    assert features.shape == (400, 3) and features.dtype == torch.float32

    features, labels = ccvr.virtual_features(sent, 20_000, 3, rng)
    for c in range(3):
        _, mean, covariance = ccvr.class_gaussian(sent, c)
        members = features[labels == c].double()
        torch.testing.assert_close(members.mean(0), mean, atol=0.05, rtol=0)
        torch.testing.assert_close(members.T.cov(), covariance, atol=0.08, rtol=0)


def test_the_root_of_a_singular_covariance():
    covariance = torch.tensor([[4.0, 2.0], [2.0, 1.0]]).double()  # of rank 1
    root = ccvr.root_of(covariance)
    torch.testing.assert_close(root @ root, covariance)


def test_what_a_client_sends_and_receives(task, store):
    """F = 16 features: 136 values of each covariance, 16 of the mean, a count and a label."""
    cost, fedavgs = cost_of("ccvr", task), cost_of("fedavg", task)
    pairs = int((open_federation(task).label_counts > 0).sum())
    assert cost.upload == fedavgs.upload | {"statistics": pairs * (4 * (136 + 16) + 8 + 8)}
    model = n_bytes(federated_model(task, 0))
    assert cost.download == {"model": fedavgs.download["model"] + task.n_clients * model}


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": MIXED, "batch_norm": "batch"},
        {"n_clients": 1, "rounds": 1},
        {"participation": 0.4, "omega": 0.01},
    ],
)
def test_mixed_widths_one_client_and_clients_without_some_classes(changes, task, store):
    logits = run("ccvr", dataclasses.replace(task, **changes), virtual=20, epochs=1)[-1]
    assert logits.isfinite().all()


def test_without_steps_it_is_fedavg(task, store):
    (ours,) = run("ccvr", task, lr=0.0, epochs=1, virtual=10)
    assert torch.equal(ours, run("fedavg", task)[-1])
