"""What a data set is: Images in memory, and the Source that they are read from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a data set. It is cached and shared, so nothing may write to it.

    Attributes:
        name: the data set's name in DATASETS.
        images: uint8 (N, C, H, W), 0..255.
        labels: int64 (N,), 0..n_classes - 1.
        n_classes: number of classes of the whole data set.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    n_classes: int


@dataclass(frozen=True)
class Source:
    """What the images of a data set look like, and how it is located, downloaded and read.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: height and width in pixels.
        n_classes: number of classes.
        augment: whether training images are cropped and flipped at random. It is off for digits
            and the like: a mirrored digit is not a digit.
        read: maps (folder, split, source) to images and int64 labels (N,). Images are uint8
            (N, C, H, W), or, where `pictures` is set, the paths (N,) of pictures to decode.
        files: the files each split is read from. The folder that has the first of them is the
            split's folder. Empty: the data set needs no files, and `read` gets an empty path.
        subfolder: where torchvision puts the files, below its root.
        system: the folder of Debian's package, if there is one.
        package: the name of that package.
        archive: the archive that it is published as, if it is a single one.
        pictures: whether `read` returns paths of pictures instead of pixels.
        fetch: downloads the data set, unpacked, into a folder.
        label: the name for tables and figures, where it is not the name in DATASETS.
        place: where its images are, if they are in no files that must be located.
    """

    channels: int
    size: int
    n_classes: int
    augment: bool
    read: Callable[[Path, str, "Source"], tuple[np.ndarray, np.ndarray]]
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    subfolder: str = ""
    system: str = ""
    package: str = ""
    archive: str = ""
    pictures: bool = False
    fetch: Callable[[Path], object] | None = None
    label: str = ""
    place: str = ""
