"""What a data set is: Images in memory, and the Source that they are read from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a data set. Cached and shared: not to be written to.

    images: uint8 (N, C, H, W), 0..255. labels: int64 (N,), 0..n_classes - 1.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    n_classes: int


@dataclass(frozen=True)
class Source:
    """What a data set is, and how it is found and read.

    read: (folder, split, source) to uint8 images (N, C, H, W), or where `pictures` the files to decode (N,), and to
    int64 labels (N,).
    files: what each split is read from; the split is in the folder that has the first of them.
    subfolder: where torchvision lays them below its root. system: the folder of Debian's package.
    augment: whether the networks' recipe crops and flips the training images; a flipped digit is no digit.
    """

    channels: int
    size: int
    n_classes: int
    augment: bool
    read: Callable[[Path, str, "Source"], tuple[np.ndarray, np.ndarray]]
    files: dict[str, tuple[str, ...]] | None = None
    subfolder: str = ""
    system: str = ""
    package: str = ""
    pictures: bool = False
