"""Images between uint8 and the networks' range, and random crops and flips."""

import torch


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 to float32 [-1, 1]: the space in which all networks read and all generators (tanh) write."""
    return images.float() / 127.5 - 1


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`normalise`: rounded, and clamped to 0..255."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A random crop from a black border of 4 pixels and a random horizontal flip of each image, uint8 (B, C, H, W).

    Drawn by a CPU generator, so that a seed means the same on each device.
    """
    n, channels, height, width = images.shape
    down, right = torch.randint(0, 9, (2, n, 1), generator=rng)
    flipped = torch.randint(0, 2, (n, 1), generator=rng).bool()
    across = torch.arange(width)
    y = (down + torch.arange(height)).to(images.device)  # (B, H)
    x = (right + torch.where(flipped, across.flip(0), across)).to(images.device)  # (B, W)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    image, channel = (torch.arange(count, device=images.device) for count in (n, channels))
    return padded[
        image[:, None, None, None], channel[:, None, None], y[:, None, :, None], x[:, None, None, :]
    ]
