"""A user's own metric: one Python file, measured for each cell beside the built-in ones.

    '''Expected calibration error of the server model.'''     # becomes the column's meaning

    COLUMN = "ece"           # its column in records.csv
    UNIT = ""                # of its values
    BETTER = "lower"         # "higher", "lower", or "" where neither is better
    HEADING = "ECE"          # in the table of costs; "" to leave it out

    def measure(predict, images, labels, n_classes):
        probabilities = predict(images).softmax(1)
        ...
        return ece           # one finite number

``measure`` gets the test set of the cell's task: ``images`` (N, C, H, W), float32 in [-1, 1] on the
CPU, normalised as models take them; ``labels`` (N,), int64 in 0..n_classes - 1. ``predict`` takes
any number of such images and returns logits (N, n_classes), float32 on the CPU, without gradients;
it works in batches on the device itself. Where a method's result is several models (each client's
own, say), ``measure`` is called for each of them and the mean is recorded.
"""

import hashlib
import importlib.util
import keyword
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from benchmarks.metrics.columns import METRICS, meaning_of
from benchmarks.metrics.metric import Metric
from mosaic.fl.contract import Predict, Snapshot
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.device import device
from mosaic.fl.errors import InputError
from mosaic.fl.text_files import text_of_bytes

Measure = Callable[[Predict, Tensor, Tensor, int], float]

CONSTANTS = {
    "COLUMN": 'COLUMN = "ece"',
    "UNIT": 'UNIT = ""',
    "BETTER": 'BETTER = "lower"',
    "HEADING": 'HEADING = "ECE"',
}
"""What a metric's file must set, with an example of each line."""

BATCH = 1000  # images per forward pass


@dataclass(frozen=True)
class MetricFile:
    """A loaded file: the metric that it describes and the function that measures it."""

    metric: Metric
    measure: Measure
    stem: str


LOADED: dict[str, MetricFile] = {}
"""The files loaded in this process, by the names that :func:`load_metric_file` returned."""


def load_metric_file(path: str | Path) -> str:
    """Load a user's metric, so that cells can name it and reports show its column.

    A file may be loaded again; a changed one replaces its earlier version.

    Args:
        path: a ``.py`` file as in this module's docstring.

    Returns:
        The metric's name for ``Cell.metrics``: "<stem>-<12 hex digits of the file's SHA-256>".

    Raises:
        InputError: the file is missing or does not run, lacks a line, or its column or heading is
            taken.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the metric file {path}: {error.strerror}.") from None
    text_of_bytes(content, f"the metric file {path}")  # an error that is clearer than Python's
    name = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}"
    if name in LOADED:
        return name

    module = _run(path, name)
    metric = _described(path, module)
    _forget(path.stem)
    _check_free(path, metric)
    METRICS[metric.column] = metric
    LOADED[name] = MetricFile(metric, module.measure, path.stem)
    return name


def own_columns() -> dict[str, str]:
    """The columns of the loaded metrics that tables show: heading to column."""
    metrics = [loaded.metric for loaded in LOADED.values()]
    return {metric.heading: metric.column for metric in metrics if metric.heading}


def _run(path: Path, name: str) -> ModuleType:
    """Import the file under a name of its own, which is in no package and not in sys.modules."""
    module_name = "user_metric_" + re.sub(r"\W", "_", name)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"the metric file {path} is not a Python file; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the metric file {path} does not run: {type(error).__name__}: {error}."
        ) from error
    return module


def _described(path: Path, module: ModuleType) -> Metric:
    """The Metric that the file describes; InputError names the line that is missing."""
    meaning = " ".join((module.__doc__ or "").split("\n\n")[0].split())
    if not meaning:
        raise InputError(
            f"the metric file {path} has no docstring; add one sentence as its first line, which "
            "says what the metric is."
        )
    for constant, example in CONSTANTS.items():
        if not isinstance(getattr(module, constant, None), str):
            raise InputError(f"the metric file {path} has no text {constant}; add: {example}")
    if not callable(getattr(module, "measure", None)):
        raise InputError(
            f"the metric file {path} has no function measure; add: "
            "def measure(predict, images, labels, n_classes): ..."
        )
    if module.BETTER not in ("higher", "lower", ""):
        raise InputError(
            f"the metric file {path}: BETTER is {module.BETTER!r}; it must be "
            '"higher", "lower" or "".'
        )
    if not module.COLUMN.isidentifier() or keyword.iskeyword(module.COLUMN):
        raise InputError(
            f"the metric file {path}: COLUMN is {module.COLUMN!r}; it must be a name of letters, "
            "digits and underscores."
        )
    return Metric(module.COLUMN, module.UNIT, module.BETTER, meaning, module.HEADING, first=False)


def _forget(stem: str) -> None:
    """Remove the earlier version of a changed file."""
    for name, loaded in list(LOADED.items()):
        if loaded.stem == stem:
            del LOADED[name]
            del METRICS[loaded.metric.column]


def _check_free(path: Path, metric: Metric) -> None:
    if meaning := meaning_of(metric.column):
        raise InputError(
            f"the metric file {path}: the column {metric.column!r} exists already ({meaning}); "
            "choose another COLUMN."
        )
    headings = {other.heading for other in METRICS.values()} - {""}
    if metric.heading in headings:
        raise InputError(
            f"the metric file {path}: the heading {metric.heading!r} exists already; choose "
            "another HEADING."
        )


def measure_metrics(names: tuple[str, ...], dataset: str, snapshot: Snapshot) -> dict[str, float]:
    """Measure users' metrics of one snapshot on the test set.

    Args:
        names: as returned by :func:`load_metric_file`, in this process.
        dataset: whose test set is used.
        snapshot: its ``predict`` is measured.

    Returns:
        The value of each metric by its column.

    Raises:
        RuntimeError: a metric is not loaded, raises an error, or returns no finite number.
    """
    row: dict[str, float] = {}
    if not names:
        return row
    test = load(dataset, "test")
    images = normalise(test.images)
    several = [snapshot.predict] if callable(snapshot.predict) else list(snapshot.predict)
    for name in names:
        if name not in LOADED:
            raise RuntimeError(f"the metric {name} is not loaded; give its file again.")
        loaded = LOADED[name]
        values = []
        for predict in several:
            labels = test.labels.clone()
            value = _value(name, loaded.measure, predict, images.clone(), labels, test.n_classes)
            values.append(value)
        row[loaded.metric.column] = sum(values) / len(values)
    return row


def _value(
    name: str, measure: Measure, predict: Predict, images: Tensor, labels: Tensor, n_classes: int
) -> float:
    """One call of a user's ``measure``; its errors name the metric."""
    try:
        value = float(measure(_in_batches(predict), images, labels, n_classes))
    except (Exception, SystemExit) as error:
        raise RuntimeError(f"the metric {name} failed: {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise RuntimeError(f"the metric {name} returned {value}, not a finite number.")
    return value


def _in_batches(predict: Predict) -> Predict:
    """``predict`` for any number of images on the CPU, with its logits there too."""

    @torch.no_grad()
    def batched(images: Tensor) -> Tensor:
        # equal batches: BatchNorm on the batch's own statistics fails on a remainder of one image
        parts = images.tensor_split(max(1, math.ceil(len(images) / BATCH)))
        return torch.cat([predict(part.to(device())).float().cpu() for part in parts])

    return batched
