"""What accuracy costs in megabytes, and in seconds over a link of a given speed.

The link is simulated, and simple: each client has its own link of R Mbit/s in both directions, all
clients transfer at the same time, the server's side is no limit, and there is no latency. So a
method's transfers take 8 x bytes of an average client / R seconds. The measured seconds of
computation are added; on one machine these are of all clients, one after the other. At mixed widths
the widest client waits longer than the average one.
"""

import math
from collections.abc import Sequence
from typing import cast

import pandas as pd

from benchmarks.planning.methods import FLOOR
from benchmarks.reporting import comparison
from benchmarks.reporting.frames import grouped, of_label, with_status
from benchmarks.reporting.names import method_order, omega_values, seeds_name, setting_name
from benchmarks.reporting.table import Page, mean_sd, rules_between, short

NAME = "communication"
"""The page's name in a suite's ``pages``; the suite of this name has the page too."""

LINKS = (100, 10)
"""Speeds of the simulated links, Mbit/s."""

TARGETS = tuple(range(5, 100, 5))
"""Accuracies that may be shown as targets, per cent."""

SHOWN = 4
"""Targets in a table at most."""


def over_link(rows: pd.DataFrame, mbits: float) -> pd.Series:
    """Seconds up to each row: computation as measured, and transfers over the simulated links.

    Args:
        rows: rows per cell and scored round.
        mbits: speed of each client's link, Mbit/s; infinity leaves the transfers out.
    """
    computation = rows.loc[:, "method_s"] + rows.loc[:, "stage_s"]
    bytes_per_client = (rows["upload_bytes"] + rows["download_bytes"]) / rows["n_clients"]
    return computation + 8 * bytes_per_client / (mbits * 1e6)


def megabytes_to(rows: pd.DataFrame, target: float) -> float:
    """Traffic up to the first scored round whose accuracy (mean over seeds) reached the target.

    Between scored rounds it may have been reached earlier.

    Args:
        rows: the scored rounds of one method in one group.
        target: an accuracy, as a fraction.

    Returns:
        MB up and down of all clients; NaN where the target was never reached.
    """
    megabytes = (rows["upload_bytes"] + rows["download_bytes"]) / 1e6
    rounds = rows.assign(megabytes=megabytes).groupby("round")
    curve = cast(pd.DataFrame, rounds[["accuracy", "megabytes"]].mean())
    reached = curve.loc[curve["accuracy"] >= target, "megabytes"]
    return float(reached.iloc[0]) if len(reached) else math.nan


def targets_of(rows: pd.DataFrame) -> list[int]:
    """The highest accuracies in per cent that at least two methods reach, at most SHOWN of them.

    They are 5 points apart, or 10 where there are many.
    """
    by_round = grouped(rows, ["label", "round"], "accuracy", "mean").reset_index()
    best = sorted(grouped(by_round, "label", "accuracy", "max"))
    if len(best) < 2:
        return []

    second_best = 100 * best[-2]
    reached = [target for target in TARGETS if target <= second_best]
    step = 2 if len(reached) > 2 * SHOWN else 1
    highest_first = reached[::-1][::step][:SHOWN]
    return highest_first[::-1]


def communication_page(records: pd.DataFrame, setting: tuple) -> Page:
    """Accuracy, traffic, seconds over the links, and the traffic to some accuracies.

    Args:
        records: the setting's rows per cell and scored round.
        setting: data set, number of clients and widths.

    Returns:
        A page with a row per omega and method that finished.
    """
    done = with_status(records, "done")
    targets = targets_of(comparison.competitors(done))
    summary = comparison.summarise(records).set_index(["omega", "label"])
    names = omega_values(records)

    rows = []
    omegas = []
    for omega in sorted(done["omega"].unique()):
        at_omega = done.loc[done["omega"] == omega]
        for label in method_order(records):
            rounds = of_label(at_omega, label)
            if len(rounds) == 0:
                continue
            means = summary.loc[(omega, label)].to_dict()
            rows.append([names[omega], label, *_texts(rounds, means, targets)])
            omegas.append(names[omega])

    header = ["ω", "method", "accuracy", "up MB", "down MB", "compute s"]
    header += [f"s at {mbits} Mbit/s" for mbits in LINKS]
    header += [f"MB to {target} %" for target in targets]
    notes = [
        f"{seeds_name(summary['n'])}; last round; MB = 1e6 bytes of all clients together. Compute "
        "s: measured, all clients one after the other. Seconds over a link are simulated: "
        "computation, and 8 x the bytes of an average client over a link of its own; all clients "
        "at the same time, no latency, no limit at the server.",
        "MB to x %: up and down to the first scored round whose accuracy reached x; – : never. A "
        "method that is scored once, at its end, has sent all by then.",
    ]
    return Page(
        caption=f"Communication on {setting_name(*setting)}",
        header=header,
        rows=rows,
        notes=notes,
        rules=rules_between(omegas),
        n_names=2,
    )


def _texts(rounds: pd.DataFrame, means: dict[str, float], targets: list[int]) -> list[str]:
    """The cells of one method and omega, from accuracy on.

    Args:
        rounds: its scored rounds of all seeds.
        means: its row of the summary.
        targets: accuracies in per cent.
    """
    numbers = [means["upload_bytes"] / 1e6, means["download_bytes"] / 1e6, means["total_s"]]

    last = comparison.selected_rounds(rounds, "last")
    for mbits in LINKS:
        numbers.append(over_link(last, mbits).mean())

    sends = rounds["label"].iloc[0] != FLOOR
    for target in targets:
        numbers.append(megabytes_to(rounds, target / 100) if sends else math.nan)

    accuracy = mean_sd(means["accuracy"], means["accuracy_sd"])
    return [accuracy, *(short(number) for number in numbers)]


def wants_communication(records: pd.DataFrame, pages: Sequence[str] = ()) -> bool:
    """True if the suite's file names this page, or if the suite has the page's name."""
    if NAME in pages:
        return True
    return "suite" in records and set(records["suite"]) == {NAME}
