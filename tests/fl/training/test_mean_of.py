"""The mean of probabilities as a teacher: its law, and the settings that ask methods for it."""

import dataclasses
import math

import pytest
import torch
from contract_runs import config_of

from baselines import coboosting
from benchmarks.planning.methods import METHODS
from mosaic.fl.training.teachers import mean_of

TAUGHT = ("feddf", "dense", "coboosting", "mosaic")


def test_both_means_by_hand():
    """Probabilities (1/2, 1/2) and (1/4, 3/4): the mean is (3/8, 5/8); of logits, half of log 3."""
    logits = torch.tensor([[[0.0, 0.0]], [[0.0, math.log(3)]]])
    found = mean_of(logits, "probabilities")
    assert found.exp()[0].tolist() == pytest.approx([3 / 8, 5 / 8])
    assert mean_of(logits, "logits")[0].tolist() == pytest.approx([0.0, math.log(3) / 2])
    torch.testing.assert_close(mean_of(logits.transpose(0, 1), "probabilities", 1), found)


def test_co_boostings_weighted_means_agree_at_equal_weights_and_leave_out_a_weight_of_0():
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    equal = torch.full((3,), 0.2)
    for mean in ("logits", "probabilities"):
        torch.testing.assert_close(coboosting.weighted(logits, equal, mean), mean_of(logits, mean))
    weights = torch.tensor([0.3, 0.0, 0.3], requires_grad=True)
    found = coboosting.weighted(logits, weights, "probabilities")
    torch.testing.assert_close(found, mean_of(logits[[0, 2]], "probabilities"))
    found.sum().backward()
    assert weights.grad.isfinite().all()


@pytest.mark.parametrize("name", TAUGHT)
def test_a_method_is_taught_by_the_mean_that_is_asked_for(name, task, store):
    """The probe "teacher" and the student change; with logits nothing does."""
    images = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    changes = {"mosaic": {"teacher": "experts"}, "feddf": {"keep": "last"}}
    config = dataclasses.replace(config_of(name), **changes.get(name, {}))
    logits = {}
    for mean in ("logits", "probabilities"):
        settings = dataclasses.replace(config, mean=mean)
        *_, snapshot = METHODS[name].run(task, settings)
        logits[mean] = snapshot.predict(images), snapshot.probes["teacher"](images)
    for of_logits, of_probabilities in zip(*logits.values(), strict=True):
        assert of_probabilities.isfinite().all()
        assert not torch.equal(of_logits, of_probabilities)
    assert logits["probabilities"][1].exp().sum(1).allclose(torch.ones(30), atol=1e-4)


def test_dense_in_every_round_is_taught_by_it_too(task, store):
    config = METHODS["dense"].Config(
        protocol="every round", round_turns=1, round_batch=8, round_latent=4, round_ngf=4
    )
    images = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    teachers = []
    for mean in ("logits", "probabilities"):
        snapshot, *_ = METHODS["dense"].run(task, dataclasses.replace(config, mean=mean))
        teachers.append(snapshot.probes["teacher"](images))
    assert not torch.equal(*teachers)
    assert teachers[1].exp().sum(1).allclose(torch.ones(30), atol=1e-4)
