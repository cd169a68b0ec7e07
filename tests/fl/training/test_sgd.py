"""Local training: what it depends on, what it leaves as it was, and what it refuses."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mosaic.fl import costs
from mosaic.fl.data.transforms import normalise
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.live_network import initial_model, live_network
from mosaic.fl.rng import stream
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.training.prediction import features, frozen_network, predictor
from mosaic.fl.training.sgd import batches, train


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# batches


@pytest.mark.parametrize(
    "n_samples, batch_size, steps", [(20, 8, 10), (64, 64, 3), (7, 3, 1), (2, 2, 5), (50, 16, 1)]
)
def test_each_pass_sees_each_sample_once(n_samples, batch_size, steps):
    drawn = batches(n_samples, batch_size, steps, rng())
    assert drawn.shape == (steps, min(batch_size, n_samples))
    for one_pass in drawn.flatten().split(n_samples):
        assert len(one_pass.unique()) == len(one_pass)
        assert one_pass.min() >= 0 and one_pass.max() < n_samples


def test_a_client_with_fewer_samples_than_a_batch_trains_on_all_of_them_in_each_step():
    assert all(sorted(batch.tolist()) == list(range(5)) for batch in batches(5, 64, 4, rng()))


def test_a_client_with_one_sample_sees_it_twice():
    assert batches(1, 64, 3, rng()).tolist() == [[0, 0]] * 3


# train


def test_training_leaves_the_state_it_starts_from(task, start, shard):
    before = {name: tensor.clone() for name, tensor in start.items()}
    after = train(start, shard, task, "test")
    assert same(start, before)
    assert not any(torch.equal(after[name], start[name]) for name in start)


def test_training_is_a_function_of_its_arguments_and_its_names(task, start, shard):
    first = train(start, shard, task, round=1)
    second = train(start, shard, task, round=1)
    assert same(first, second)
    assert not same(first, train(start, shard, task, round=2))
    assert not same(first, train(start, shard, replace(task, seed=1), round=1))


def test_training_does_not_touch_the_global_random_state(task, start, shard):
    before = torch.get_rng_state()
    train(start, shard, task, "test")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_flop_meter_changes_no_bit(task, start, shard, monkeypatch):
    """The first step of a kind runs under PyTorch's counter, the later ones do not."""
    monkeypatch.setattr(costs, "_flops", {})
    counted = train(start, shard, task, "test")
    assert costs._flops and same(counted, train(start, shard, task, "test"))


def test_one_step_of_sgd_by_hand(task, start, shard):
    """w - lr (g + weight decay w), for the classifier's bias.

    g comes from PyTorch's autograd on another network.
    """
    task = replace(task, weight_decay=0.1)
    order = batches(shard.size, task.batch_size, 1, stream(task.seed, "batches", "by hand"))
    batch = shard.indices[order[0]]
    network = frozen_network(start, task.spec, "average").train().requires_grad_(True)
    F.cross_entropy(network(normalise(shard.images[batch])), shard.labels[batch]).backward()
    bias = start["linear.bias"]
    expected = bias - task.lr * (network.linear.bias.grad + 0.1 * bias)
    trained = train(start, shard, task, "by hand", steps=1)["linear.bias"]
    assert torch.allclose(trained, expected, atol=1e-6)


def test_epochs_take_the_place_of_steps(task, start, shard):
    """One epoch of a shard of n samples is ceil(n / 16) steps."""
    by_epoch = train(start, shard, replace(task, epochs=1), "test")
    assert same(by_epoch, train(start, shard, task, "test", steps=-(-shard.size // 16)))


def test_training_lowers_the_loss(task, start, shard):
    def loss(state):
        logits = predictor(state, task)(normalise(shard.images[shard.indices]))
        return F.cross_entropy(logits, shard.labels[shard.indices]).item()

    assert loss(train(start, shard, task, "test", steps=30)) < 0.8 * loss(start)


def test_a_loss_that_is_not_finite_raises_and_spoils_no_later_training(task, start, shard):
    with pytest.raises(FloatingPointError, match="here/1 diverged: lower the learning rate"):
        train(start, shard, replace(task, lr=1e30), "here", 1)
    after = train(start, shard, task, "test")
    assert all(tensor.isfinite().all() for tensor in after.values())


def test_bfloat16_trains_and_predicts_in_float32_states(task, start, shard):
    task = replace(task, precision="bf16")
    state = train(start, shard, task, "test")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert predictor(state, task)(normalise(shard.images[:4])).dtype == torch.float32


def test_a_narrow_client_trains_alone_and_in_rounds(store, task):
    def shapes(state):
        return {name: tensor.shape for name, tensor in state.items()}

    task = replace(task, widths=(1.0, 0.5, 0.25))
    start = initial_model(task.spec, 0)
    narrow = cut(start, task.layout, window(task.spec_at(0.25)))
    assert shapes(independent_client_model(task, 2)) == shapes(narrow)
    assert shapes(federated_model(task, 2)) == shapes(start)


# prediction


def test_the_classifier_reads_the_features(task, start, shard, monkeypatch):
    monkeypatch.setattr("mosaic.fl.training.prediction.IMAGES_PER_PASS", 7)
    images = shard.images[:20]
    embedded = features(start, task, images)
    logits = embedded @ start["linear.weight"].T + start["linear.bias"]
    assert torch.allclose(logits, predictor(start, task)(normalise(images)), atol=1e-5)


def test_a_frozen_model_gives_gradients_to_its_images_only(task, start, shard):
    network = frozen_network(start, task.spec, "average")
    images = normalise(shard.images[:4]).requires_grad_()
    network(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())


def test_a_network_first_used_in_inference_mode_can_be_trained_afterwards(task, start, shard):
    live_network.cache_clear()
    with torch.inference_mode():
        predictor(start, task)(torch.zeros(2, 1, 8, 8))
    train(start, shard, task, "here")
