"""Mosaic's server with generated images in place of counts and prototypes."""

from dataclasses import replace

import pytest
import torch
from contract_runs import SMALL, logits_of

from mosaic import method as mosaic
from mosaic.experts import predictions
from mosaic.fl.label_shares import label_agreement
from mosaic.fl.models.live_network import initial_model
from mosaic.synthetic_labels import (
    IMAGES_PER_CLIENT,
    generated_counts,
    joined_examples,
    meta_examples,
)


def draw(n, rng):
    """Images of noise, by the clients 0, 1, 0, 1, ...; client 2 draws none."""
    return torch.randn(n, 1, 8, 8, generator=rng), torch.arange(n) % 2


def source(images, drawn_by):
    """Client 0 finds class 7 everywhere, client 1 class 3."""
    classes = torch.tensor([7, 3, 0])[drawn_by]
    return torch.nn.functional.one_hot(classes, 10).float()


def test_counts_of_generated_images_add_up_to_the_clients_sizes(task):
    counts = generated_counts(task, draw, source, torch.tensor([50, 10, 20]))
    assert counts.sum(1).tolist() == [50, 10, 0]
    assert (counts[0, 7], counts[1, 3]) == (50, 10)


def test_agreement_by_hand():
    """Half of client 0's images are of a class that it does not have; client 1's are like its
    data."""
    found = label_agreement(torch.tensor([[1, 1], [3, 1]]), torch.tensor([[9, 0], [30, 10]]))
    assert found["label_variation"] == pytest.approx((0.5 + 0) / 2)
    # Shares .5 .5 .75 .25 against 1 0 .75 .25: covariance .0625 / 4, variances .125 / 4, .625 / 4
    assert found["label_correlation"] == pytest.approx(0.125 / (0.125 * 0.625) ** 0.5)


def test_examples_are_labelled_by_the_source_or_left_out(task, store):
    experts = [initial_model(task.spec, seed) for seed in range(10)]
    of_source, labelled = meta_examples(task, "source", experts, draw, source)
    assert of_source.shape == (3 * IMAGES_PER_CLIENT, 10, 10)
    assert set(labelled["labels"].tolist()) == {3, 7}

    def agreeing(images, _):
        of_experts = predictions(experts, task, images).mean(1)
        of_experts[::2] *= -1  # every second image is labelled otherwise
        return of_experts

    of_agreed, agreed = meta_examples(task, "agreement", experts, draw, agreeing)
    assert len(of_agreed) == len(agreed["labels"]) == 3 * IMAGES_PER_CLIENT / 2
    assert torch.equal(of_agreed.mean(1).argmax(1), agreed["labels"])


def test_prototypes_and_images_weigh_the_same_together():
    prototypes = {"labels": torch.zeros(2).long(), "weights": torch.tensor([10.0, 30.0])}
    images = {"labels": torch.ones(5).long(), "weights": torch.ones(5)}
    logits, both = joined_examples(
        prototypes, torch.zeros(2, 10, 10), (torch.ones(5, 10, 10), images)
    )
    assert len(logits) == len(both["labels"]) == 7
    assert both["weights"][:2].sum() == both["weights"][2:].sum() == 40


@pytest.mark.parametrize(
    "setting",
    [
        {"meta_data": "source"},
        {"meta_data": "both", "meta": "ridge"},
        {"expert_counts": "generated"},
        {"teacher": "clients", "mean": "probabilities"},
    ],
    ids=str,
)
def test_mosaic_runs_with(setting, task, store):
    (snapshot,) = mosaic.run(task, replace(SMALL["mosaic"], **setting))
    assert logits_of(snapshot).isfinite().all()
    assert "teacher" in snapshot.probes
    assert ("label_variation" in snapshot.diagnostics) == ("expert_counts" in setting)
