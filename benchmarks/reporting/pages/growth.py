"""What happens as the number of clients grows: accuracy, bytes, seconds and memory."""

from collections.abc import Iterator

import pandas as pd

from benchmarks.reporting import comparison
from benchmarks.reporting.frames import grouped, groups, mean_of, of_label, sd_of
from benchmarks.reporting.names import method_order, number, omega_names, seeds_name, widths_name
from benchmarks.reporting.table import Page, mean_sd, rules_between, short

NAME = "growth"
"""The page's name in a suite's ``pages``."""

COSTS = {
    "upload MB": ("upload_bytes", 1e6),
    "download MB": ("download_bytes", 1e6),
    "seconds": ("total_s", 1.0),
    "CPU s": ("cpu_s", 1.0),
    "peak MB": ("peak_memory_bytes", 1e6),
}
"""The columns of costs by their headings, and the divisors of their values."""

NOTE = (
    "Last round, means over seeds. The pool of images stays the same: with more clients each has "
    "less. MB = 1e6 bytes of all clients together; MB per client: up and down. Seconds: all "
    "clients one after the other. Peak MB: of one process. Participation: the share of the clients "
    "drawn for each round."
)


def growth_pages(records: pd.DataFrame) -> Iterator[Page]:
    """A page per data set, widths and omega, with a row per method and number of clients.

    Args:
        records: rows per cell and scored round of a whole suite.
    """
    last = with_costs(records)
    names = omega_names(records)
    for (dataset, widths, omega), here in groups(last, ["dataset", "widths", "omega"]):
        rows = []
        for label in method_order(here):
            of_method = of_label(here, label)
            for (n_clients,), of_size in groups(of_method, ["n_clients"]):
                rows.append([label, str(n_clients), *_texts(of_size, int(n_clients))])

        counts = grouped(here, ["label", "n_clients"], "seed", "nunique")
        place = f"{dataset}, {widths_name(widths)}, {names[omega]}"
        yield Page(
            caption=f"Growing numbers of clients on {place}",
            header=[
                *("method", "clients", "participation", "accuracy"),
                *COSTS,
                "MB per client",
            ],
            rows=rows,
            notes=[f"{seeds_name(counts)}. {NOTE}"],
            rules=rules_between([row[0] for row in rows]),
        )


def with_costs(records: pd.DataFrame) -> pd.DataFrame:
    """The last rounds, with ``total_s``, and with 1 for the participation that older ones lack."""
    last = comparison.selected_rounds(records, "last").dropna(subset=["accuracy"])
    participation = 1.0
    if "task.participation" in last:
        participation = last["task.participation"].fillna(1.0)
    costs = {"total_s": last["method_s"] + last["stage_s"], "task.participation": participation}
    return last.assign(**costs)


def _texts(rows: pd.DataFrame, n_clients: int) -> list[str]:
    """The cells of one method and number of clients, from participation on."""
    shares = sorted(rows["task.participation"].unique())
    sent = (mean_of(rows, "upload_bytes") + mean_of(rows, "download_bytes")) / 1e6 / n_clients
    return [
        ", ".join(number(share) for share in shares),
        mean_sd(mean_of(rows, "accuracy"), sd_of(rows, "accuracy")),
        *(short(mean_of(rows, column) / unit) for column, unit in COSTS.values()),
        short(sent),
    ]
