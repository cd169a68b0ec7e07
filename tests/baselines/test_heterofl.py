"""HeteroFL: nested sub-models, coordinates that no client holds, and the mask of absent classes."""

import dataclasses
import math
from functools import partial

import pytest
import torch
from method_runs import (
    MIXED,
    gradients,
    run,
    same,
    some_batch,
    some_network,
)
from torch import nn

from baselines import fedrolex, heterofl
from mosaic.fl.models.live_network import initial_model, layout_of
from mosaic.fl.models.spec import Spec
from mosaic.fl.rounds import participants
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.training.losses import masked_cross_entropy

WITHOUT_PARTS = {"mask": "none", "rows": "all"}


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_heterofl_at_width_one_is_fedavg_to_the_bit(model, task, store):
    task = dataclasses.replace(task, model=model, widths=(1.0, 1.0, 1.0))
    assert same(run("heterofl", task, **WITHOUT_PARTS), run("fedavg", task))


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
@pytest.mark.parametrize(
    "narrow, wide", [(0.1, 0.25), (0.25, 0.5), (0.5, 0.7), (0.7, 1.0), (0.1, 1.0)]
)
def test_the_narrower_model_is_the_corner_of_the_wider_one(model, narrow, wide):
    spec = Spec(model, 3, 10, 6)
    server, parts = initial_model(spec, 0), layout_of(spec)
    small, large = (
        cut(server, parts, window(dataclasses.replace(spec, width=r))) for r in (narrow, wide)
    )
    for name, tensor in small.items():
        corner = large[name][tuple(slice(n) for n in tensor.shape)]
        assert torch.equal(tensor, corner), name


@pytest.mark.parametrize("model", ["cnn", "resnet18"])
def test_a_coordinate_that_no_client_covers_keeps_its_value_and_others_move(model, task, store):
    """With widths up to 1/2 the first half of 4 channels of 1, and of 8 channels of 2, are
    trained.
    """
    task = dataclasses.replace(task, model=model, widths=(0.5, 0.5, 0.25))
    server = federated_model(task, 0)
    after = heterofl.one_round(task, heterofl.Config(**WITHOUT_PARTS), server, 3)
    for name, groups in task.layout.items():
        sizes = zip(groups, server[name].shape, strict=False)
        held = tuple(slice(None if group in ("image", "classes") else n // 2) for group, n in sizes)
        covered = torch.zeros_like(server[name], dtype=torch.bool)
        covered[held] = True
        assert torch.equal(after[name][~covered], server[name][~covered]), name
        assert not torch.equal(after[name][covered], server[name][covered]), name


def test_heterofl_is_not_fedrolex(task, store):
    """Its window does not move: in round 1 FedRolex's has moved on by a channel."""
    task = dataclasses.replace(task, widths=MIXED)
    assert not same(run("heterofl", task), run("fedrolex", task))


def test_the_mask_by_hand_and_in_a_run(task, store):
    """Logits (0, 5, log 2) with the middle class absent, label 0: (0, 0, log 2), so p = (1, 1, 2) /
    4 and log 4.
    """
    absent = torch.tensor([False, True, False])
    logits = torch.tensor([[0.0, 5.0, math.log(2)]])
    loss = masked_cross_entropy(nn.Identity(), logits, torch.tensor([0]), absent)
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
    task = dataclasses.replace(task, omega=0.05)
    masked = run("heterofl", task, mask="zero", rows="all")
    plain = run("heterofl", task, **WITHOUT_PARTS)
    assert not same(masked, plain) and masked[-1].isfinite().all()
    assert same(
        masked, run("fedrs", task, alpha=0.0)
    )  # at full width the mask is the restricted softmax's limit


def test_with_the_mask_rows_of_absent_classes_get_no_gradient(task, store):
    network = some_network(task)
    images, labels = some_batch(task)
    absent = torch.ones(10, dtype=torch.bool)
    absent[labels] = False
    assert absent.any()
    loss = partial(masked_cross_entropy, absent=absent)
    found = gradients(loss, network, images, labels)
    assert not found["linear.weight"][absent].any() and not found["linear.bias"][absent].any()
    assert found["linear.weight"][~absent].any(1).all()


@pytest.mark.parametrize("method", [heterofl, fedrolex])
def test_with_own_rows_a_class_that_nobody_in_the_round_has_keeps_its_row(method, task, store):
    """One of three clients takes part; a class that it lacks moves with "all", not with "own"."""
    task = dataclasses.replace(task, omega=0.01, participation=0.3, widths=MIXED, weight_decay=0.0)
    server = federated_model(task, 0)
    [shard] = participants(task, 1)
    absent = shard.label_counts == 0
    assert absent.any()
    own = method.one_round(task, method.Config(mask="none", rows="own"), server, 1)
    everybody = method.one_round(task, method.Config(**WITHOUT_PARTS), server, 1)
    for name in ("linear.weight", "linear.bias"):
        assert torch.equal(own[name][absent], server[name][absent])
        assert not torch.equal(everybody[name][absent], server[name][absent])
        assert torch.equal(own[name][~absent], everybody[name][~absent])


def test_fedrolex_is_heterofl_where_no_window_moves_and_each_part_counts(task, store):
    task = dataclasses.replace(task, omega=0.05, widths=(1.0, 1.0, 1.0))
    rolling = run("fedrolex", task)
    assert same(rolling, run("heterofl", task))
    assert not same(rolling, run("fedrolex", task, mask="none"))
    assert not same(rolling, run("fedrolex", task, rows="all"))
