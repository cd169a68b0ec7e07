"""The networks: sizes, layouts, any width, any image size; what BatchNorm keeps and what not."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mosaic.fl.aggregation import average
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.models.cnn import CNN
from mosaic.fl.models.live_network import LiveNetwork, initial_model, layout_of, live_network
from mosaic.fl.models.norms import NORMS, norm_relu_pool, plain_norm
from mosaic.fl.models.registry import MODELS, channel_groups, full_channels, new_network
from mosaic.fl.models.spec import Spec
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

NARROWING = [name for name, model in MODELS.items() if model.narrows]
GREY = {model: Spec(model, channels=1, n_classes=10, base_width=4) for model in MODELS}


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


# cnn: convolutions 9 (3x64 + 64x128 + 128x256 + 256x256) = 960,192; BatchNorm
# 2 (64 + 128 + 256 + 256) = 1,408; linear 2,570. cnn2, DENSE's for 28x28 grey images:
# (25 + 1) 16 + (16 x 25 + 1) 32 + 2 (16 + 32) + 10 (32 x 49 + 1). ResNet-18: the number for the
# CIFAR stem that is everywhere in the literature.
@pytest.mark.parametrize(
    "model, channels, base_width, n_parameters",
    [("cnn", 3, 64, 964_170), ("cnn2", 1, 16, 29_034), ("resnet18", 3, 64, 11_173_962)],
)
def test_parameter_counts(model, channels, base_width, n_parameters):
    network = new_network(Spec(model, channels, n_classes=10, base_width=base_width))
    assert sum(p.numel() for p in network.parameters()) == n_parameters


# Without BatchNorm: GroupNorm has as many parameters, a bias in its place half as many.
@pytest.mark.parametrize("model", MODELS)
def test_parameter_counts_of_other_normalisations(model):
    counts = {}
    for norm in NORMS:
        network = new_network(replace(GREY[model], norm=norm))
        counts[norm] = sum(p.numel() for p in network.parameters())
    layers = [m for m in new_network(GREY[model]).modules() if isinstance(m, nn.BatchNorm2d)]
    assert counts["group"] == counts["batch"]
    assert counts["none"] == counts["batch"] - sum(layer.num_features for layer in layers)


@pytest.mark.parametrize("pool", [False, True])
def test_group_norm_is_that_of_pytorch(pool):
    layer = norm_relu_pool("group", 6, pool)
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    expected = nn.GroupNorm(2, 6)  # of 4 and 6 channels, 2 is the largest common divisor
    expected.load_state_dict(layer.state_dict())
    x = noise(3, 6, 4, 4)
    y = expected(x).relu()
    assert torch.allclose(layer(x), F.max_pool2d(y, 2) if pool else y)
    assert torch.equal(plain_norm("none", 6)(x), x)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", ["group", "none"])
def test_without_batch_norm_an_image_does_not_depend_on_the_others_of_its_batch(model, norm):
    network = new_network(replace(GREY[model], norm=norm)).train()
    x = noise(4, 1, 28, 28)
    assert torch.allclose(network(x)[:2], network(x[:2]), atol=1e-6)


def test_a_model_that_has_batch_norm_all_the_same_is_refused():
    class Stubborn(CNN):
        def __init__(self, spec, channels):
            super().__init__(replace(spec, norm="batch"), channels)

    MODELS["stubborn"] = replace(MODELS["cnn"], network=Stubborn)
    try:
        with pytest.raises(InputError, match="has BatchNorm layers whatever task.norm is"):
            new_network(Spec("stubborn", 1, 10, 4, norm="group"))
    finally:
        del MODELS["stubborn"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_the_layout_names_the_channel_group_of_every_dimension_of_every_tensor(
    model, channels, norm
):
    spec = Spec(model, channels, n_classes=7, base_width=6, norm=norm)
    sizes = {"image": channels, "classes": 7, "pixels": 12 * 49}
    sizes |= {group: full_channels(spec, group) for group in channel_groups(model)}
    state = initial_model(spec, 0)
    groups = layout_of(spec)
    assert groups.keys() == state.keys()
    for name, tensor in state.items():
        assert tuple(sizes[g] for g in groups[name]) == tuple(tensor.shape[:2]), name


@pytest.mark.parametrize("model", NARROWING)
def test_the_layout_names_the_same_group_where_channels_are_written_and_read(model):
    """A tensor's second group is the first of what it reads.

    If a group's channels are permuted everywhere, the network is the same function.
    """
    spec = GREY[model]
    state = initial_model(spec, 0)
    groups = layout_of(spec)
    x = noise(2, 1, 8, 8)
    network = LiveNetwork(new_network(spec))
    network.load(state)
    before = network.evaluating("average")(x)
    for group in channel_groups(model):
        rng = torch.Generator().manual_seed(1)
        order = torch.randperm(full_channels(spec, group), generator=rng)
        permuted = dict(state)
        for name in state:
            for dim, named in enumerate(groups[name]):
                if named == group:
                    permuted[name] = permuted[name].index_select(dim, order)
        network.load(permuted)
        assert torch.allclose(network.evaluating("average")(x), before, atol=1e-5), group


@pytest.mark.parametrize(
    "model, width",
    [(model, width) for model in NARROWING for width in (0.01, 0.3, 0.5, 1.0)] + [("cnn2", 1.0)],
)
@pytest.mark.parametrize("size", [8, 28, 32])
def test_any_width_reads_any_image_and_the_classifier_reads_the_features(model, size, width):
    spec = Spec(model, 1, 10, 5, width, size)
    network = new_network(spec).eval()
    x = noise(2, 1, size, size)
    logits = network(x)
    assert logits.shape == (2, 10) and logits.isfinite().all()
    assert torch.equal(network.linear(network.features(x)), logits)


def test_a_model_without_narrower_versions_says_so():
    with pytest.raises(
        InputError, match="'cnn2' has no version of width 0.5; full width only, or one of: cnn, res"
    ):
        live_network(Spec("cnn2", 1, 10, 16, 0.5), "cpu")


def test_an_unknown_model_is_an_input_error():
    with pytest.raises(InputError, match="'vgg'.*cnn, cnn2, resnet18"):
        live_network(Spec("vgg", 1, 10, 4), "cpu")


def test_every_method_starts_from_the_same_weights_and_leaves_the_global_random_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = initial_model(GREY["cnn"], 0)
    second = initial_model(GREY["cnn"], 0)
    other_seed = initial_model(GREY["cnn"], 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["linear.weight"], other_seed["linear.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_are_on_the_chosen_device(monkeypatch):
    """The device "meta" takes the part of a GPU."""
    monkeypatch.setattr("mosaic.fl.device._device", "meta")
    assert {tensor.device.type for tensor in initial_model(GREY["cnn"], 0).values()} == {"meta"}


def statistics(state):
    return {k: v for k, v in state.items() if "running" in k}


@pytest.mark.parametrize("policy", ["average", "batch"])
def test_evaluating_leaves_the_running_statistics_as_they_are(policy):
    network = LiveNetwork(new_network(GREY["cnn"]))
    before = statistics(network.save())
    with torch.no_grad():
        network.evaluating(policy)(noise(6, 1, 8, 8))
    after = statistics(network.save())
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_only_the_policy_batch_predicts_from_the_batchs_own_statistics():
    """With running statistics an image's logits do not depend on the other images."""
    network = LiveNetwork(new_network(GREY["cnn"]))
    x = noise(6, 1, 8, 8)
    with torch.no_grad():
        by_running = [network.evaluating("average")(part) for part in (x, x[:3])]
        by_batch = [network.evaluating("batch")(part) for part in (x, x[:3])]
    assert torch.allclose(by_running[0][:3], by_running[1], atol=1e-6)
    assert not torch.allclose(by_batch[0][:3], by_batch[1], atol=1e-3)


@pytest.mark.parametrize("policy", ["average", "batch"])
def test_training_after_evaluating_restores_the_momentum(policy):
    """One pass moves a running mean by a tenth of the way to the batch's: 0.9 old + 0.1 batch."""
    network = LiveNetwork(new_network(GREY["cnn"]))
    x = noise(6, 1, 8, 8)
    with torch.no_grad():
        network.evaluating(policy)(x)
        old = network.save()["blocks.0.norm.running_mean"]
        network.training()(x)
        batch = network.network.blocks[0].conv(x).mean((0, 2, 3))
    assert torch.allclose(
        network.save()["blocks.0.norm.running_mean"], 0.9 * old + 0.1 * batch, atol=1e-6
    )


def test_fedavg_does_not_become_fedbn(task, store):
    """The server's BatchNorm statistics are the weighted mean of the clients', and they change."""
    sizes = open_federation(task).sizes
    clients = final_client_models(task)
    server = federated_model(task, task.rounds)
    start = initial_model(task.spec, task.seed)
    for name in statistics(server):
        mean = sum(n * c[name].double() for n, c in zip(sizes, clients, strict=True)) / sum(sizes)
        assert torch.allclose(server[name].double(), mean, rtol=1e-6), name
        assert not torch.equal(server[name], start[name]), name
    assert torch.equal(average(clients, sizes)["linear.weight"], server["linear.weight"])


def test_the_state_that_was_loaded_is_what_predicts(task):
    """All models of a shape share one network: none may compute with another one's state."""
    shard = open_federation(task).shards[0]
    x = noise(4, 1, 8, 8)
    a = initial_model(task.spec, 0)
    b = initial_model(task.spec, 1)
    logits_a = predictor(a, task)(x)
    logits_b = predictor(b, task)(x)
    train(a, shard, task, "test")
    assert torch.equal(predictor(a, task)(x), logits_a)
    assert torch.equal(predictor(b, task)(x), logits_b)
    assert not torch.equal(logits_a, logits_b)


def test_the_shortcut_of_a_residual_block_is_a_convolution_of_stride_two():
    """In the layout and width where PyTorch's own writes past its memory on some processors."""
    block = new_network(GREY["resnet18"]).stages[1][0].to(memory_format=torch.channels_last).eval()
    images = noise(3, 4, 9, 9)  # an odd size, too
    x = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = block(x)

    reference_x = images.clone().requires_grad_()
    shortcut_weight = block.shortcut.conv.weight.contiguous()
    strided = torch.nn.functional.conv2d(reference_x, shortcut_weight, stride=2)
    main = block.norm2(block.conv2(block.norm1(block.conv1(reference_x))))
    reference_y = torch.relu(main + block.shortcut.norm(strided))

    y.square().sum().backward()
    reference_y.square().sum().backward()
    assert y.shape == (3, 8, 5, 5) and reference_y.abs().max() > 0
    assert torch.allclose(y, reference_y, atol=1e-5)
    assert torch.allclose(x.grad, reference_x.grad, atol=1e-5)
