"""Which shapes of images the networks can work with."""

SMALLEST = 8  # three poolings by 2 leave one pixel (the network `cnn`)
MULTIPLE = 4  # the generator of DENSE and Co-Boosting doubles twice, from a quarter of the size
CHANNELS = (1, 3)

SIZE_RULE = f"Heights and widths must be equal, at least {SMALLEST} and a multiple of {MULTIPLE}"


def size_fits(size: int) -> bool:
    """Whether all networks of this project can work with images of size x size pixels."""
    return size >= SMALLEST and size % MULTIPLE == 0
