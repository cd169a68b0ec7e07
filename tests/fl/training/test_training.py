"""The inner loop: what it reads, what it leaves alone, what it refuses; and that its work and its bytes are counted."""

from dataclasses import replace
from functools import partial

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from mosaic.fl import costs
from mosaic.fl.channel import download, n_bytes, upload
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import normalise
from mosaic.fl.independent import independent_client_model
from mosaic.fl.models.live_network import initial_model, live_network
from mosaic.fl.rng import stream
from mosaic.fl.stages import federated_model
from mosaic.fl.submodel import cut, window
from mosaic.fl.training import losses
from mosaic.fl.training.distillation import distil, loss_curve_ends
from mosaic.fl.training.prediction import features, frozen_network, predictor
from mosaic.fl.training.sgd import batches, train


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def start(task):
    return initial_model(task.spec, task.seed)


@pytest.fixture
def shard(task):
    return open_federation(task).shards[0]


# batches


@pytest.mark.parametrize(
    "n_samples, batch_size, steps", [(20, 8, 10), (64, 64, 3), (7, 3, 1), (2, 2, 5), (50, 16, 1)]
)
def test_each_pass_sees_each_sample_once(n_samples, batch_size, steps):
    drawn = batches(n_samples, batch_size, steps, rng())
    assert drawn.shape == (steps, min(batch_size, n_samples))
    for one_pass in drawn.flatten().split(n_samples):
        assert len(one_pass.unique()) == len(one_pass)
        assert 0 <= one_pass.min() and one_pass.max() < n_samples


def test_a_client_with_fewer_samples_than_a_batch_trains_on_all_of_them_each_step():
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
    a, b = (train(start, shard, task, round=1) for _ in range(2))
    assert same(a, b)
    assert not same(a, train(start, shard, task, round=2))
    assert not same(a, train(start, shard, replace(task, seed=1), round=1))


def test_training_does_not_touch_the_global_random_state(task, start, shard):
    before = torch.get_rng_state()
    train(start, shard, task, "test")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_flop_meter_changes_no_bit(task, start, shard, monkeypatch):
    """The first block of a name runs under PyTorch's counter, the later ones do not."""
    monkeypatch.setattr(costs, "_flops", {})
    watched = train(start, shard, task, "test")
    assert costs._flops and same(watched, train(start, shard, task, "test"))


def test_one_step_of_sgd_by_hand(task, start, shard):
    """w - lr (g + weight decay w), with g from PyTorch's autograd on a network of our own; the classifier's bias."""
    task = replace(task, weight_decay=0.1)
    spec = task.spec
    batch = shard.indices[
        batches(shard.size, task.batch_size, 1, stream(task.seed, "batches", "by hand"))[0]
    ]
    network = frozen_network(start, spec).train().requires_grad_(True)
    F.cross_entropy(network(normalise(shard.images[batch])), shard.labels[batch]).backward()
    bias = start["linear.bias"]
    wanted = bias - task.lr * (network.linear.bias.grad + 0.1 * bias)
    got = train(start, shard, task, "by hand", steps=1)["linear.bias"]
    assert torch.allclose(got, wanted, atol=1e-6)


def test_epochs_take_the_place_of_steps(task, start, shard):
    """One epoch of a shard of n samples is ceil(n / 16) steps."""
    by_epoch = train(start, shard, replace(task, epochs=1), "test")
    assert same(by_epoch, train(start, shard, task, "test", steps=-(-shard.size // 16)))


def test_training_lowers_the_loss(task, start, shard):
    def loss(state):
        logits = predictor(state, task)(normalise(shard.images[shard.indices]))
        return F.cross_entropy(logits, shard.labels[shard.indices]).item()

    assert loss(train(start, shard, task, "test", steps=30)) < 0.8 * loss(start)


def test_a_loss_that_is_not_finite_raises(task, start, shard):
    with pytest.raises(FloatingPointError, match="here/1 diverged: lower the learning rate"):
        train(start, shard, replace(task, lr=1e30), "here", 1)
    after = train(start, shard, task, "test")  # and the wreck is not what the next one starts from
    assert all(tensor.isfinite().all() for tensor in after.values())


def test_bfloat16_trains_and_predicts_in_float32_states(task, start, shard):
    task = replace(task, precision="bf16")
    state = train(start, shard, task, "test")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert predictor(state, task)(normalise(shard.images[:4])).dtype == torch.float32


def test_a_narrow_client_trains_alone_and_in_rounds(store, task):
    task = replace(task, widths=(1.0, 0.5, 0.25))
    narrow = cut(initial_model(task.spec, 0), task.layout, window(task.spec_at(0.25)))
    assert {k: v.shape for k, v in independent_client_model(task, 2).items()} == {
        k: v.shape for k, v in narrow.items()
    }
    assert {k: v.shape for k, v in federated_model(task, 2).items()} == {
        k: v.shape for k, v in initial_model(task.spec, 0).items()
    }


# predict


def test_the_classifier_reads_the_features(task, start, shard):
    images = shard.images[:20]
    embedded = features(start, task, images, batch_size=7)
    logits = embedded @ start["linear.weight"].T + start["linear.bias"]
    assert torch.allclose(logits, predictor(start, task)(normalise(images)), atol=1e-5)


def test_a_frozen_model_gives_gradients_to_its_images_only(task, start, shard):
    network = frozen_network(start, task.spec)
    images = normalise(shard.images[:4]).requires_grad_()
    network(images).sum().backward()
    assert images.grad.abs().sum() > 0 and all(p.grad is None for p in network.parameters())


# distil


@pytest.mark.parametrize("loss", [losses.soft_distillation, losses.jensen_shannon])
def test_distilling_a_model_into_itself_has_zero_loss_and_zero_gradient(task, start, shard, loss):
    """At learning rate 1 a step is the gradient: the weights stay where they are, but for rounding."""
    images = normalise(shard.images[:32])
    lesson = [(images, predictor(start, task)(images))] * 3
    student, curve = distil(
        start, lesson, task, partial(torch.optim.SGD, lr=1.0), loss, frozen_norms=True
    )
    assert max(map(abs, curve)) < 1e-6
    for name in start:
        assert torch.allclose(student[name], start[name], atol=1e-6), name


@pytest.mark.parametrize("frozen_norms", [True, False])
def test_a_student_learns_its_teacher_and_only_free_norms_move(task, start, shard, frozen_norms):
    teacher = train(start, shard, task, "teacher", steps=30)
    images = normalise(shard.images[:64])
    lesson = [(images, predictor(teacher, task)(images))] * 30
    adam = partial(torch.optim.Adam, lr=0.01)
    before = {name: tensor.clone() for name, tensor in start.items()}
    student, curve = distil(start, lesson, task, adam, losses.soft_distillation, frozen_norms)
    assert curve[-1] < 0.5 * curve[0] and len(curve) == 30
    assert same(start, before)
    moved = [
        name for name in start if "running" in name and not torch.equal(student[name], start[name])
    ]
    assert bool(moved) != frozen_norms


def test_a_teacher_may_be_asked_while_its_student_learns(task, start, shard):
    """Both are the same network in memory; answers given a batch at a time are those given beforehand."""
    teacher, batches_of = initial_model(task.spec, 1), normalise(shard.images[:64]).split(16)
    lesson = ((images, predictor(teacher, task)(images)) for images in batches_of)
    sgd = partial(torch.optim.SGD, lr=0.1)
    meanwhile, _ = distil(start, lesson, task, sgd, losses.soft_distillation, frozen_norms=False)
    lesson = [(images, predictor(teacher, task)(images)) for images in batches_of]
    assert same(
        meanwhile, distil(start, lesson, task, sgd, losses.soft_distillation, frozen_norms=False)[0]
    )


def test_the_ends_of_a_loss_curve_are_means_of_a_tenth_of_its_steps_by_hand():
    """Of 25 steps the first two and the last two; of fewer than 20, the first and the last."""
    assert loss_curve_ends([float(i) for i in range(25)]) == (0.5, 23.5)
    assert loss_curve_ends([4.0, 1.0, 2.0]) == (4.0, 2.0)
    assert loss_curve_ends([3.0]) == (3.0, 3.0)


def test_a_distillation_loss_that_is_not_finite_raises(task, start, shard):
    images = normalise(shard.images[:8])
    lesson = [(images, torch.full((8, 10), torch.nan))]
    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        distil(
            start,
            lesson,
            task,
            partial(torch.optim.SGD, lr=1.0),
            losses.soft_distillation,
            frozen_norms=True,
        )


# What it costs. Base width 4 on 8x8: convolutions 1->4, 4->8, 8->16, 16->16 at 8, 4, 2 and 1 pixels a side.
# 2 x 9 x (64x1x4 + 16x4x8 + 4x8x16) = 2 x 9 x 1,280 = 23,040; the last, of whose nine pixels eight are padding, is a
# product of 2 x 16 x 16 = 512; the classifier's 2 x 16 x 10 = 320.
FORWARD = 23_040 + 512 + 320
# Backward is twice that, less the gradient to the image, which nobody asks for: 2 x 9 x 64x1x4 = 4,608.
TRAINING = 3 * FORWARD - 4_608


def test_flops_are_those_of_the_formula_on_the_first_call_and_on_later_ones(
    task, start, shard, monkeypatch
):
    monkeypatch.setattr(costs, "_flops", {})
    for n in (5, 3):
        with opened(Account()) as account:
            predictor(start, task)(normalise(shard.images[:n]))
        assert account.own.flops == n * FORWARD
    for steps in (3, 2):
        with opened(Account()) as account:
            train(start, shard, task, "test", steps=steps)
        assert account.own.flops == steps * task.batch_size * TRAINING


def test_bytes_counted_are_bytes_serialised(start, shard):
    """A safetensors file is 8 bytes that say how long its header is, the header, and the tensors' bytes."""
    payload = start | {"counts": shard.label_counts, "images": shard.images[:3]}
    file = safetensors.torch.save({k: v.contiguous() for k, v in payload.items()})
    serialised = len(file) - 8 - int.from_bytes(file[:8], "little")
    with opened(Account()) as account:
        assert upload(payload) is payload
        assert download([payload, {"once": (payload,)}], "twice") is not None
    assert account.own.upload == {"model": serialised}
    assert account.own.download == {"twice": 2 * serialised}
    assert n_bytes(payload) == sum(len(v.contiguous().numpy().tobytes()) for v in payload.values())


def test_a_payload_that_is_no_tensor_cannot_cross_uncounted():
    with pytest.raises(TypeError, match="cannot count the bytes of a int"):
        upload({"secret": 7})


@pytest.mark.parametrize("rounds, score_every", [(2, 1), (5, 3), (4, 10), (1, 1)])
def test_a_warm_up_moves_one_model_each_way_a_client_and_round(task, store, rounds, score_every):
    """Whatever is kept on the way: no round is run, or charged, twice."""
    task = replace(task, rounds=rounds, score_every=score_every, steps=1)
    with opened(Account()) as account:
        federated_model(task, rounds)
    crossed = rounds * task.n_clients * n_bytes(initial_model(task.spec, 0))
    assert account.total().upload == account.total().download == {"model": crossed}
    assert account.own.upload == {}


def test_a_network_first_used_in_inference_mode_can_be_trained_afterwards(task, start, shard):
    live_network.cache_clear()
    with torch.inference_mode():
        predictor(start, task)(torch.zeros(2, 1, 8, 8))
    train(start, shard, task, "here")
