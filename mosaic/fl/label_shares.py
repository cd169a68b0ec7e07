"""How label shares of one kind agree with those of another: of generated images and of data."""

import torch
from torch import Tensor


def label_agreement(counts: Tensor, true_counts: Tensor) -> dict[str, float]:
    """Compare the label shares of clients.

    Args:
        counts: images per client and class (N, K).
        true_counts: what they are compared with (N, K). Clients without any in one of them are
            left out.

    Returns:
        ``label_variation``: the total variation between a client's two distributions, in [0, 1],
        the mean over clients. ``label_correlation``: Pearson's, of all clients' shares of all
        classes; NaN where one of them does not vary.
    """
    known = (counts.sum(1) > 0) & (true_counts.sum(1) > 0)
    shares = _shares(counts[known])
    true_shares = _shares(true_counts[known])
    pairs = torch.stack([shares.flatten(), true_shares.flatten()])
    return {
        "label_variation": (shares - true_shares).abs().sum(1).mean().item() / 2,
        "label_correlation": torch.corrcoef(pairs)[0, 1].item(),
    }


def _shares(counts: Tensor) -> Tensor:
    counts = counts.double()
    return counts / counts.sum(1, keepdim=True)
