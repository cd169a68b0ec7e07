"""Downloads by torchvision, which checks each archive's md5 and unpacks it.

torchvision is slow to import and only downloads need it, so each function imports it.
"""

from pathlib import Path

from mosaic.fl.data.source import SPLITS

TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def fetch_torchvision(into: Path, class_name: str) -> None:
    """Download a data set of torchvision that comes with all its splits.

    Args:
        into: folder for the files.
        class_name: its class in `torchvision.datasets`, e.g. "MNIST".

    Raises:
        OSError, RuntimeError: the download failed.
    """
    from torchvision import datasets

    getattr(datasets, class_name)(into, download=True)


def fetch_svhn(into: Path) -> None:
    """Download SVHN, whose splits are separate files, into the folder `into`."""
    from torchvision import datasets

    for split in SPLITS:
        datasets.SVHN(into, split, download=True)


def fetch_tiny_imagenet(into: Path) -> None:
    """Download Tiny ImageNet, which has no class in torchvision, into the folder `into`."""
    from torchvision import datasets

    datasets.utils.download_and_extract_archive(TINY_IMAGENET_URL, str(into), md5=TINY_IMAGENET_MD5)
