"""DATASETS: every data set by its name.

`mosaic.fl.data.user_data` adds the user's own data sets while the program runs.
"""

from functools import partial

from mosaic.fl.data.fetch import fetch_svhn, fetch_tiny_imagenet, fetch_torchvision
from mosaic.fl.data.picture_lists import list_food101, list_tiny_imagenet
from mosaic.fl.data.readers import read_cifar, read_digits, read_mnist, read_svhn
from mosaic.fl.data.source import SPLITS, Source
from mosaic.fl.errors import did_you_mean

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

DATASETS: dict[str, Source] = {
    "digits": Source(
        channels=1,
        size=8,
        n_classes=10,
        augment=False,
        read=read_digits,
        place="scikit-learn",
    ),
    "mnist": Source(
        channels=1,
        size=28,
        n_classes=10,
        augment=False,
        read=partial(read_mnist, other="fashion_mnist"),
        fetch=partial(fetch_torchvision, class_name="MNIST"),
        files=_IDX_FILES,
        subfolder="MNIST/raw",
    ),
    "fashion_mnist": Source(
        channels=1,
        size=28,
        n_classes=10,
        augment=False,
        read=partial(read_mnist, other="mnist"),
        fetch=partial(fetch_torchvision, class_name="FashionMNIST"),
        files=_IDX_FILES,
        subfolder="FashionMNIST/raw",
        system="/usr/share/datasets/fashion-mnist",
        package="dataset-fashion-mnist",
    ),
    "svhn": Source(
        channels=3,
        size=32,
        n_classes=10,
        augment=False,
        read=read_svhn,
        fetch=fetch_svhn,
        files={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
    ),
    "cifar10": Source(
        channels=3,
        size=32,
        n_classes=10,
        augment=True,
        read=read_cifar,
        fetch=partial(fetch_torchvision, class_name="CIFAR10"),
        files={
            "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
            "test": ("test_batch",),
        },
        subfolder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
    ),
    "cifar100": Source(
        channels=3,
        size=32,
        n_classes=100,
        augment=True,
        read=read_cifar,
        fetch=partial(fetch_torchvision, class_name="CIFAR100"),
        files={"train": ("train",), "test": ("test",)},
        subfolder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
    ),
    "tiny_imagenet": Source(
        channels=3,
        size=64,
        n_classes=200,
        augment=True,
        read=list_tiny_imagenet,
        fetch=fetch_tiny_imagenet,
        files=dict.fromkeys(SPLITS, ("wnids.txt",)),
        subfolder="tiny-imagenet-200",
        archive="tiny-imagenet-200.zip",
        pictures=True,
    ),
    # The originals of Food-101 have up to 512 pixels per side; they are resized to 64x64.
    "food101": Source(
        channels=3,
        size=64,
        n_classes=101,
        augment=True,
        read=list_food101,
        fetch=partial(fetch_torchvision, class_name="Food101"),
        files={"train": ("meta/train.json",), "test": ("meta/test.json",)},
        subfolder="food-101",
        archive="food-101.tar.gz",
        pictures=True,
    ),
}


def check_name(name: str) -> None:
    """Raise an InputError with the nearest known name, unless `name` is in DATASETS."""
    if name not in DATASETS:
        raise did_you_mean("data set", name, DATASETS)


def display_name(dataset: str) -> str:
    """The name of a data set in tables and figures: its label if it has one, else the name itself.

    A name that this process does not know is returned as it is.
    """
    source = DATASETS.get(dataset)
    if source is None:
        return dataset
    return source.label or dataset
