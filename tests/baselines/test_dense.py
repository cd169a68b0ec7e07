"""DENSE's two protocols: in every round, with its generator's loss, and once at the end."""

import dataclasses
from math import log

import pytest
import torch

from baselines import dense, dense_once, dense_rounds
from baselines.dense import Config
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Skip, Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.task import Task
from mosaic.fl.training.losses import StatisticsMatch
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import teacher_logits, teachers_of

ROUNDS = Config(
    protocol="every round",
    round_turns=2,
    round_student_steps=2,
    round_batch=16,
    round_latent=8,
    round_ngf=4,
)
END = Config(epochs=2, synthesis_steps=2, distil_steps=3, batch=32, latent=8)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def run(task: Task, config: Config = ROUNDS, **settings) -> list[Snapshot]:
    return list(dense.run(task, dataclasses.replace(config, **settings)))


def server_logits(snapshot: Snapshot) -> torch.Tensor:
    """The logits (B, K) of the snapshot's model for the test images."""
    return snapshot.predict(images())


def seen(snapshot: Snapshot) -> list[torch.Tensor]:
    """All that a snapshot shows: what its models say, and images."""
    models = [snapshot.predict, *snapshot.probes.values()]
    return [model(images()) for model in models] + [
        snapshot.synthesise(8, torch.Generator().manual_seed(0))[0]
    ]


# In every round


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_without_turns_it_is_fedavg(widths, task, store):
    task = dataclasses.replace(task, widths=widths)
    for snapshot in run(task, round_turns=0):
        assert torch.equal(
            server_logits(snapshot),
            predictor(federated_model(task, snapshot.round), task)(images()),
        )


def test_clients_start_from_the_distilled_model(task, store):
    """The first round's average is FedAvg's; the second's is not, as its clients were sent another
    model.
    """
    first, second = run(task, round_student_lr=1.0)
    assert torch.equal(
        first.probes["before"](images()), predictor(federated_model(task, 1), task)(images())
    )
    assert not torch.equal(
        second.probes["before"](images()), predictor(federated_model(task, 2), task)(images())
    )


@pytest.mark.parametrize(
    "changes", [{"widths": (1.0, 0.5, 0.25)}, {"batch_norm": "batch"}, {"precision": "bf16"}]
)
def test_it_scores_the_scored_rounds_alike_each_time_and_leaves_the_global_random_state(
    changes, task, store
):
    task = dataclasses.replace(task, **changes)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    at_once = [(snapshot, seen(snapshot)) for snapshot in dense.run(task, ROUNDS)]
    assert torch.equal(torch.get_rng_state(), state)
    assert [snapshot.round for snapshot, _ in at_once] == [1, 2]
    for (snapshot, then), again in zip(at_once, run(task), strict=True):
        for a, b, c in zip(then, seen(snapshot), seen(again), strict=True):
            assert a.isfinite().all() and torch.equal(a, b) and torch.equal(a, c)


def test_only_models_cross(task, store):
    with opened(Account()) as account:
        run(task)
    models = task.rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    assert account.total().upload == account.total().download == {"model": models}


def test_images_have_the_datas_shape_and_range_and_no_author(task, store):
    drawn, by = run(task)[-1].synthesise(600, torch.Generator().manual_seed(0))
    assert (
        drawn.shape == (600, 1, 8, 8) and drawn.min() >= -1 and drawn.max() <= 1 and drawn.std() > 0
    )
    assert by.tolist() == [-1] * 600


def test_a_generator_that_diverges_says_so(task, store):
    with pytest.raises(FloatingPointError, match="round_generator_lr"):
        run(task, round_generator_lr=1e30, round_generator_steps=2)


P, Q = (
    torch.tensor([[1 / 2, 1 / 2]]).log(),
    torch.tensor([[1 / 4, 3 / 4]]).log(),
)  # first choices: 0 (a tie) and 1


def test_disagreement_by_hand():
    """Labels 1, 0, 1. The ensemble says Q, P, Q and the student P, Q, Q: each knows one that the
    other does not.

    The mean over these two of KL(P || Q) = log(4/3) / 2 and KL(Q || P) = log(1/2) / 4 + 3 log(3/2)
    / 4, at T = 2 of logits twice as large, without T^2.
    """
    ensemble, student = 2 * torch.cat([Q, P, Q]), 2 * torch.cat([P, Q, Q])
    found = dense_rounds.disagreement(ensemble, student, torch.tensor([1, 0, 1]), 2.0)
    assert found.item() == pytest.approx((log(4 / 3) / 2 + log(1 / 2) / 4 + 3 * log(3 / 2) / 4) / 2)


def test_disagreement_is_zero_where_both_know_or_neither_does():
    for label in (0, 1):
        ensemble = (3 * Q).requires_grad_()
        found = dense_rounds.disagreement(ensemble, Q, torch.tensor([label]), 10.0)
        found.backward()
        assert found.item() == 0 and (ensemble.grad == 0).all()


# Both


def test_the_ensemble_is_the_plain_mean_and_its_mismatch_the_teachers_mean(task, store):
    """L_BN by hand is in test_losses.py."""
    teachers, mismatch = teachers_of(task, final_client_models(task)), []
    for teacher in teachers:
        with StatisticsMatch(teacher) as match:
            teacher(images())
        mismatch.append(match.norms())
    logits, found = dense_once.logits_and_mismatch(teachers, images())
    torch.testing.assert_close(logits, teacher_logits(teachers, images(), task).mean(0))
    assert found.item() == pytest.approx(torch.stack(mismatch).mean().item())


def test_at_the_end_it_is_one_snapshot_of_the_last_round_and_knows_no_rounds(task, store):
    """The fields of one protocol do not touch the other's numbers."""
    (snapshot,), (other,) = run(task, END), run(task, END, round_turns=1, round_student_lr=1.0)
    assert snapshot.round == task.rounds
    assert torch.equal(
        snapshot.probes["before"](images()),
        predictor(federated_model(task, task.rounds), task)(images()),
    )
    assert all(torch.equal(a, b) for a, b in zip(seen(snapshot), seen(other), strict=True))


def test_from_a_random_student_it_runs(task, store):
    assert run(task, END, student="random")[-1].predict(images()).isfinite().all()


def test_without_turns_nothing_is_reported_of_a_distillation(task, store):
    assert run(task, round_turns=0)[-1].diagnostics == {}
    assert run(task)[-1].diagnostics.keys() == {"distil_loss_end"}


@pytest.mark.parametrize("protocol", ("end", "every round"))
def test_a_model_without_batch_norm_is_a_reason_to_skip(protocol, task, monkeypatch):
    class NoNorms:
        norms: list = []

    monkeypatch.setattr("mosaic.fl.rounds.live_network", lambda spec, device: NoNorms)
    with pytest.raises(Skip, match="the model cnn has no BatchNorm"):
        run(task, protocol=protocol)
