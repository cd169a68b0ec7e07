"""Proxy images: unlabelled images that a server has besides the clients', for methods that are not data-free."""

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
    """At most ``n`` uint8 images (n, C, S, S) in the task's shape, without their labels, on the device.

    ``source``: "held_out", the task's validation images, which are of the clients' own distribution and so favour a
    method that uses them; "noise", uniform pixels; or the name of another data set. InputError for anything else.
    """
    own, rng = task.source, stream(task.seed, "proxy")
    if source == "noise":
        return torch.randint(
            256, (n, own.channels, own.size, own.size), generator=rng, dtype=torch.uint8
        ).to(device())
    if source == "held_out":
        images = open_federation(task).validation_images
        if len(images) == 0:
            raise InputError(
                "proxy is 'held_out', but validation is 0; hold images out, or use 'noise' or a data set."
            )
        return images[torch.randperm(len(images), generator=rng)[:n].to(images.device)]
    if source == task.dataset:
        raise InputError(
            f"proxy is {source!r}, the clients' own data; use 'held_out', 'noise' or another data set."
        )
    if source not in DATASETS:
        raise did_you_mean("proxy", source, {"held_out", "noise", *DATASETS} - {task.dataset})
    images = load(source, "train").images
    return in_shape(
        images[torch.randperm(len(images), generator=rng)[:n]], own.channels, own.size
    ).to(device())


def in_shape(images: Tensor, channels: int, size: int) -> Tensor:
    """uint8 images (n, C, H, W) as (n, ``channels``, ``size``, ``size``): luma or grey thrice, bilinear resizing."""
    images = images.float()
    if images.shape[1] > channels:
        images = torch.einsum("nchw,c->nhw", images, GREY)[:, None]
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1).contiguous()
