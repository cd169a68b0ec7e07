"""The networks: their sizes, their layouts, any width, any image; what BatchNorm keeps and what it does not."""

import pytest
import torch

from mosaic.fl.aggregation import average
from mosaic.fl.data.federation import open_federation
from mosaic.fl.errors import InputError
from mosaic.fl.models.live_network import LiveNetwork, initial_model, layout_of, live_network
from mosaic.fl.models.registry import MODELS, channel_groups, full_channels, new_network
from mosaic.fl.models.spec import Spec
from mosaic.fl.stages import federated_model, final_client_models
from mosaic.fl.training.prediction import predictor
from mosaic.fl.training.sgd import train

NARROWING = [name for name, model in MODELS.items() if model.narrows]
GREY = {model: Spec(model, channels=1, n_classes=10, base_width=4) for model in MODELS}


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


# Convolutions 9 (3x64 + 64x128 + 128x256 + 256x256) = 960,192; BatchNorm 2 (64 + 128 + 256 + 256) = 1,408;
# linear 2,570. cnn2, DENSE's for 28x28 grey images: (25 + 1) 16 + (16 x 25 + 1) 32 + 2 (16 + 32) + 10 (32 x 49 + 1).
# ResNet-18: the number for the CIFAR stem that is everywhere in the literature.
@pytest.mark.parametrize(
    "model, channels, base_width, n_parameters",
    [("cnn", 3, 64, 964_170), ("cnn2", 1, 16, 29_034), ("resnet18", 3, 64, 11_173_962)],
)
def test_parameter_counts(model, channels, base_width, n_parameters):
    network = new_network(Spec(model, channels, n_classes=10, base_width=base_width))
    assert sum(p.numel() for p in network.parameters()) == n_parameters


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_layout_names_the_channel_group_of_every_dimension_of_every_tensor(model, channels):
    spec = Spec(model, channels, n_classes=7, base_width=6)
    sizes = {"image": channels, "classes": 7, "pixels": 12 * 49} | {
        c: full_channels(spec, c) for c in channel_groups(model)
    }
    state, groups = initial_model(spec, 0), layout_of(spec)
    assert groups.keys() == state.keys()
    for name, tensor in state.items():
        assert tuple(sizes[g] for g in groups[name]) == tuple(tensor.shape[:2]), name


@pytest.mark.parametrize("model", NARROWING)
def test_the_layout_says_who_feeds_whom(model):
    """A tensor's second group is the first of what it reads: swapping a group's channels everywhere changes nothing."""
    spec = GREY[model]
    state, groups = initial_model(spec, 0), layout_of(spec)
    x = noise(2, 1, 8, 8)
    network = LiveNetwork(new_network(spec))
    network.load(state)
    before = network.evaluating("average")(x)
    for group in channel_groups(model):
        order = torch.randperm(
            full_channels(spec, group), generator=torch.Generator().manual_seed(1)
        )
        swapped = dict(state)
        for name, tensor in state.items():
            for dim, of in enumerate(groups[name]):
                tensor = tensor.index_select(dim, order) if of == group else tensor
            swapped[name] = tensor
        network.load(swapped)
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
    a, b, c = (
        initial_model(GREY["cnn"], 0),
        initial_model(GREY["cnn"], 0),
        initial_model(GREY["cnn"], 1),
    )
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["linear.weight"], c["linear.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_weights_lie_where_work_is_done(monkeypatch):
    monkeypatch.setattr("mosaic.fl.device._device", "meta")  # as a GPU, with nothing to compute on
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
    """With running statistics an image's logits do not depend on its batch; with the batch's own they do."""
    network = LiveNetwork(new_network(GREY["cnn"]))
    x = noise(6, 1, 8, 8)
    with torch.no_grad():
        running, own = (
            [network.evaluating(p)(part) for part in (x, x[:3])] for p in ("average", "batch")
        )
    assert torch.allclose(running[0][:3], running[1], atol=1e-6)
    assert not torch.allclose(own[0][:3], own[1], atol=1e-3)


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
    """The server's BatchNorm statistics are the weighted mean of the clients', and move with the rounds."""
    sizes, clients = open_federation(task).sizes, final_client_models(task)
    server, start = federated_model(task, task.rounds), initial_model(task.spec, task.seed)
    for name in statistics(server):
        mean = sum(n * c[name].double() for n, c in zip(sizes, clients, strict=True)) / sum(sizes)
        assert torch.allclose(server[name].double(), mean, rtol=1e-6), name
        assert not torch.equal(server[name], start[name]), name
    assert torch.equal(average(clients, sizes)["linear.weight"], server["linear.weight"])


def test_a_state_that_is_loaded_is_what_predicts(task):
    """The resident network is shared: whose state it holds must never leak from one model to the next."""
    shard, x = open_federation(task).shards[0], noise(4, 1, 8, 8)
    a, b = initial_model(task.spec, 0), initial_model(task.spec, 1)
    of_a, of_b = predictor(a, task)(x), predictor(b, task)(x)
    train(a, shard, task, "test")
    assert torch.equal(predictor(a, task)(x), of_a) and torch.equal(predictor(b, task)(x), of_b)
    assert not torch.equal(of_a, of_b)


def test_a_residual_blocks_skip_is_a_convolution_of_stride_two():
    """In the layout and at the width where PyTorch's own strided one writes past its memory on some processors."""
    block = new_network(GREY["resnet18"]).stages[1][0].to(memory_format=torch.channels_last).eval()
    images = noise(3, 4, 9, 9)  # an odd size, too
    found = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    wanted = images.clone().requires_grad_()
    strided = torch.nn.functional.conv2d(wanted, block.shortcut.conv.weight.contiguous(), stride=2)
    theirs = block.norm2(block.conv2(block.norm1(block.conv1(wanted)))) + block.shortcut.norm(
        strided
    )
    ours, theirs = block(found), torch.relu(theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    assert ours.shape == (3, 8, 5, 5) and theirs.abs().max() > 0
    assert torch.allclose(ours, theirs, atol=1e-5) and torch.allclose(
        found.grad, wanted.grad, atol=1e-5
    )
