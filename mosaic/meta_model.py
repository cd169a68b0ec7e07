"""Mosaic, part 4: the meta model, a small learned combination of the experts' predictions.

It is trained on the clients' prototypes (arXiv 2505.19699, phase 2), through the experts'
classifiers, and used on the experts' predictions for images.

Differs from the authors' code:
- The default tells the experts apart. The code's transformer ("transformer" here) sums over its
  tokens without any encoding of the expert, so it cannot.
- Training stops when the loss on a held-out fifth of the prototypes no longer falls, not after 150
  steps. The best weights are kept, not an average that still carries 22 % of the initial ones.
- A prototype is weighted by the number of samples in its cluster.
- Adam's learning rate is 1e-2, the code's 1e-3.
- "ridge" is in neither the paper nor the code: a solution in closed form (``ridge.py``).

With ``steps`` the training is the code's (``fit_for_steps``), of whichever meta model.
"""

import copy
import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mosaic.fl.costs import metered
from mosaic.prototypes import Prototypes
from mosaic.ridge import fit_ridge

MOST_EPOCHS = 2000
"""Epochs after which training ends even if the held-out loss still falls."""

BATCH = 128
"""Prototypes per step."""

LR = 1e-2
"""Adam's learning rate."""

AVERAGE_DECAY = 0.99
"""Decay of the authors' moving average of the weights, per step."""

LEAST_GAIN = 1e-4
"""By how much the held-out loss must fall for an epoch to count as the best so far."""


class Gate(nn.Module):
    """logit_k = sum_e A_ek z_ek + b_k, with a weight A_ek of expert e on class k.

    It starts as the experts' mean.
    """

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_experts, n_classes), 1 / n_experts))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, z: Tensor) -> Tensor:
        """Experts' logits (B, E, K) to logits (B, K)."""
        return (self.weight * z).sum(1) + self.bias


class Linear(nn.Module):
    """Any linear map of all experts' logits: E K^2 weights. It starts as the experts' mean."""

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        self.linear = nn.Linear(n_experts * n_classes, n_classes)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(n_classes).repeat(1, n_experts) / n_experts)
            self.linear.bias.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """Experts' logits (B, E, K) to logits (B, K)."""
        return self.linear(z.flatten(1))


class Transformer(nn.Module):
    """The authors' network: an expert's logits are one token.

    Tokens are widened to K^2 values (10 K for many classes), pass one encoder and one decoder
    layer, and are summed.
    """

    def __init__(self, n_experts: int, n_classes: int):
        super().__init__()
        # The code's widths for 10 and for 100 classes
        width = n_classes**2 if n_classes <= 32 else 10 * n_classes
        self.widen = nn.Linear(n_classes, width)
        with warnings.catch_warnings():
            # PyTorch warns that an odd number of heads rules out a fast path, which is not used
            # here
            warnings.filterwarnings("ignore", message="enable_nested_tensor")
            self.transformer = nn.Transformer(width, n_classes, 1, 1, 2048, 0.2, batch_first=True)
        self.narrow = nn.Linear(width, n_classes)

    def forward(self, z: Tensor) -> Tensor:
        """Experts' logits (B, E, K) to logits (B, K)."""
        tokens = self.widen(z)
        return self.narrow(self.transformer(tokens, tokens).sum(1))


META = {"gate": Gate, "linear": Linear, "transformer": Transformer}
"""The kinds that are trained; "ridge" is solved."""


@torch.random.fork_rng(devices=[])  # manual_seed below must not reach the caller's random state
def train_meta(
    kind: str,
    experts: Tensor,
    prototypes: Prototypes,
    rng: torch.Generator,
    patience: int,
    lr: float = LR,
    steps: int = 0,
) -> tuple[nn.Module, dict[str, float]]:
    """Train the meta model on the experts' logits for the prototypes.

    More training is not better: prototypes are cluster centres, and what fits them for longer can
    fit real images far worse.

    Args:
        kind: a name in :data:`META`, or "ridge", for which ``rng`` and ``patience`` do nothing.
        experts: the experts' logits (P, E, K) for P prototypes.
        prototypes: their ``labels`` and ``weights`` are used.
        rng: source of the initial weights, the held-out fifth and the batches.
        patience: training stops after so many epochs without a better held-out loss.
        lr: Adam's learning rate.
        steps: with a number above 0, training is the authors' of so many steps.

    Returns:
        The model with the best held-out loss, in eval mode and without gradients. And numbers for
        the record: its held-out accuracy and that of the experts' mean, the best epoch, and the
        number of prototypes. In the authors' training nothing is held out. Ridge has no held-out
        prototypes and no epochs: see :func:`ridge_meta`.
    """
    if kind == "ridge":
        return ridge_meta(experts, prototypes)

    n, n_experts, n_classes = experts.shape
    torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
    meta = META[kind](n_experts, n_classes).to(experts.device)
    what = ("meta", kind, n_experts, n_classes)
    if steps:
        fit_for_steps(meta, experts, prototypes["labels"], rng, lr, steps, *what)
        return meta, {"prototypes": n}
    held_out, best_epoch = fit(meta, experts, prototypes, rng, patience, *what, lr=lr)

    labels = prototypes["labels"]
    return meta, {
        "meta_accuracy": accuracy(meta(experts[held_out]), labels[held_out]),
        "meta_accuracy_of_mean": accuracy(experts[held_out].mean(1), labels[held_out]),
        "meta_epochs": best_epoch,
        "prototypes": n,
    }


def ridge_meta(experts: Tensor, prototypes: Prototypes) -> tuple[nn.Module, dict[str, float]]:
    """The meta model by ridge regression towards the experts' mean, as :func:`train_meta`.

    Returns:
        The model. And numbers for the record: its leave-one-out accuracy and the accuracy of the
        experts' mean, over all prototypes, the chosen strength, and the number of prototypes.
    """
    n, n_experts, n_classes = experts.shape
    labels = prototypes["labels"]
    with metered("meta", "ridge", n, n_experts, n_classes):
        ridge = fit_ridge(experts, labels, prototypes["weights"])

    meta = Linear(n_experts, n_classes).to(experts.device)
    with torch.no_grad():
        meta.linear.weight += ridge.weights.T.to(experts.dtype)
    return meta.eval().requires_grad_(False), {
        "meta_accuracy": accuracy(ridge.left_out, labels),
        "meta_accuracy_of_mean": accuracy(experts.mean(1), labels),
        "meta_strength": ridge.strength,
        "prototypes": n,
    }


def fit(
    model: nn.Module,
    inputs: Tensor,
    prototypes: Prototypes,
    rng: torch.Generator,
    patience: int,
    *what: object,
    lr: float = LR,
) -> tuple[Tensor, int]:
    """Train a small model on the prototypes until the loss on a held-out fifth no longer falls.

    Args:
        model: it is trained in place, and left with the best held-out loss, in eval mode and
            without gradients.
        inputs: what the model gets for each of P prototypes (P, ...).
        prototypes: their ``labels`` and ``weights`` are used.
        rng: source of the held-out fifth and the batches.
        patience: training stops after so many epochs without a better held-out loss.
        *what: what the FLOP meter knows a step by.
        lr: Adam's learning rate.

    Returns:
        Which prototypes were held out, and the best epoch.
    """
    adam = torch.optim.Adam(model.parameters(), lr=lr)

    order = torch.randperm(len(inputs), generator=rng).to(inputs.device)
    n_held_out = max(1, len(inputs) // 5)
    held_out = order[:n_held_out]
    kept = order[n_held_out:]
    labels = prototypes["labels"]
    weights = prototypes["weights"] / prototypes["weights"].mean()

    best, best_loss, best_epoch = copy.deepcopy(model.state_dict()), math.inf, 0
    epoch = 0
    while epoch < MOST_EPOCHS and epoch - best_epoch < patience:
        with torch.no_grad():
            logits = model.eval()(inputs[held_out])
        loss = weighted_loss(logits, labels[held_out], weights[held_out]).item()
        if loss < best_loss - LEAST_GAIN:
            best, best_loss, best_epoch = copy.deepcopy(model.state_dict()), loss, epoch

        shuffled = kept[torch.randperm(len(kept), generator=rng).to(kept.device)]
        model.train()
        for batch in shuffled.split(BATCH):
            with torch.enable_grad(), metered(*what, items=len(batch)):
                adam.zero_grad(set_to_none=True)
                weighted_loss(model(inputs[batch]), labels[batch], weights[batch]).backward()
            adam.step()
        epoch += 1

    model.load_state_dict(best)
    model.eval().requires_grad_(False)
    return held_out, best_epoch


def fit_for_steps(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    rng: torch.Generator,
    lr: float,
    steps: int,
    *what: object,
) -> None:
    """Train a small model as the authors' code trains its meta model.

    Each step has one random batch of all prototypes, which count alike. The result is a moving
    average of the weights, which begins at the initial ones.

    Args:
        model: it is trained in place, and left with the average, in eval mode and without
            gradients.
        inputs: what the model gets for each of P prototypes (P, ...).
        labels: their classes (P,).
        rng: source of the batches.
        lr: Adam's learning rate.
        steps: the number of steps.
        *what: what the FLOP meter knows a step by.
    """
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY))
    average.update_parameters(model)  # the first is a copy

    model.train()
    for _ in range(steps):
        batch = torch.randperm(len(inputs), generator=rng)[:BATCH].to(inputs.device)
        with torch.enable_grad(), metered(*what, items=len(batch)):
            adam.zero_grad(set_to_none=True)
            F.cross_entropy(model(inputs[batch]), labels[batch]).backward()
        adam.step()
        average.update_parameters(model)

    model.load_state_dict(average.module.state_dict())
    model.eval().requires_grad_(False)


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The mean cross entropy of logits (P, K) with labels (P,), weighted by ``weights`` (P,)."""
    return (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / weights.sum()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of logits (P, K) whose largest value is at the label (P,)."""
    return (logits.argmax(1) == labels).float().mean().item()
