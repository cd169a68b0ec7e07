"""What accuracy costs in megabytes, and in seconds over a link of a given speed.

The link is simulated, and simple: each client has one of its own of R Mbit/s in both directions, all clients transfer
at the same time, the server's side is no limit, and there is no latency. So a method's transfers take 8 x bytes of an
average client / R seconds. The measured seconds of computation are added, which on one machine are all clients' one
after the other. At mixed widths the widest client waits longer than the average one.
"""

import math

import pandas as pd

from benchmarks.reporting import comparison as st
from benchmarks.reporting.table import Page, mean_sd, short

LINKS = (100, 10)  # Mbit/s
TARGETS = tuple(range(5, 100, 5))  # per cent
SHOWN = 4  # targets in a table at most


def over_link(rows: pd.DataFrame, mbits: float) -> pd.Series:
    """Seconds up to each row: computation as measured and transfers over links of ``mbits`` Mbit/s."""
    per_client = (rows["upload_bytes"] + rows["download_bytes"]) / rows["n_clients"]
    return rows["method_s"] + rows["stage_s"] + 8 * per_client / (mbits * 1e6)


def megabytes_to(rows: pd.DataFrame, target: float) -> float:
    """MB up and down, all clients, to the first scored round whose accuracy (mean over seeds) is ``target``; NaN: none.

    ``rows``: the scored rounds of one method in one group. Between scored rounds it may have been reached earlier.
    """
    rounds = rows.assign(mb=(rows["upload_bytes"] + rows["download_bytes"]) / 1e6).groupby("round")
    curve = rounds[["accuracy", "mb"]].mean()
    reached = curve[curve["accuracy"] >= target]
    return reached["mb"].iloc[0] if len(reached) else math.nan


def targets_of(rows: pd.DataFrame) -> list[int]:
    """The highest per cents, at most SHOWN of them 5 apart or more, that at least two methods reach."""
    best = (
        rows.groupby(["method", "round"])["accuracy"].mean().groupby("method").max().sort_values()
    )
    if len(best) < 2:
        return []
    reached = [target for target in TARGETS if target <= 100 * best.iloc[-2]]
    step = 2 if len(reached) > 2 * SHOWN else 1
    return reached[::-1][::step][:SHOWN][::-1]


def communication_page(records: pd.DataFrame, setting: tuple) -> Page:
    """Accuracy, bytes, seconds over two links, and the bytes to some accuracies, of each omega and method."""
    done = records[records["status"] == "done"]
    sending = done[~done["method"].isin((st.FLOOR, st.CEILING))]
    targets = targets_of(sending)
    summary = st.summarise(records).set_index(["omega", "method"])
    rows = []
    for (omega, method), mine in done.groupby(["omega", "method"], sort=False):
        last, here = st.selected_rounds(mine, "last"), summary.loc[(omega, method)]
        times = [over_link(last, mbits).mean() for mbits in LINKS]
        traffic = [
            here["upload_bytes"] / 1e6,
            here["download_bytes"] / 1e6,
            here["total_s"],
            *times,
        ]
        reach = [
            megabytes_to(mine, target / 100) if method != st.FLOOR else math.nan
            for target in targets
        ]
        rows.append(
            [
                f"{omega:g}",
                method,
                mean_sd(here["accuracy"], here["accuracy_sd"]),
                *map(short, [*traffic, *reach]),
            ]
        )
    order = st.method_order(records)
    rows.sort(key=lambda row: (float(row[0]), order.index(row[1])))
    header = ["ω", "method", "accuracy", "up MB", "down MB", "compute s"]
    header += [f"s at {mbits} Mbit/s" for mbits in LINKS] + [
        f"MB to {target} %" for target in targets
    ]
    notes = [
        f"{st.seeds_name(summary['n'])}; last round; MB = 1e6 bytes of all clients together. Compute s: measured, all "
        "clients one after the other. Seconds over a link are simulated: computation, and 8 x the bytes of an average "
        "client over a link of its own; all clients at the same time, no latency, no limit at the server.",
        "MB to x %: up and down to the first scored round whose accuracy reached x; – : never. A method that is scored "
        "once, at its end, has sent all by then.",
    ]
    rules = frozenset(i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0])
    return Page(
        f"Communication on {st.setting_name(*setting)}", header, rows, notes, rules=rules, n_names=2
    )


def wants_communication(records: pd.DataFrame) -> bool:
    """Is it this suite's question?"""
    return "suite" in records and set(records["suite"]) == {"communication"}
