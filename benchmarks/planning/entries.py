"""The methods of a suite that a run has: its entries, with labels and settings."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.planning.entry_points import entry_points
from benchmarks.planning.methods import BUILT_IN, CEILING, FLOOR, METHODS
from benchmarks.planning.plugins import resolve_method
from benchmarks.planning.settings import Settings, checked, configure
from benchmarks.planning.suite import Entry, Suite
from benchmarks.planning.values import different
from mosaic.fl.errors import InputError, did_you_mean, not_a_choice


def entries_of(
    suite: Suite,
    methods: Sequence[str | ModuleType] | None,
    settings: Settings,
    folder: Path | None,
) -> list[Entry]:
    """The entries of the suite that the user asked for; others join with their defaults.

    Args:
        suite: the suite.
        methods: names, labels, paths of files, or modules; None for all of the suite.
        settings: the user's settings, which are checked.
        folder: where relative paths in the suite may start.

    Raises:
        InputError: if a name, a label or a setting is wrong, or if a method is there twice.
    """
    written = _written_entries(suite, folder)
    entries = [point for entry in written for point in _grid_points(entry)]
    by_label: dict[str, Entry] = {}
    for entry in entries:
        if entry.title in by_label:
            raise InputError(
                f"two methods of the suite have one label, {entry.title!r}; "
                "give each entry a label of its own."
            )
        by_label[entry.title] = entry

    grids = {entry.title: _grid_points(entry) for entry in written if entry.grid}
    chosen = list(by_label.values())
    if methods is not None:
        chosen = []
        names = []
        for method in methods:
            found = _chosen(method, by_label, grids)
            chosen += found
            names += [method] * len(found)
        different("the list of methods", names, [entry.title for entry in chosen])

    _check_entries(suite, by_label)
    _check_settings(settings, by_label)
    for entry in chosen:
        _check_point(entry, settings)
    return chosen


def _check_entries(suite: Suite, by_label: dict[str, Entry]) -> None:
    """What a suite says of its methods is checked, also of those that are not run this time.

    Raises:
        InputError: with the nearest known name.
    """
    for entry in by_label.values():
        configure(entry.name, entry.set)
        _check_tuned(entry)
        for widths in entry.widths or ():
            if widths not in suite.widths:
                raise not_a_choice(f"{entry.title}: widths", widths, suite.widths)

    named = "reference" in suite.model_fields_set
    if named and suite.reference not in by_label:
        raise did_you_mean("reference", suite.reference, by_label)


def _check_tuned(entry: Entry) -> None:
    """Check the settings that an entry wants to have tuned by itself.

    Raises:
        InputError: the entry has no label of its own, or a setting is given or cannot be tuned.
    """
    if not entry.tune:
        return
    if entry.title == entry.name or entry.grid_of:
        raise InputError(
            f"{entry.title} has settings to tune by itself; it needs a label of its own and no "
            "grid: the tuned values are written under its label."
        )
    space = METHODS[entry.name].SPACE
    for name in entry.tune:
        if name not in space:
            raise did_you_mean(f"setting of {entry.title} that can be tuned", name, space)
        if name in entry.set:
            raise InputError(
                f"{entry.title}: {name} is both in set and in tune; write it in one of them."
            )


def _written_entries(suite: Suite, folder: Path | None) -> list[Entry]:
    """All entries of a suite, those of ``methods`` and of ``method``, in the order of METHODS."""
    names = suite.methods
    if names == "all":
        names = list(BUILT_IN)

    entries = [Entry(name=resolve_method(name, folder)) for name in names]
    for entry in suite.method:
        name = resolve_method(entry.name, folder)
        if entry.title in (FLOOR, CEILING) and name != entry.title:
            problem = f"the label {entry.title!r} of {name} is the name of another method"
            raise InputError(f"{problem}, which every table sets apart: give another label.")
        if entry.title == "task":
            raise InputError(
                f"the label 'task' of {name} is what the task's settings are called: give another."
            )
        entries.append(entry.model_copy(update={"name": name}))

    # The order of METHODS is that of the tables: the floor first, the ceiling last.
    order = list(METHODS)
    return sorted(entries, key=lambda entry: order.index(entry.name))


def _chosen(
    method: str | ModuleType, by_label: dict[str, Entry], grids: dict[str, list[Entry]]
) -> list[Entry]:
    """The entries that one of the user's ``methods`` stands for."""
    if isinstance(method, str):
        if method in grids:
            return grids[method]
        if method in by_label:
            return [by_label[method]]
        known = method in METHODS or method in entry_points("method")
        if not known and "." not in method:
            raise did_you_mean("method", method, [*METHODS, *by_label])

    name = resolve_method(method)
    return [by_label.get(name) or Entry(name=name)]


def _check_settings(settings: Settings, by_label: dict[str, Entry]) -> None:
    """A wrong setting is an error, also of a method that is not run this time.

    Raises:
        InputError: with the nearest known name.
    """
    for name, values in settings.items():
        if name == "task":
            continue
        if name not in METHODS and name not in by_label:
            raise did_you_mean("method", name, [*METHODS, *by_label, "task"])

        method = by_label[name].name if name in by_label else name
        configure(method, values)


def _check_point(entry: Entry, settings: Settings) -> None:
    """A setting that a grid draws cannot be set: the labels of its points would not be true.

    Raises:
        InputError: if the user has set one.
    """
    for owner in (entry.name, entry.title):
        for key in entry.grid_settings:
            if key in settings.get(owner, {}):
                raise InputError(
                    f"{owner}.{key} is set, but the suite has a grid of it for {entry.grid_of}; "
                    "leave it out, or choose other methods by --methods."
                )


def _grid_points(entry: Entry) -> list[Entry]:
    """The entry; or one per point of its grid, labelled "mosaic lambda_e=0.5 lambda_d=2.0"."""
    if not entry.grid:
        return [entry]

    for key, values in entry.grid.items():
        if key in entry.set:
            raise InputError(
                f"{entry.title}: {key} is both in set and in grid; write it in one of them."
            )
        what = f"{entry.name}.{key}"
        config = METHODS[entry.name].Config
        read = [checked(what, config, key, value) for value in values]
        different(f"the grid of {entry.title}, {key},", values, read)

    points = []
    for values in itertools.product(*entry.grid.values()):
        point = dict(zip(entry.grid, values, strict=True))
        coordinates = " ".join(f"{key}={value}" for key, value in point.items())
        label = f"{entry.title} {coordinates}"
        points.append(entry.at_point(label, point))
    return points
