"""What papers report for cells of this benchmark, beside what was measured: ``published.toml``."""

import functools
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import values_of
from benchmarks.reporting.names import omega_values, setting_name
from benchmarks.reporting.table import Page, mean_sd, rules_between, signed
from mosaic.fl.errors import InputError

FILE = Path(__file__).with_name("published.toml")

SEEN = {"secondary": "from a secondary source", "readme": "read in the authors' repository"}

FACTS = {
    "task.model": "network",
    "task.law": "law",
    "task.epochs": "local epochs",
    "task.validation": "share of training images held out",
    "budget": "budget",
    "server_budget": "server budget",
    "server_work": "share of the papers' images at the server",
}
"""Columns of the measured cells that the page states, and their names there."""

Percents = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=1)]


class Published(BaseModel):
    """One table of a paper.

    Args:
        source: the paper and its table.
        seen: how the values are known: "secondary" or "readme".
        protocol: in what the paper's experiment differs.
        dataset: data set, as records name it.
        clients: number of clients.
        rounds: number of rounds; it must be that of the measured cells.
        omega: Dirichlet concentrations, one per value.
        methods: accuracies in per cent by method, one per omega.
        sd: their standard deviations, where the paper has them.
        labels: the entry of a suite that has the paper's settings, by method.
    """

    model_config = ConfigDict(extra="forbid")
    source: str
    seen: Literal["secondary", "readme"]
    protocol: str
    dataset: str
    clients: int
    rounds: int = 1
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
    """All tables of a file like ``published.toml``.

    Raises:
        InputError: the file is not valid.
    """
    try:
        with file.open("rb") as opened:
            return tuple(_File.model_validate(tomllib.load(opened)).table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not valid TOML: {error}.") from None
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            problems.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}")
        raise InputError(f"{file}: {'; '.join(problems)}.") from None


def published_pages(records: pd.DataFrame, setting: tuple) -> Iterator[Page]:
    """One page where papers report cells of this setting, else none.

    The papers' clients have full width, and their number of rounds must be that of all cells. Notes
    say in what else the paper's protocol differs.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.
    """
    dataset, n_clients, widths = setting
    if "task.rounds" not in records or widths != "full":
        return
    rounds = set(records["task.rounds"].dropna())
    tables = []
    for table in published():
        if (table.dataset, table.clients) == (dataset, n_clients) and {table.rounds} == rounds:
            tables.append(table)
    if not tables:
        return

    method_of_label = dict(zip(records["label"], records["method"], strict=True))
    omegas = omega_values(records)
    rows = []
    used = set()
    for measured in comparison.summarise(records).to_dict("records"):
        method = method_of_label[measured["label"]]
        for number, table in enumerate(tables, start=1):
            if _reports(table, method, measured):
                rows.append(_row(measured, omegas, table, method, number))
                used.add(number)

    if rows:
        yield Page(
            caption=f"Published and measured on {setting_name(*setting)}, one shot (per cent)",
            header=[
                "ω",
                "method",
                "published",
                "measured",
                "difference",
                "best round",
                "seeds",
                "source",
            ],
            rows=rows,
            notes=_notes(records, tables, used),
            rules=rules_between([row[0] for row in rows]),
            n_names=2,
        )


def _reports(table: Published, method: str, measured: dict[str, Any]) -> bool:
    """True if the paper's table has a value for this line of the summary."""
    if measured["n"] == 0:
        return False
    if measured["omega"] not in table.omega or method not in table.methods:
        return False
    label = table.labels.get(method)
    return label is None or label == measured["label"]


def _row(
    measured: dict[str, Any],
    omegas: dict[float, str],
    table: Published,
    method: str,
    number: int,
) -> list[str]:
    """The texts of one row: a line of the summary beside its value in a paper's table."""
    place = table.omega.index(measured["omega"])
    value = table.methods[method][place] / 100
    value_sd = table.sd[method][place] / 100 if method in table.sd else math.nan
    return [
        omegas[measured["omega"]],
        measured["label"],
        mean_sd(value, value_sd),
        mean_sd(measured["accuracy"], measured["accuracy_sd"]),
        signed(100 * (measured["accuracy"] - value)),
        mean_sd(measured["accuracy_oracle"], measured["accuracy_oracle_sd"]),
        f"{measured['n']}",
        f"[{number}]",
    ]


def _notes(records: pd.DataFrame, tables: list[Published], used: set[int]) -> list[str]:
    notes = [
        "Difference: measured (last round) minus published, in points. Best round: by test "
        "accuracy; of one round it is that round, so a paper's best epoch within it has no "
        "counterpart here."
    ]

    facts = []
    for column, name in FACTS.items():
        values = values_of(records, column)
        if values:
            facts.append(f"{name} {' | '.join(str(value) for value in values)}")
    if facts:
        notes.append(f"Measured with: {'; '.join(facts)}.")

    for number in sorted(used):
        table = tables[number - 1]
        notes.append(f"[{number}] {table.source}, {SEEN[table.seen]}: {table.protocol}.")
    return notes
