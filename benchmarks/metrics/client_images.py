"""What each client's generator draws, beside the client's own labels: coverage and label shares.

An image's class is what the domain classifier takes it for. Methods whose generator is the
server's have none of these columns.
"""

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.metrics.image_columns import LEAST_COVERAGE
from mosaic.fl.label_shares import label_agreement

LEAST_EXPECTED = 3
"""A client's class counts if its data's share of it would give so many images. Of fewer, a good
generator may draw none by chance: of 3, with a probability of 5 %."""

LEAST_OWN_SHARE = 0.5
"""A generator with fewer of its images in the client's own classes is called collapsed: the others
are noise. So is one that covers less than LEAST_COVERAGE of them."""


def client_scores(classes: Tensor, drawn_by: Tensor, label_counts: Tensor) -> dict[str, Any]:
    """Score each client's generated images against the client's own labels.

    Args:
        classes: of each generated image (M,).
        drawn_by: the client (M,) whose generator drew it, -1 for one of the server.
        label_counts: the clients' samples per class (N, K).

    Returns:
        ``client_coverage``: per client the share of its classes that its generator draws, a class
        being drawn if it has a tenth of the images that its share of the data asks for, and one at
        least. ``client_own_share``: the share of a client's images that are of one of its classes.
        Both are texts, separated by spaces, nan for a client without images. And
        ``worst_client_coverage``, ``collapsed_clients`` (a text), ``label_variation`` (the total
        variation between the label shares of a client's images and of its data, the mean over
        clients) and ``label_correlation`` (Pearson's, of all clients' shares of all classes).
        Nothing if no client drew an image.
    """
    n_clients, n_classes = label_counts.shape
    drawn = torch.zeros(n_clients, n_classes, dtype=torch.float64)
    of_clients = drawn_by >= 0
    places = (drawn_by[of_clients].long().cpu(), classes[of_clients].long().cpu())
    drawn.index_put_(places, torch.ones(len(places[0]), dtype=torch.float64), accumulate=True)
    if not drawn.sum():
        return {}

    counts = label_counts.double().cpu()
    coverage = [_coverage(*pair) for pair in zip(drawn, counts, strict=True)]
    own_share = [_own_share(*pair) for pair in zip(drawn, counts, strict=True)]
    collapsed = []
    for client, (covered, own) in enumerate(zip(coverage, own_share, strict=True)):
        if covered < LEAST_COVERAGE or own < LEAST_OWN_SHARE:
            collapsed.append(str(client))

    known = [covered for covered in coverage if not math.isnan(covered)]
    return {
        "client_coverage": " ".join(f"{covered:.3f}" for covered in coverage),
        "client_own_share": " ".join(f"{own:.3f}" for own in own_share),
        "worst_client_coverage": min(known, default=math.nan),
        "collapsed_clients": " ".join(collapsed),
        **label_agreement(drawn, counts),
    }


def _coverage(drawn: Tensor, counts: Tensor) -> float:
    """The share of one client's classes that its generator draws, from counts per class (K,)."""
    expected = counts / counts.sum() * drawn.sum()
    counted = expected >= LEAST_EXPECTED
    if not counted.any():
        return math.nan
    is_drawn = drawn >= (expected / 10).clamp_min(1)
    return is_drawn[counted].double().mean().item()


def _own_share(drawn: Tensor, counts: Tensor) -> float:
    if not drawn.sum():
        return math.nan
    return (drawn[counts > 0].sum() / drawn.sum()).item()
