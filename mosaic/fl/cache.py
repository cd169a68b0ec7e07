"""@stage: a content-addressed cache of what several cells share, and its accounts.

A stage is a plain function of frozen configs and plain values that returns tensors and numbers in dicts and lists.
Its artifact lies under the hash of (name, version, arguments): who asks is not in the key, so two methods that need
the same warm-up get bit-identical models for the price of one. Files are safetensors and JSON, written aside and
renamed; a lock lets one process compute while others wait; a damaged file is found by its checksum and computed again.
"""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor

from mosaic.fl.costs import Account, Cost, account, opened
from mosaic.fl.device import device
from mosaic.fl.rng import seed_of

_folder: Path | None = None
_watch: Callable[[str], None] | None = None
_computed: set[str] | None = None

Function = TypeVar("Function", bound=Callable[..., Any])


def use_store(folder: Path | None) -> None:
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


def stage(version: int, sees: Callable[[Any], Any] | None = None) -> Callable[[Function], Function]:
    """Cache a function's result on disk. Raise ``version`` when the function's result changes.

    ``sees``: what of its argument ``task`` the function gets to see, where that is less than all. The rest is not in
    the key: tasks that differ in nothing else share the result.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        name = function.__name__

        def bound(*args, **kwargs) -> inspect.BoundArguments:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            if sees:
                call.arguments["task"] = sees(call.arguments["task"])
            return call

        def key_of(*args, **kwargs) -> str:
            return stage_key(name, version, bound(*args, **kwargs).arguments)

        @functools.wraps(function)
        def staged(*args, **kwargs):
            call = bound(*args, **kwargs)
            key = stage_key(name, version, call.arguments)
            compute = functools.partial(function, *call.args, **call.kwargs)
            with opened(Account()):  # the caller's clock stands still: it is charged the stage's own seconds
                artifact, costs = _hit(name, key) or _miss(name, key, compute)
            account().stages.update(costs)
            return artifact

        staged.key_of = key_of
        staged.is_cached = lambda *args, **kwargs: is_cached(name, key_of(*args, **kwargs))
        return staged

    return decorate


class OneByOne(Sequence):
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


def stage_key(name: str, version: int, arguments: dict[str, Any]) -> str:
    """32 hex digits of the SHA-256 of the canonical JSON of what determines the artifact."""
    return hashlib.sha256(canonical([name, version, arguments]).encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """JSON with sorted keys, dataclasses by their class name and fields: equal values give equal text."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if not _left_out(value, f)}
        return {"class": type(value).__name__, **{name: _plain(v) for name, v in named.items()}}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a stage's arguments are configs and plain values, not {type(value).__name__}")


def _left_out(value: Any, field: dataclasses.Field) -> bool:
    """Is it a field that came later (``task.later``), at its default? Keys that are older than it hold."""
    return field.metadata.get("later", False) and getattr(value, field.name) == field.default


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
        if _checksum(data, note["artifact"], note["costs"]) != note["sha256"]:
            raise ValueError("its checksum is wrong")
        parts = {k: v.to(device()) for k, v in safetensors.torch.load(data).items()}
        artifact = _unpack(note["artifact"], parts)
        costs = {k: Cost(**cost) for k, cost in note["costs"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"damaged stage {notes.with_suffix('')}: {error}; computing it again", stacklevel=2)
        return None
    return artifact, costs


def _write(name: str, key: str, artifact: Any, costs: dict[str, Cost]) -> None:
    if _folder is None:
        return
    tensors: dict[str, Tensor] = {}
    skeleton = _pack(artifact, tensors, "")
    data = safetensors.torch.save(tensors)
    bill = {k: dataclasses.asdict(cost) for k, cost in costs.items()}
    note = {
        "artifact": skeleton,
        "costs": bill,
        "sha256": _checksum(data, skeleton, bill),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_whole(_folder / name / f"{key}.safetensors", data)
    write_whole(_folder / name / f"{key}.json", json.dumps(note).encode())  # last: it marks the artifact as whole


def _checksum(data: bytes, skeleton: Any, bill: Any) -> str:
    """Of all that a hit returns: the tensors' file and, as JSON, the numbers beside them and the costs."""
    digest = hashlib.sha256(data)
    digest.update(json.dumps([skeleton, bill]).encode())
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write aside, then rename: a file is there whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(data)
    os.replace(aside, path)


def _pack(value: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """The artifact's JSON skeleton; its tensors go into ``tensors`` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {"tensor": path, "channels_last": value.dim() == 4 and not value.is_contiguous()}
    if isinstance(value, dict):
        return {"dict": {k: _pack(v, tensors, f"{path}/{k}") for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [_pack(v, tensors, f"{path}/{i}") for i, v in enumerate(value)]}
    return {"value": value}


def _unpack(skeleton: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    if "tensor" in skeleton:
        tensor = tensors[skeleton["tensor"]]
        return tensor.contiguous(memory_format=torch.channels_last) if skeleton["channels_last"] else tensor
    if "dict" in skeleton:
        return {k: _unpack(v, tensors) for k, v in skeleton["dict"].items()}
    if "list" in skeleton:
        return [_unpack(v, tensors) for v in skeleton["list"]]
    return skeleton["value"]
