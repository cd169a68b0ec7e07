"""Score the images that a method draws: how many there are, and what they are compared with."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.metrics.client_images import client_scores
from benchmarks.metrics.client_neighbours import neighbour_scores
from benchmarks.metrics.fidelity import DOMAIN, Extractor, Reference, extract, scores_of
from mosaic.fl.data.federation import Shard
from mosaic.fl.rng import stream

DRAWN = 2
"""Images drawn per scored one: for the balanced scores, which want more of a class that is rare."""

Scored = tuple[Extractor, Reference]
"""An extractor of features, and what real images score over them."""


class Generated(NamedTuple):
    """A method's images and their scores.

    Attributes:
        scores: by column.
        warnings: why some of them are biased.
        images: the n scored images (n, C, S, S) in [-1, 1].
        drawn_by: the client (n,) whose generator drew each, -1 for one of the server.
    """

    scores: dict[str, Any]
    warnings: list[str]
    images: Tensor
    drawn_by: Tensor


def score_generated(
    synthesise: Callable[[int, Any], tuple[Tensor, Tensor]],
    seed: int,
    asked: int,
    references: Callable[[int], Sequence[Scored]],
    shards: Sequence[Shard] = (),
) -> Generated:
    """Draw a method's images and score them over each extractor.

    As many are scored as the reference has real images, the first of twice as many draws; the
    others are for the balanced scores (:func:`benchmarks.metrics.balance.balanced_scores`), which
    get more of the classes that are rare among the first. A method with a fixed set of images may
    have fewer; then the reference is one of that many, so that both sides and the floor have one
    size.

    Args:
        synthesise: of a :class:`mosaic.fl.contract.Snapshot`.
        seed: the task's, which fixes the draws.
        asked: images that the scale wants on each side.
        references: what real images score, at most this many on each side.
        shards: the clients' data, which their generators' images are compared with; none: they
            are not.
    """
    scored_over = references(asked)
    n = max(real.n for _, real in scored_over)
    images, drawn_by = synthesise(DRAWN * n, stream(seed, "fidelity"))
    if len(images) < n:
        n = len(images)
        scored_over = references(n)

    scores: dict[str, Any] = {"fidelity_n_asked": asked}
    for extractor, real in scored_over:
        is_domain = extractor.name == DOMAIN
        features, logits = extract(extractor, images if is_domain else images[:n])
        scores |= scores_of(extractor.name, features, logits, real, seed=0)
        if is_domain and shards:
            counts = torch.stack([shard.label_counts for shard in shards])
            scores |= client_scores(logits.argmax(1), drawn_by, counts)
            distance = real.duplicate_distance
            scores |= neighbour_scores(features, images, drawn_by, shards, distance)
    warnings = [real.warning for _, real in scored_over if real.warning]
    return Generated(scores, warnings, images[:n], drawn_by[:n])
