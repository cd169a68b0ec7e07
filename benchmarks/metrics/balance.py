"""Generated images with the class shares of real ones: images and label mix told apart.

FID, KID and IS of images as a method draws them say two things at once: how the images of a class
look, and how often each class is drawn. A generator of perfect images that draws one class more
often than the test set has it gets a bad FID. The balanced scores are those of a choice of its
images in which each class is as frequent as among the real images; what is left is how they look.
"""

import torch
from torch import Tensor

from benchmarks.metrics.image_scores import frechet, inception_score, kernel


def balanced_scores(
    features: Tensor, logits: Tensor, real: Tensor, wanted: Tensor, seed: int
) -> dict[str, float]:
    """Score the images of :func:`with_class_counts`.

    An image's class is what the domain classifier takes it for, for generated and for real images
    alike. Its limits:

    - A class that was drawn too rarely has its images repeated, which makes FID and KID larger.
    - A class that was never drawn is missing, while the real images still have it: the scores then
      still have this part of the label mix in them.
    - The floor of FID is of two halves of real images whose shares differ by chance, which the
      balanced scores are free of: they may be below it.

    Args:
        features: (N, D) of generated images, in random order.
        logits: (N, K) of the same.
        real: features (M, D) of the real images.
        wanted: the number of real images per class (K,).
        seed: fixes the subsets of KID and the splits of the Inception Score.

    Returns:
        ``fid_domain_balanced``, ``is_domain_balanced`` and ``kid_domain_balanced``;
        ``balanced_classes``: the share of the real images' classes that were drawn;
        ``balanced_repeats``: the share of the scored images that repeat another one. Only
        ``balanced_classes`` where fewer than two images were drawn of what is wanted.
    """
    classes = logits.argmax(1)
    drawn = classes.bincount(minlength=len(wanted))  # (K,)
    has_both = (drawn > 0) & (wanted > 0)
    covered = {"balanced_classes": has_both.sum().item() / (wanted > 0).sum().item()}

    chosen = with_class_counts(classes, wanted)
    if len(chosen) < 2:
        return covered
    images = features[chosen]
    return {
        "fid_domain_balanced": frechet(images, real),
        "is_domain_balanced": inception_score(logits[chosen], seed),
        "kid_domain_balanced": kernel(images, real, seed),
        **covered,
        "balanced_repeats": 1 - len(chosen.unique()) / len(chosen),
    }


def with_class_counts(classes: Tensor, wanted: Tensor) -> Tensor:
    """Choose images so that each class is there as often as wanted.

    Of a class the first ones are taken, each once, while there are enough. Where there are fewer,
    each is taken equally often, to within one. A class without an image is left out.

    Args:
        classes: of each image (N,), in the order of the draws.
        wanted: images per class (K,).

    Returns:
        The images' positions, class by class.
    """
    chosen = [torch.empty(0, dtype=torch.long)]
    for k, n in enumerate(wanted.tolist()):
        of_class = (classes == k).nonzero().flatten()
        if len(of_class):
            chosen.append(of_class[torch.arange(n) % len(of_class)])
    return torch.cat(chosen)
