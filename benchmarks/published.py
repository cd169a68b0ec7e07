"""What papers report for a cell of ours, beside what we measured: ``published.toml`` and its page."""

import functools
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks import statistics as st
from benchmarks.pages import Page, mean_sd

FILE = Path(__file__).with_name("published.toml")
Percents = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=1)]


class Published(BaseModel):
    """One table of a paper: accuracies in per cent by method, one for each omega."""

    model_config = ConfigDict(extra="forbid")
    source: str
    seen: str
    protocol: str
    dataset: str
    clients: int
    omega: list[float]
    methods: dict[str, Percents]
    sd: dict[str, Percents] = {}

    @model_validator(mode="after")
    def _one_value_an_omega(self) -> "Published":
        for name, values in [*self.methods.items(), *self.sd.items()]:
            if len(values) != len(self.omega):
                raise ValueError(f"{self.source}: {name} has {len(values)} values for {len(self.omega)} omegas")
        return self


@functools.cache
def published() -> tuple[Published, ...]:
    """All tables of ``published.toml``."""
    with FILE.open("rb") as file:
        return tuple(Published.model_validate(table) for table in tomllib.load(file)["table"])


def published_pages(records: pd.DataFrame, setting: tuple) -> Iterator[Page]:
    """One page where papers report cells of this one-shot setting (data set, clients, widths); else none.

    A published method is compared with the entry of its name; what differs from the paper's protocol stands below.
    """
    dataset, n_clients, widths = setting
    if "task.rounds" not in records or set(records["task.rounds"].dropna()) != {1} or widths != "full":
        return
    tables = [table for table in published() if (table.dataset, table.clients) == (dataset, n_clients)]
    summary = st.summarise(records).set_index(["omega", "method"])
    rows, used = [], []
    for omega in sorted(records["omega"].unique()):
        for number, table in enumerate(tables, start=1):
            for method in table.methods if omega in table.omega else ():
                if (omega, method) not in summary.index or summary.loc[(omega, method), "n"] == 0:
                    continue
                place, here = table.omega.index(omega), summary.loc[(omega, method)]
                theirs = table.methods[method][place] / 100
                theirs_sd = table.sd[method][place] / 100 if method in table.sd else math.nan
                ours, best = (mean_sd(here[f"accuracy{w}"], here[f"accuracy{w}_sd"]) for w in ("", "_oracle"))
                points = f"{100 * (here['accuracy'] - theirs):+.1f}".replace("-", "−")
                rows.append(
                    [
                        f"{omega:g}",
                        method,
                        mean_sd(theirs, theirs_sd),
                        ours,
                        points,
                        best,
                        f"{here['n']}",
                        f"[{number}]",
                    ]
                )
                used.append(number)
    if rows:
        notes = [
            "Difference: measured (last round) minus published, in points. Best round: on the test set, as papers do."
        ]
        notes += [
            f"[{n}] {tables[n - 1].source} ({tables[n - 1].seen} source): {tables[n - 1].protocol}."
            for n in sorted(set(used))
        ]
        header = ["ω", "method", "published", "measured", "difference", "best round", "seeds", "source"]
        caption = f"Published and measured on {st.setting_name(*setting)}, one shot (per cent)"
        rules = frozenset(i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0])
        yield Page(caption, header, rows, notes, rules=rules, n_names=2)
