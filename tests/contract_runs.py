"""Small settings for each method, and what tests over all methods do with them."""

import torch

from baselines import (
    ccvr,
    coboosting,
    dense,
    dfdg,
    dfrd,
    fedcvae,
    feddf,
    federatedfactory,
    fedftg,
    fedgen,
    fedpft,
    fens,
    sda_fl,
)
from benchmarks.planning.methods import METHODS
from mosaic import feedback
from mosaic import method as mosaic
from mosaic.fl import costs
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import Account, opened
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.task import Task

SMALL_CVAE = {
    "cvae_latent": 4,
    "cvae_hidden": 32,
    "cvae_steps": 120,
    "cvae_lr": 1e-2,
    "images": 400,
    "classifier_steps": 50,
    "classifier_lr": 1e-2,
}

# A few steps of everything; methods without settings are as they are
SMALL = {
    "fedpft": fedpft.Config(mixtures=2, epochs=1),
    "ccvr": ccvr.Config(virtual=50, epochs=2),
    "coboosting": coboosting.Config(
        epochs=2, synthesis_steps=2, distil_steps=3, batch=32, latent=8
    ),
    "dfdg": dfdg.Config(turns=2, generator_steps=2, batch=16, latent=8, ngf=4),
    "dfrd": dfrd.Config(turns=2, generator_steps=2, batch=16, latent=8, ngf=4),
    "dense": dense.Config(epochs=2, synthesis_steps=2, distil_steps=3, batch=32, latent=8),
    "feddf": feddf.Config(steps=3, batch=16),
    "fedcvae": fedcvae.Config(**SMALL_CVAE, kd_steps=8),
    # Its steps are of each client and class: a quarter of those of a VAE for all classes
    "federatedfactory": federatedfactory.Config(**SMALL_CVAE | {"cvae_steps": 30}),
    "fens": fens.Config(hidden=10, aggregator_rounds=60, server_lr=0.02),
    "fedftg": fedftg.Config(turns=2, batch=16, latent=8, ngf=4),
    "sda_fl": sda_fl.Config(
        latent=8, ngf=4, generator_steps=4, generator_batch=16, images=60, threshold=0.5
    ),
    "fedgen": fedgen.Config(generator_steps=4, batch=16),
    "mosaic": mosaic.Config(
        latent=8, ngf=4, generator_steps=4, generator_batch=16, k=3, distil_steps=4, distil_batch=32
    ),
    "mosaic_feedback": feedback.Config(flow_hidden=32, flow_steps=40, images=100),
}


def config_of(method: str):
    return SMALL.get(method) or METHODS[method].Config()


def learnable(**changes) -> Task:
    """Alike clients and enough rounds for a tiny network to learn the digits."""
    facts = {
        "omega": 100.0,
        "n_clients": 3,
        "rounds": 4,
        "score_every": 2,
        "steps": 15,
        "base_width": 8,
        "batch_size": 32,
        "lr": 0.1,
    }
    return Task(**facts | changes)


def images() -> torch.Tensor:
    return normalise(load("digits", "test").images)


def run(method: str, task: Task) -> list[Snapshot]:
    return list(METHODS[method].run(task, config_of(method)))


def logits_of(snapshot: Snapshot) -> torch.Tensor:
    """Logits (M, B, K) of the snapshot's M models."""
    models = [snapshot.predict] if callable(snapshot.predict) else snapshot.predict
    return torch.stack([predict(images()) for predict in models])


def total(method: str, task: Task) -> costs.Cost:
    with opened(Account()) as account:
        run(method, task)
    return account.total()
