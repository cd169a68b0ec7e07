"""A few generated and real images of each client, kept for the report."""

import numpy as np
import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.session import Session
from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.transforms import to_uint8
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

    folder = session.folder(cell.suite) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{cell.key}.npz"
    np.savez_compressed(
        aside,
        clients=np.array(clients),
        generated=np.stack(generated),
        real=np.stack(real) if real else np.array([]),
    )
    aside.replace(folder / f"{cell.key}.npz")


def _real_images(cell: Cell, shard: Shard) -> np.ndarray:
    """PICTURES images of a client's shard as uint8, the same in every run."""
    rng = stream(cell.task.seed, "pictures", shard.client)
    chosen = torch.randperm(shard.size, generator=rng)[:PICTURES]
    positions = shard.indices[chosen.to(shard.indices.device)]
    return shard.images[positions].cpu().numpy()
