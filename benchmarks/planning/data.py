"""The data of cells: where they are, and their fingerprints, which are part of the cells' keys."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.planning.cell import Cell
from mosaic.fl.data.datasets import DATASETS, display_name
from mosaic.fl.data.loading import fingerprint, is_here, load, place_of

Split = tuple[str, str]
"""A data set by its name in DATASETS, and "train" or "test"."""

Fingerprints = Mapping[Split, str]


def proxy_of(cell: Cell) -> str | None:
    """The other data set whose images the method uses; None if there is none.

    It is the value of a setting called ``proxy`` (:func:`mosaic.fl.data.proxy.proxy_images`).
    """
    proxy = getattr(cell.config, "proxy", None)
    return proxy if proxy in DATASETS else None


def splits_of(cells: Iterable[Cell]) -> list[Split]:
    """The splits that the numbers of the cells depend on, each once."""
    return list(dict.fromkeys(split for cell in cells for split in _splits(cell)))


def _splits(cell: Cell) -> Iterator[Split]:
    yield cell.task.dataset, "train"
    yield cell.task.dataset, "test"
    proxy = proxy_of(cell)
    if proxy:
        yield proxy, "train"


def fingerprints(splits: Iterable[Split], download: bool) -> dict[Split, str]:
    """The fingerprints of splits.

    Args:
        splits: what is loaded.
        download: whether to download what is not on this machine. If not, it is left out.

    Raises:
        InputError: a data set is damaged, or is to be downloaded and cannot be.
    """
    return {split: fingerprint(load(*split)) for split in splits if download or is_here(*split)}


def with_data(cells: Sequence[Cell], known: Fingerprints) -> list[Cell]:
    """The cells, with the fingerprints of their data in their keys as far as they are known."""
    return [_with_data(cell, known) for cell in cells]


def _with_data(cell: Cell, known: Fingerprints) -> Cell:
    dataset = cell.task.dataset
    proxy = proxy_of(cell)
    return replace(
        cell,
        task=replace(cell.task, data=known.get((dataset, "train"), "")),
        test_data=known.get((dataset, "test"), ""),
        proxy_data=known.get((proxy, "train"), "") if proxy else "",
    )


def without_data(cell: Cell) -> Cell:
    """The cell as it was before its data were part of its key."""
    return _with_data(cell, {})


def absent(cells: Iterable[Cell]) -> list[str]:
    """The data sets of cells whose key lacks a fingerprint, because the data are not here."""
    names = {}
    for cell in cells:
        if not cell.task.data or not cell.test_data:
            names[cell.task.dataset] = None
        proxy = proxy_of(cell)
        if proxy and not cell.proxy_data:
            names[proxy] = None
    return list(names)


def places(splits: Iterable[Split]) -> str:
    """Where each data set was found, in one line."""
    names = dict.fromkeys(name for name, _ in splits)
    found = [f"{display_name(name)}: {place_of(name) or 'not on this machine'}" for name in names]
    return "data: " + "; ".join(found)
