"""Accuracy: the share of test images whose largest logit is the label's, overall and by class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic.fl.data import normalise
from mosaic.fl.task import Predict


@dataclass(frozen=True)
class Score:
    """``accuracy`` in [0, 1]; ``class_accuracy`` (K,) float64, NaN for a class without images; of ``n`` images."""

    accuracy: float
    class_accuracy: Tensor
    n: int


def score(
    predict: Predict | Sequence[Predict],
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    batch: int = 1000,
    device: torch.device | str | None = None,
) -> Score:
    """Score ``predict`` on uint8 ``images`` (N, C, H, W) with ``labels`` (N,) in 0..K-1.

    Of several predictors (``local``: each client's own model) the result is the mean of their accuracies, each over
    all the images. ``batch`` and ``device`` as in :func:`predict_all`, and so are the errors.
    """
    labels = labels.cpu()
    counts = labels.bincount(minlength=n_classes)  # (K,)
    hits = []
    for model in [predict] if callable(predict) else predict:
        right = predict_all(model, images, batch, device=device) == labels
        hits.append(labels[right].bincount(minlength=n_classes))
    mean_hits = torch.stack(hits).double().mean(0)  # (K,)
    # 0 / 0 is the NaN of a class without images
    return Score((mean_hits.sum() / len(labels)).item(), mean_hits / counts, len(labels))


@torch.no_grad()
def predict_all(
    predict: Predict,
    images: Tensor,
    batch: int = 1000,
    normalise: Callable[[Tensor], Tensor] = normalise,
    device: torch.device | str | None = None,
) -> Tensor:
    """The classes (N,), int64 on the CPU, that one predictor gives to uint8 ``images`` (N, C, H, W).

    At most ``batch`` images go through at once; each batch is moved to ``device`` (None: it stays where it is) as
    uint8 and normalised there. Raises ValueError for no images, FloatingPointError for logits that are not finite.
    """
    if not len(images):
        raise ValueError("there are no images to score.")
    classes, broken = [], []
    # equal batches rather than full ones and a rest: BatchNorm on the batch's own statistics fails on a rest of one
    for part in images.tensor_split(math.ceil(len(images) / batch)):
        logits = predict(normalise(part.to(device)))  # (B, K)
        classes.append(logits.argmax(1))
        broken.append((~logits.isfinite()).any(1).sum())
    # read once, after the loop: asking each batch would make the GPU wait for the CPU
    if n_broken := int(torch.stack(broken).sum()):
        raise FloatingPointError(
            f"the logits of {n_broken} of {len(images)} images are NaN or infinite: the model has diverged. "
            "A smaller learning rate, or float32 instead of bfloat16, may help."
        )
    return torch.cat(classes).cpu()
