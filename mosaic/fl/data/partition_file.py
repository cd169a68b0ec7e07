"""Partitions in files: read and register somebody else's split, and write a task's own."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mosaic.fl.data.federation import split
from mosaic.fl.data.given_partition import PARTITIONS, GivenPartition
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole
from mosaic.fl.home import expanded
from mosaic.fl.task import Task

FORMS = (
    'a .json file with {"clients": [[0, 5, ...], [1, ...]]}, [[0, 5, ...], [1, ...]] or '
    '{"0": [0, 5, ...], "1": [1, ...]}, or an .npz file with the arrays client_0, client_1, ...'
)


def register_partition(path: str | Path) -> str:
    """Read a partition file, so that tasks can use it. Another process has to call this itself.

    Args:
        path: a file as :func:`read_partition` reads it.

    Returns:
        What to set `Task.partition` to: 16 hex digits of a hash of the clients' lists. The order
        of clients counts, the order within a list and the form of the file do not.

    Raises:
        InputError: the file has no partition.
    """
    clients = read_partition(path)
    text = json.dumps([positions.tolist() for positions in clients])
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    PARTITIONS[name] = GivenPartition(tuple(clients), Path(path))
    return name


def read_partition(path: str | Path) -> list[Tensor]:
    """Read which images each client has.

    A JSON file has one list of integers per client: `{"clients": [[...], ...]}`, where other
    entries are ignored, or just `[[...], ...]`, or `{"0": [...], "1": [...]}`. An .npz file has one
    array of integers per client, `client_0`, `client_1`, ... or `arr_0`, `arr_1`, ...

    An integer is the position of an image in the data set's whole training split, before
    validation images are held out; the first is 0. No image may be listed twice. Some may belong
    to no client.

    Args:
        path: the file, .json or .npz.

    Returns:
        For each client its positions, ascending, int64 (n_i,).

    Raises:
        InputError: the file cannot be read, or has another form.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"there is no partition file {path}. Give {FORMS}.")
    if path.suffix not in (".json", ".npz"):
        raise InputError(f"{path} is neither .json nor .npz. Give {FORMS}.")

    lists = _lists_of_json(path) if path.suffix == ".json" else _lists_of_npz(path)
    if not lists:
        raise InputError(f"{path} lists no clients. Give {FORMS}.")
    clients = [_positions(path, client, values) for client, values in enumerate(lists)]
    _check_unique(path, clients)
    return clients


def write_partition(path: str | Path, task: Task) -> None:
    """Write the split of a task as a JSON file that :func:`read_partition` reads.

    The lists have the images that the clients train on, without the validation images. A task with
    this file, and otherwise the same dataset, validation and seed, holds the same images out, so
    each client trains on the same images again. The federation is the same in every respect,
    unless the task has an `n_train`, which draws the pool in an order that the file does not keep.

    Args:
        path: the file to write, ending in .json. It is there whole or not at all.
        task: of any law.

    Raises:
        InputError: the file cannot be written, or the task's data cannot be split.
    """
    path = expanded(path)
    if path.suffix != ".json":
        raise InputError(f"cannot write a partition to {path}: choose a name that ends in .json.")

    pool, _, parts = split(task)
    clients = [pool[indices].sort().values.tolist() for indices in parts.indices]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"clients": clients}).encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}.") from error


def _lists_of_json(path: Path) -> list:
    """What the file has for each client, not yet checked."""
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {error}. Give {FORMS}.") from error

    if isinstance(content, dict) and "clients" in content:
        content = content["clients"]
    if isinstance(content, dict):
        return _by_number(path, content)
    if isinstance(content, list):
        return content
    raise InputError(f"{path} has no lists of images. Give {FORMS}.")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; a client that is in it twice is an error."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the entry {repeated!r} twice")
    return content


def _lists_of_npz(path: Path) -> list:
    """The arrays of the file as lists, in the order of clients, their values not yet checked."""
    try:
        # The file is opened here because numpy leaves a damaged one open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged archives raise errors of any kind
        raise InputError(f"cannot read {path}: {error}. Give {FORMS}.") from error

    for name, array in arrays.items():
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise InputError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}; it must be a list of "
                "integers, the positions of the client's images."
            )
    return _by_number(path, {name: array.tolist() for name, array in arrays.items()})


def _by_number(path: Path, named: dict[str, Any]) -> list:
    """The values in the order of their names' numbers, which must be 0..N-1."""
    numbered = {}
    for name, values in named.items():
        match = re.fullmatch(r"(?:client_|arr_)?([0-9]+)", name)
        if match is None:
            raise InputError(
                f"{path} has the entry {name!r}, which is not the number of a client. Give {FORMS}."
            )
        numbered[int(match[1])] = values

    if sorted(numbered) != list(range(len(named))):
        raise InputError(
            f"{path} has the clients {', '.join(named)}. Number them from 0 without gaps."
        )
    return [numbered[client] for client in range(len(named))]


def _positions(path: Path, client: int, values: Any) -> Tensor:
    """A client's list as ascending positions, int64 (n,)."""
    if not isinstance(values, list) or not values:
        raise InputError(
            f"{path}: client {client} (the first is 0) has no list of images. "
            "List at least one image per client, or leave the client out."
        )
    for value in values:
        # bool is a subclass of int, so isinstance would let true and false in.
        if type(value) is not int or not 0 <= value < 2**63:
            raise InputError(
                f"{path}: client {client} (the first is 0) has the image {value!r}. "
                "Give positions in the training split: integers from 0."
            )
    return torch.tensor(values).sort().values


def _check_unique(path: Path, clients: list[Tensor]) -> None:
    """Raise an InputError if an image is listed twice."""
    positions, counts = torch.cat(clients).unique(return_counts=True)
    if (counts == 1).all():
        return

    repeated = positions[counts > 1][0]
    owners = [str(client) for client, own in enumerate(clients) if repeated in own]
    raise InputError(
        f"{path}: image {repeated} is listed more than once, for client {' and '.join(owners)} "
        "(the first is 0). Each image belongs to one client at most: remove it from the others."
    )
