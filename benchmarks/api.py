"""The Python API: run a suite, load its records and verify them, from a script or a notebook."""

import dataclasses
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pandas as pd

from benchmarks.output import new_console
from benchmarks.planning.axes import seeds_of
from benchmarks.planning.settings import check_tables
from benchmarks.planning.values import read_value
from benchmarks.running.record_tables import CSV, PARQUET, read_table
from benchmarks.running.records import load_records as _load_records
from benchmarks.running.request import Request
from benchmarks.running.suite_run import open_run
from benchmarks.verifying.verdict import Verdict
from benchmarks.verifying.verify_folders import CELLS, Given, verify_given
from mosaic.fl.errors import InputError, did_you_mean

PLAIN = (
    "budget",
    "jobs",
    "threads",
    "device",
    "precision",
    "ray",
    "gpu_share",
    "force",
    "live",
    "style",
    "track",
)
"""Options of :func:`run_suite` that are one value; the axes are checked with the cells."""


def run_suite(suite: str = "heterogeneity", scale: str = "quick", **options: Any) -> pd.DataFrame:
    """Run a suite's missing cells and return the records of all of them.

    It does what ``python -m benchmarks.run`` does: it prints progress, can be stopped and started
    again, and writes tables and figures below ``out``. Ctrl-C raises KeyboardInterrupt here after
    the run's processes are gone.

    Args:
        suite: a suite's name or the path of its TOML file.
        scale: quick, laptop or paper.
        **options: fields of :class:`benchmarks.running.request.Request`. The most useful ones:
            ``methods`` (names, paths of ``.py`` files, or modules), ``datasets`` (names, image
            folders, ``.npz`` files), ``omega``, ``clients``, ``widths`` (lists), ``seeds`` (a list
            or a count), ``budget`` ("equal" or "paper"), ``settings`` ({"task": {"rounds": 5},
            "mosaic": {"lambda_d": 8}}),
            ``partition`` (a file), ``out`` (a folder), ``jobs`` (processes; 1 by default here, as
            a notebook's own functions cannot be sent to other processes).

    Returns:
        One row per cell and scored round; ``docs/records.md`` describes the columns. Failed and
        skipped cells have one row each, with their ``status`` and ``reason``.

    Raises:
        InputError: if an option is wrong, with what to do about it.
    """
    options.setdefault("jobs", 1)
    run = open_run(request_of(suite, scale, options))
    records, _ = run.execute()
    return records


def request_of(suite: str, scale: str, options: dict[str, Any]) -> Request:
    """A Request from the options of :func:`run_suite`: single values become lists, texts paths.

    Raises:
        InputError: if there is no option of a name, or if a value has another type.
    """
    check_tables(options.get("settings", {}), "settings")
    types = get_type_hints(Request)
    known = {field.name for field in dataclasses.fields(Request)} - {"suite", "scale"}
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            raise did_you_mean("option", name, known)
        values[name] = value
        if name in PLAIN:
            values[name] = read_value(name, types[name], value)

    if isinstance(values.get("seeds"), int | str):
        values["seeds"] = seeds_of(values["seeds"])
    for name in ("methods", "datasets", "omega", "clients", "widths", "metrics"):
        if values.get(name) is not None and not isinstance(values[name], list | tuple):
            values[name] = [values[name]]
    for name in ("methods", "datasets", "metrics"):
        for value in values.get(name) or ():
            if not isinstance(value, str | ModuleType):
                raise InputError(f"{name} has {value!r}, which is no name or path.")
    for name in ("out", "partition", "data_dir"):
        if values.get(name) is not None:
            values[name] = _path(name, values[name])
    return Request(suite=suite, scale=scale, **values)


def _path(name: str, given: Any) -> Path:
    if not isinstance(given, str | Path):
        raise InputError(f"{name} is {given!r}; it must be a path.")
    return Path(given)


def load_records(folder: str | Path) -> pd.DataFrame:
    """The records in a suite's folder, e.g. ``results/quick/heterogeneity``, or in one file.

    Args:
        folder: a folder that a run of a suite has written, or a file of records: ``.parquet``,
            ``.csv``, ``.jsonl`` or an archive ``.jsonl.gz``. Of a folder without cells and archive
            records.parquet or records.csv is read.

    Returns:
        One row per cell and scored round, as :func:`run_suite` returns them.

    Raises:
        InputError: if there are no records there, or if they cannot be read.
    """
    path = Path(folder)
    records = read_table(path) if path.is_file() else _load_records(path)
    tables = [path / name for name in (PARQUET, CSV) if (path / name).is_file()]
    if records.empty and tables:
        records = read_table(tables[0])
    if records.empty:
        raise InputError(
            f"there are no records in {folder}; give the folder of one suite, "
            "e.g. results/quick/heterogeneity."
        )
    _warn_of_several_data(folder, records)
    return records


def verify(folder: str | Path, cells: int | None = CELLS, seed: int = 0, **options: Any) -> Verdict:
    """Check that a folder's records, tables and figures are whole, and run some cells again.

    It does what ``python -m benchmarks.verify`` does, and changes nothing in the folder. This
    process has no cache afterwards.

    Args:
        folder: a suite's folder, one with several of them, or an archive of benchmarks.share.
        cells: how many cells are run again, spread over the methods; 0: none; None: all.
        seed: of the draw of these cells.
        **options: further fields of :class:`benchmarks.verifying.verify_folders.Given`, such as
            ``jobs`` (processes; 1 by default here), ``data_dir``, ``methods`` (files).

    Returns:
        The verdict: ``code`` is 0 if all agrees, 1 if something differs, 2 if nothing does but
        something could not be checked; ``differences``, ``unchecked``, ``agreements`` and
        ``notes`` say what, in one line each.

    Raises:
        InputError: if there are no records in the folder, or an option is wrong.
    """
    known = {field.name for field in dataclasses.fields(Given)}
    for name in options:
        if name not in known:
            raise did_you_mean("option", name, known)
    options.setdefault("jobs", 1)
    if options.get("data_dir") is not None:
        options["data_dir"] = _path("data_dir", options["data_dir"])
    verdict = Verdict()
    given = Given(folder=_path("folder", folder), cells=cells, seed=seed, **options)
    verify_given(given, new_console(quiet=True), verdict)
    return verdict


def _warn_of_several_data(folder: str | Path, records: pd.DataFrame) -> None:
    """Warn if records of one data set were measured on different images or labels."""
    columns = [column for column in ("data", "test_data") if column in records]
    for dataset, rows in records.groupby("dataset"):
        for column in columns:
            different = sorted(set(rows[column].dropna()) - {""})
            if len(different) > 1:
                warnings.warn(
                    f"{folder} has records of different data under the name {dataset}: choose one "
                    f"by the column {column} ({', '.join(different)})",
                    stacklevel=3,
                )
                break
