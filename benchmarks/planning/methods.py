"""METHODS: every method by its name, and what tables and the documentation state about each."""

from types import ModuleType
from typing import Any

from baselines import BASELINES
from benchmarks.output import make_streams_readable
from mosaic import method as mosaic
from mosaic.fl.contract import NEEDS
from mosaic.fl.errors import did_you_mean

FLOOR = "local"
CEILING = "centralised"


def _in_table_order() -> dict[str, ModuleType]:
    """The baselines, then Mosaic, then the ceiling."""
    methods = dict(BASELINES)
    ceiling = methods.pop(CEILING)
    methods["mosaic"] = mosaic
    methods[CEILING] = ceiling
    return methods


METHODS: dict[str, ModuleType] = _in_table_order()
"""Every method by its name, in the order of the tables. Methods from outside are added here."""

BUILT_IN = tuple(METHODS)
"""The names of this package's own methods, in the same order: what a suite's "all" stands for."""

PROTOCOL_OF_SETTING = {"oneshot": "one upload", "every round": "every round"}
"""The protocol for values of a method's setting ``protocol`` that make its PROTOCOL untrue."""


def known_method(name: str) -> ModuleType:
    """The method's module.

    Raises:
        InputError: with the nearest known name, if there is none.
    """
    if name not in METHODS:
        raise did_you_mean("method", name, METHODS)
    return METHODS[name]


def facts_of(method: str, config: Any = None) -> dict[str, Any]:
    """What tables state about a method, read from its module.

    Args:
        method: its name in METHODS.
        config: the settings that the facts are about; by default the method's own defaults.

    Returns:
        ``idea``, ``paper``, ``protocol``, ``needs`` (beyond models) and ``data_free``. For a method
        whose server trains a student also ``student`` (the weights that it starts from) and
        ``student_norms`` (whether its BatchNorm statistics are kept or trained); else these are "".
    """
    module = known_method(method)
    if config is None:
        config = module.Config()

    start, norms = _student_of(module, config)
    return {
        "idea": idea_of(module),
        "paper": module.PAPER,
        "protocol": PROTOCOL_OF_SETTING.get(getattr(config, "protocol", ""), module.PROTOCOL),
        "needs": ", ".join(module.NEEDS),
        "data_free": all(NEEDS[need] for need in module.NEEDS),
        "student": start,
        "student_norms": norms,
    }


def _student_of(module: ModuleType, config: Any) -> tuple[str, str]:
    """The start and the BatchNorm statistics of the method's student; ("", "") if it has none."""
    student = getattr(module, "STUDENT", ("", ""))
    if isinstance(student, dict):
        student = student[config.protocol]

    start, norms = student
    if start.startswith("config."):
        start = getattr(config, start.removeprefix("config."))
    return start, norms


def idea_of(method: ModuleType) -> str:
    """The first paragraph of a method's docstring without its name."""
    first_paragraph = (method.__doc__ or "").split("\n\n")[0]
    return " ".join(first_paragraph.split()).split(": ", 1)[-1]


def methods_table() -> str:
    """The documentation's list of methods, as Markdown."""
    lines = [
        "| name | what it does | paper | protocol | needs beyond models | data-free |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method in BUILT_IN:
        facts = facts_of(method)
        cells = [
            f"`{method}`",
            facts["idea"].rstrip("."),
            facts["paper"],
            facts["protocol"],
            facts["needs"],
            "yes" if facts["data_free"] else "no",
        ]
        lines.append("| " + " | ".join(cell or "–" for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    make_streams_readable()
    print(methods_table())
