"""Every loss term by hand numbers, in nats. Logits are logarithms of probabilities."""

from math import log

import pytest
import torch

from mosaic.fl.contract import Skip
from mosaic.fl.models.registry import new_network
from mosaic.fl.models.spec import Spec
from mosaic.fl.training import losses
from mosaic.fl.training.losses import StatisticsMatch


def logits(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows).log()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


P, Q = logits((1 / 2, 1 / 2)), logits((1 / 4, 3 / 4))


def test_soft_distillation_is_kl_from_the_teacher():
    """KL(P || Q) = 1/2 log(1/2 : 1/4) + 1/2 log(1/2 : 3/4) = 1/2 log 2 + 1/2 log 2/3.

    That is 1/2 log 4/3.
    """
    assert losses.soft_distillation(student=Q, teacher=P).item() == pytest.approx(log(4 / 3) / 2)


def test_soft_distillation_is_scaled_by_the_square_of_the_temperature():
    """Logits T times as large, softened by T, are P and Q again; their loss is T^2 times as large.

    It is a mean over the batch.
    """
    twice = losses.soft_distillation(
        torch.cat([3 * Q, 3 * P]), torch.cat([3 * P, 3 * P]), temperature=3.0
    )
    assert twice.item() == pytest.approx(9 * log(4 / 3) / 2 / 2)


def test_hard_distillation_is_the_surprise_at_the_teachers_first_choice():
    assert losses.hard_distillation(student=P, teacher=Q).item() == pytest.approx(log(2))
    assert losses.hard_distillation(student=Q, teacher=logits((0.9, 0.1))).item() == pytest.approx(
        log(4)
    )


def test_jensen_shannon_by_hand():
    """The middle M of P and Q is (3/8, 5/8).

    KL(P || M) = (log 4/3 + log 4/5) / 2, KL(Q || M) = log(2/3) / 4 + 3 log(6/5) / 4.
    """
    wanted = ((log(4 / 3) + log(4 / 5)) / 2 + log(2 / 3) / 4 + 3 * log(6 / 5) / 4) / 2
    assert losses.jensen_shannon(P, Q).item() == pytest.approx(wanted)
    assert losses.jensen_shannon(Q, P).item() == pytest.approx(wanted)  # symmetric


def test_jensen_shannon_is_between_0_and_log_2():
    assert losses.jensen_shannon(P, P).item() == pytest.approx(0, abs=1e-7)
    far = torch.tensor([[200.0, 0.0]])
    assert losses.jensen_shannon(far, far.flip(1)).item() == pytest.approx(log(2))
    for scale in (0.1, 1, 10):
        value = losses.jensen_shannon(scale * noise(64, 10), scale * noise(64, 10).flip(0)).item()
        assert 0 < value < log(2)


def test_bhattacharyya_by_hand():
    """P = (1/2, 1/2) and Q = (1/4, 3/4)."""
    wanted = -log((1 / 2 * 1 / 4) ** 0.5 + (1 / 2 * 3 / 4) ** 0.5)
    assert losses.bhattacharyya(P, Q).item() == pytest.approx(wanted)
    assert losses.bhattacharyya(Q, P).item() == pytest.approx(wanted)  # symmetric


def test_bhattacharyya_is_the_divergence_from_the_middle_of_the_logits():
    """What Mosaic's code computes: the mean of KL(M || P) and KL(M || Q), M of the mean logits."""
    p, q = noise(8, 10), noise(8, 10).flip(0)
    middle = (p + q) / 2
    from_p, from_q = (losses.soft_distillation(student=z, teacher=middle) for z in (p, q))
    assert losses.bhattacharyya(p, q).item() == pytest.approx(((from_p + from_q) / 2).item())


@pytest.mark.parametrize(
    "loss", [losses.soft_distillation, losses.jensen_shannon, losses.bhattacharyya]
)
def test_models_that_agree_have_no_loss_and_no_gradient(loss):
    student = (5 * noise(16, 10)).requires_grad_()
    value = loss(student, student.detach() + 3)  # logits count up to a constant
    value.backward()
    assert abs(value.item()) < 1e-6 and student.grad.abs().max() < 1e-6


def test_prediction_entropy_by_hand():
    """H(1/2, 1/2) = log 2; H(1/4, 3/4) = log(4) / 4 + 3 log(4/3) / 4; H(1, 0) = 0."""
    of_q = log(4) / 4 + 3 * log(4 / 3) / 4
    assert losses.prediction_entropy(torch.cat([P, Q])).item() == pytest.approx((log(2) + of_q) / 2)
    assert losses.prediction_entropy(torch.zeros(3, 10)).item() == pytest.approx(log(10))
    assert losses.prediction_entropy(torch.tensor([[100.0, 0.0]])).item() == pytest.approx(0)


def test_class_imbalance_by_hand():
    """The mean of P and Q is (3/8, 5/8).

    At equal shares a batch of one class alone is log K away, one of all classes 0.
    """
    half, tenth = torch.full((2,), 1 / 2), torch.full((10,), 1 / 10)
    wanted = 3 / 8 * log(3 / 8 / (1 / 2)) + 5 / 8 * log(5 / 8 / (1 / 2))
    assert losses.class_imbalance(torch.cat([P, Q]), half).item() == pytest.approx(wanted)
    assert losses.class_imbalance(torch.tensor([[200.0, 0.0]] * 5), half).item() == pytest.approx(
        log(2)
    )
    assert losses.class_imbalance(200 * torch.eye(10), tenth).item() == pytest.approx(0, abs=1e-6)
    # 0 exactly where classes are as frequent as wanted
    assert losses.class_imbalance(
        torch.cat([P, Q]), torch.tensor([3 / 8, 5 / 8])
    ).item() == pytest.approx(0, abs=1e-6)


def test_one_class_alone_has_neither_entropy_nor_imbalance():
    only = noise(8, 1)
    assert (
        losses.prediction_entropy(only).item() == 0
        and losses.class_imbalance(only, torch.ones(1)).item() == 0
    )


def test_adversarial_losses_by_hand():
    """At logit 0, D(x) = 1/2: log 2 + log 2, and log 2. At log 3 it is 3/4, at -log 3 1/4."""
    zero, sure = torch.zeros(4, 1), torch.full((4, 1), log(3))
    assert losses.adversarial_discriminator(zero, zero).item() == pytest.approx(2 * log(2))
    assert losses.adversarial_generator(zero).item() == pytest.approx(log(2))
    assert losses.adversarial_discriminator(real=sure, fake=-sure).item() == pytest.approx(
        2 * log(4 / 3)
    )
    assert losses.adversarial_generator(-sure).item() == pytest.approx(log(4))


def test_adversarial_losses_stay_finite_where_the_discriminator_is_sure():
    sure = torch.full((1, 1), 1e4)
    assert losses.adversarial_discriminator(-sure, sure).item() == pytest.approx(2e4)
    assert losses.adversarial_generator(-sure).item() == pytest.approx(1e4)


# StatisticsMatch


def network_with_statistics_of(images: torch.Tensor) -> torch.nn.Module:
    """A network in evaluation mode whose running statistics are those of ``images``."""
    network = new_network(Spec("cnn", 1, 10, 4)).eval()

    def learn(layer, inputs):
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3), correction=0))

    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(learn) for norm in norms]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return network


def test_statistics_match_is_zero_on_data_with_the_networks_own_statistics():
    images = noise(32, 1, 8, 8)
    network = network_with_statistics_of(images)
    with StatisticsMatch(network) as same:
        network(images)
    with StatisticsMatch(network) as other:
        network(2 * images + 1)
    assert same.norms().item() < 1e-5 < 0.1 < other.norms().item()
    assert same.squares().item() < 1e-9 < 0.01 < other.squares().item()


def test_statistics_match_by_hand():
    """One layer with running mean 0 and variance 1.

    Channels (1, 3) and (0, 0) have means 2 and 0, variances 1 and 0. Norms:
    ||(2, 0)|| + ||(1 - 1, 0 - 1)|| = 2 + 1. Squares, by channel: 2^2 + 0 and 0 + 1, whose mean is
    2.5.
    """
    layer = torch.nn.Sequential(torch.nn.BatchNorm2d(2)).eval()
    with StatisticsMatch(layer) as match:
        layer(torch.tensor([[[[1.0]], [[0.0]]], [[[3.0]], [[0.0]]]]))
    assert match.norms().item() == pytest.approx(3) and match.squares().item() == pytest.approx(2.5)


@pytest.mark.parametrize("loss", [StatisticsMatch.norms, StatisticsMatch.squares])
def test_statistics_match_has_a_gradient_to_the_images(loss):
    images = noise(32, 1, 8, 8).requires_grad_()
    network = network_with_statistics_of(noise(32, 1, 8, 8) * 3)
    with StatisticsMatch(network) as match:
        network(images)
    loss(match).backward()
    assert images.grad.isfinite().all() and images.grad.abs().max() > 0


def test_statistics_match_takes_its_hooks_away_and_changes_no_prediction():
    images = noise(8, 1, 8, 8)
    network = network_with_statistics_of(images)
    before = network(images)
    match = StatisticsMatch(network)
    with pytest.raises(RuntimeError), match:  # also where the forward pass fails
        network(torch.zeros(1, 7, 8, 8))
    with match:
        watched = network(images)
    assert torch.equal(watched, before) and len(match.differences) == 4
    network(images)
    assert len(match.differences) == 4


def test_statistics_match_needs_a_batch_norm_layer():
    with pytest.raises(Skip, match="no BatchNorm layer"):
        StatisticsMatch(torch.nn.Linear(2, 2))


def test_moments_are_those_of_var_mean_with_its_gradient():
    x = torch.randn(
        6, 5, 4, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    up = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    moments = losses.Moments.apply(x)
    torch.testing.assert_close(moments, (mean, var))
    (expected,) = torch.autograd.grad((mean * up[0] + var * up[1]).sum(), x)
    (gradient,) = torch.autograd.grad((moments[0] * up[0] + moments[1] * up[1]).sum(), x)
    torch.testing.assert_close(gradient, expected)
