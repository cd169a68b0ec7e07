"""Every loss term once, each with its source. Logits are (B, K); a loss is a scalar, in nats where it is one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The local objective of FedAvg: mean cross entropy of a batch (B, C, H, W) with labels (B,)."""
    return F.cross_entropy(model(images).float(), labels)


def soft_distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(teacher || student), batch mean (Hinton et al., 2015, section 2); 0 where they agree."""
    p = (teacher / temperature).log_softmax(1)
    q = (student / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(q, p, reduction="batchmean", log_target=True)


def hard_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy with the teacher's first choice."""
    return F.cross_entropy(student, teacher.argmax(1))


def jensen_shannon(student: Tensor, teacher: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the two distributions, in [0, log 2]."""
    p, q = teacher.log_softmax(1), student.log_softmax(1)
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, device=p.device))
    return (
        F.kl_div(middle, p, reduction="batchmean", log_target=True)
        + F.kl_div(middle, q, reduction="batchmean", log_target=True)
    ) / 2


def prediction_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of single predictions, in [0, log K]: low where each image is surely of one class."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean()


def class_imbalance(logits: Tensor, shares: Tensor) -> Tensor:
    """KL(p || shares) of the batch-mean prediction p: 0 where classes are as frequent as ``shares`` (K,), all > 0.

    At equal shares it is log K above sum_c p_c log p_c, the information entropy loss of DAFL (Chen et al., ICCV 2019,
    Eq. 5) and Mosaic's diversity term.
    """
    p = logits.softmax(1).mean(0)
    return (torch.special.xlogy(p, p) - p * shares.log()).sum()


def weighted_nll(said: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """sum_k mean_b w_ky -log p_k(y), of clients' logits (N, B, K), labels y (B,) and class shares w (N, K).

    How well those who know a class recognise it: FedGen (Zhu et al., ICML 2021) and FedFTG (Zhang et al., CVPR 2022).
    """
    nll = -said.log_softmax(2).gather(2, labels.expand(len(said), -1)[:, :, None])[
        :, :, 0
    ]  # (N, B)
    return (shares[:, labels] * nll).mean(1).sum()


def noise_collapse(noise: Tensor, drawn: Tensor, power: int = 2) -> Tensor:
    """exp(-mean_ij d2(noise_i, noise_j) d(drawn_i, drawn_j)), in (0, 1]: low where unlike noise gives unlike images.

    d2 is the mean squared difference over a sample's values, d the mean of the ``power``-th power of the absolute one.
    The diversity term of FedGen (Zhu et al., ICML 2021, code; power 1), FedFTG and DFRD (power 2).
    """
    noise, drawn = noise.flatten(1).float(), drawn.flatten(1).float()
    far = torch.cdist(noise, noise).square() / noise.shape[1]
    apart = torch.cdist(drawn, drawn, p=power).pow(power) / drawn.shape[1]
    return (-(far * apart).mean()).exp()


def adversarial_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), batch mean, from D's logits (B,) (Goodfellow et al., 2014, Eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def adversarial_generator(fake: Tensor) -> Tensor:
    """-log D(G(z)), batch mean: the non-saturating form (Goodfellow et al., 2014, section 3)."""
    return F.softplus(-fake).mean()


class Moments(torch.autograd.Function):
    """Mean and biased variance (C,), float32, over all but the channels of x (B, C, H, W).

    What ``torch.var_mean`` gives, in passes that a CPU is fast at: 6 against 115 ms for 256x32x28x28 in bfloat16,
    channels_last, forwards and backwards on one thread.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = (
            x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).float()
        )  # (B H W, C): no copy where channels_last
        mean = rows.mean(0)
        ctx.save_for_backward(x, mean)
        return mean, (rows.square().mean(0) - mean.square()).clamp_min(0)

    @staticmethod
    def backward(ctx, of_mean: Tensor, of_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        slope = 2 * of_var / n  # d var / dx = 2 (x - mean) / n, d mean / dx = 1 / n
        start = of_mean / n - slope * mean
        return torch.addcmul(start.to(x.dtype)[:, None, None], x, slope.to(x.dtype)[:, None, None])


class StatisticsMatch:
    """How far the batch statistics at a network's BatchNorm layers are from its running ones.

    Zero on data with the network's own statistics, with a gradient to the images. The network is in eval mode. Use as
    a context around the forward pass, then ask for one of the two losses; the hooks are gone afterwards.
    """

    def __init__(self, network: nn.Module):
        self.layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        if not self.layers:
            raise ValueError("no BatchNorm layer to match statistics with")

    def __enter__(self) -> "StatisticsMatch":
        self.gaps: list[tuple[Tensor, Tensor]] = []  # of mean and variance (C,), by layer
        self.hooks = [layer.register_forward_pre_hook(self._compare) for layer in self.layers]
        return self

    def _compare(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        mean, var = Moments.apply(inputs[0])
        self.gaps.append((mean - layer.running_mean, var - layer.running_var))

    def __exit__(self, *_) -> None:
        for hook in self.hooks:
            hook.remove()

    def norms(self) -> Tensor:
        """sum_l ||mean_l - running mean_l||_2 + ||var_l - running var_l||_2 (DeepInversion, CVPR 2020, Eq. 4)."""
        return torch.stack([mean.norm() + var.norm() for mean, var in self.gaps]).sum()

    def squares(self) -> Tensor:
        """The mean over layers and channels of (mean - running mean)^2 + (var - running var)^2."""
        return torch.stack(
            [(mean.square() + var.square()).mean() for mean, var in self.gaps]
        ).mean()
