"""From a record back to its cell: the method, task and settings that it was measured with."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, get_type_hints

from benchmarks.metrics.columns import meaning_of
from benchmarks.planning.cell import Cell, Work
from benchmarks.planning.data import proxy_of
from benchmarks.planning.methods import METHODS
from benchmarks.planning.plugins import method_source
from benchmarks.planning.scales import SCALES
from benchmarks.planning.settings import configure
from benchmarks.planning.values import read_value
from benchmarks.running.record import TASK_COLUMNS
from benchmarks.running.record_file import Row
from mosaic.fl.data.datasets import DATASETS, display_name
from mosaic.fl.data.loading import fingerprint, is_here, load
from mosaic.fl.errors import InputError, did_you_mean
from mosaic.fl.task import Task


class OtherKey(InputError):
    """The key of a record is not the one that today's code gives for what it states."""


TASK = "task."
CONFIG = "config."


def cell_of(row: Row, metrics: Sequence[str] = ()) -> Cell:
    """The cell that a record is of.

    Args:
        row: any row of the record. What depends on the machine or the suite is not needed.
        metrics: the names of metrics from outside that the run may have had.

    Returns:
        The cell; its key is the record's.

    Raises:
        InputError: the method, the data set, a setting or the model is unknown here, or the key is
            not the one that today's code gives for them.
    """
    try:
        return _cell_of(row, metrics)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"it is not a record of a cell of this version ({type(error).__name__}: {error})"
        ) from error


def _cell_of(row: Row, metrics: Sequence[str]) -> Cell:
    dataset = _dataset(row)
    if row["method"] not in METHODS:
        error = did_you_mean("method", str(row["method"]), METHODS)
        raise InputError(f"{error} One of your own: give its file with --methods.")
    config = configure(row["method"], dict(_prefixed(row, CONFIG)))

    for task in _tasks(row, dataset):
        for cell in _cells(row, task, config, metrics):
            if cell.key == row["cell"]:
                return cell
    own = [column for column in row if meaning_of(column) is None]
    if own and not metrics:
        raise InputError(
            f"it has the columns {', '.join(own)} of metrics from outside: give their files with "
            "--metrics"
        )
    proxy = getattr(config, "proxy", None)
    if proxy in DATASETS and not is_here(proxy, "train"):
        raise InputError(
            f"its method uses {proxy}, which is not on this machine: give its folder with "
            "--data-dir"
        )
    raise OtherKey(
        "the method, task, settings and data that it states have another key than it states"
    )


def version_of(row: Row) -> str:
    """The version of the code that a record names."""
    version = row.get("version") or "no version stated"
    commit = row.get("commit") or "no commit stated"
    return f"{version}, {commit}"


def _dataset(row: Row) -> str:
    """The name in DATASETS; a record has the name in tables, which may be another one."""
    given = str(row["dataset"])
    if given in DATASETS:
        return given
    for name in DATASETS:
        if display_name(name) == given:
            return name
    error = did_you_mean("data set", given, DATASETS)
    raise InputError(f"{error} One of your own: give its folder or file with --datasets.")


def _prefixed(row: Row, prefix: str) -> Iterator[tuple[str, Any]]:
    for column, value in row.items():
        if column.startswith(prefix):
            yield column.removeprefix(prefix), value


def _tasks(row: Row, dataset: str) -> Iterator[Task]:
    """The record's task. All widths of 1 may have been written as no widths, or one by one."""
    types = get_type_hints(Task)
    values: dict[str, Any] = dict(_prefixed(row, TASK))
    values |= {name: row[name] for name in TASK_COLUMNS}
    values |= {"dataset": dataset, "data": row.get("data") or ""}
    known = {field.name for field in dataclasses.fields(Task)}
    for name in values:
        if name not in known:
            raise did_you_mean("setting of task", name, known)
    read = {
        name: read_value(f"{TASK}{name}", types[name], value, infinite=True)
        for name, value in values.items()
    }

    widths = tuple(float(width) for width in str(row["client_widths"]).split())
    given = [widths, ()] if set(widths) == {1.0} else [widths]
    for client_widths in given:
        yield Task(**read, widths=client_widths)


def _cells(row: Row, task: Task, config: Any, metrics: Sequence[str]) -> Iterator[Cell]:
    """The cells that the record may be of: it does not state all that its key has."""
    cell = Cell(
        suite=str(row["suite"]),
        scale=str(row["scale"]),
        label=str(row["label"]),
        method=str(row["method"]),
        task=task,
        config=config,
        widths=str(row["widths"]),
        fidelity_n=0,
        method_source=method_source(str(row["method"])),
        dataset=str(row["dataset"]),
        grid=row.get("grid") or "",
        grid_settings=tuple(str(row.get("grid_settings") or "").split()),
        tuned_settings=tuple(str(row.get("tuned_settings") or "").split()),
        tuned_trials=row.get("tuned_trials") or 0,
        test_data=row.get("test_data") or "",
        work=_work(row),
    )
    proxy = proxy_of(cell)
    proxies = [""]
    if proxy and is_here(proxy, "train"):
        proxies = [fingerprint(load(proxy, "train")), ""]
    measured = [tuple(metrics), ()] if metrics else [()]
    for proxy_data in proxies:
        for names in measured:
            for n in _numbers_of_images(row):
                yield dataclasses.replace(cell, proxy_data=proxy_data, metrics=names, fidelity_n=n)


def _work(row: Row) -> Work:
    names = [field.name for field in dataclasses.fields(Work)]
    known: dict[str, Any] = {name: row[name] for name in names if name in row}
    return Work(**{"budget": "", **known})


def _numbers_of_images(row: Row) -> list[int]:
    """How many images FID is measured on: a record without generated images does not say it."""
    scale = SCALES.get(str(row["scale"]))
    asked = row.get("fidelity_n_asked")
    numbers = [asked] if asked else []
    numbers += [scale.fidelity_n] if scale else []
    return list(dict.fromkeys(int(n) for n in numbers))
