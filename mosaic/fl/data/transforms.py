"""Convert images between uint8 and the range of the networks; random crops and flips."""

import torch
import torch.nn.functional as F

BORDER = 4  # pixels of black border that crops are taken from


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 0..255 to float32 [-1, 1], which all networks read and generators write."""
    return images.float() / 127.5 - 1


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`normalise`: rounded, and clamped to 0..255."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Crop each image at random from a black border of 4 pixels, and mirror it at random.

    Args:
        images: uint8 (B, C, H, W), on any device.
        rng: a generator on the CPU, so that a seed gives the same crops on each device.

    Returns:
        The images, uint8 (B, C, H, W), on the same device.
    """
    n, channels, height, width = images.shape
    device = images.device
    down, right = torch.randint(0, 2 * BORDER + 1, (2, n, 1), generator=rng)
    flipped = torch.randint(0, 2, (n, 1), generator=rng).bool()

    # The row and column of the padded image that each pixel of the result comes from.
    across = torch.arange(width)
    y = (down + torch.arange(height)).to(device)  # (B, H)
    x = (right + torch.where(flipped, across.flip(0), across)).to(device)  # (B, W)

    padded = F.pad(images, (BORDER, BORDER, BORDER, BORDER))
    image = torch.arange(n, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[:, None, None]
    return padded[image, channel, y[:, None, :, None], x[:, None, None, :]]
