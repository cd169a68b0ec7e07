"""What each method was given: rounds, steps, the start of the server's student, what was sent.

All of it is measured (steps that the cost account counted, kinds of payload that were sent) or read
from the methods' modules. ``benchmarks/reporting/print_budget.py`` prints it as Markdown.
"""

import math
from collections.abc import Iterable

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import has_values, of_label, values_of
from benchmarks.reporting.names import method_order, setting_name, widths_name
from benchmarks.reporting.pages.tuned_over import NOTE, tuned_over
from benchmarks.reporting.table import NOTHING, Page, span

AT_CLIENTS = ("generator", "cvae", "flow")
"""Kinds of steps that clients take beside their local training."""

NO_SERVER_STEPS = ("train", "predict", "draw", "ensemble", *AT_CLIENTS)
"""Kinds of steps that are not training at the server."""

ROUNDS = {"none": 0, "one upload": 1, "two uploads": 1}
"""Rounds of the protocols that do not take the task's number of rounds."""

AT_TEST = {
    "average": "running statistics, averaged like weights",
    "batch": "the batch's own statistics",
}
"""What BatchNorm uses at test under each policy."""


def budget_page(records: pd.DataFrame) -> Page:
    """A row per method over all settings; values that differ are given as a range."""
    last = comparison.selected_rounds(records, "last")
    rows = []
    for label in method_order(records):
        of_method = of_label(last, label)
        if len(of_method):
            rows.append(_row(label, of_method))

    settings = records[comparison.SETTING].drop_duplicates()
    names = [setting_name(*setting) for setting in settings.itertuples(index=False)]
    return Page(
        caption=f"What each method was given on {'; '.join(names)}",
        header=[
            "method",
            "data-free",
            "rounds",
            "local steps",
            "generator steps",
            "server steps",
            "student from",
            "its BatchNorm",
            "uploads",
            "downloads",
            "tuned over",
        ],
        rows=rows,
        notes=_notes(last),
        n_names=2,
    )


def _row(label: str, rows: pd.DataFrame) -> list[str]:
    """The texts of one method, from the rows of its last rounds."""
    steps = _columns_after("steps_", rows)
    local_steps: Iterable[float] = []
    if "train" in steps:
        local_steps = steps["train"] / rows["n_clients"]
    at_clients = [kind for kind in AT_CLIENTS if kind in steps]
    at_server = [kind for kind in steps if kind not in NO_SERVER_STEPS]

    rounds: Iterable[float] = []
    if "protocol" in rows:
        of_protocol = [ROUNDS.get(protocol, math.nan) for protocol in rows["protocol"]]
        rounds = pd.Series(of_protocol, index=rows.index).fillna(rows["task.rounds"])

    return [
        label,
        data_free(rows),
        span(rounds, _number),
        span(local_steps, _number),
        span(steps[at_clients].sum(axis=1) / rows["n_clients"], _number),
        span(steps[at_server].sum(axis=1), _number),
        _text(rows, "student"),
        _text(rows, "student_norms"),
        _kinds_sent("upload_bytes_", rows),
        _kinds_sent("download_bytes_", rows),
        tuned_over(rows),
    ]


def _kinds_sent(prefix: str, rows: pd.DataFrame) -> str:
    """The kinds of payload of which any bytes were sent."""
    sent = _columns_after(prefix, rows).fillna(0)
    return ", ".join(str(kind) for kind in sent if any(sent[kind] > 0)) or NOTHING


def _columns_after(prefix: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The columns whose names begin with the prefix, named without it."""
    columns = rows.filter(regex=f"^{prefix}")
    return columns.set_axis([name.removeprefix(prefix) for name in columns], axis=1)


def _notes(last: pd.DataFrame) -> list[str]:
    notes = [
        *_rules(last),
        "Local steps: SGD steps of a client in all rounds; with unequal local epochs the mean over "
        "clients. Generator steps: of a client's own generator. Server steps: training steps of "
        "any kind at the server, in all rounds. Student: the weights that the server's training "
        "starts from (the clients' average, or random), and whether it keeps BatchNorm's running "
        "statistics or trains them. Uploads and downloads: the kinds of payload that clients "
        "sent and received.",
        NOTE,
    ]

    if "task.batch_norm" in last:
        uses = []
        for policy, rows in last.groupby("task.batch_norm"):
            widths = ", ".join(widths_name(widths) for widths in rows["widths"].unique())
            uses.append(f"{AT_TEST[str(policy)]} ({widths})")
        notes.append(f"At test BatchNorm uses {', '.join(uses)}, for all methods alike.")
    return notes


def _rules(last: pd.DataFrame) -> list[str]:
    """Where the numbers of steps come from; nothing where the records do not say."""
    notes = []
    if not has_values(last, "budget"):
        return notes
    if has_values(last, "client_budget"):
        at_clients = span(last["client_budget"], _number)
        at_server = span(last["server_budget"], _number)
        notes.append(
            "Steps beyond local training are as many as a budget pays for that is the same for all "
            f"methods: {at_clients} times the FLOPs of FedAvg's local training at the clients, and "
            f"{at_server} times at the server. No method takes more than its paper's, those of "
            "each round where there are more rounds than in the paper."
        )
    if has_values(last, "client_work"):
        shares = [f"{100 * last[f'{side}_work'].max():.2g} %" for side in ("client", "server")]
        which = "Those of methods from outside" if notes else "Steps beyond local training"
        notes.append(
            f"{which} are so many that each method trains on the same share of its own paper's "
            f"images: {shares[0]} at the clients and {shares[1]} at the server. Where there are "
            "fewer rounds than in the paper, steps per round are as many more."
        )
    return notes


def data_free(rows: pd.DataFrame) -> str:
    """yes or no, as the methods' modules declare; a dash where the records do not say."""
    values = values_of(rows, "data_free")
    if not values:
        return NOTHING
    return "yes" if all(values) else "no"


def _text(rows: pd.DataFrame, column: str) -> str:
    """The different texts of the column; a dash where there is none."""
    texts = [text for text in values_of(rows, column) if text]
    return " | ".join(texts) or NOTHING


def _number(value: float) -> str:
    if value >= 10:
        return f"{round(value):,}"
    return f"{value:.3g}"
