"""The data sets and metrics of a request by their names; files are loaded."""

from benchmarks.planning.outside import resolve_dataset, resolve_metric
from benchmarks.planning.suite import Suite
from benchmarks.planning.values import different
from benchmarks.running.request import Request


def requested_datasets(request: Request, suite: Suite) -> list[str] | None:
    """The names of the data sets that the request or the suite gives; None leaves it to the scale.

    Raises:
        InputError: if there is no such data set, or if one is there twice.
    """
    named = suite.datasets if request.datasets is None else request.datasets
    if named is None:
        return None
    datasets = [resolve_dataset(given) for given in named]
    different("the list of data sets", named, datasets)
    return datasets


def requested_metrics(request: Request) -> list[str]:
    """The names of the metrics from files, none of which is there twice."""
    metrics = [resolve_metric(given) for given in request.metrics]
    if metrics:
        different("the list of metrics", request.metrics, metrics)
    return metrics
