"""Accuracy: the share of test images whose largest logit is the label's, overall and by class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic.fl.contract import Predict
from mosaic.fl.data.transforms import normalise


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
    predicted = predict_all(
        [predict] if callable(predict) else predict, images, batch, device=device
    )
    hits = [labels[classes == labels].bincount(minlength=n_classes) for classes in predicted]
    mean_hits = torch.stack(hits).double().mean(0)  # (K,)
    # 0 / 0 is the NaN of a class without images
    return Score((mean_hits.sum() / len(labels)).item(), mean_hits / counts, len(labels))


def accuracies(
    probes: dict[str, Predict],
    images: Tensor,
    labels: Tensor,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """The accuracy, in [0, 1], of each probe by its name; images, labels and errors as in :func:`score`."""
    predicted = predict_all(list(probes.values()), images, device=device)
    labels = labels.cpu()
    return {
        name: (classes == labels).float().mean().item()
        for name, classes in zip(probes, predicted, strict=True)
    }


@torch.no_grad()
def predict_all(
    predicts: Sequence[Predict],
    images: Tensor,
    batch: int = 1000,
    normalise: Callable[[Tensor], Tensor] = normalise,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """The classes (N,), int64 on the CPU, that each of the predictors gives to uint8 ``images`` (N, C, H, W).

    At most ``batch`` images go through at once, and all predictors see one tensor before the next comes: what several
    of them have in common can be computed once. Each batch is moved to ``device`` (None: it stays where it is) as uint8
    and normalised there. Raises ValueError for no images, FloatingPointError for logits that are not finite.
    """
    if not len(images):
        raise ValueError("there are no images to score.")
    classes: list[list[Tensor]] = [[] for _ in predicts]
    broken = []
    # equal batches rather than full ones and a rest: BatchNorm on the batch's own statistics fails on a rest of one
    for part in images.tensor_split(math.ceil(len(images) / batch)):
        ready = normalise(part.to(device))
        for predict, found in zip(predicts, classes, strict=True):
            logits = predict(ready)  # (B, K)
            found.append(logits.argmax(1))
            broken.append((~logits.isfinite()).any(1).sum())
    # read once, after the loop: asking each batch would make the GPU wait for the CPU
    if broken and (n_broken := int(torch.stack(broken).sum())):
        raise FloatingPointError(
            f"the logits of {n_broken} of {len(images) * len(predicts)} images are NaN or infinite: the model has "
            "diverged. A smaller learning rate, or float32 instead of bfloat16, may help."
        )
    return [torch.cat(found).cpu() for found in classes]
