"""A few generated and real images of each client, kept for the report."""

import numpy as np
import torch

from benchmarks.planning.cell import Cell
from benchmarks.running.session import Session
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.transforms import to_uint8
from mosaic.fl.rng import stream

PICTURES = 8  # images a client in the figure of generated ones


def keep_pictures(
    cell: Cell, session: Session, images: torch.Tensor, drawn_by: torch.Tensor
) -> None:
    """A few generated images of each client, and a few of its real ones, for the report's figure."""
    generated, real, clients = [], [], []
    for shard in open_federation(cell.task).shards:
        mine = images[(drawn_by == shard.client).to(images.device)][:PICTURES]
        if len(mine) == PICTURES and shard.size >= PICTURES:
            clients.append(shard.client)
            generated.append(to_uint8(mine).cpu().numpy())
            chosen = torch.randperm(
                shard.size, generator=stream(cell.task.seed, "pictures", shard.client)
            )[:PICTURES]
            real.append(shard.images[shard.indices[chosen.to(shard.indices.device)]].cpu().numpy())
    if not clients:  # the method's generator is the server's: no client's name on its images
        clients, generated = [-1], [to_uint8(images[: 8 * PICTURES]).cpu().numpy()]
    folder = session.folder(cell.suite) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{cell.key}.npz"
    np.savez_compressed(
        aside, clients=clients, generated=np.stack(generated), real=np.stack(real) if real else []
    )
    aside.replace(folder / f"{cell.key}.npz")
