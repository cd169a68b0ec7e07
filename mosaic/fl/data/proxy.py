"""Proxy images: unlabelled images at the server, for methods that are not data-free."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.device import device
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.rng import stream
from mosaic.fl.task import Task

GREY = torch.tensor([0.299, 0.587, 0.114])  # luma of red, green and blue (ITU-R BT.601)


def proxy_images(task: Task, source: str, n: int) -> Tensor:
    """Draw unlabelled images in the shape of the task's images.

    Args:
        task: its seed decides which images are drawn.
        source: "held_out", the task's validation images, which have the distribution of the
            clients' data and so favour a method that uses them; "noise", uniform pixels; or the
            name of another data set.
        n: how many images to draw.

    Returns:
        uint8 (n, C, S, S) on the device; fewer than n where the source has fewer.

    Raises:
        InputError: the source is unknown, or has no images for this task.
    """
    shape = task.source
    rng = stream(task.seed, "proxy")
    if source == "noise":
        size = (n, shape.channels, shape.size, shape.size)
        return torch.randint(256, size, generator=rng, dtype=torch.uint8).to(device())

    if source == "held_out":
        images = open_federation(task).validation_images
        if len(images) == 0:
            raise InputError(
                "proxy is 'held_out', but validation is 0; hold images out, or use 'noise' or a "
                "data set."
            )
        return _draw(images, n, rng)

    if source == task.dataset:
        raise InputError(
            f"proxy is {source!r}, the clients' own data; use 'held_out', 'noise' or another data "
            "set."
        )
    if source not in DATASETS:
        raise did_you_mean("proxy", source, {"held_out", "noise", *DATASETS} - {task.dataset})
    images = _draw(load(source, "train").images, n, rng)
    return in_shape(images, shape.channels, shape.size).to(device())


def check_proxy(source: str) -> None:
    """Check the name of a source of proxy images.

    Raises:
        InputError: with the nearest known name, if there is none.
    """
    known = {"held_out", "noise", *DATASETS}
    if source not in known:
        raise did_you_mean("proxy", source, known)


def _draw(images: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """At most n of the images, drawn without replacement by a generator on the CPU."""
    chosen = torch.randperm(len(images), generator=rng)[:n]
    return images[chosen.to(images.device)]


def in_shape(images: Tensor, channels: int, size: int) -> Tensor:
    """Convert images to another number of channels and another size.

    Args:
        images: uint8 (n, C, H, W), with C = 1 or 3 and H = W.
        channels: 1 (the luma of colour images) or 3 (grey images repeated).
        size: height and width, by bilinear interpolation.

    Returns:
        uint8 (n, channels, size, size).
    """
    images = images.float()
    if images.shape[1] > channels:
        images = torch.einsum("nchw,c->nhw", images, GREY)[:, None]
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1).contiguous()
