"""Whether a client's generator repeats itself, and whether it copies the client's data.

Repeating is over the domain classifier's features, as for all images together. Copying is over
pixels: the classifier has learnt from the clients' images, so over its features even new images of
their kind are farther from them than they are from each other. Methods whose generator is the
server's have neither column.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.metrics.fidelity import near_duplicates
from mosaic.fl.data.federation import Shard
from mosaic.fl.data.transforms import to_uint8

LOOKED_AT = 256
"""Images of a client whose nearest real one is looked for; it is looked for among all real ones."""

BLOCK = 1024
"""Real images per part of the distance matrix, which bounds its memory."""


def neighbour_scores(
    features: Tensor,
    images: Tensor,
    drawn_by: Tensor,
    shards: Sequence[Shard],
    duplicate_distance: float,
) -> dict[str, str]:
    """Score each client's generated images against each other and against the client's own.

    Args:
        features: of generated images (M, D), over the domain classifier.
        images: the same images (M, C, H, W) in [-1, 1].
        drawn_by: the client (M,) whose generator drew each, -1 for one of the server.
        shards: the clients' data.
        duplicate_distance: below it two images count as near-duplicates, as in
            :func:`benchmarks.metrics.fidelity.collapse`.

    Returns:
        ``client_duplicates``: per client the share of its images with a near-duplicate among its
        own. ``client_nearest_real``: per client :func:`nearest_real`. Both are texts, separated by
        spaces, nan where it is unknown. Nothing if no client drew an image.
    """
    drawn_by = drawn_by.cpu()
    if not (drawn_by >= 0).any():
        return {}
    duplicates = []
    distances = []
    for shard in shards:
        of_client = (drawn_by == shard.client).nonzero().flatten()
        repeated = math.nan
        if len(of_client) > 1:
            repeated = near_duplicates(features[of_client], duplicate_distance)
        duplicates.append(repeated)

        looked_at = images[of_client[:LOOKED_AT].to(images.device)]
        own = shard.images[shard.indices]
        distances.append(nearest_real(to_uint8(looked_at).cpu(), own.cpu()))
    return {
        "client_duplicates": " ".join(f"{share:.3f}" for share in duplicates),
        "client_nearest_real": " ".join(f"{distance:.3f}" for distance in distances),
    }


def nearest_real(generated: Tensor, own: Tensor) -> float:
    """How far generated images are from a client's own, in units of how far those are apart.

    It is the median, over the generated images, of the Euclidean distance of the pixels to the
    nearest of the client's own images, divided by the same median of its own images, each to the
    nearest other one. It has no unit. At 0 most images are copies; new images of the client's kind
    are at about 1. Its limits: blurred images are near to everything and may be below 1 without a
    copy, and a copy that was shifted by a pixel is not found.

    Args:
        generated: uint8 (M, C, H, W).
        own: uint8 (N, C, H, W). Of more than LOOKED_AT the distances are those of every k-th.

    Returns:
        The ratio; nan without a generated image, of fewer than two own ones, and if most of those
        are equal to another.
    """
    if not len(generated) or len(own) < 2:
        return math.nan
    step = math.ceil(len(own) / LOOKED_AT)
    apart = _two_nearest(own[::step], own)[:, 1].quantile(0.5).item()  # the nearest is itself
    if apart == 0:
        return math.nan
    return _two_nearest(generated, own)[:, 0].quantile(0.5).item() / apart


def _two_nearest(images: Tensor, real: Tensor) -> Tensor:
    """The distances (M, 2) of each uint8 image to the nearest real one and to the second.

    Sums are of whole numbers below 2^53, so they are the same on each processor.
    """
    rows = images.flatten(1).double()
    lengths = rows.square().sum(1, keepdim=True)
    least = torch.empty(len(rows), 0, dtype=torch.float64)
    for part in real.split(BLOCK):
        others = part.flatten(1).double()
        squares = lengths + others.square().sum(1) - 2 * rows @ others.T
        both = torch.cat([least, squares], dim=1)
        least = both.topk(min(2, both.shape[1]), largest=False).values
    return least.sqrt()
