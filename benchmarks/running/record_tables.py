"""Records as one file that other programs read: Parquet, CSV or lines of JSON.

``records.parquet`` has one schema for all suites. Every described column is in every file, with the
same type; those that depend on the method follow by name, and the type of such a column is the same
in all files too. The metadata of a column has its description and its unit.
"""

import dataclasses
import functools
import io
import json
import types
from itertools import groupby
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.metrics.column_types import Kind, described_columns, kind_of, unit_of
from benchmarks.metrics.columns import meaning_of
from benchmarks.planning.methods import METHODS
from benchmarks.reporting.frames import read_csv, with_infinities
from benchmarks.running.archive_file import decompress
from benchmarks.running.record_file import Row, parse_rows
from benchmarks.running.records import FIRST_COLUMNS, in_order
from mosaic.fl.errors import InputError
from mosaic.fl.files import problem_of
from mosaic.fl.json_values import from_json, to_json
from mosaic.fl.task import Task

PARQUET = "records.parquet"
CSV = "records.csv"

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "truth": pa.bool_(),
    "text": pa.string(),
}

KINDS: dict[Any, Kind] = {bool: "truth", int: "integer", float: "number"}


def parquet_of(records: pd.DataFrame) -> bytes:
    """The records as the bytes of a Parquet file.

    Args:
        records: rows per cell and scored round, as ``load_records`` returns them.

    Returns:
        The file. Infinities are numbers, and missing values are null. Lists are JSON texts.
    """
    others = set(described_columns()) | {str(column) for column in records.columns}
    names = [*FIRST_COLUMNS, *sorted(others - set(FIRST_COLUMNS))]
    absent = pd.Series(index=records.index, dtype=float)
    arrays = []
    fields = []
    for name in names:
        array = _array(name, records.loc[:, name] if name in records.columns else absent)
        about = {"description": meaning_of(name) or "", "unit": unit_of(name)}
        fields.append(pa.field(name, array.type, metadata=about))
        arrays.append(array)
    content = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), content)
    return content.getvalue()


def _array(column: str, values: pd.Series) -> pa.Array:
    """The values in the column's type; in another one only where they do not fit into it."""
    kind = kind_of(column) or _field_kind(column)
    if values.isna().all():
        return pa.nulls(len(values), ARROW_TYPES[kind or "text"])
    if values.dtype.kind in "if" and kind not in ("text", "truth"):
        return _number_array(values, kind)

    # any mixture: infinities as texts, lists, numbers
    items = [from_json(item) for item in values.astype(object).where(values.notna(), None)]
    kind = kind or _kind_of_items(items)
    if kind == "truth" and all(map(_is_truth, items)):
        return pa.array(items, pa.bool_())
    if kind in ("integer", "number") and all(map(_is_number, items)):
        return _number_array(pd.Series(items, dtype=float), kind)
    return pa.array([None if item is None else _text(item) for item in items], pa.string())


def _number_array(values: pd.Series, kind: Kind | None) -> pa.Array:
    """Numbers, whole ones where the column's type is that and all of them are."""
    numbers = pa.array(values.to_numpy(dtype=float), from_pandas=True)
    is_whole = bool((values.dropna() % 1 == 0).all())
    return numbers.cast(pa.int64()) if kind == "integer" and is_whole else numbers


def _is_truth(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _kind_of_items(items: list[Any]) -> Kind:
    """The type of a column that only these records have, and that has values."""
    if all(map(_is_truth, items)):
        return "truth"
    return "number" if all(map(_is_number, items)) else "text"


def _text(value: Any) -> str:
    value = to_json(value)  # infinities are texts
    return value if isinstance(value, str) else json.dumps(value)


def _field_kind(column: str) -> Kind | None:
    """The type of a setting of the task or of the methods; None for one that none of them has."""
    prefix, _, name = column.partition(".")
    if prefix == "task":
        kinds = set[Kind]()
        if name in _names(Task):
            kinds.add(_kind_of_type(get_type_hints(Task)[name]))
    else:
        kinds = set(_config_kinds(tuple(METHODS)).get(column, ()))
    if not kinds:
        return None
    if len(kinds) == 1:
        return kinds.pop()
    return "number" if kinds == {"integer", "number"} else "text"


@functools.cache
def _config_kinds(methods: tuple[str, ...]) -> dict[str, set[Kind]]:
    """The types that each setting has in the methods' Configs."""
    kinds: dict[str, set[Kind]] = {}
    for method in methods:
        config = METHODS[method].Config
        hints = get_type_hints(config)
        for name in _names(config):
            kinds.setdefault(f"config.{name}", set()).add(_kind_of_type(hints[name]))
    return {column: set(found) for column, found in kinds.items()}


def _names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _kind_of_type(annotation: Any) -> Kind:
    """The type of a dataclass's field: ``int | None`` is an integer that may be missing."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        kinds: set[Kind] = {_kind_of_type(part) for part in parts}
        return kinds.pop() if len(kinds) == 1 else "text"
    return KINDS.get(annotation, "text")


def read_table(path: Path) -> pd.DataFrame:
    """Read records from one file.

    Args:
        path: ``.parquet`` or ``.csv`` as a report writes them; ``.jsonl``, a cell's file; or
            ``.jsonl.gz``, an archive.

    Returns:
        The columns of ``load_records``.

    Raises:
        InputError: the file cannot be read, or has another ending.
    """
    readers = {
        ".parquet": _read_parquet,
        ".csv": read_csv,
        ".jsonl": _read_lines,
        ".gz": _read_lines,
    }
    if path.suffix not in readers:
        raise InputError(
            f"{path} is no file of records; give one that ends in .parquet, .csv, .jsonl or "
            ".jsonl.gz, or a suite's folder."
        )
    try:
        records = readers[path.suffix](path)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"cannot read the records in {path}: {problem_of(error)}.") from error
    return in_order(with_infinities(records))


def _read_parquet(path: Path) -> pd.DataFrame:
    """The columns that have a value: the others are in the file for its schema alone."""
    records = pd.read_parquet(path, engine="pyarrow")
    empty = [name for name, is_empty in records.isna().all().items() if is_empty]
    return records.drop(columns=empty)


def _read_lines(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content, problems = decompress(content)
        if problems:
            raise ValueError(problems[0])
    lines = [line for line in content.splitlines(keepends=True) if line.strip()]
    rows: list[Row] = []
    for key, of_cell in groupby(lines, lambda line: json.loads(line).get("cell")):
        if key is not None:  # None: a partition
            rows += parse_rows(b"".join(of_cell), key)
    return pd.DataFrame(rows)
