"""What each method was given to work with: rounds, steps at clients and server, its student's start, what was sent.

All of it is measured (the steps that the cost account counted, the kinds of payload that crossed) or read from the
methods' modules; nothing is typed.
``python -m benchmarks.reporting.pages.budget results/.../records.csv`` prints it as Markdown.
"""

import math
import sys
from collections.abc import Iterable

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import Page, markdown

AT_CLIENTS = ("generator", "cvae")  # kinds of steps that clients take beside their local training

NO_STEPS = (
    "train",
    "predict",
    "draw",
    "ensemble",
    *AT_CLIENTS,
)  # kinds that are no training at the server

ROUNDS = {"none": 0, "one upload": 1}

AT_TEST = {
    "average": "running statistics, averaged like weights",
    "batch": "the batch's own statistics",
}


def budget_page(records: pd.DataFrame) -> Page:
    """A row for each method over all of these records' settings; numbers that differ stand as a range."""
    last = st.selected_rounds(records, "last")
    rows = [
        _row(method, last[last["method"] == method])
        for method in st.method_order(records)
        if method in set(last["method"])
    ]
    factors = {
        side: _span(last[f"{side}_work"]) for side in ("client", "server") if f"{side}_work" in last
    }
    told = " and ".join(f"{factor} at the {side}s" for side, factor in factors.items()).replace(
        "servers", "server"
    )
    notes = [
        f"Steps of extra work are the papers' numbers times one factor for all methods: {told}.",
        "Local steps: SGD steps of a client in all rounds; with unequal local epochs the mean over clients. Generator "
        "steps: of a client's own generator. Server steps: training steps of any kind at the server, in all rounds. "
        "Student: the weights that the server's training starts from (the clients' average, or random), and whether it "
        "keeps BatchNorm's running statistics or trains them. Uploads: the kinds of payload that clients sent.",
    ]
    if "task.batch_norm" in last:
        policies = last.groupby("task.batch_norm")["widths"].unique()
        uses = [
            f"{AT_TEST[policy]} ({', '.join(map(st.widths_name, widths))})"
            for policy, widths in policies.items()
        ]
        notes.append(f"At test BatchNorm uses {', '.join(uses)}, for all methods alike.")
    header = ["method", "data-free", "rounds", "local steps", "generator steps", "server steps"]
    header += ["student from", "its BatchNorm", "uploads"]
    names = [
        st.setting_name(*setting)
        for setting in records[st.SETTING].drop_duplicates().itertuples(index=False)
    ]
    return Page(f"What each method was given on {'; '.join(names)}", header, rows, notes, n_names=2)


def _row(method: str, rows: pd.DataFrame) -> list[str]:
    n = rows["n_clients"]
    steps = rows.filter(regex="^steps_").rename(
        columns=lambda column: column.removeprefix("steps_")
    )
    at_server = [kind for kind in steps if kind not in NO_STEPS]
    at_clients = [kind for kind in AT_CLIENTS if kind in steps]
    rounds = (
        rows["protocol"].map(ROUNDS).fillna(rows["task.rounds"])
        if "protocol" in rows
        else pd.Series([math.nan])
    )
    sent = rows.filter(regex="^upload_bytes_").rename(
        columns=lambda column: column.removeprefix("upload_bytes_")
    )
    kinds = [kind for kind in sent if sent[kind].fillna(0).gt(0).any()]
    return [
        method,
        data_free(rows),
        _span(rounds),
        _span(steps["train"] / n if "train" in steps else []),
        _span(steps[at_clients].sum(axis=1) / n),
        _span(steps[at_server].sum(axis=1)),
        _text(rows, "student"),
        _text(rows, "student_norms"),
        ", ".join(kinds) or "–",
    ]


def data_free(rows: pd.DataFrame) -> str:
    """yes or no, as the methods' modules declare; – where the records are older than that."""
    told = rows["data_free"].dropna().unique() if "data_free" in rows else []
    return "–" if len(told) == 0 else "yes" if all(told) else "no"


def _text(rows: pd.DataFrame, column: str) -> str:
    told = [text for text in rows[column].dropna().unique() if text] if column in rows else []
    return " | ".join(told) or "–"


def _span(values: Iterable[float]) -> str:
    """One number, or the least and the greatest of several; – for none and for zero."""
    known = [value for value in values if not math.isnan(value)]
    if not known or max(known) == 0:
        return "–"
    low, high = (f"{round(x):,}" if x >= 10 else f"{x:.3g}" for x in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def main(path: str) -> None:
    print(markdown(budget_page(pd.read_csv(path, low_memory=False))))


if __name__ == "__main__":
    main(sys.argv[1])
