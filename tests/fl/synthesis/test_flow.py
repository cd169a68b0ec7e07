"""A rectified flow: its steps from noise to an image, its training, and what is sent."""

import math
from dataclasses import replace

import pytest
import torch

from mosaic.fl.data.federation import open_federation
from mosaic.fl.keys import canonical
from mosaic.fl.synthesis.client_flows import client_flow
from mosaic.fl.synthesis.decoders import Decoders
from mosaic.fl.synthesis.flow import Flow, FlowConfig, flow_config, new_flow, train_flow
from mosaic.fl.task import Task

SMALL = FlowConfig(flow_hidden=64, flow_steps=6, flow_batch=16, flow_lr=3e-3, flow_euler=4)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def one_hot(n: int) -> torch.Tensor:
    return torch.eye(10)[torch.arange(n) % 10]


def test_its_weights_are_counted_by_hand():
    """784 pixels, 10 classes and 8 values of the time to 256 to 256 to 784."""
    flow = new_flow(Task(dataset="fashion_mnist"), FlowConfig())
    by_hand = 803 * 256 + 257 * 256 + 257 * 784
    assert sum(p.numel() for p in flow.parameters()) == by_hand == 472_848


@pytest.mark.parametrize("n_steps", [1, 3, 8])
def test_where_the_prediction_is_one_image_the_path_is_straight_and_ends_at_it(n_steps):
    """Euler's step k begins at x = (1 - k/n) noise + (k/n) image, and the last one ends there."""
    flow = Flow(6, 10, 4, n_steps)
    noise = torch.randn(5, 6, generator=rng())
    image = torch.tanh(torch.randn(5, 6, generator=rng()))
    seen = []

    def predict(x, t, one_hot):
        seen.append((x.clone(), t[0].item()))
        return 2 * torch.atanh(image)

    flow.predict = predict
    logits = flow(torch.cat([noise, one_hot(5)], 1))
    torch.testing.assert_close(torch.tanh(logits / 2), image)
    assert [t for _, t in seen] == pytest.approx([k / n_steps for k in range(n_steps)])
    for x, t in seen:
        torch.testing.assert_close(x, (1 - t) * noise + t * image)


def test_with_one_step_the_image_is_the_prediction_from_noise():
    flow = Flow(6, 10, 4, 1)
    noise = torch.randn(5, 6, generator=rng())
    expected = flow.predict(noise, torch.zeros(5), one_hot(5))
    assert torch.equal(flow(torch.cat([noise, one_hot(5)], 1)), expected)


def test_it_learns_to_draw_each_class_and_no_two_images_are_equal(store):
    task = Task(omega=100.0, n_clients=3)
    trained = client_flow(task, replace(SMALL, flow_steps=400), 0)
    shard = open_federation(task).shards[0]
    real = shard.images[shard.indices].float() / 127.5 - 1
    labels = shard.labels[shard.indices]
    source = Decoders(task, SMALL, [trained["state"]], shard.label_counts[None])
    drawn, drawn_labels, _ = source.draw_labelled(300, rng())
    assert drawn.shape == (300, 1, 8, 8) and drawn.abs().max() <= 1
    mean_drawn = torch.stack([drawn[drawn_labels == c].mean(0) for c in range(10)]).flatten(1)
    mean_real = torch.stack([real[labels == c].mean(0) for c in range(10)]).flatten(1)
    assert torch.equal(torch.cdist(mean_drawn, mean_real).argmin(1), torch.arange(10))
    assert len(drawn.flatten(1).unique(dim=0)) == 300
    assert math.isfinite(trained["losses"]["reconstruction"])


def test_it_diverges_loudly(task):
    shard = open_federation(task).shards[0]
    with pytest.raises(FloatingPointError, match="lower flow_lr"):
        train_flow(task, replace(SMALL, flow_lr=1e30), shard, "flow", 0)


def test_settings_of_models_do_not_train_it_again_and_defaults_are_not_in_keys(task):
    key = client_flow.key_of(task, SMALL, 0)
    assert client_flow.key_of(replace(task, rounds=7, lr=0.3, base_width=8), SMALL, 0) == key
    assert client_flow.key_of(replace(task, seed=9), SMALL, 0) != key
    assert client_flow.key_of(task, replace(SMALL, flow_hidden=8), 0) != key
    assert canonical(flow_config(FlowConfig())) == '{"class":"FlowConfig"}'
