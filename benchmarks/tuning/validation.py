"""One cell as the tuner runs it: scored on held-out training images only."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.metrics.accuracy import score
from benchmarks.metrics.domain import domain_extractor, domain_task
from benchmarks.metrics.fidelity import Extractor, Reference, reference
from benchmarks.metrics.generated_images import Scored, score_generated
from benchmarks.planning.cell import Cell
from benchmarks.planning.data import check_training_data
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
from mosaic.fl.task import Task


def validate(
    cell: Cell, with_fidelity: bool, announce: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run the cell's method, and score the last round on validation images.

    The test set is sealed meanwhile: neither the method nor the scores can load it.

    Args:
        cell: What is run.
        with_fidelity: Whether to score generated images too (FID, KID and IS).
        announce: Called with the name of each stage that starts to be computed.

    Returns:
        Scores (accuracy is a fraction), costs (bytes, FLOPs, seconds), and how many stages of each
        name were computed or came from the cache.

    Raises:
        InputError: If fidelity is wanted and the method has no generator.
        RuntimeError: If the method yields no snapshot of the last round.
    """
    torch.set_num_threads(cell.task.threads)
    watch_stages(announce)
    account = Account()
    scores: dict[str, float] | None = None
    check_training_data(cell)
    with sealed_test_set(), computed_stages() as computed:
        for snapshot in on_the_clock(METHODS[cell.method].run(cell.task, cell.config), account):
            if snapshot.round >= cell.task.rounds:
                scores = _scores(cell, snapshot, with_fidelity)
    if scores is None:
        raise RuntimeError(f"{cell.method} yielded no snapshot of the last round")

    costs = cost_row(account)
    return {
        **scores,
        "upload_bytes": costs["upload_bytes"],
        "download_bytes": costs["download_bytes"],
        "flops": costs["flops"],
        "seconds": costs["method_s"] + costs["stage_s"],
        "method_s": costs["method_s"],
        **_reuse(account, computed),
    }


def _scores(cell: Cell, snapshot: Snapshot, with_fidelity: bool) -> dict[str, float]:
    federation = open_federation(cell.task)
    accuracy = score(
        snapshot.predict,
        federation.validation_images,
        federation.validation_labels,
        cell.task.source.n_classes,
        device=device(),
    ).accuracy
    scores = {"accuracy": accuracy}
    if not with_fidelity:
        return scores

    if snapshot.synthesise is None:
        raise InputError(
            f"{cell.method} has no generator whose images could be scored; tune it for accuracy."
        )
    over = partial(_validation_references, cell.task)
    generated = score_generated(snapshot.synthesise, cell.task.seed, cell.fidelity_n, over)
    return scores | generated.scores


def _validation_references(task: Task, n: int) -> list[Scored]:
    return [(_extractor_of(task), _validation_reference(task, n))]


def _extractor_of(task: Task) -> Extractor:
    return _extractor(domain_task(task))


_extractor = functools.lru_cache(maxsize=2)(domain_extractor)


@functools.lru_cache(maxsize=8)
def _validation_reference(task: Task, n: int) -> Reference:
    """Features of validation images: of ``n``, or of half of them where there are too few."""
    real = open_federation(task).validation_images
    return reference(_extractor_of(task), real, min(n, len(real) // 2), seed=0)


def _reuse(account: Account, computed: set[str]) -> dict[str, Any]:
    """The stages that were computed now, and those from the cache with the seconds that it saved.

    Args:
        account: The account of the method's run.
        computed: The "name/key" of each stage that was computed now.
    """
    used = account.stages.keys()
    now = used & computed
    from_cache = used - computed
    return {
        "computed": _count_by_name(now),
        "reused": _count_by_name(from_cache),
        "computed_s": sum(account.stages[key].seconds for key in now),
        "saved_s": sum(account.stages[key].seconds for key in from_cache),
    }


def _count_by_name(keys: set[str]) -> dict[str, int]:
    names = sorted(key.split("/")[0] for key in keys)
    return {name: names.count(name) for name in dict.fromkeys(names)}
