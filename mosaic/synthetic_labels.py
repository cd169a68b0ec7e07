"""What Mosaic's server can know from generated images alone, in place of counts and prototypes.

Not in the paper's method. Its section 4.4 trains the meta model on synthetic images and finds that
this is worse; whether experts' weights need the uploaded label counts is not asked there.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mosaic.experts import predictions
from mosaic.fl.models.spec import State
from mosaic.fl.rng import stream
from mosaic.fl.task import Task
from mosaic.prototypes import Prototypes

META_DATA = ("prototypes", "source", "agreement", "both")
"""What the meta model is trained on: the clients' prototypes; generated images, labelled by the
model of the client whose generator drew them ("source"), or those of them that the experts' mean
labels alike ("agreement"); or prototypes and images labelled by the source, which then weigh the
same together ("both")."""

IMAGES_PER_CLIENT = 200
"""Generated images that the server looks at, for each client."""

IMAGES_PER_PASS = 320

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""``draw(n, rng)``: images (n, C, S, S), and the client (n,) whose generator drew each."""

Source = Callable[[Tensor, Tensor], Tensor]
"""Images and those clients to the logits (n, K) of the clients' models."""


def generated_counts(task: Task, draw: Draw, source: Source, sizes: Tensor) -> Tensor:
    """Label counts (N, K) of the clients, as their generated images tell.

    Each client's images are labelled by its own model. The server knows how many samples a client
    has, as in FedAvg, and takes so many in all.

    Args:
        task: the federated problem.
        draw: the clients' generators.
        source: the clients' models.
        sizes: samples per client (N,).

    Returns:
        Counts, which need not be whole. A client of which no image was drawn has none.
    """
    counts = torch.zeros(task.n_clients, task.source.n_classes, dtype=torch.float64)
    rng = stream(task.seed, "generated counts")
    for images, drawn_by in _passes(task, draw, rng):
        labels = source(images, drawn_by).argmax(1).cpu()
        ones = torch.ones(len(labels), dtype=torch.float64)
        counts.index_put_((drawn_by.cpu(), labels), ones, accumulate=True)
    return counts / counts.sum(1, keepdim=True).clamp_min(1) * sizes.double().cpu()[:, None]


def meta_examples(
    task: Task, data: str, experts: list[State], draw: Draw, source: Source
) -> tuple[Tensor, Prototypes]:
    """Generated images as examples for the meta model.

    Args:
        task: the federated problem.
        data: "source", "agreement" or "both", see :data:`META_DATA`.
        experts: one model per class.
        draw: the clients' generators.
        source: the clients' models.

    Returns:
        The experts' logits (P, E, K) for P images, and their ``labels`` and ``weights`` (1 each).

    Raises:
        RuntimeError: the client's model and the experts agree on no image.
    """
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    for images, drawn_by in _passes(task, draw, stream(task.seed, "meta images")):
        of_experts = predictions(experts, task, images)
        of_source = source(images, drawn_by).argmax(1)
        if data == "agreement":
            agreed = of_source == of_experts.mean(1).argmax(1)
            of_experts, of_source = of_experts[agreed], of_source[agreed]
        logits.append(of_experts)
        labels.append(of_source)

    all_labels = torch.cat(labels)
    if len(all_labels) < 2:
        raise RuntimeError(
            "the clients' models and the experts agree on no generated image; set meta_data to "
            "'source' or 'prototypes'."
        )
    weights = torch.ones(len(all_labels), device=all_labels.device)
    return torch.cat(logits), {"labels": all_labels, "weights": weights}


def meta_data(
    data: str,
    logits: Tensor,
    prototypes: Prototypes,
    drawn: Callable[[], tuple[Tensor, Prototypes]],
) -> tuple[Tensor, Prototypes]:
    """What the meta model learns from: the experts' logits (P, E, K), their labels and weights.

    Args:
        data: one of :data:`META_DATA`.
        logits: the experts' logits for the prototypes.
        prototypes: those of all clients.
        drawn: :func:`meta_examples`, called where images are asked for.
    """
    if data == "prototypes":
        return logits, prototypes
    if data == "both":
        return joined_examples(prototypes, logits, drawn())
    return drawn()


def joined_examples(
    prototypes: Prototypes, logits: Tensor, drawn: tuple[Tensor, Prototypes]
) -> tuple[Tensor, Prototypes]:
    """Prototypes and generated images, which weigh the same together, as one set.

    Args:
        prototypes: their ``labels`` and ``weights`` (P,).
        logits: the experts' logits for them (P, E, K).
        drawn: what :func:`meta_examples` gives.
    """
    logits_of_images, images = drawn
    scale = prototypes["weights"].sum() / images["weights"].sum()
    both = {
        "labels": torch.cat([prototypes["labels"], images["labels"]]),
        "weights": torch.cat([prototypes["weights"], scale * images["weights"]]),
    }
    return torch.cat([logits, logits_of_images]), both


def _passes(task: Task, draw: Draw, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """All images that the server looks at, so many at a time."""
    left = IMAGES_PER_CLIENT * task.n_clients
    while left:
        n = min(left, IMAGES_PER_PASS)
        yield draw(n, rng)
        left -= n
