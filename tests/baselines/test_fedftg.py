"""FedFTG: class weights, the discrepancy, generator and student, the snapshot, and where it is
FedAvg.
"""

import dataclasses
from functools import partial
from math import log

import pytest
import torch

from baselines import fedftg
from baselines.fedftg import Config
from mosaic.fl import costs
from mosaic.fl.cache import use_cache
from mosaic.fl.channel import n_bytes
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.models.live_network import initial_model
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.synthesis.conditional import draw, labels_by_counts, new_adam, server_generator
from mosaic.fl.task import Task
from mosaic.fl.training.losses import weighted_nll
from mosaic.fl.training.prediction import frozen_network, predictor
from mosaic.fl.training.teachers import class_shares, teacher_logits, teachers_of

TINY = Config(turns=2, batch=16, latent=8, ngf=4)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images[:40])


def run(task: Task, **settings) -> list[Snapshot]:
    return list(fedftg.run(task, dataclasses.replace(TINY, **settings)))


def server_logits(snapshot: Snapshot) -> torch.Tensor:
    """The logits (B, K) of the snapshot's model for the test images."""
    return snapshot.predict(images())


# Where it is FedAvg


@pytest.mark.parametrize("widths", [(), (1.0, 0.5, 0.25)])
def test_without_turns_fedftg_is_fedavg(widths, task, store):
    task = dataclasses.replace(task, widths=widths)
    for snapshot in run(task, turns=0):
        assert torch.equal(
            server_logits(snapshot),
            predictor(federated_model(task, snapshot.round), task)(images()),
        )
        assert snapshot.diagnostics == {}


def test_clients_start_from_the_fine_tuned_model(task, store):
    """The first round's average is FedAvg's; the second's is not, as its clients were sent another
    model.
    """
    one, two = run(task, student_lr=1.0)
    assert torch.equal(
        one.probes["before"](images()), predictor(federated_model(task, 1), task)(images())
    )
    assert not torch.equal(server_logits(one), one.probes["before"](images()))
    assert not torch.equal(
        two.probes["before"](images()), predictor(federated_model(task, 2), task)(images())
    )


def test_beyond_fedavg_the_label_counts_are_uploaded_once(task, store):
    with opened(Account()) as account:
        run(task)
    models = task.rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    assert account.total().upload == {"model": models, "counts": task.n_clients * 10 * 8}  # int64
    assert account.total().download == {"model": models}


# Class weights


def test_class_weights_sum_to_one_over_clients_and_to_zero_for_a_class_of_nobody():
    shares = class_shares(torch.tensor([[3, 0, 0, 7], [1, 2, 0, 0], [0, 6, 0, 0]]))
    assert shares.sum(0).tolist() == [1, 1, 0, 1]
    assert shares[:, 1].tolist() == [0, 0.25, 0.75]


def test_labels_are_drawn_in_the_clients_proportions():
    """Label counts 300, 100 and 0 of both clients together. Of 4,000 draws 3,000 are 0, with a
    deviation of 27.
    """
    counts = torch.tensor([[300, 0, 0], [0, 100, 0]])
    z, labels = labels_by_counts(counts, 5, 4000, torch.Generator().manual_seed(0))
    found = labels.bincount(minlength=3).tolist()
    assert z.shape == (4000, 5) and found[2] == 0 and abs(found[0] - 3000) < 4 * 27


@pytest.mark.parametrize("omega, complete", [(100.0, True), (0.1, False)])
def test_the_mask_touches_only_classes_that_a_client_lacks(omega, complete, task, store):
    task = dataclasses.replace(task, n_train=1000, omega=omega, rounds=1)
    assert (open_federation(task).label_counts.min() > 0) == complete
    one, other = (run(task, mask=mask, student_lr=1.0)[-1] for mask in ("none", "zero"))
    assert torch.equal(server_logits(one), server_logits(other)) == complete


# The losses

HALF, QUARTER = [1 / 2, 1 / 2], [1 / 4, 3 / 4]
SHARES = class_shares(torch.tensor([[3, 0], [1, 2]]))  # of labels (0, 1): (3/4, 0) and (1/4, 1)
LABELS = torch.tensor([0, 1])


def logits(*rows) -> torch.Tensor:
    return torch.tensor(rows).log() + 5  # a constant more changes nothing


def test_discrepancy_by_hand():
    """At T = 2, logits twice as large. KL(half || quarter) = log(2) / 2 + log(2/3) / 2 = log(4/3) /
    2.

    The student says quarter. The first client says half of both samples, the second half of the
    second alone: (3/4 KL + 0) / 2 + (0 + 1 KL) / 2 = 7/8 KL.
    """
    clients, student = logits([HALF, HALF], [QUARTER, HALF]), logits(QUARTER, QUARTER)
    found = fedftg.discrepancy(2 * student, (2 * clients, LABELS), SHARES, temperature=2.0)
    assert found.item() == pytest.approx(7 / 8 * log(4 / 3) / 2, rel=1e-5)


def test_weighted_nll_by_hand():
    """Label 0 has 1/2 by the first client and 1/4 by the second; label 1 has 1/2 and 3/4, and the
    first has weight 0.

    (3/4 log 2 + 0) / 2 + (1/4 log 4 + log 4/3) / 2.
    """
    found = weighted_nll(logits([HALF, HALF], [QUARTER, QUARTER]), LABELS, SHARES)
    assert found.item() == pytest.approx((5 / 4 * log(2) + log(4 / 3)) / 2)


def test_a_student_that_agrees_with_all_has_no_discrepancy_and_no_gradient(task, store):
    server, counts = federated_model(task, 1), open_federation(task).label_counts
    clients = teacher_logits(teachers_of(task, [server] * 3), images(), task)
    student = predictor(server, task)(images()).requires_grad_()
    labels = torch.multinomial(
        counts.sum(0).double(), 40, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    found = fedftg.discrepancy(student, (clients, labels), class_shares(counts), 10.0)
    found.backward()
    assert found.item() == 0 and student.grad.abs().max() < 1e-8


def test_fine_tuning_lessens_the_discrepancy(task, store):
    """From the very first step, a run of which has the same batch, to the last tenth of 100."""
    task = dataclasses.replace(task, rounds=1, omega=0.1, steps=60, lr=0.1)
    settings = {"student_lr": 0.1, "temperature": 1.0, "generator_steps": 0, "batch": 256}
    first_step = run(task, turns=1, student_steps=1, **settings)[-1].diagnostics
    all_steps = run(task, turns=20, **settings)[-1].diagnostics
    assert all_steps["distil_loss_end"] < first_step["distil_loss_start"] * 3 / 4


def train(task: Task, teachers, student, **settings) -> float:
    """The generator's loss at the last of some steps."""
    config, counts = dataclasses.replace(TINY, **settings), open_federation(task).label_counts
    generator = server_generator(task, config.latent, "concatenate", config.ngf)
    ensemble = fedftg.new_ensemble(config, counts, teachers)
    differ = partial(fedftg.discrepancy, shares=ensemble.shares, temperature=config.temperature)
    rng = torch.Generator().manual_seed(0)
    sample = partial(labels_by_counts, counts, config.latent, 32, rng)
    adam = new_adam(generator, config.generator_lr)
    return fedftg.fit_generator(generator, adam, ensemble, student, differ, sample, task, config)


@pytest.mark.slow
def test_the_generator_learns_what_the_clients_know_and_where_the_student_differs(task, store):
    """After some hundred steps, images get their labels from the clients; then those that the
    student misses, too.
    """
    task = dataclasses.replace(task, steps=60, base_width=8, omega=100.0, lr=0.1)
    teachers, student = (
        teachers_of(task, final_client_models(task)),
        frozen_network(initial_model(task.spec, 1), task.spec, "average"),
    )
    settings = {"ngf": 8, "latent": 16, "generator_lr": 5e-3, "beta_div": 0.0, "temperature": 1.0}
    before, after = (
        train(task, teachers, student, generator_steps=n, beta_md=0.0, **settings) for n in (1, 150)
    )
    assert after < before / 2, (before, after)
    before, after = (
        train(task, teachers, student, generator_steps=n, beta_md=1.0, **settings) for n in (1, 150)
    )
    assert after < before - 1, (before, after)  # nll - discrepancy


def test_a_generator_that_diverges_says_so(task, store):
    with pytest.raises(FloatingPointError, match="generator_lr"):
        run(task, generator_steps=2, generator_lr=1e30)


def test_an_adam_per_round_is_one_per_turn_where_a_round_has_one_turn(task, store):
    for turns, same in ((1, True), (2, False)):
        per_turn = run(task, turns=turns, generator_adam="per turn")[-1]
        per_round = run(task, turns=turns)[-1]
        assert torch.equal(server_logits(per_turn), server_logits(per_round)) == same


@pytest.mark.slow
def test_the_authors_generator_draws_what_the_clients_recognise(task, store):
    """One step per client at 0.01, with an Adam per round; the studies' draws nothing they know."""
    task = dataclasses.replace(task, rounds=1, steps=120, base_width=8, n_train=None, lr=0.1)
    labels = torch.arange(10).repeat(30)
    studies = {"generator_steps": 1, "generator_lr": 2e-4, "generator_adam": "per turn"}
    known = []
    for settings in ({"generator_steps": 3}, studies):
        config = dataclasses.replace(TINY, turns=20, ngf=16, latent=16, batch=64, **settings)
        [snapshot] = fedftg.run(task, config)
        generator, *_ = snapshot.synthesise.args
        noise = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
        drawn = draw(generator, noise, labels, task, config)
        predicted = snapshot.probes["teacher"](drawn).argmax(1)
        known.append((predicted == labels).float().mean().item())
    assert known[0] > 0.5 > known[1], known


# The snapshot


def test_the_teachers_are_the_clients_of_the_last_round(task, store):
    """Their networks are made once; without turns they end as FedAvg's clients do, at any width."""
    for widths in ((), (1.0, 0.5, 0.25)):
        task = dataclasses.replace(task, widths=widths)
        mean = teacher_logits(teachers_of(task, final_client_models(task)), images(), task).mean(0)
        assert torch.equal(run(task, turns=0)[-1].probes["teacher"](images()), mean)


def test_images_have_the_datas_shape_and_range_and_no_author(task, store):
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

    at_once = [(snapshot, seen(snapshot)) for snapshot in fedftg.run(task, TINY)]
    for snapshot, then in at_once:
        assert all(torch.equal(a, b) for a, b in zip(seen(snapshot), then, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(at_once[0][1], at_once[1][1], strict=True))


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
