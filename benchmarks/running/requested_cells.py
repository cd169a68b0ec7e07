"""From a request to its cells: what the user brings is loaded, and the suite is expanded."""

from benchmarks.planning.cell import Cell
from benchmarks.planning.expand import expand_cells
from benchmarks.planning.outside import (
    clients_of_partition,
    resolve_datasets,
    resolve_metrics,
    resolve_partition,
    with_resolved_model,
    with_resolved_models,
)
from benchmarks.planning.scales import check_reporting, known_scale
from benchmarks.planning.suite import Suite, suite_path
from benchmarks.running.request import Request
from mosaic.fl.data.datasets import display_name
from mosaic.fl.device import choose_precision
from mosaic.fl.errors import InputError


def requested_cells(
    request: Request, name: str, suite: Suite, device: str, download: bool
) -> tuple[Suite, list[Cell]]:
    """The cells that a request asks for, without the fingerprints of their data.

    Args:
        request: what is asked for.
        name: of the suite's folder.
        suite: the suite of the request.
        device: where the cells run.
        download: whether data on which numbers of steps depend may be downloaded.

    Returns:
        The suite, in which files of models have names, and its cells.

    Raises:
        InputError: if something in the request is wrong, or if it has no cell.
    """
    folder = suite_path(request.suite).parent
    datasets = resolve_datasets(suite.datasets if request.datasets is None else request.datasets)
    metrics = resolve_metrics(request.metrics)
    names = datasets or list(known_scale(request.scale).datasets)
    settings = with_resolved_model(request.settings, names)
    suite = with_resolved_models(suite, request.scale, names, folder)
    clients = request.clients
    partition = ""
    if request.partition is not None:
        clients = clients_of_partition(request.partition, clients)
        partition = resolve_partition(request.partition)

    cells = expand_cells(
        name,
        suite,
        request.scale,
        datasets=datasets,
        omega=request.omega,
        clients=clients,
        methods=request.methods,
        seeds=request.seeds,
        widths=request.widths,
        settings=settings,
        precision=choose_precision(request.precision, device),
        threads=request.threads,
        metrics=tuple(metrics),
        partition=partition,
        dataset_labels={dataset: display_name(dataset) for dataset in datasets or []},
        folder=folder,
        budget=request.budget,
        download=download,
    )
    if not cells:
        raise InputError(
            "no cell is left of these options: at full width HeteroFL and FedRolex are FedAvg and "
            "are not run; give other --methods or --widths mixed."
        )
    check_reporting([cell.task.seed for cell in cells])
    return suite, cells
