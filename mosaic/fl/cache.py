"""Stages: functions whose results are cached on disk and shared by several cells, with their costs.

A stage is a plain function, decorated with :func:`stage`. Its arguments are frozen configs and
plain values; it returns tensors and numbers in dicts and lists. The result is stored under the hash
of (name, version, arguments). The method that needs it is not part of the hash, so two methods that
need the same models get the same bits, and they are computed once.

A result is two files, of tensors (safetensors) and of the rest with the costs (JSON). They are
written to hidden files and renamed. A lock lets one process compute a result while others wait for
it. A damaged file is noticed by its checksum and set aside, and the result is computed again.
"""

import atexit
import contextlib
import dataclasses
import functools
import inspect
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor

from mosaic.fl.artifacts import DAMAGE, checksum, pack, unpack
from mosaic.fl.costs import Account, Cost, account, opened
from mosaic.fl.device import device
from mosaic.fl.files import problem_of, set_aside, write_whole
from mosaic.fl.keys import stage_key
from mosaic.fl.rng import seed_of

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclasses.dataclass
class _Cache:
    """The state of this process's cache.

    Attributes:
        folder: Where results are stored; None: nowhere.
        chosen: Whether :func:`use_cache` has set the folder.
        watch: Called with the name of each stage that starts to be computed.
        computed: The "name/key" of each stage computed in a block of :func:`computed_stages`;
            None outside.
    """

    folder: Path | None = None
    chosen: bool = False
    watch: Callable[[str], None] | None = None
    computed: set[str] | None = None


_cache = _Cache()


def use_cache(folder: Path | None) -> None:
    """Store results under ``folder``; with None, every stage is computed each time it is called.

    Before the first call results are stored in a temporary folder, which goes with the process.
    """
    _cache.folder = folder
    _cache.chosen = True


def in_use() -> bool:
    """Whether results are stored."""
    return _folder() is not None


def _folder() -> Path | None:
    """Where results are stored; a temporary folder if nobody has chosen one.

    Without any, each client's last model would train the server's model of all earlier rounds
    again.
    """
    if not _cache.chosen:
        temporary = tempfile.mkdtemp(prefix="mosaic-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        use_cache(Path(temporary))
    return _cache.folder


def watch_stages(watch: Callable[[str], None] | None) -> None:
    """Call ``watch`` with the name of each stage that starts to be computed; None: nothing more."""
    _cache.watch = watch


@contextlib.contextmanager
def computed_stages() -> Iterator[set[str]]:
    """Collect the "name/key" of each stage that a block computes and does not read from disk."""
    outer = _cache.computed
    computed: set[str] = set()
    _cache.computed = computed
    try:
        yield computed
    finally:
        _cache.computed = outer


class Stage(Generic[Arguments, Result]):
    """A function whose results are cached, made by :func:`stage`. It is called like the function.

    Attributes:
        stage_name: The stage's name in keys and in records.
        __wrapped__: The function itself, which is not cached.
    """

    def __init__(
        self,
        function: Callable[Arguments, Result],
        name: str,
        version: int,
        sees: Callable[[Any], Any] | None,
    ):
        functools.update_wrapper(self, function)
        self.stage_name = name
        self.__wrapped__ = function
        self._signature = inspect.signature(function)
        self._version = version
        self._sees = sees

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        call = self._bind(*args, **kwargs)
        key = self._key(call)
        compute = functools.partial(self.__wrapped__, *call.args, **call.kwargs)

        # The caller's clock stops: it is charged the seconds that the stage itself took
        with opened(Account()):
            stored = _read(self.stage_name, key)
            if stored is None:
                stored = _compute(self.stage_name, key, compute)

        artifact, costs = stored
        account().stages.update(costs)
        return artifact

    def key_of(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        """The key of the result for these arguments."""
        return self._key(self._bind(*args, **kwargs))

    def is_cached(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> bool:
        """Whether the result for these arguments is in the cache."""
        return is_cached(self.stage_name, self.key_of(*args, **kwargs))

    def __reduce__(self) -> str:
        """Pickle by name, as functions are."""
        return self.__wrapped__.__qualname__

    def _bind(self, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        """All arguments by name, with the task reduced to what the function sees."""
        call = self._signature.bind(*args, **kwargs)
        call.apply_defaults()
        if self._sees is not None:
            call.arguments["task"] = self._sees(call.arguments["task"])
        return call

    def _key(self, call: inspect.BoundArguments) -> str:
        return stage_key(self.stage_name, self._version, call.arguments)


def stage(
    version: int, sees: Callable[[Any], Any] | None = None, name: str | None = None
) -> Callable[[Callable[Arguments, Result]], Stage[Arguments, Result]]:
    """Cache a function's results on disk.

    Args:
        version: The version of the function's results. Raise it when they change.
        sees: Reduces the argument ``task`` to what the function depends on. The function gets, and
            the key has, only that: tasks that differ in nothing else share the result.
        name: The name in keys and in records; by default the function's.

    Returns:
        The decorator.
    """

    def decorate(function: Callable[Arguments, Result]) -> Stage[Arguments, Result]:
        return Stage(function, name or function.__name__, version, sees)

    return decorate


def is_cached(name: str, key: str) -> bool:
    """Whether the result of the stage ``name`` with this key is in the cache."""
    folder = _folder()
    return folder is not None and (folder / name / f"{key}.json").exists()


def _compute(name: str, key: str, compute: Callable[[], Any]) -> tuple[Any, dict[str, Cost]]:
    """Compute and store a result, or read it if another process has computed it meanwhile.

    Returns:
        The result, and the costs of all stages that made it, by their "name/key".
    """
    with _locked(name, key):
        stored = _read(name, key, locked=True)
        if stored is not None:
            return stored

        if _cache.watch is not None:
            _cache.watch(name)
        if _cache.computed is not None:
            _cache.computed.add(f"{name}/{key}")

        # The caller's random state must be the same whether the result is computed or read
        stage_account = Account()
        with opened(stage_account), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(key))
            artifact = compute()

        costs = {**stage_account.stages, f"{name}/{key}": stage_account.own}
        _write(name, key, artifact, costs)
    return artifact, costs


@contextlib.contextmanager
def _locked(name: str, key: str) -> Iterator[None]:
    """Hold the result's lock, so that processes that need the same result compute it once."""
    folder = _folder()
    if folder is None:
        yield
        return

    (folder / name).mkdir(parents=True, exist_ok=True)
    with FileLock(folder / name / f"{key}.lock"):
        yield


def _read(name: str, key: str, locked: bool = False) -> tuple[Any, dict[str, Cost]] | None:
    """A stored result and the costs of all stages that made it; None if there is no sound one.

    A damaged one is set aside if this process holds the result's lock: without it, another one
    might have computed the result again meanwhile.
    """
    folder = _folder()
    if folder is None or not is_cached(name, key):
        return None

    stem = folder / name / key
    notes_file = stem.with_suffix(".json")
    tensors_file = stem.with_suffix(".safetensors")
    try:
        note = json.loads(notes_file.read_bytes())
        data = tensors_file.read_bytes()
        if checksum(data, note["artifact"], note["costs"]) != note["sha256"]:
            raise ValueError("its checksum is wrong")

        tensors = {path: t.to(device()) for path, t in safetensors.torch.load(data).items()}
        artifact = unpack(note["artifact"], tensors)
        costs = {used: _cost(stored) for used, stored in note["costs"].items()}
    except DAMAGE as error:
        if locked:
            problem = problem_of(error)
            set_aside(notes_file, "stage", problem, "computing it again", [tensors_file])
        return None
    return artifact, costs


def _cost(stored: dict[str, Any]) -> Cost:
    """A stored cost. What only a later version accounts for is left out."""
    known = {field.name for field in dataclasses.fields(Cost)}
    return Cost(**{name: value for name, value in stored.items() if name in known})


def _write(name: str, key: str, artifact: Any, costs: dict[str, Cost]) -> None:
    folder = _folder()
    if folder is None:
        return

    tensors: dict[str, Tensor] = {}
    skeleton = pack(artifact, tensors, "")
    data = safetensors.torch.save(tensors)
    costs_as_dicts = {used: dataclasses.asdict(cost) for used, cost in costs.items()}
    note = {
        "artifact": skeleton,
        "costs": costs_as_dicts,
        "sha256": checksum(data, skeleton, costs_as_dicts),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }

    # The JSON file comes last: a result is in the cache if it exists
    write_whole(folder / name / f"{key}.safetensors", data)
    write_whole(folder / name / f"{key}.json", json.dumps(note).encode())
