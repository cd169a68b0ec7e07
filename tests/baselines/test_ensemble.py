"""The ensemble of the clients' models: the mean of their logits, and that of their
probabilities.
"""

import dataclasses

import pytest
import torch
from method_runs import (
    MIXED,
    images,
    run,
)

from baselines import ensemble
from mosaic.fl.stages import final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.teachers import mean_logits, mean_of, teacher_logits


def test_an_ensemble_of_equal_clients_is_that_client(task, store):
    client = final_client_models(task)[0]
    wanted = predictor(client, task)(images())
    for mean in ("logits", "probabilities"):
        logits = ensemble.ensemble_of(task, ensemble.Config(mean), [client] * 3)(images())
        assert torch.allclose(logits.softmax(1), wanted.softmax(1), atol=1e-5)


def test_the_mean_of_probabilities_does_not_depend_on_how_confident_a_client_is(task):
    """Logits (2, 0), (2, 0) and (0, 9): their mean, (1.3, 3), is for the second class.

    Two of three clients are for the first: .881, .881 and .000, a mean of .587.
    """
    of_clients = [
        torch.tensor([[2.0, 0.0]]),
        torch.tensor([[2.0, 0.0]]),
        torch.tensor([[0.0, 9.0]]),
    ]
    clients = [lambda images, logits=logits: logits for logits in of_clients]
    assert mean_logits(clients, images(), task).argmax(1).tolist() == [1]
    logits = teacher_logits(clients, images(), task)
    probabilities = mean_of(logits, "probabilities").exp()
    assert probabilities[0].tolist() == pytest.approx([0.587, 0.413], abs=1e-3)


@pytest.mark.parametrize("widths", [(), MIXED])
def test_the_ensemble_is_the_mean_of_the_clients_by_the_tasks_policy(widths, task, store):
    task = dataclasses.replace(task, widths=widths, batch_norm="batch")
    logits = [
        predictor(m, task, task.width(i))(images()) for i, m in enumerate(final_client_models(task))
    ]
    assert torch.allclose(run("ensemble", task)[-1][0], torch.stack(logits).mean(0), atol=1e-5)
