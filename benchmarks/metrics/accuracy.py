"""Accuracy: the share of test images whose largest logit is the label's, overall and per class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic.fl.contract import Predict
from mosaic.fl.data.transforms import normalise


@dataclass(frozen=True)
class Score:
    """The accuracy of a model, or the mean accuracy of several.

    Args:
        accuracy: in [0, 1].
        class_accuracy: the same per class, (K,) float64; NaN for a class without images.
        n: number of images.
    """

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
    """Score a model, or several, on labelled images.

    Args:
        predict: normalised images to logits. Of several models (``local``: each client's own) the
            result is the mean of their accuracies, each over all the images.
        images: uint8 (N, C, H, W).
        labels: (N,) in 0..K-1.
        n_classes: K.
        batch: as in :func:`predict_all`.
        device: as in :func:`predict_all`.

    Raises:
        ValueError, FloatingPointError: as :func:`predict_all`.
    """
    labels = labels.cpu()
    counts = labels.bincount(minlength=n_classes)  # (K,)
    predicts = [predict] if callable(predict) else predict
    predicted = predict_all(predicts, images, batch, device=device, n_classes=n_classes)

    hits = [labels[classes == labels].bincount(minlength=n_classes) for classes in predicted]
    mean_hits = torch.stack(hits).double().mean(0)  # (K,)
    class_accuracy = mean_hits / counts  # 0 / 0 is the NaN of a class without images
    return Score((mean_hits.sum() / len(labels)).item(), class_accuracy, len(labels))


def accuracies(
    probes: dict[str, Predict],
    images: Tensor,
    labels: Tensor,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Return the accuracy, in [0, 1], of each of several models by its name.

    Args:
        probes: the models by name: normalised images to logits.
        images: uint8 (N, C, H, W).
        labels: (N,) in 0..K-1.
        device: as in :func:`predict_all`.

    Raises:
        ValueError, FloatingPointError: as :func:`predict_all`.
    """
    predicted = predict_all(list(probes.values()), images, device=device)
    labels = labels.cpu()
    result = {}
    for name, classes in zip(probes, predicted, strict=True):
        result[name] = (classes == labels).float().mean().item()
    return result


@torch.no_grad()
def predict_all(
    predicts: Sequence[Predict],
    images: Tensor,
    batch: int = 1000,
    device: torch.device | str | None = None,
    n_classes: int | None = None,
) -> list[Tensor]:
    """Predict the classes of images with several models.

    All models get the same tensor of a batch before the next batch: what they have in common can be
    computed once.

    Args:
        predicts: the models: normalised images to logits.
        images: uint8 (N, C, H, W); they are normalised on ``device``.
        batch: the most images that go through a model at once.
        device: where each batch is moved to, as uint8; None: it stays where it is.
        n_classes: K, if it is to be checked.

    Returns:
        For each model the classes (N,), int64 on the CPU.

    Raises:
        ValueError: there are no images, or logits are not of shape (B, K).
        FloatingPointError: logits are NaN or infinite.
    """
    if not len(images):
        raise ValueError("there are no images to score.")
    classes: list[list[Tensor]] = [[] for _ in predicts]
    broken = []
    # Equal batches rather than full ones and a remainder: BatchNorm on the batch's own statistics
    # fails on a remainder of one image.
    for part in images.tensor_split(math.ceil(len(images) / batch)):
        ready = normalise(part.to(device))
        for i, predict in enumerate(predicts):
            logits = predict(ready)  # (B, K)
            _check_shape(logits, len(ready), n_classes)
            classes[i].append(logits.argmax(1))
            broken.append((~logits.isfinite()).any(1).sum())

    # Read once, after the loop: a check per batch would make the GPU wait for the CPU.
    n_broken = int(torch.stack(broken).sum()) if broken else 0
    if n_broken:
        raise FloatingPointError(
            f"the logits of {n_broken} of {len(images) * len(predicts)} images are NaN or "
            "infinite: the model has diverged. A smaller learning rate, or float32 instead of "
            "bfloat16, may help."
        )
    return [torch.cat(parts).cpu() for parts in classes]


def _check_shape(logits: Tensor, n_images: int, n_classes: int | None) -> None:
    wanted = (n_images, logits.shape[-1] if n_classes is None else n_classes)
    if logits.shape != wanted:
        raise ValueError(
            f"a model's logits have shape {tuple(logits.shape)}; "
            f"of {wanted[0]} images and {wanted[1]} classes it must be {wanted}."
        )
