"""A few generated and real images of each client, kept for the report."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.session import Session
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.transforms import to_uint8
from mosaic.fl.files import read_sound, write_whole
from mosaic.fl.rng import stream

PICTURES = 8  # images per client in the figure of generated ones
SERVER = -1  # in place of a client's number: the generator is the server's


def keep_pictures(
    cell: Cell, session: Session, images: torch.Tensor, drawn_by: torch.Tensor
) -> None:
    """Write a few generated images of each client, and a few of its real ones, for a figure.

    Args:
        cell: whose method generated the images; its key names the file.
        session: the file is in its folder ``pictures``.
        images: generated images (n, C, H, W) in [-1, 1].
        drawn_by: the client (n,) whose generator drew each of them. If no client drew enough of
            them, the first ones are kept as the server's, without real ones.
    """
    clients, generated, real = [], [], []
    for shard in open_federation(cell.task).shards:
        by_client = images[(drawn_by == shard.client).to(images.device)][:PICTURES]
        if len(by_client) == PICTURES and shard.size >= PICTURES:
            clients.append(shard.client)
            generated.append(to_uint8(by_client).cpu().numpy())
            real.append(_real_images(cell, shard))
    if not clients:
        clients = [SERVER]
        generated = [to_uint8(images[: 8 * PICTURES]).cpu().numpy()]

    path = picture_file(session.folder(cell.suite), cell.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez_compressed(
        content,
        clients=np.array(clients),
        generated=np.stack(generated),
        real=np.stack(real) if real else np.array([]),
    )
    write_whole(path, content.getvalue())


class Pictures(NamedTuple):
    """What :func:`keep_pictures` kept of a cell.

    Attributes:
        clients: whose images they are (R,); SERVER in place of a client.
        generated: uint8 (R, M, C, H, W).
        real: of the same shape; empty where the images belong to no client.
    """

    clients: np.ndarray
    generated: np.ndarray
    real: np.ndarray


def picture_file(folder: Path, key: str) -> Path:
    """Return the path of the pictures of the cell with this key, in its suite's folder."""
    return folder / "pictures" / f"{key}.npz"


def read_pictures(path: Path) -> Pictures | None:
    """Read a cell's pictures.

    Args:
        path: the file.

    Returns:
        The pictures; None if there is no file, or a damaged one: that is named in a warning and set
        aside, and the next run runs the cell again for them.
    """
    return read_sound(path, _pictures, "file of pictures", "the next run makes it again")


def _pictures(content: bytes) -> Pictures:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        pictures = Pictures(file["clients"], file["generated"], file["real"])
    shape = pictures.generated.shape
    fits = pictures.real.size == 0 or pictures.real.shape == shape
    if len(shape) != 5 or pictures.clients.shape != shape[:1] or not fits:
        raise ValueError(f"its arrays are of shapes {[array.shape for array in pictures]}")
    return pictures


def _real_images(cell: Cell, shard: Shard) -> np.ndarray:
    """PICTURES images of a client's shard as uint8, the same in every run."""
    rng = stream(cell.task.seed, "pictures", shard.client)
    chosen = torch.randperm(shard.size, generator=rng)[:PICTURES]
    positions = shard.indices[chosen.to(shard.indices.device)]
    return shard.images[positions].cpu().numpy()
