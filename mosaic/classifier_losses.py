"""The three losses of a client's generator that come from the client's own frozen model."""

from torch import Tensor, nn

from mosaic.fl.training import losses


def classifier_losses(
    classifier: nn.Module, fake: Tensor, classes: Tensor, shares: Tensor, inverts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The three losses that come from the client's frozen model.

    Args:
        classifier: f_i, frozen.
        fake: generated images (B, C, S, S).
        classes: the classes that the client holds, which entropy and diversity are taken over.
        shares: the wanted frequency of each of these classes, summing to 1.
        inverts: whether the inversion loss is computed; it is 0 otherwise.

    Returns:
        L_entropy, L_diversity and L_inversion.
    """
    if inverts:
        with losses.StatisticsMatch(classifier) as match:
            logits = classifier(fake)
        inversion = match.squares()
    else:
        logits = classifier(fake)
        inversion = fake.new_zeros(())
    logits = logits.float()[:, classes]
    entropy = losses.prediction_entropy(logits)
    diversity = losses.class_imbalance(logits, shares)
    return entropy, diversity, inversion


def no_losses(fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What stands for the three losses in a step in which the client's model is not asked: 0."""
    zero = fake.new_zeros(())
    return zero, zero, zero
