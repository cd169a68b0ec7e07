"""How much generated images look like real ones: FID, KID, Inception Score, and signs of collapse.

Features are extracted once, in float64 and on the CPU, so that the numbers do not depend on the
device; ``image_scores.py`` computes the three scores from them.

The names say over which features: ``fid_domain`` over those of a small classifier trained on the
data set's own real images, ``fid_inception`` over Inception's. The two are not comparable. Each is
recorded beside what real images score at the same sample size ``fidelity_n``: ``fid_*_floor`` and
``kid_*_floor`` (real against other real images), ``is_*_real``. Records have test images as the
real ones, the tuner has validation images; papers often take training images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.metrics.balance import balanced_scores
from benchmarks.metrics.image_scores import frechet, inception_score, kernel
from mosaic.fl.data.transforms import normalise
from mosaic.fl.errors import InputError
from mosaic.fl.rng import stream

DOMAIN = "domain"
"""The extractor whose classes are the task's."""


@dataclass(frozen=True)
class Extractor:
    """A network that gives the features over which images are scored.

    Args:
        name: "domain" or "inception"; it is part of the columns' names.
        features: float images (B, C, H, W) in [-1, 1] on ``device`` to features (B, D) and
            logits (B, K).
        device: where the images are moved to.
    """

    name: str
    features: Callable[[Tensor], tuple[Tensor, Tensor]]
    device: torch.device | str = "cpu"


@dataclass(frozen=True, eq=False)
class Reference:
    """What real images score among themselves, and those that generated images are compared with.

    Args:
        n: images on each side.
        features: (n, D) of the real half B.
        class_counts: (K,), what the extractor's classifier takes these images for.
        fid_floor: FID of half A against half B.
        kid_floor: KID of half A against half B.
        is_real: Inception Score of half A.
        duplicate_distance: see :func:`collapse`.
        warning: why FID is biased at this n; empty where it is not.
    """

    n: int
    features: Tensor
    class_counts: Tensor
    fid_floor: float
    kid_floor: float
    is_real: float
    duplicate_distance: float
    warning: str


def reference(extractor: Extractor, real: Tensor, n: int, seed: int) -> Reference:
    """Draw two halves of n real images each, A and B, and score A against B.

    Generated images are then scored, n of them, against the same half B: value and floor have the
    same sample size on both sides, and so the same bias.

    Args:
        extractor: the features to score over.
        real: (N, C, H, W), uint8, or float in [-1, 1].
        n: images per half.
        seed: fixes the halves and the subsets of KID.

    Raises:
        InputError: unless 2 <= n <= N / 2.
    """
    if not 2 <= n <= len(real) // 2:
        raise InputError(
            f"fidelity over n = {n} images: it takes n >= 2, and 2 n real images for the "
            f"real-against-real floor. There are {len(real)}; n can be 2 to {len(real) // 2}."
        )
    drawn = torch.randperm(len(real), generator=stream(seed, "real halves"))[: 2 * n]
    features, logits = extract(extractor, real[drawn.to(real.device)])
    a = features[:n]
    b = features[n:]

    d = features.shape[1]
    warning = ""
    if n <= d:
        warning = (
            f"fid_{extractor.name} is over n = {n} images and {d} features: below n = {d + 1} the "
            "covariances are singular and the distance is far too large. Read it against its floor "
            "only, or take more images."
        )
    # Exact copies in batches of different sizes come out of a float32 network up to about 1e-6
    # of the features' spread apart.
    rounding = 1e-5 * (a - a.mean(0)).square().sum(1).mean().sqrt()
    return Reference(
        n=n,
        features=b,
        class_counts=logits[n:].argmax(1).bincount(minlength=logits.shape[1]),
        fid_floor=frechet(a, b),
        kid_floor=kernel(a, b, seed),
        is_real=inception_score(logits[:n], seed),
        duplicate_distance=max(nearest(a).quantile(0.01).item(), rounding.item()),
        warning=warning,
    )


def fidelity(
    extractor: Extractor, generated: Tensor, reference: Reference, seed: int
) -> dict[str, float]:
    """Score the first ``reference.n`` generated images.

    Args:
        extractor: the one that the reference was made with.
        generated: (N, C, H, W) in random order, float in [-1, 1], or uint8. Images beyond the n-th
            are for classes that are rarer among the first n than among the real ones.
        reference: the real images to compare with.
        seed: fixes the subsets of KID and the splits of the Inception Score.

    Returns:
        With the extractor's name for *: ``fid_*`` and ``kid_*`` (lower is better, 0 for equal
        distributions; the unbiased KID may be slightly negative), ``is_*`` (1 to K, higher is
        better), ``fid_*_floor``, ``kid_*_floor``, ``is_*_real`` and ``fidelity_n``; over the
        domain's features also those of :func:`collapse` and :func:`balanced_scores`.

    Raises:
        ValueError: there are fewer images than the reference has.
        FloatingPointError: images or features are not finite.
    """
    if extractor.name != DOMAIN:
        generated = generated[: reference.n]
    return scores_of(extractor.name, *extract(extractor, generated), reference, seed)


def scores_of(
    name: str, all_features: Tensor, all_logits: Tensor, reference: Reference, seed: int
) -> dict[str, float]:
    """As :func:`fidelity`, of what :func:`extract` gives; ``name`` is the extractor's."""
    n = reference.n
    if len(all_features) < n:
        raise ValueError(
            f"{len(all_features)} generated images, but the reference has n = {n}: generate as "
            "many."
        )
    features, logits = all_features[:n], all_logits[:n]
    real = reference.features
    scores = {
        f"fid_{name}": frechet(features, real),
        f"fid_{name}_floor": reference.fid_floor,
        f"is_{name}": inception_score(logits, seed),
        f"is_{name}_real": reference.is_real,
        f"kid_{name}": kernel(features, real, seed),
        f"kid_{name}_floor": reference.kid_floor,
        "fidelity_n": n,
    }
    if name == DOMAIN:  # Inception's classes are not the task's
        scores |= collapse(features, logits, reference.duplicate_distance)
        scores |= balanced_scores(all_features, all_logits, real, reference.class_counts, seed)
    return scores


@torch.no_grad()
def extract(extractor: Extractor, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Extract features (N, D) and logits (N, K), float64 on the CPU.

    Args:
        extractor: the network.
        images: (N, C, H, W), uint8, or float in [-1, 1].
        batch: images per forward pass.

    Raises:
        FloatingPointError: features or logits are NaN or infinite.
    """
    all_features = []
    all_logits = []
    for part in images.split(batch):
        part = part.to(extractor.device)
        part = normalise(part) if part.dtype == torch.uint8 else part.float()
        features, logits = extractor.features(part)
        all_features.append(features.double().cpu())
        all_logits.append(logits.double().cpu())
    features = torch.cat(all_features)
    logits = torch.cat(all_logits)

    broken = ~(features.isfinite().all(1) & logits.isfinite().all(1))
    if broken.any():
        raise FloatingPointError(
            f"the {extractor.name} features of {int(broken.sum())} of {len(images)} images are NaN "
            "or infinite: the generator that drew them has diverged."
        )
    return features, logits


def collapse(features: Tensor, logits: Tensor, duplicate_distance: float) -> dict[str, float]:
    """Return signs that a generator draws the same few images.

    Args:
        features: (N, D) of generated images.
        logits: (N, K) of the same.
        duplicate_distance: below it two images count as near-duplicates. A :class:`Reference`'s is
            the first percentile of the distance to the nearest other one among n real images.

    Returns:
        - ``duplicate_ratio``: share of images whose nearest other one is at most
          ``duplicate_distance`` away; about 0.01 for real images.
        - ``classes_covered``: share of the K classes that are predicted for at least N / (10 K) of
          the images, and for one.
        - ``class_entropy``: entropy of the mean predicted distribution over log K; 1 is uniform, 0
          is one class.
    """
    n, k = logits.shape
    counts = logits.argmax(1).bincount(minlength=k)  # (K,)
    mean = logits.softmax(1).mean(0)  # (K,)
    return {
        "duplicate_ratio": near_duplicates(features, duplicate_distance),
        "classes_covered": (counts >= max(n / (10 * k), 1)).double().mean().item(),
        "class_entropy": torch.special.entr(mean).sum().item() / math.log(k),
    }


def near_duplicates(features: Tensor, distance: float) -> float:
    """Return the share of images (N, D) whose nearest other one is at most ``distance`` away."""
    return (nearest(features) <= distance).double().mean().item()


def nearest(rows: Tensor, block: int = 1024) -> Tensor:
    """Return the Euclidean distance (N,) from each row to its nearest other row.

    Args:
        rows: (N, D).
        block: rows per part of the distance matrix, which bounds its memory.
    """
    centred = rows - rows.mean(0)  # a common offset would cost digits in the difference of squares
    squares = centred.square().sum(1)  # (N,)
    distances = []
    for start in range(0, len(rows), block):
        part = centred[start : start + block]
        square = part.square().sum(1, keepdim=True) + squares - 2 * part @ centred.T  # (B, N)
        square.diagonal(start).fill_(math.inf)  # not the row itself
        distances.append(square.amin(1).clamp_min(0).sqrt())
    return torch.cat(distances)
