"""@stage: a content-addressed cache of what several cells share, and its accounts.

A stage is a plain function of frozen configs and plain values that returns tensors and numbers in dicts and lists.
Its artifact lies under the hash of (name, version, arguments): who asks is not in the key, so two methods that need
the same warm-up get bit-identical models for the price of one. Files are safetensors and JSON, written aside and
renamed; a lock lets one process compute while others wait; a damaged file is found by its checksum and computed again.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor

from mosaic.fl.artifacts import checksum, pack, unpack
from mosaic.fl.costs import Account, Cost, account, opened
from mosaic.fl.device import device
from mosaic.fl.files import write_whole
from mosaic.fl.keys import stage_key
from mosaic.fl.rng import seed_of

_folder: Path | None = None

_watch: Callable[[str], None] | None = None

_computed: set[str] | None = None

Function = TypeVar("Function", bound=Callable[..., Any])


def use_cache(folder: Path | None) -> None:
    """Keep artifacts under ``folder``; with None stages are computed each time."""
    global _folder
    _folder = folder


def watch_stages(watch: Callable[[str], None] | None) -> None:
    """Call ``watch``, unless it is None, with the name of each stage that starts to be computed."""
    global _watch
    _watch = watch


@contextlib.contextmanager
def computed_stages() -> Iterator[set[str]]:
    """The "name/key" of each stage that is computed inside the block, and so not found in the cache."""
    global _computed
    around, _computed = _computed, set()
    try:
        yield _computed
    finally:
        _computed = around


def stage(
    version: int, sees: Callable[[Any], Any] | None = None, name: str | None = None
) -> Callable[[Function], Function]:
    """Cache a function's result on disk. Raise ``version`` when the function's result changes.

    ``sees``: what of its argument ``task`` the function gets to see, where that is less than all. The rest is not in
    the key: tasks that differ in nothing else share the result. ``name``: the name in the cache's keys and in records,
    where it is not the function's.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        stage_name = name or function.__name__

        def bound(*args, **kwargs) -> inspect.BoundArguments:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            if sees:
                call.arguments["task"] = sees(call.arguments["task"])
            return call

        def key_of(*args, **kwargs) -> str:
            return stage_key(stage_name, version, bound(*args, **kwargs).arguments)

        @functools.wraps(function)
        def staged(*args, **kwargs):
            call = bound(*args, **kwargs)
            key = stage_key(stage_name, version, call.arguments)
            compute = functools.partial(function, *call.args, **call.kwargs)
            with opened(
                Account()
            ):  # the caller's clock stands still: it is charged the stage's own seconds
                artifact, costs = _hit(stage_name, key) or _miss(stage_name, key, compute)
            account().stages.update(costs)
            return artifact

        staged.stage_name = stage_name
        staged.key_of = key_of
        staged.is_cached = lambda *args, **kwargs: is_cached(stage_name, key_of(*args, **kwargs))
        return staged

    return decorate


class LazyModels(Sequence):
    """What ``call(0)`` to ``call(n - 1)`` return, read from the store as it is asked for; the last few stay in memory.

    A hundred clients' large models would not fit. All are computed, and charged, at once; without a store all stay.
    """

    def __init__(self, call: Callable[[int], Any], n: int, few: int = 10):
        self._read, self._n = functools.lru_cache(None if _folder is None else few)(call), n
        for i in range(n):
            self._read(i)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, i: int) -> Any:
        if not 0 <= i < self._n:
            raise IndexError(f"there is no item {i} of {self._n}")
        return self._read(i)


def is_cached(name: str, key: str) -> bool:
    return _folder is not None and (_folder / name / f"{key}.json").exists()


def _miss(name: str, key: str, compute: Callable[[], Any]) -> tuple[Any, dict[str, Cost]]:
    with _locked(name, key):
        found = _hit(name, key)  # another process may have computed it while this one waited
        if found:
            return found
        if _watch is not None:
            _watch(name)
        if _computed is not None:
            _computed.add(f"{name}/{key}")
        mine = Account()
        # The caller's random state is the same after a hit and after a miss
        with opened(mine), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(key))
            artifact = compute()
        costs = {**mine.stages, f"{name}/{key}": mine.own}
        _write(name, key, artifact, costs)
    return artifact, costs


@contextlib.contextmanager
def _locked(name: str, key: str) -> Iterator[None]:
    """Hold the artifact's lock, so that processes that need the same stage compute it once."""
    if _folder is None:
        yield
        return
    (_folder / name).mkdir(parents=True, exist_ok=True)
    with FileLock(_folder / name / f"{key}.lock"):
        yield


def _hit(name: str, key: str) -> tuple[Any, dict[str, Cost]] | None:
    """The artifact and the costs of all stages that made it; None where there is none, or none that is whole."""
    if not is_cached(name, key):
        return None
    notes, tensors = _folder / name / f"{key}.json", _folder / name / f"{key}.safetensors"
    try:
        note = json.loads(notes.read_text())
        data = tensors.read_bytes()
        if checksum(data, note["artifact"], note["costs"]) != note["sha256"]:
            raise ValueError("its checksum is wrong")
        parts = {k: v.to(device()) for k, v in safetensors.torch.load(data).items()}
        artifact = unpack(note["artifact"], parts)
        costs = {k: Cost(**cost) for k, cost in note["costs"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(
            f"damaged stage {notes.with_suffix('')}: {error}; computing it again", stacklevel=2
        )
        return None
    return artifact, costs


def _write(name: str, key: str, artifact: Any, costs: dict[str, Cost]) -> None:
    if _folder is None:
        return
    tensors: dict[str, Tensor] = {}
    skeleton = pack(artifact, tensors, "")
    data = safetensors.torch.save(tensors)
    bill = {k: dataclasses.asdict(cost) for k, cost in costs.items()}
    note = {
        "artifact": skeleton,
        "costs": bill,
        "sha256": checksum(data, skeleton, bill),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_whole(_folder / name / f"{key}.safetensors", data)
    write_whole(
        _folder / name / f"{key}.json", json.dumps(note).encode()
    )  # last: it marks the artifact as whole
