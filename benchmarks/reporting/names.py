"""How tables and figures name and order things: methods, settings, omegas, numbers of seeds."""

from collections.abc import Iterable

import pandas as pd

from benchmarks.planning.methods import CEILING, FLOOR, method_names

GIVEN_SPLIT = "given split"


def method_order(records: pd.DataFrame) -> list[str]:
    """The labels in the order of every table and figure.

    The order is that of METHODS. Labels of one method follow one another as they first appear.
    Methods that METHODS does not know come just before the ceiling.
    """
    place = {method: position for position, method in enumerate(method_names())}
    unknown = place.get(CEILING, len(place)) - 0.5

    # Frames without the column "method" are ordered by their labels.
    methods = records.loc[:, "method" if "method" in records else "label"]
    place_of_label = {
        label: place.get(method, unknown)
        for label, method in zip(records["label"], methods, strict=True)
    }
    return sorted(place_of_label, key=lambda label: place_of_label[label])


def is_frame(label: str) -> bool:
    """True for the floor and the ceiling, which frame the comparison and do not compete in it."""
    return label in (FLOOR, CEILING)


def number(value: float) -> str:
    """A number that somebody chose, such as an omega, with all of its digits: "0.1", "inf"."""
    text = f"{value:.12g}"
    return text if float(text) == value else repr(float(value))


def setting_name(dataset: str, n_clients: int, widths: str) -> str:
    """The setting in words, e.g. "fashion-mnist, 10 clients, full width"."""
    return f"{dataset}, {n_clients} clients, {widths_name(widths)}"


def widths_name(widths: str) -> str:
    """The clients' widths in words, e.g. "full width" or "widths rho=5"."""
    known = {"full": "full width", "mixed": "mixed widths"}
    return known.get(widths, f"widths {widths}")


def omega_values(records: pd.DataFrame) -> dict[float, str]:
    """Each omega of the records as the cell of a table: "0.1", or "given split".

    A split that was given by a file (``task.law`` is "file") has omega inf in its records.
    """
    texts = {}
    for omega in sorted(records["omega"].unique()):
        texts[omega] = number(omega)
        if "task.law" in records:
            laws = set(records.loc[records["omega"] == omega, "task.law"].dropna())
            if laws == {"file"}:
                texts[omega] = GIVEN_SPLIT
    return texts


def omega_names(records: pd.DataFrame) -> dict[float, str]:
    """Each omega of the records as a heading or within a sentence: "ω 0.1", or "given split"."""
    names = {}
    for omega, text in omega_values(records).items():
        names[omega] = text if text == GIVEN_SPLIT else f"ω {text}"
    return names


def seeds_name(counts: Iterable[int]) -> str:
    """The number of seeds in words, e.g. "n = 3 seeds" or "n = 2 to 3 seeds".

    Args:
        counts: finished seeds per method and omega; zeros are left out.
    """
    known = sorted({int(count) for count in counts if count > 0})
    if not known:
        return "n = 0 seeds"
    if len(known) > 1:
        return f"n = {known[0]} to {known[-1]} seeds"
    if known == [1]:
        return "n = 1 seed"
    return f"n = {known[0]} seeds"


def seeds_and_spread(counts: Iterable[int]) -> str:
    """The number of seeds in words and, for more than one seed, what a figure's bars show."""
    counts = list(counts)
    text = seeds_name(counts)
    if max(counts, default=0) > 1:
        text += ", ± 1 sd"
    return text
