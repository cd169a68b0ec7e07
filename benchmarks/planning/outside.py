"""Data sets, models, metrics and splits from outside: what a user gave, and its name here."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.metrics.metric_file import load_metric_file
from benchmarks.planning.entry_points import Kind, entry_points
from benchmarks.planning.plugins import Plugin, find_file, load_method, remember
from benchmarks.planning.quick_checks import is_path_of_data
from benchmarks.planning.settings import Settings
from benchmarks.planning.suite import Suite
from benchmarks.planning.values import different
from mosaic.fl.data.datasets import DATASETS
from mosaic.fl.data.partition_file import read_partition, register_partition
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.home import expanded
from mosaic.fl.models.registration import load_model_file
from mosaic.fl.models.registry import MODELS


def resolve_dataset(given: str) -> str:
    """The name in DATASETS of what a user gave as data set.

    Args:
        given: a name, an image folder, an ``.npz`` file, or an entry point of the group
            ``mosaic_bench.datasets``: a function that registers a data set and returns its name.

    Returns:
        The name for ``Task.dataset``; of a folder or file it contains the hash of its content.

    Raises:
        InputError: if it is none of these, or if the data cannot be used.
    """
    if given in DATASETS:
        return given

    if is_path_of_data(given):
        path = expanded(given).resolve()
        name = register_data(path)
        remember(Plugin("dataset", name, str(path)))
        return name

    points = entry_points("dataset")
    if given not in points:
        raise did_you_mean("data set", given, [*DATASETS, *points])
    return _installed_dataset(given)


def resolve_datasets(given: Sequence[str] | None) -> list[str] | None:
    """The names of data sets; None leaves them to the scale.

    Raises:
        InputError: if there is no such data set, or if one is there twice.
    """
    if given is None:
        return None
    names = [resolve_dataset(name) for name in given]
    different("the list of data sets", given, names)
    return names


def _installed_dataset(entry_point: str) -> str:
    name = _call(entry_point)
    if name not in DATASETS:
        raise InputError(
            f"the entry point {entry_point!r} of the group mosaic_bench.datasets returned "
            f"{name!r}, which it did not register; call mosaic.fl.register_dataset and return "
            "its name."
        )
    remember(Plugin("dataset", name, entry_point, installed=True))
    return name


def _call(entry_point: str) -> Any:
    """What the function of a data set's entry point returns."""
    point = entry_points("dataset")[entry_point]
    try:
        return point.load()()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the entry point {entry_point!r} = {point.value!r} of an installed package failed: "
            f"{type(error).__name__}: {error}."
        ) from error


def resolve_model(given: str, sizes: tuple[int, ...], folder: Path | None = None) -> str:
    """The name in MODELS of what a user gave as ``task.model``.

    Args:
        given: a name, the path of a ``.py`` file, or an entry point of the group
            ``mosaic_bench.models``: a module like such a file.
        sizes: the heights of the images that it must work with.
        folder: where a relative path may also start.

    Returns:
        The name for ``Task.model``; of a file it contains the hash of its content.

    Raises:
        InputError: if it is none of these, or if it is not a model.
    """
    if given in MODELS:
        return given

    path = _python_file("model", given, MODELS, folder)
    name = load_model_file(path, sizes)
    remember(Plugin("model", name, str(path), sizes=sizes))
    return name


def with_resolved_model(
    settings: Settings, datasets: Iterable[str], folder: Path | None = None
) -> Settings:
    """The settings; a ``task.model`` that was given as a file has its name.

    Args:
        settings: values by setting, by method and "task".
        datasets: the names of the data sets that it must work with.
        folder: where a relative path may also start.

    Raises:
        InputError: as :func:`resolve_model` does.
    """
    model = settings.get("task", {}).get("model")
    if model is None:
        return settings

    sizes = tuple(sorted({DATASETS[name].size for name in datasets if name in DATASETS}))
    name = resolve_model(str(model), sizes, folder)
    return settings | {"task": settings["task"] | {"model": name}}


def with_resolved_models(
    suite: Suite, scale: str, datasets: Collection[str], folder: Path
) -> Suite:
    """A suite; models that it gives as files, for all scales or for this one, have their names.

    Args:
        suite: the suite.
        scale: the name of the scale that it is run at.
        datasets: the names of the data sets that the models must work with.
        folder: where a relative path may also start.

    Raises:
        InputError: as :func:`resolve_model` does.
    """
    suite = suite.model_copy(update=with_resolved_model({"task": suite.task}, datasets, folder))
    own = suite.scale.get(scale)
    if own is None:
        return suite
    own = own.model_copy(update=with_resolved_model({"task": own.task}, datasets, folder))
    return suite.model_copy(update={"scale": suite.scale | {scale: own}})


def resolve_metric(given: str) -> str:
    """The name of a metric from outside, which contains the hash of its file.

    Args:
        given: the path of a ``.py`` file, or an entry point of the group ``mosaic_bench.metrics``.

    Raises:
        InputError: if it is neither, or if it is not a metric.
    """
    path = _python_file("metric", given, ())
    name = load_metric_file(path)
    remember(Plugin("metric", name, str(path)))
    return name


def resolve_metrics(given: Sequence[str]) -> list[str]:
    """The names of metrics from files, none of which is there twice."""
    names = [resolve_metric(path) for path in given]
    if names:
        different("the list of metrics", given, names)
    return names


def _python_file(
    kind: Kind, given: str, known: Collection[str], folder: Path | None = None
) -> Path:
    """The file that was given, or the module of the installed package that was named.

    Raises:
        InputError: if there is neither.
    """
    if given.endswith(".py"):
        return find_file(given, folder)

    points = entry_points(kind)
    if given not in points:
        error = did_you_mean(kind, given, [*known, *points])
        raise InputError(f"{error} A {kind} of your own is the path of a .py file.")
    return Path(str(points[given].load().__file__))


def resolve_partition(path: Path) -> str:
    """The content hash of a split of the data, for ``Task.partition``.

    Args:
        path: a ``.json`` or ``.npz`` file with one list of positions per client.

    Raises:
        InputError: if it cannot be read, or is something else.
    """
    path = expanded(path).resolve()
    name = register_partition(path)
    remember(Plugin("partition", name, str(path)))
    return name


def clients_of_partition(path: Path, clients: list[int] | None) -> list[int]:
    """The number of clients of a given split.

    Args:
        path: the file of the split.
        clients: the numbers that the user gave, if any.

    Raises:
        InputError: if they are not the split's.
    """
    n_clients = len(read_partition(path))
    if clients not in (None, [n_clients]):
        raise InputError(
            f"{path} has {n_clients} clients, but --clients is {clients}; leave --clients out."
        )
    return [n_clients]


_LOADERS: dict[Kind, Callable[[Path], str]] = {
    "dataset": register_data,
    "metric": load_metric_file,
    "partition": register_partition,
}


def load_plugin(plugin: Plugin) -> None:
    """Make this process know what another one has loaded.

    Raises:
        InputError: if the file is not there any more, or has other content than there.
    """
    if plugin.kind == "method":
        load_method(plugin)
        return
    if plugin.kind == "dataset" and plugin.installed:
        _call(plugin.path)
        return

    path = Path(plugin.path)
    if plugin.kind == "model":
        name = load_model_file(path, plugin.sizes)
    else:
        name = _LOADERS[plugin.kind](path)
    if name != plugin.name:
        raise InputError(
            f"{plugin.path} has changed since the command began "
            f"(it was {plugin.name}, it is {name}); start the command again."
        )
    remember(plugin)
