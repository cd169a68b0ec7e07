"""The records of one or several folders as one table, in which no two rows are of one cell.

Folders may have been run at different scales, with other settings or by other versions. Records of
different tasks are never in one comparison: the data set's name then says what differs. Different
settings of one method are different labels.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmarks.reporting.comparison import GROUP
from benchmarks.reporting.frames import groups, values_of, with_infinities, with_status
from benchmarks.reporting.names import is_frame
from benchmarks.running.archive import ARCHIVE
from benchmarks.running.records import load_records
from benchmarks.running.run_state import runs_in
from mosaic.fl.errors import InputError

FOLDER = "folder"
"""The column that says which folder a row was read from."""

TASK_FACTS = ("scale", "precision", "threads", "data", "test_data")
"""Columns beside ``task.*`` in which the records of one comparison agree."""

METHOD_FACTS = ("version", "commit")
"""Columns beside ``config.*`` that tell apart two cells of one label and seed."""

BEST_FIRST = {"done": 0, "skipped": 1, "failed": 2}


@dataclass(frozen=True)
class Sources:
    """What a page is made from.

    Attributes:
        records: rows per cell and scored round, with the column ``folder``.
        folders: the folders, in the order in which they were given.
        notes: what a reader must know of how they were put together.
    """

    records: pd.DataFrame
    folders: list[Path]
    notes: list[str] = field(default_factory=list)


def read_folders(given: Sequence[Path]) -> Sources:
    """Read the records of suites' folders.

    Args:
        given: folders, each with ``cells/`` or an archive of them.

    Raises:
        InputError: a folder does not exist, or no record can be read from it.
    """
    folders = list({folder.resolve(): folder for folder in given}.values())
    notes: list[str] = []
    frames = []
    for folder in folders:
        frame, problems = _read(folder)
        notes += problems
        frames.append(frame.assign(**{FOLDER: str(folder)}))

    records = pd.concat(frames, ignore_index=True).dropna(axis="columns", how="all")
    records = _with_columns_of(frames[0], records)
    records = once(records, notes)
    return Sources(distinct(records, notes).copy(), folders, notes)


def _with_columns_of(frame: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """The records with every column of the frame; those that were empty come last."""
    return records.reindex(columns=list(dict.fromkeys([*records.columns, *frame.columns])))


def check_given(folder: Path) -> None:
    """Check that a folder is a suite's, with records.

    Raises:
        InputError: it does not exist, or has none.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a suite's folder of results.")
    if not _has_records(folder):
        inside = sorted(path for path in folder.glob("*") if path.is_dir() and _has_records(path))
        if inside:
            names = " ".join(str(path) for path in inside)
            raise InputError(f"{folder} has no records itself; give folders in it: {names}.")
        raise InputError(
            f"{folder} has no records: neither cells/ nor {ARCHIVE}. Give a suite's folder, such "
            "as results/heterogeneity."
        )


def _read(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of a folder, and what of it could not be read."""
    at_work = bool(runs_in(folder))
    if not at_work:
        check_given(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        records = with_infinities(load_records(folder))
    problems = list(dict.fromkeys(str(warning.message) for warning in caught))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    if not len(records) and not at_work:
        raise InputError(f"no record in {folder} can be read: {'; '.join(problems)}.")
    return records, problems


def _has_records(folder: Path) -> bool:
    cells = folder / "cells"
    return (folder / ARCHIVE).exists() or any(cells.glob("*.jsonl")) or any(cells.glob("*.json"))


def once(records: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The records with each cell once, from the first folder where it was finished.

    Args:
        records: rows of several folders.
        notes: get a line on cells that several folders have.
    """
    cells = records.loc[:, ["cell", FOLDER, "status"]].drop_duplicates(["cell", FOLDER])
    several = cells["cell"].duplicated(keep=False)
    if not several.any():
        return records

    cells = cells.assign(place=cells["status"].map(BEST_FIRST).fillna(len(BEST_FIRST)))
    chosen = cells.sort_values("place", kind="stable").drop_duplicates("cell")
    kept = records.merge(chosen.loc[:, ["cell", FOLDER]], on=["cell", FOLDER])

    last = records.loc[records["selection"].astype(str).str.contains("last", regex=False)]
    accuracy = last.groupby("cell")["accuracy"]
    spread = accuracy.max() - accuracy.min()
    text = f"{cells.loc[several, 'cell'].nunique()} cells are in several folders and shown once."
    if (spread > 0).any():
        text += (
            f" The accuracies of {int((spread > 0).sum())} of them differ between the folders, by "
            f"up to {100 * spread.max():.1f} points; the first folder's are shown."
        )
    notes.append(text)
    return kept


def distinct(records: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The records with names that keep apart what must not be compared, or averaged, as one.

    Args:
        records: rows per cell and scored round, with the column ``folder``.
        notes: get a line on each name that was changed.
    """
    records = _apart(records, notes, "dataset", GROUP, _columns(records, TASK_FACTS, "task."))
    facts = _columns(records, METHOD_FACTS, "config.")
    return _apart(records, notes, "label", [*GROUP, "label", "seed"], facts)


def _columns(records: pd.DataFrame, names: Sequence[str], prefix: str) -> list[str]:
    """Those of the columns that the records have, the folder among them."""
    present = [str(name) for name in records.columns]
    return [name for name in present if name in names or name.startswith(prefix)]


def _apart(
    records: pd.DataFrame, notes: list[str], name: str, by: list[str], facts: list[str]
) -> pd.DataFrame:
    """Give rows that differ in facts, although they agree in all of ``by``, names of their own.

    The names that they had are then in the column ``<name>_given``.

    Args:
        records: rows per cell and scored round.
        notes: get a line on each name that was changed.
        name: the column that gets the names, ``dataset`` or ``label``.
        by: the columns in which the rows of one comparison agree.
        facts: columns in which they must agree too.
    """
    done = with_status(records, "done")
    changed = records.loc[:, name].astype(object).copy()
    for value in values_of(done, name):
        members = done.loc[done[name] == value].drop_duplicates("cell")
        columns = _differing(members, by, facts)
        if not columns:
            continue

        here = records.loc[:, name] == value
        suffixes = _suffixes(records.loc[here], columns)
        if name == "label":
            suffixes = suffixes.where(suffixes != suffixes.iloc[0], "")
        changed.loc[here] = [f"{value} ({text})" if text else value for text in suffixes]
        notes.append(
            f"{value} is under several names because its records differ in {', '.join(columns)}."
        )
    if not changed.equals(records.loc[:, name].astype(object)):
        records = records.assign(**{f"{name}_given": records[name], name: changed})
    if name == "label":
        records = _without_second(records, by, notes)
    return records


def _differing(rows: pd.DataFrame, by: list[str], facts: list[str]) -> list[str]:
    """The facts in which rows differ that agree in all of ``by``; missing values do not count."""
    found: dict[str, None] = {}
    for _, alike in groups(rows, by):
        if len(alike) < 2:
            continue
        for fact in facts:
            values = alike[fact].dropna()
            if len(values) > 1 and len(set(values.astype(str))) > 1:
                found[fact] = None
    return list(found)


def _suffixes(rows: pd.DataFrame, columns: list[str]) -> pd.Series:
    """What tells rows apart: the first folder with their values of the columns, or the values."""
    texts = rows.reindex(columns=columns).astype(object).fillna("not stated").astype(str)
    values = texts.apply(lambda row: ", ".join(_fact(*item) for item in row.items()), axis=1)
    first_folder = rows.loc[:, FOLDER].groupby(values).first()
    if len(first_folder) > 1 and first_folder.is_unique:
        names = short_names(list(first_folder))
        return pd.Series([names[first_folder[text]] for text in values], index=rows.index)
    return pd.Series(list(values), index=rows.index)


def _fact(column: str, value: str) -> str:
    shown = column.removeprefix("task.").removeprefix("config.")
    return value if column == "scale" else f"{shown} {value}"


def short_names(folders: Sequence[str]) -> dict[str, str]:
    """The last parts of the folders' paths, as many as tell them apart."""
    most = max(len(Path(folder).parts) for folder in folders)
    for n in range(1, most + 1):
        names = ["/".join(Path(folder).parts[-n:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            break
    return dict(zip(folders, names, strict=True))


def _without_second(records: pd.DataFrame, by: list[str], notes: list[str]) -> pd.DataFrame:
    """Leave out cells that nothing tells apart, and further floors and ceilings."""
    cells = with_status(records, "done").drop_duplicates("cell")
    again = values_of(cells.loc[cells.duplicated(by)], "cell")  # pyright: ignore[reportArgumentType]
    if "label_given" in records:
        renamed = records["label"] != records["label_given"]
        is_frame_too = records["label_given"].map(is_frame).astype(bool)
        again += values_of(records.loc[renamed & is_frame_too], "cell")
    if again:
        notes.append(
            f"{len(set(again))} cells are left out: a second floor or ceiling, or a cell that only "
            "its key tells from one that is shown."
        )
    return records.loc[~records["cell"].isin(again)]
