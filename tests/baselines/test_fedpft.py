"""FedPFT: the mixtures of a client's classes, what is drawn from them, and what is sent."""

import dataclasses

import pytest
import torch
from method_runs import MIXED, cost_of, run

from baselines import fedpft
from mosaic.fl.data.federation import open_federation

SHORT = {"epochs": 1, "mixtures": 2}


def two_clouds() -> torch.Tensor:
    """Thirty points near (-4, 0), with deviations 0.5 and 0.1, and ten near (4, 1)."""
    noise = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    centres = torch.tensor([[-4.0, 0.0]] * 30 + [[4.0, 1.0]] * 10)
    return centres + noise * torch.tensor([0.5, 0.1])


def test_a_mixture_finds_two_clouds():
    mixture = fedpft.fitted(two_clouds(), torch.tensor(7), 2)
    order = mixture["means"][:, 0].argsort()
    assert mixture["label"] == 7 and mixture["count"] == 40
    assert mixture["shares"][order].tolist() == pytest.approx([0.75, 0.25], abs=1e-3)
    wanted = torch.tensor([[-4.0, 0.0], [4.0, 1.0]])
    torch.testing.assert_close(mixture["means"][order].float(), wanted, atol=0.3, rtol=0)
    assert (mixture["variances"][order][:, 1] < 0.02).all()
    assert all(mixture[name].dtype == torch.float16 for name in ("shares", "means", "variances"))


def test_what_is_drawn_has_the_mixtures_moments_and_number():
    mixture = fedpft.fitted(two_clouds(), torch.tensor(0), 2)
    rng = torch.Generator().manual_seed(0)
    assert fedpft.drawn_from_mixture(mixture, rng).shape == (40, 2)
    many = fedpft.drawn_from_mixture(mixture | {"count": torch.tensor(20_000)}, rng)
    torch.testing.assert_close(many.mean(0), two_clouds().mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(many.T.cov(), two_clouds().T.cov(correction=0), atol=0.1, rtol=0.05)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_few_samples_have_one_gaussian(n):
    members = two_clouds()[:n]
    mixture = fedpft.fitted(members, torch.tensor(0), 10)
    assert mixture["shares"].tolist() == [1.0] and mixture["count"] == n
    torch.testing.assert_close(mixture["means"][0].float(), members.mean(0), atol=5e-3, rtol=0)
    assert fedpft.drawn_from_mixture(mixture, torch.Generator()).isfinite().all()


def test_what_a_client_sends(task, store):
    """For each class two integers, and for each Gaussian 1 + 2 x 16 values of two bytes."""
    counts = open_federation(task).label_counts
    gaussians = int((counts > 10).sum()) * 10 + int(((counts > 0) & (counts <= 10)).sum())
    pairs = int((counts > 0).sum())
    cost, fedavgs = cost_of("fedpft", task), cost_of("fedavg", task)
    assert cost.upload == fedavgs.upload | {"statistics": 16 * pairs + gaussians * 2 * 33}


def test_without_steps_it_is_fedavg(task, store):
    assert torch.equal(run("fedpft", task, lr=0.0, **SHORT)[0], run("fedavg", task)[-1])


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": MIXED, "batch_norm": "batch"},
        {"n_clients": 1, "rounds": 1},
        {"participation": 0.4, "omega": 0.01},
    ],
)
def test_mixed_widths_one_client_and_clients_without_some_classes(changes, task, store):
    logits = run("fedpft", dataclasses.replace(task, **changes), **SHORT)[-1]
    assert logits.isfinite().all()
