"""Every column of a record and what it means; of metrics also unit, direction and use.

``METRICS`` is the one table of metrics: the order of the columns in records.csv, what is averaged
over seeds, what the table of costs shows and what can be tuned for all derive from it.

``python -m benchmarks.metrics.columns`` prints the whole list as Markdown.
"""

import sys

from benchmarks.cli import print_table_command
from benchmarks.metrics.image_columns import IMAGE_METRICS
from benchmarks.metrics.metric import Direction, Metric
from benchmarks.metrics.other_columns import AFTER_METRICS, BEFORE_METRICS, OTHER_COLUMNS, PREFIXES

_TABLE = (
    # accuracies
    Metric(
        "accuracy",
        "",
        "higher",
        "share of the test images that the server model classifies correctly, in [0, 1]",
        averaged=False,  # the tables have its mean, spread and tests
        tunable=True,
    ),
    Metric("accuracy_validation", "", "higher", "the same on validation images", averaged=False),
    Metric(
        "accuracy_before",
        "",
        "higher",
        "test accuracy of the model that the server's training starts from",
    ),
    Metric("accuracy_teacher", "", "higher", "test accuracy of the server's teacher"),
    Metric(
        "accuracy_ensemble",
        "",
        "higher",
        "test accuracy of the clients' mean logits",
        averaged=False,
    ),
    *IMAGE_METRICS,
    # costs, up to the round of the row
    Metric(
        "upload_bytes",
        "byte",
        "lower",
        "bytes that all clients together sent to the server",
        heading="upload MB",
        tunable=True,
    ),
    Metric(
        "download_bytes",
        "byte",
        "lower",
        "bytes that the server sent to all clients together",
        heading="download MB",
        tunable=True,
    ),
    Metric("method_s", "s", "lower", "seconds in the method's own code, without scoring"),
    Metric(
        "stage_s",
        "s",
        "lower",
        "seconds of the shared stages it uses, charged in full also if they came from the cache",
        heading="of stages",
    ),
    Metric(
        "total_s",
        "s",
        "lower",
        "method_s + stage_s (in summary.csv only; the tuner calls it seconds)",
        heading="seconds",
        tunable=True,
        first=False,
    ),
    Metric(
        "cpu_s",
        "s",
        "lower",
        "processor seconds over all threads; other work on the machine does not lengthen them",
        heading="CPU s",
        first=False,
    ),
    Metric(
        "pass_s",
        "s",
        "lower",
        "seconds within forward and backward passes",
        averaged=False,
        first=False,
    ),
    Metric(
        "flops",
        "FLOP",
        "lower",
        "floating-point operations of all training steps; a multiply-add counts as two",
        heading="TFLOP",
        tunable=True,
    ),
    Metric(
        "peak_memory_bytes",
        "byte",
        "lower",
        "peak memory that the method added to the process, or used on the GPU",
        heading="peak MB",
    ),
)

METRICS: dict[str, Metric] = {metric.column: metric for metric in _TABLE}
"""Every metric by its column, in the order of the columns; a user's own come last."""

COST_TABLE = (
    "upload_bytes",
    "download_bytes",
    "total_s",
    "stage_s",
    "cpu_s",
    "flops",
    "peak_memory_bytes",
    "fid_domain",
    "fid_domain_floor",
    "fid_domain_balanced",
    "is_domain",
    "is_domain_real",
    "fid_inception",
    "fid_inception_floor",
    "is_inception",
    "is_inception_real",
)
"""The order of the table of costs; further metrics with a heading follow."""

SHOWN_PER = {"byte": 1e6, "FLOP": 1e12}
"""Tables show megabytes and TFLOP."""

TUNER_NAMES = {"total_s": "seconds"}
"""Objectives whose name in the tuner is not their column."""


def first_columns() -> tuple[str, ...]:
    """Return the columns of every records.csv, in order."""
    metrics = [metric.column for metric in METRICS.values() if metric.first]
    return (*BEFORE_METRICS, *metrics, *AFTER_METRICS)


def averaged_columns() -> list[str]:
    """Return the metrics whose means over seeds are in summary.csv, in order."""
    return [metric.column for metric in METRICS.values() if metric.averaged]


def cost_columns() -> dict[str, tuple[str, float]]:
    """Return the columns of the table of costs: heading to (column, divisor of its values)."""
    others = [column for column in METRICS if column not in COST_TABLE]
    shown = {}
    for column in (*COST_TABLE, *others):
        metric = METRICS[column]
        if metric.heading:
            shown[metric.heading] = (column, SHOWN_PER.get(metric.unit, 1))
    return shown


def objectives() -> dict[str, Direction]:
    """Return what can be tuned for: name in the tuner to "maximize" or "minimize"."""
    directions: dict[str, Direction] = {"higher": "maximize", "lower": "minimize"}
    return {
        TUNER_NAMES.get(metric.column, metric.column): directions[metric.better]
        for metric in METRICS.values()
        if metric.tunable
    }


def meaning_of(column: str) -> str | None:
    """Return what a record's column means; None for a column that this file does not describe."""
    if column in METRICS:
        return METRICS[column].meaning
    for fixed in (BEFORE_METRICS, AFTER_METRICS, OTHER_COLUMNS):
        if column in fixed:
            return fixed[column]
    for prefix, meaning in PREFIXES.items():
        if column.startswith(prefix):
            return meaning
    return None


def columns_table() -> str:
    """Return the list of all columns and prefixes as a Markdown table."""
    lines = ["| column | unit | better | meaning |", "| --- | --- | --- | --- |"]
    for column, meaning in BEFORE_METRICS.items():
        lines.append(f"| `{column}` | – | – | {meaning} |")
    for metric in METRICS.values():
        unit = metric.unit or "–"
        better = metric.better or "–"
        lines.append(f"| `{metric.column}` | {unit} | {better} | {metric.meaning} |")
    for column, meaning in (AFTER_METRICS | OTHER_COLUMNS).items():
        lines.append(f"| `{column}` | – | – | {meaning} |")
    for prefix, meaning in PREFIXES.items():
        lines.append(f"| `{prefix}<name>` | – | – | {meaning} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(print_table_command("benchmarks.metrics.columns", columns_table))
