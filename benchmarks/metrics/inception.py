"""The Inception features of FID, IS and KID."""

import hashlib
import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.image.fid import NoTrainInceptionV3

from benchmarks.metrics.fidelity import Extractor
from mosaic.fl.errors import InputError

INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
"""torch-fidelity's weights; the last part of the name is the beginning of the file's SHA-256."""


def inception(weights: str | Path = "auto", device: torch.device | str = "cpu") -> Extractor | None:
    """Return Inception v3 of the FID paper as an extractor.

    It has 2048 features and 1008 logits without their bias, as torchmetrics uses them. Grey images
    are repeated to three channels; all are rounded to uint8 and resized to 299 x 299.

    Args:
        weights: a checkpoint file of torch-fidelity; "auto": the one in torch.hub's cache;
            "download": the same, downloaded (95 MB) if it is not there.
        device: where the network runs.

    Returns:
        None for "auto" if the cached file or torch-fidelity is missing: nothing is downloaded then.

    Raises:
        InputError: torch-fidelity is missing, or the file is missing, damaged or another model's.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_URL.rsplit("/", 1)[1]
    installed = importlib.util.find_spec("torch_fidelity") is not None
    if weights == "auto" and not (installed and cached.is_file()):
        return None
    if not installed:
        raise InputError(
            "Inception features need torch-fidelity: pip install 'mosaic-bench[inception]'."
        )
    network = _load(_checked_path(weights, cached)).to(device)
    to_classes = network.get_parameter("fc.weight")  # (1008, 2048)

    def features(images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pooled = network(pixels.expand(-1, 3, -1, -1))  # (B, 2048)
        return pooled, pooled @ to_classes.T  # (B, 1008)

    return Extractor("inception", features, device)


def check_weights(weights: str | Path, download: bool = True) -> None:
    """Check the weights before any cell runs, since they are used after its generators' training.

    Args:
        weights: as for :func:`inception`.
        download: whether "download" may fetch them now.

    Raises:
        InputError: as :func:`inception` does.
    """
    if str(weights) == "download" and not download:
        return
    inception(weights)


def _checked_path(weights: str | Path, cached: Path) -> Path:
    """The file of the weights; the one in the cache is checked against its hash."""
    if weights not in ("auto", "download"):
        path = Path(weights)
        if not path.is_file():
            raise InputError(
                f"no Inception weights at {str(path)!r}; give an existing file, 'auto' or "
                "'download'."
            )
        return path
    if not cached.is_file():
        _download()
    _check_hash(cached)
    return cached


def _download() -> None:
    try:
        torch.hub.load_state_dict_from_url(
            INCEPTION_URL, progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the Inception weights could not be downloaded ({error}). Fetch {INCEPTION_URL} "
            "elsewhere, and give the file's path."
        ) from error


def _check_hash(path: Path) -> None:
    expected = path.stem.rsplit("-", 1)[1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise InputError(
            f"{str(path)!r} is damaged, perhaps half downloaded (SHA-256 {digest[:8]}...): "
            "delete it."
        )


def _load(path: Path) -> NoTrainInceptionV3:
    try:
        # weights_only first: torch-fidelity would run code that a file contains
        torch.load(path, map_location="cpu", weights_only=True)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    except (
        OSError,
        EOFError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{str(path)!r} is not torch-fidelity's Inception checkpoint ({reason}). "
            f"The right one is {INCEPTION_URL}."
        ) from error
