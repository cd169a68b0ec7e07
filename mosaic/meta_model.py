"""Mosaic, part 4: the meta model, a small learned combination of the experts' predictions.

It is trained on the clients' prototypes (arXiv 2505.19699, phase 2), through the experts' classifiers, and used on the
experts' predictions for images.

Differs from the authors' code: the default knows which expert said what. Their transformer ("transformer" here) sums
over its tokens without any encoding of the expert and is blind to it. Training goes on until a held-out fifth of the
prototypes says stop, not for 150 steps, and the best weights are kept, not an average that still carries 22 % of the
initial ones. Prototypes count by the samples they stand for.
"""

import copy
import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.costs import metered
from mosaic.prototypes import Prototypes

MOST_EPOCHS, BATCH, LR = 2000, 128, 1e-2


class Gate(nn.Module):
    """logit_k = sum_e A_ek z_ek + b_k: how far expert e is believed on class k. Starts as the experts' mean."""

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_experts, n_classes), 1 / n_experts))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, z: Tensor) -> Tensor:  # (B, E, K) -> (B, K)
        return (self.weight * z).sum(1) + self.bias


class Linear(nn.Module):
    """Any linear map of all experts' logits: E K^2 weights. Starts as the experts' mean."""

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        self.linear = nn.Linear(n_experts * n_classes, n_classes)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(n_classes).repeat(1, n_experts) / n_experts)
            self.linear.bias.zero_()

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z.flatten(1))


class Transformer(nn.Module):
    """The authors' shape: an expert's logits are a token; widened to K^2, one encoder and one decoder layer, summed."""

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        d = (
            n_classes**2 if n_classes <= 32 else 10 * n_classes
        )  # the code's widths for 10 and for 100 classes
        self.widen = nn.Linear(n_classes, d)
        with (
            warnings.catch_warnings()
        ):  # an odd number of heads rules out a fast path that is not used here
            warnings.filterwarnings("ignore", message="enable_nested_tensor")
            self.transformer = nn.Transformer(d, n_classes, 1, 1, 2048, 0.2, batch_first=True)
        self.narrow = nn.Linear(d, n_classes)

    def forward(self, z: Tensor) -> Tensor:
        tokens = self.widen(z)
        return self.narrow(self.transformer(tokens, tokens).sum(1))


META = {"gate": Gate, "linear": Linear, "transformer": Transformer}


@torch.random.fork_rng(devices=[])  # the seed below is of this call alone
def train_meta(
    kind: str, experts: Tensor, prototypes: Prototypes, rng: torch.Generator, patience: int
) -> tuple[nn.Module, dict[str, float]]:
    """Train the meta model on experts' logits (P, E, K) of P prototypes.

    It stops after ``patience`` epochs without a better loss on the held-out ones, and the best weights are kept. More
    is not better: prototypes are cluster centres, and what fits them longer can fit real images far worse.

    Returns it, in eval mode, with its accuracy on the held-out prototypes beside that of the experts' plain mean, and
    the epochs it took.
    """
    n, n_experts, n_classes = experts.shape
    torch.manual_seed(torch.randint(2**62, (), generator=rng).item())
    meta = META[kind](n_experts, n_classes).to(experts.device)
    order = torch.randperm(n, generator=rng).to(experts.device)
    held_out, kept = order[: max(1, n // 5)], order[max(1, n // 5) :]
    labels, weights = prototypes["labels"], prototypes["weights"] / prototypes["weights"].mean()
    adam = torch.optim.Adam(meta.parameters(), lr=LR)
    best, best_loss, best_epoch = copy.deepcopy(meta.state_dict()), math.inf, 0
    epoch = 0
    while epoch < MOST_EPOCHS and epoch - best_epoch < patience:
        with torch.no_grad():
            value = _loss(
                meta.eval()(experts[held_out]), labels[held_out], weights[held_out]
            ).item()
        if value < best_loss - 1e-4:
            best, best_loss, best_epoch = copy.deepcopy(meta.state_dict()), value, epoch
        meta.train()
        for batch in kept[torch.randperm(len(kept), generator=rng).to(kept.device)].split(BATCH):
            with torch.enable_grad(), metered("meta", kind, n_experts, n_classes, items=len(batch)):
                adam.zero_grad(set_to_none=True)
                _loss(meta(experts[batch]), labels[batch], weights[batch]).backward()
            adam.step()
        epoch += 1
    meta.load_state_dict(best)
    meta.eval().requires_grad_(False)
    return meta, {
        "meta_accuracy": _accuracy(meta(experts[held_out]), labels[held_out]),
        "meta_accuracy_of_mean": _accuracy(experts[held_out].mean(1), labels[held_out]),
        "meta_epochs": best_epoch,
        "prototypes": n,
    }


def _loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / weights.sum()


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()
