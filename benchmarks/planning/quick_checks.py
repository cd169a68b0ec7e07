"""Checks of names before PyTorch is imported, so that a wrong one is answered at once.

They know all names that exist; whether a name can be used here is checked later, with the rest.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.planning.entry_points import entry_points
from benchmarks.planning.methods import method_names
from benchmarks.planning.scales import known_scale
from benchmarks.planning.suite import Suite, read_suite
from mosaic.fl.data.names import BUILT_IN
from mosaic.fl.errors import did_you_mean


def check_names(
    suite_name: str, scale: str, methods: Iterable[str] | None, settings: Iterable[str]
) -> None:
    """Check the names that the command was given.

    Args:
        suite_name: a suite's name or file.
        scale: a scale's name.
        methods: names, labels of the suite and paths of files.
        settings: the methods, labels or "task" that settings were given for.

    Raises:
        InputError: if there is no such suite, scale or method.
    """
    known_scale(scale)
    _, suite = read_suite(suite_name)

    files = [method for method in methods or () if method.endswith(".py")]
    known = [*names_in(suite), *(Path(file).stem for file in files)]
    for method in methods or ():
        if method not in files and not _is_grid_point(method, suite):
            check_method_name(method, known)
    for owner in settings:
        if not _is_grid_point(owner, suite):
            check_method_name(owner, [*known, "task"])


def check_dataset_name(given: str) -> None:
    """Check the name of a data set that is neither a folder nor a file.

    Raises:
        InputError: if it is neither known here, nor an entry point.
    """
    if is_path_of_data(given):
        return
    datasets = sys.modules.get("mosaic.fl.data.datasets")  # a user's program may have added some
    known: list[str] = list(BUILT_IN if datasets is None else datasets.DATASETS)
    if given in known:
        return
    known += entry_points("dataset")
    if given not in known:
        raise did_you_mean("data set", given, known)


def is_path_of_data(given: str) -> bool:
    """Whether what a user gave as data set is a folder or file, and not a name."""
    return "/" in given or given.endswith(".npz") or Path(given).exists()


def check_method_name(name: str, others: Iterable[str] = ()) -> None:
    """Check the name of a method that is no file.

    Raises:
        InputError: if it is neither known here, nor an entry point, nor one of ``others``.
    """
    known = [*method_names(), *others]
    if name in known:
        return
    known += entry_points("method")
    if name not in known:
        raise did_you_mean("method", name, known)


def names_in(suite: Suite) -> list[str]:
    """The labels of a suite, and the names of its methods, which may be files."""
    names = [entry.title for entry in suite.method]
    files = [entry.name for entry in suite.method]
    if suite.methods != "all":
        files += suite.methods
    return names + [Path(file).stem if file.endswith(".py") else file for file in files]


def _is_grid_point(name: str, suite: Suite) -> bool:
    """Whether a name may be a point of a grid, such as "mosaic lambda_e=0.5"."""
    titles = [entry.title for entry in suite.method if entry.grid]
    return any(name.startswith(f"{title} ") for title in titles)
