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

# torch-fidelity's; the last part of the name is the head of the file's SHA-256
INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"


def inception(weights: str | Path = "auto", device: torch.device | str = "cpu") -> Extractor | None:
    """Inception v3 of the FID paper (2048 features, 1008 logits without their bias, as torchmetrics takes them).

    ``weights``: a checkpoint file of torch-fidelity's; "auto" (the one in torch.hub's cache, else None: nothing is
    ever downloaded, and None also where torch-fidelity is missing); "download" (95 MB into that cache, if it is not
    there). Grey images are repeated to three channels, all are rounded to uint8 and resized to 299 x 299. Raises
    InputError where torch-fidelity is missing, or the file is missing, damaged or another model's.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_URL.rsplit("/", 1)[1]
    installed = importlib.util.find_spec("torch_fidelity") is not None
    if weights == "auto" and not (installed and cached.is_file()):
        return None
    if not installed:
        raise InputError(
            "Inception features need torch-fidelity: pip install 'mosaic-bench[inception]'."
        )
    if weights == "download" and not cached.is_file():
        _download()
    if weights in ("auto", "download"):
        path = cached
        _check_hash(path)
    else:
        path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"no Inception weights at {str(path)!r}; give an existing file, 'auto' or 'download'."
        )
    network = _load(path).to(device)

    def features(images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pooled = network(pixels.expand(-1, 3, -1, -1))  # (B, 2048)
        return pooled, pooled @ network.fc.weight.T  # (B, 1008)

    return Extractor("inception", features, device)


def _download() -> None:
    try:
        torch.hub.load_state_dict_from_url(
            INCEPTION_URL, progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the Inception weights could not be downloaded ({error}). Fetch {INCEPTION_URL} elsewhere, and give the "
            "file's path."
        ) from error


def _check_hash(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(path.stem.rsplit("-", 1)[1]):
        raise InputError(
            f"{str(path)!r} is damaged, perhaps half downloaded (SHA-256 {found[:8]}...): delete it."
        )


def _load(path: Path) -> NoTrainInceptionV3:
    try:
        torch.load(
            path, map_location="cpu", weights_only=True
        )  # torch-fidelity would run code that a file brings
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    except (
        OSError,
        EOFError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise InputError(
            f"{str(path)!r} is not torch-fidelity's Inception checkpoint ({str(error).strip().splitlines()[0]}). "
            f"The right one is {INCEPTION_URL}."
        ) from error
