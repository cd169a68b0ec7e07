"""METHODS: every method by its name, and what tables and the documentation state about each."""

import functools
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from baselines import NAMES
from benchmarks.cli import print_table_command
from mosaic.fl.errors import did_you_mean

if TYPE_CHECKING:
    METHODS: dict[str, ModuleType]

FLOOR = "local"
CEILING = "centralised"

BUILT_IN = (*(name for name in NAMES if name != CEILING), "mosaic", "mosaic_feedback", CEILING)
"""The names of this package's own methods, in the order of the tables: what a suite's "all" stands
for.
"""


@functools.cache
def _methods() -> dict[str, ModuleType]:
    """Every method by its name, in the order of the tables. Methods from outside are added here."""
    from baselines import BASELINES
    from mosaic import feedback
    from mosaic import method as mosaic

    modules = {**BASELINES, "mosaic": mosaic, "mosaic_feedback": feedback}
    return {name: modules[name] for name in BUILT_IN}


def __getattr__(name: str) -> dict[str, ModuleType]:
    """METHODS: its modules need PyTorch and are imported when it is first used."""
    if name != "METHODS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _methods()


PROTOCOL_OF_SETTING = {
    "dense": {"every round": "every round"},
    "mosaic": {"oneshot": "one upload"},
    "mosaic_feedback": {"oneshot": "two uploads"},  # generators; after images came back, models
    "prototype_head": {"oneshot": "one upload"},
}
"""By method, the protocol for values of its setting ``protocol`` that make its PROTOCOL untrue."""


def method_names() -> list[str]:
    """The names in METHODS; before its first use no module is imported for them."""
    if _methods.cache_info().currsize:
        return list(_methods())
    return list(BUILT_IN)


def known_method(name: str) -> ModuleType:
    """The method's module.

    Raises:
        InputError: with the nearest known name, if there is none.
    """
    methods = _methods()
    if name not in methods:
        raise did_you_mean("method", name, methods)
    return methods[name]


def facts_of(method: str, config: Any = None) -> dict[str, Any]:
    """What tables state about a method, read from its module.

    Args:
        method: its name in METHODS.
        config: the settings that the facts are about; by default the method's own defaults.

    Returns:
        ``idea``, ``paper``, ``protocol``, ``needs`` (beyond models) and ``data_free``. For a method
        whose server trains a student also ``student`` (the weights that it starts from) and
        ``student_norms`` (whether its BatchNorm statistics are kept or trained); else these are "".
        ``tunable``: the settings that are tuned where all methods are.
    """
    from mosaic.fl.contract import NEEDS

    module = known_method(method)
    if config is None:
        config = module.Config()

    start, norms = _student_of(module, config)
    return {
        "idea": idea_of(module),
        "paper": module.PAPER,
        "protocol": _protocol_of(method, module, config),
        "needs": ", ".join(module.NEEDS),
        "data_free": all(NEEDS[need] for need in module.NEEDS),
        "student": start,
        "student_norms": norms,
        "tunable": " ".join(tunable_of(module)),
    }


def tunable_of(module: ModuleType) -> tuple[str, ...]:
    """The settings of a method that are tuned where all methods are: its TUNED, or else the first
    of its SPACE.
    """
    from mosaic.fl.contract import MOST_TUNED

    return getattr(module, "TUNED", tuple(module.SPACE)[:MOST_TUNED])


def _protocol_of(method: str, module: ModuleType, config: Any) -> str:
    """When the method sends what it adds to FedAvg: its PROTOCOL, if no setting makes it untrue."""
    of_setting = PROTOCOL_OF_SETTING.get(method, {})
    if getattr(config, "protocol", "") in of_setting:
        return of_setting[config.protocol]
    if method == "mosaic_feedback" and config.refresh:
        return "every few rounds"
    if method == "mosaic_feedback" and config.begin:
        return "once, between the rounds"
    return module.PROTOCOL


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
    sys.exit(print_table_command("benchmarks.planning.methods", methods_table))
