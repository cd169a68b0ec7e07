"""One cell as the tuner sees it: driven like any other, but scored on held-out training images only."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.metrics.accuracy import score
from benchmarks.metrics.domain import domain_extractor
from benchmarks.metrics.fidelity import Reference, fidelity, reference
from benchmarks.planning.cell import Cell
from benchmarks.planning.methods import METHODS
from benchmarks.running.record import cost_row
from benchmarks.running.run_cell import on_the_clock
from mosaic.fl.cache import computed_stages, watch_stages
from mosaic.fl.contract import Snapshot
from mosaic.fl.costs import Account
from mosaic.fl.data.federation import open_federation
from mosaic.fl.data.loading import sealed_test_set
from mosaic.fl.device import device
from mosaic.fl.errors import InputError
from mosaic.fl.rng import stream
from mosaic.fl.task import Task


def validate(
    cell: Cell, with_fidelity: bool, announce: Callable[[str], None] = lambda stage: None
) -> dict[str, Any]:
    """Run the cell's method; the last round's scores on validation images, its costs, and what came from the cache.

    The test set is sealed meanwhile: neither the method nor what is scored here can load it. ``with_fidelity`` adds
    FID, KID and IS of the generator against validation images; InputError where the method has none.
    """
    torch.set_num_threads(cell.task.threads)
    watch_stages(announce)
    account, row = Account(), None
    with sealed_test_set(), computed_stages() as computed:
        for snapshot in on_the_clock(METHODS[cell.method].run(cell.task, cell.config), account):
            if snapshot.round >= cell.task.rounds:
                row = _scores(cell, snapshot, with_fidelity)
    if row is None:
        raise RuntimeError(f"{cell.method} yielded no snapshot of the last round")
    costs = cost_row(account)
    kept = {name: costs[name] for name in ("upload_bytes", "download_bytes", "flops")}
    seconds = {"seconds": costs["method_s"] + costs["stage_s"], "method_s": costs["method_s"]}
    return row | kept | seconds | _reuse(account, computed)


def _scores(cell: Cell, snapshot: Snapshot, with_fidelity: bool) -> dict[str, float]:
    federation, n_classes = open_federation(cell.task), cell.task.source.n_classes
    held_out = federation.validation_images, federation.validation_labels, n_classes
    row = {"accuracy": score(snapshot.predict, *held_out, device=device()).accuracy}
    if with_fidelity:
        if snapshot.synthesise is None:
            raise InputError(
                f"{cell.method} has no generator whose images could be scored; tune it for accuracy."
            )
        extractor, real = _domain(cell.task), _real(cell.task, cell.fidelity_n)
        images, _ = snapshot.synthesise(real.n, stream(cell.task.seed, "fidelity"))
        row |= fidelity(extractor, images, real, seed=0)
    return row


def _domain(task: Task):
    return _extractor(task.dataset, task.precision, task.threads)


_extractor = functools.lru_cache(maxsize=2)(domain_extractor)


@functools.lru_cache(maxsize=8)
def _real(task: Task, n: int) -> Reference:
    real = open_federation(task).validation_images
    return reference(_domain(task), real, min(n, len(real) // 2), seed=0)


def _reuse(account: Account, computed: set[str]) -> dict[str, Any]:
    """How many stages of each name were computed now, and how many came from the cache, with the seconds it saved."""
    reused = account.stages.keys() - computed
    return {
        "computed": _by_name(account.stages.keys() & computed),
        "reused": _by_name(reused),
        "computed_s": sum(account.stages[key].seconds for key in account.stages.keys() & computed),
        "saved_s": sum(account.stages[key].seconds for key in reused),
    }


def _by_name(keys: set[str]) -> dict[str, int]:
    names = sorted(key.split("/")[0] for key in keys)
    return {name: names.count(name) for name in dict.fromkeys(names)}
