"""DFDG: the cross-divergence by hand, two generators, and what the student learns."""

import dataclasses
import math

import pytest
import torch
from method_runs import MIXED, cost_of, images, run

from baselines import dfdg
from mosaic.fl.costs import Account, opened
from mosaic.fl.stages import federated_model
from mosaic.fl.training import losses
from mosaic.fl.training.prediction import predictor

SMALL = {"turns": 1, "generator_steps": 1, "batch": 8, "latent": 4, "ngf": 4}


def logits(*shares: float) -> torch.Tensor:
    return torch.tensor([shares]).log()


def test_the_cross_divergence_by_hand():
    """KL((3/4, 1/4) || (1/2, 1/2)) is 3/4 log(3/2) + 1/4 log(1/2), and of equals it is 0."""
    even, uneven = logits(0.5, 0.5), logits(0.75, 0.25)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert dfdg.cross_divergence(even, uneven, 1.0).item() == pytest.approx(-kl, rel=1e-5)
    assert dfdg.cross_divergence(uneven, uneven, 1.0).item() == pytest.approx(0, abs=1e-6)


def test_the_cross_divergence_is_over_all_pairs_or_those_chosen():
    rng = torch.Generator().manual_seed(0)
    own, other = (torch.randn(4, 3, generator=rng) for _ in range(2))
    pairs = torch.stack(
        [
            torch.stack([losses.soft_distillation(q[None], p[None], 2.0) / 4 for q in own])
            for p in other
        ]
    )
    torch.testing.assert_close(dfdg.cross_divergence(own, other, 2.0), -pairs.mean())
    labels = torch.tensor([0, 1, 1, 2])
    chosen = labels[:, None] == labels  # 1 + 4 + 1 pairs
    found = dfdg.cross_divergence(own, other, 2.0, chosen)
    torch.testing.assert_close(found, -pairs[chosen].mean())


def test_the_students_loss_is_the_sum_over_both_generators():
    rng = torch.Generator().manual_seed(0)
    student, ensemble = (torch.randn(6, 4, generator=rng) for _ in range(2))
    halves = zip(student.split(3), ensemble.split(3), strict=True)
    wanted = sum(losses.soft_distillation(*half, 5.0) / 25 for half in halves)
    torch.testing.assert_close(dfdg.distillation_loss(student, ensemble, 5.0), wanted)


def test_the_generators_start_apart_and_both_draw(task, store):
    first, second = dfdg.two_generators(task, dfdg.Config(**SMALL))
    assert not torch.equal(first.embedding.weight, second.embedding.weight)
    (snapshot,) = dfdg.run(task, dfdg.Config(**SMALL))
    drawn, by = snapshot.synthesise(7, torch.Generator().manual_seed(0))
    assert drawn.shape == (7, 1, 8, 8) and by.tolist() == [-1] * 7
    assert snapshot.synthesise(1, torch.Generator())[0].shape == (1, 1, 8, 8)


def test_without_student_steps_worth_it_is_fedavg(task, store):
    (snapshot,) = dfdg.run(task, dfdg.Config(**SMALL, student_lr=0.0))
    wanted = predictor(federated_model(task, task.rounds), task)(images())
    assert torch.equal(snapshot.predict(images()), wanted)
    assert torch.equal(snapshot.probes["before"](images()), wanted)


def test_both_kinds_of_pairs_and_what_is_sent(task, store):
    """Beside the models, the counts of ten classes. Large steps, for few of them to tell."""
    large = SMALL | {"turns": 2, "generator_steps": 3, "generator_lr": 0.05, "student_lr": 1.0}
    found = []
    for pairs in ("all", "same label"):
        with opened(Account()) as account:
            found += run("dfdg", task, **large, pairs=pairs)
        sent = account.total().upload
        assert sent == cost_of("fedavg", task).upload | {"counts": task.n_clients * 80}
    assert not torch.equal(*found)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": MIXED, "batch_norm": "batch"},
        {"n_clients": 1, "rounds": 1},
        {"participation": 0.4, "omega": 0.01},
    ],
)
def test_mixed_widths_one_client_and_clients_without_some_classes(changes, task, store):
    assert run("dfdg", dataclasses.replace(task, **changes), **SMALL)[-1].isfinite().all()
