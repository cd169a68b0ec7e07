"""Mosaic, part 4b: a meta model in closed form, by ridge regression towards the experts' mean.

Ours, not the paper's: arXiv 2505.19699 and its code train the meta model. It is there because the
trained ones are stopped by the loss on a held-out fifth of the prototypes, some 30 where clients
have few classes, so that who is held out decides much of the result. This one has no random
numbers, no steps and no held-out prototypes, and does not depend on the prototypes' order.

The combination is linear in the experts' logits, with E K^2 weights, as the kind "linear":

    f(z) = mean_e z_e + sum_e B_e z_e,      B = argmin sum_p w_p |r_p - B z_p|^2 + strength |B|^2

- r = 4 (onehot(label) - softmax(mean_e z_e)) is what the mean lacks. The curvature of the logistic
  loss is at most 1/4, so this is the step from the mean that minimises a quadratic upper bound of
  each class's logistic loss (Böhning and Lindsay, 1988).
- w_p is the number of samples that prototype p stands for.
- Logits count from their mean over the classes.
- Infinite strength is the experts' mean.

The strength is the one of :data:`STRENGTHS` with the least leave-one-out error, which needs no
refit: with the hat matrix H, the error without p is its residual / (1 - H_pp) (Allen's PRESS,
1974). All is in float64.

What leave-one-out cannot see: prototypes pass through the experts' heads only, images through all
of their layers. Prototypes are nearly separable there, so the error on them falls down to the
weakest strength, at which images are classified far worse. Therefore the grid has a lower end, and
it is what was chosen in all 25 tasks that were looked at. Its value, the factor 4 and logits as
inputs (not probabilities, log-probabilities or a weight per expert and class) were chosen by the
teacher's validation accuracy on tuning seeds (docs/decisions.md).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTHS = (*(10 ** (k / 4) for k in range(-5, 13, 2)), math.inf)
"""What the leave-one-out error chooses from: 0.056 to 562, and infinity. They are multiples of the
mean, over the inputs' columns, of a column's sum of squares, so that neither the logits' scale nor
the number of prototypes matters."""

MOST_CURVATURE = 0.25
"""The greatest second derivative of the logistic loss."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge regression.

    Attributes:
        weights: what is added to the experts' mean: (E K, K), for logits (B, E K).
        strength: the chosen one of the strengths.
        left_out: for each prototype, the logits (P, K) of the fit to all others.
    """

    weights: Tensor
    strength: float
    left_out: Tensor


def fit_ridge(experts: Tensor, labels: Tensor, counts: Tensor) -> Ridge:
    """Fit the combination to the prototypes.

    Args:
        experts: the experts' logits (P, E, K) for P prototypes.
        labels: the prototypes' labels (P,).
        counts: how many samples each of them stands for (P,), in any unit.

    Returns:
        The fit in float64. Of :data:`STRENGTHS` with equal errors it has the greatest.
    """
    inputs = experts.double()
    mean = inputs.mean(1)
    inputs = (inputs - inputs.mean(2, keepdim=True)).flatten(1)
    wanted = F.one_hot(labels, experts.shape[2]) - mean.softmax(1)
    residuals = wanted / MOST_CURVATURE

    # Weighted least squares are plain ones on rows times sqrt(w)
    roots = (counts.double() / counts.double().mean()).sqrt().unsqueeze(1)
    rows = roots * inputs
    targets = roots * residuals

    # In the basis of the rows' Gram matrix (P, P) each strength is a division
    eigenvalues, basis = torch.linalg.eigh(rows @ rows.T)
    eigenvalues = eigenvalues.clamp_min(0)
    unit = eigenvalues.sum() / inputs.shape[1]
    rotated = basis.T @ targets

    best_error = math.inf
    chosen = math.inf
    without_itself = targets
    for strength in sorted(STRENGTHS, reverse=True):
        kept = eigenvalues * inverse(eigenvalues, strength, unit)
        errors = targets - basis @ (kept.unsqueeze(1) * rotated)
        errors = errors / (1 - basis.square() @ kept).unsqueeze(1)
        error = errors.square().sum().item()
        if error < best_error:
            best_error, chosen, without_itself = error, strength, errors

    dual = basis @ (inverse(eigenvalues, chosen, unit).unsqueeze(1) * rotated)
    return Ridge(
        weights=rows.T @ dual,
        strength=chosen,
        left_out=mean + residuals - without_itself / roots,
    )


def inverse(eigenvalues: Tensor, strength: float, unit: Tensor) -> Tensor:
    """1 / (eigenvalue + penalty) for each eigenvalue (P,); 0 for an infinite strength."""
    if math.isinf(strength):
        return torch.zeros_like(eigenvalues)
    # Experts that all say nothing have no eigenvalue and no unit
    return 1 / (eigenvalues + strength * unit).clamp_min(torch.finfo(eigenvalues.dtype).tiny)
