"""DFRD's own laws: whom the ensemble believes, what the generator is told, what it remembers, where
it is FedAvg.
"""

import copy
import dataclasses
from functools import partial
from math import log, sqrt

import pytest
import torch

from baselines import dfrd
from baselines.dfrd import Config
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import LiveNetwork, initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.synthesis.conditional import labels_by_counts, server_generator
from mosaic.fl.task import Task
from mosaic.fl.training import losses
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import class_shares, teachers_of

TINY = Config(turns=2, generator_steps=2, batch=16, latent=8, ngf=4)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def run(task: Task, **settings) -> list[Snapshot]:
    return list(dfrd.run(task, dataclasses.replace(TINY, **settings)))


def server_logits(snapshot: Snapshot) -> torch.Tensor:
    """The logits (B, K) of the snapshot's model for the test images."""
    return snapshot.predict(images())


def logits(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows).log()


# Where it is FedAvg


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_without_turns_dfrd_is_fedavg(widths, task, store):
    task = dataclasses.replace(task, widths=widths)
    for snapshot in run(task, turns=0):
        assert torch.equal(
            server_logits(snapshot),
            predictor(federated_model(task, snapshot.round), task)(images()),
        )


def test_clients_start_from_the_distilled_model(task, store):
    """The first round's average is FedAvg's; the second's is not, as its clients were sent another
    model.
    """
    first, second = run(task, student_lr=1.0)
    assert torch.equal(
        first.probes["before"](images()), predictor(federated_model(task, 1), task)(images())
    )
    assert not torch.equal(
        second.probes["before"](images()), predictor(federated_model(task, 2), task)(images())
    )


def test_beyond_fedavg_the_label_counts_are_uploaded_once(task, store):
    with opened(Account()) as account:
        run(task)
    models = task.rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    assert account.total().upload == {"model": models, "counts": task.n_clients * 10 * 8}  # int64
    assert account.total().download == {"model": models}


# The ensemble


def test_clients_are_believed_by_their_share_of_the_label():
    """Counts (3, 0) and (1, 2): of label 0 the first has 3 of 4, of label 1 it has none."""
    trust = class_shares(torch.tensor([[3, 0], [1, 2]]))[:, :, None]
    of_clients = torch.tensor([[[8.0, 0.0], [8.0, 0.0]], [[0.0, 4.0], [0.0, 4.0]]])  # (N, B, K)
    found = dfrd.weigh(of_clients, torch.tensor([0, 1]), trust)
    assert found.tolist() == [[6.0, 1.0], [0.0, 4.0]]


def test_shares_sum_to_one_over_clients(task):
    """So an ensemble of one opinion has that opinion, whatever the label."""
    label_counts = open_federation(task).label_counts
    opinion = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    trust = class_shares(label_counts)[:, :, None]
    found = dfrd.weigh(opinion.expand(task.n_clients, 10, 10), torch.arange(10), trust)
    assert label_counts.sum(0).min() > 0
    torch.testing.assert_close(found, opinion)


def test_the_mask_touches_only_classes_that_a_client_lacks(task, store):
    for omega, same in ((100.0, True), (0.1, False)):
        of_omega = dataclasses.replace(task, n_train=1000, omega=omega, rounds=1)
        assert (open_federation(of_omega).label_counts.min() > 0) == same
        one, other = (run(of_omega, mask=mask, student_lr=1.0)[-1] for mask in ("none", "zero"))
        assert torch.equal(server_logits(one), server_logits(other)) == same


def test_labels_are_drawn_in_the_clients_proportions():
    """Label counts 300, 100 and 0 of both clients together. Of 4,000 draws 3,000 are 0, with a
    deviation of 27.
    """
    counts = torch.tensor([[300, 0, 0], [0, 100, 0]])
    z, labels = labels_by_counts(counts, 5, 4000, torch.Generator().manual_seed(0))
    found = labels.bincount(minlength=3).tolist()
    assert z.shape == (4000, 5) and found[2] == 0 and abs(found[0] - 3000) < 4 * 27


# The generator's losses

P, Q = logits((1 / 2, 1 / 2)), logits((1 / 4, 3 / 4))


def test_transferability_by_hand():
    """At T = 2, logits twice as large. The label is 1: the ensemble Q knows it, the student P (a
    tie, so 0) does not.

    -KL(P || Q) = -log(4/3) / 2; the other sample, which both know, does not count.
    """
    ensemble, student = 2 * torch.cat([Q, Q]), 2 * torch.cat([P, Q])
    found = losses.transferability(ensemble, student, torch.tensor([1, 1]), 2.0)
    assert found.item() == pytest.approx(-log(4 / 3) / 2)


def test_transferability_is_zero_where_all_agree_and_where_no_sample_is_hard():
    label = torch.tensor([1])
    neither_knows, student_knows = (P, P), (P, Q)
    for ensemble, student in ((Q, Q), neither_knows, student_knows):
        ensemble = ensemble.clone().requires_grad_()
        loss = losses.transferability(ensemble, student, label, 10.0)
        loss.backward()
        assert loss.item() == 0 and (ensemble.grad == 0).all()


def test_embeddings_are_punished_beyond_gamma_root_d():
    """Lengths 5 and 1 in two dimensions: (5 - sqrt 2 + 0) / 2; with gamma 3: (5 - 3 sqrt 2 + 0) /
    2.
    """
    e = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert dfrd.excess_length(e, 1.0).item() == pytest.approx((5 - sqrt(2)) / 2)
    assert dfrd.excess_length(e, 3.0).item() == pytest.approx((5 - 3 * sqrt(2)) / 2)


def test_distillation_by_hand():
    """KL(P || Q) = log(4/3) / 2 of logits softened by T, without T^2; the second batch counts alpha
    times.
    """
    fresh = dfrd.distillation_loss(3 * Q, 3 * P[None], alpha=0.5, temperature=3.0)
    assert fresh.item() == pytest.approx(log(4 / 3) / 2)
    both = dfrd.distillation_loss(
        3 * torch.cat([Q, Q]), 3 * torch.stack([Q, P]), alpha=0.5, temperature=3.0
    )
    assert both.item() == pytest.approx(log(4 / 3) / 4)


def test_the_generator_learns_what_the_clients_know(task, store):
    """On a student that knows nothing, images get their labels from the ensemble after some hundred
    steps.
    """
    task = dataclasses.replace(task, steps=60, base_width=8, omega=100.0, lr=0.1)
    config = dataclasses.replace(TINY, generator_steps=150, ngf=8, latent=16, generator_lr=5e-3)
    counts, teachers = (
        open_federation(task).label_counts,
        teachers_of(task, final_client_models(task)),
    )
    ensemble = partial(dfrd.weigh, trust=class_shares(counts)[:, :, None])
    sample = partial(labels_by_counts, counts, 16, 32, torch.Generator().manual_seed(0))
    generator, student = (
        server_generator(task, config.latent, "multiply", config.ngf),
        frozen_network(initial_model(task.spec, 1), task.spec, "average"),
    )
    before = dfrd.fit_generator(
        generator,
        teachers,
        ensemble,
        student,
        sample,
        task,
        dataclasses.replace(config, generator_steps=1),
    )
    after = dfrd.fit_generator(generator, teachers, ensemble, student, sample, task, config)
    assert after < before / 2, (before, after)


def test_a_generator_that_diverges_says_so(task, store):
    with pytest.raises(FloatingPointError, match="generator_lr"):
        run(task, generator_lr=1e30)


# The generator's moving average


def test_the_average_is_the_hand_computed_mix_batch_norm_statistics_included(task):
    generator = server_generator(task, TINY.latent, "multiply", 4)
    network = torch.nn.Sequential(
        generator, torch.nn.BatchNorm2d(1)
    )  # an 8x8 generator has no BatchNorm of its own
    ema_generator = copy.deepcopy(network)
    for tensor in LiveNetwork(network).state.values():
        tensor.add_(1.0)
    old = {name: tensor.clone() for name, tensor in LiveNetwork(ema_generator).state.items()}
    mixed = LiveNetwork(dfrd.blend([network, ema_generator], keep=0.75)).state
    assert {"1.running_mean", "1.running_var"} <= mixed.keys()
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, old[name] + 0.25)  # 0.75 w + 0.25 (w + 1)


def test_the_average_starts_equal_to_the_generator_and_is_used_from_round_2(task, store):
    """In round 2 it is the generator of round 1 whatever lambda is; in round 3 it is a mix."""
    task = dataclasses.replace(task, rounds=3)
    forgetful, mindful, without = (
        [server_logits(s) for s in run(task, student_lr=1.0, **settings)]
        for settings in ({"ema": 0.0}, {"ema": 0.9}, {"alpha": 0})
    )
    assert torch.equal(forgetful[1], mindful[1]) and not torch.equal(forgetful[2], mindful[2])
    assert torch.equal(forgetful[0], without[0]) and not torch.equal(forgetful[1], without[1])


# The snapshot


def test_images_have_the_datas_shape_and_range_and_the_author_minus_one(task, store):
    drawn, by = run(task)[-1].synthesise(600, torch.Generator().manual_seed(0))
    assert (
        drawn.shape == (600, 1, 8, 8) and drawn.min() >= -1 and drawn.max() <= 1 and drawn.std() > 0
    )
    assert by.tolist() == [-1] * 600


def test_a_snapshots_images_and_teachers_do_not_change_when_the_method_goes_on(task, store):
    def seen(snapshot: Snapshot) -> list[torch.Tensor]:
        return [
            snapshot.synthesise(8, torch.Generator().manual_seed(0))[0],
            snapshot.probes["teacher"](images()),
        ]

    at_once = [(snapshot, seen(snapshot)) for snapshot in dfrd.run(task, TINY)]
    for snapshot, then in at_once:
        assert all(torch.equal(a, b) for a, b in zip(seen(snapshot), then, strict=True))
    assert not torch.equal(at_once[0][1][1], at_once[1][1][1])


def test_flops_do_not_depend_on_which_cell_ran_before(task, store, monkeypatch):
    fewer, flops = dataclasses.replace(task, n_clients=2), []
    for before in ((), (fewer,)):
        monkeypatch.setattr(costs, "_flops", {})
        for other in before:
            run(other)
        use_cache(store / str(len(before)))
        with opened(Account()) as account:
            run(task)
        flops.append(account.total().flops)
    assert flops[0] == flops[1]
