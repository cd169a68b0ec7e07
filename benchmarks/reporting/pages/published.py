"""What papers report for a cell of ours, beside what we measured: ``published.toml`` and its page."""

import functools
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import Page, mean_sd
from mosaic.fl.errors import InputError

FILE = Path(__file__).with_name("published.toml")
SEEN = {"secondary": "from a secondary source", "readme": "read in the authors' repository"}
FACTS = {
    "task.model": "network",
    "task.law": "law",
    "task.epochs": "local epochs",
}  # ours, told under the page
FACTS |= {"task.validation": "share of training images held out", "server_work": "server work"}
Percents = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=1)]


class Published(BaseModel):
    """One table of a paper: accuracies in per cent by method, one for each omega."""

    model_config = ConfigDict(extra="forbid")
    source: str
    seen: Literal["secondary", "readme"]
    protocol: str
    dataset: str
    clients: int
    omega: list[float]
    methods: dict[str, Percents]
    sd: dict[str, Percents] = {}
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> "Published":
        for name, values in [*self.methods.items(), *self.sd.items()]:
            if len(values) != len(self.omega):
                raise ValueError(
                    f"{self.source}: {name} has {len(values)} values for {len(self.omega)} omegas"
                )
        for name in [*self.sd, *self.labels]:
            if name not in self.methods:
                raise ValueError(f"{self.source}: {name} has an sd or a label, but no accuracy")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    table: list[Published]


@functools.cache
def published(file: Path = FILE) -> tuple[Published, ...]:
    """All tables of ``published.toml``; InputError where the file is not as it must be."""
    try:
        with file.open("rb") as opened:
            return tuple(_File.model_validate(tomllib.load(opened)).table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not valid TOML: {error}.") from None
    except ValidationError as error:
        told = (
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise InputError(f"{file}: {'; '.join(told)}.") from None


def published_pages(records: pd.DataFrame, setting: tuple) -> Iterator[Page]:
    """One page where papers report cells of this one-shot setting (data set, clients, widths); else none.

    What differs from the paper's protocol stands below, and what ours was.
    """
    dataset, n_clients, widths = setting
    if (
        "task.rounds" not in records
        or set(records["task.rounds"].dropna()) != {1}
        or widths != "full"
    ):
        return
    tables = [
        table for table in published() if (table.dataset, table.clients) == (dataset, n_clients)
    ]
    algorithm = records.groupby("method")["algorithm"].first()
    rows, used = [], set()
    for here in st.summarise(records).to_dict("records"):
        for number, table in enumerate(tables, start=1):
            method = algorithm[here["method"]]
            if here["omega"] not in table.omega or method not in table.methods or here["n"] == 0:
                continue
            if table.labels.get(method, here["method"]) != here["method"]:
                continue
            rows.append(_row(here, table, method, number))
            used.add(number)
    if rows:
        header = [
            "ω",
            "method",
            "published",
            "measured",
            "difference",
            "best round",
            "seeds",
            "source",
        ]
        caption = f"Published and measured on {st.setting_name(*setting)}, one shot (per cent)"
        rules = frozenset(i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0])
        yield Page(caption, header, rows, [*_notes(records, tables, used)], rules=rules, n_names=2)


def _row(here: dict, table: Published, method: str, number: int) -> list[str]:
    """The texts of one row: a line of the summary beside its value in a paper's table."""
    place = table.omega.index(here["omega"])
    theirs = table.methods[method][place] / 100
    theirs_sd = table.sd[method][place] / 100 if method in table.sd else math.nan
    ours, best = (mean_sd(here[f"accuracy{w}"], here[f"accuracy{w}_sd"]) for w in ("", "_oracle"))
    points = f"{100 * (here['accuracy'] - theirs):+.1f}".replace("-", "−")
    names = [f"{here['omega']:g}", here["method"]]
    return [*names, mean_sd(theirs, theirs_sd), ours, points, best, f"{here['n']}", f"[{number}]"]


def _notes(records: pd.DataFrame, tables: list[Published], used: set[int]) -> Iterator[str]:
    yield (
        "Difference: measured (last round) minus published, in points. Best round: by test accuracy; of one round "
        "it is that round, so a paper's best epoch within it has no counterpart here."
    )
    values = {
        name: records[fact].dropna().unique() for fact, name in FACTS.items() if fact in records
    }
    facts = [
        f"{name} {' | '.join(map(str, mixed))}" for name, mixed in values.items() if len(mixed)
    ]
    yield from [f"Measured with: {'; '.join(facts)}."] * bool(facts)
    for number in sorted(used):
        table = tables[number - 1]
        yield f"[{number}] {table.source}, {SEEN[table.seen]}: {table.protocol}."
