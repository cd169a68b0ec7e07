"""METHODS: every method by its name, and what tables and the documentation say of each."""

from types import ModuleType
from typing import Any

from baselines import BASELINES
from mosaic import method as mosaic
from mosaic.fl.contract import NEEDS
from mosaic.fl.errors import did_you_mean

FLOOR, CEILING = "local", "centralised"

METHODS: dict[str, ModuleType] = {
    **{name: method for name, method in BASELINES.items() if name != CEILING},
    "mosaic": mosaic,
    CEILING: BASELINES[CEILING],
}
"""Every method by its name, in the order of the tables."""


def known_method(name: str) -> ModuleType:
    if name not in METHODS:
        raise did_you_mean("method", name, METHODS)
    return METHODS[name]


SETTING = {"oneshot": "one upload", "every round": "every round"}
"""Values of a method's setting ``protocol`` that are not its module's ``PROTOCOL``."""


def facts_of(method: str, config: Any = None) -> dict[str, Any]:
    """Its idea, paper, protocol, needs beyond models, whether these are data-free, and what its server's student is.

    ``config`` (by default the method's own) decides what depends on settings.
    """
    module = METHODS[method]
    config = module.Config() if config is None else config
    student = getattr(module, "STUDENT", ("", ""))
    start, norms = student[config.protocol] if isinstance(student, dict) else student
    return {
        "idea": " ".join(module.__doc__.split("\n\n")[0].split()).split(": ", 1)[1],
        "paper": module.PAPER,
        "protocol": SETTING.get(getattr(config, "protocol", ""), module.PROTOCOL),
        "needs": ", ".join(module.NEEDS),
        "data_free": all(NEEDS[need] for need in module.NEEDS),
        "student": getattr(config, start.removeprefix("config."))
        if start.startswith("config.")
        else start,
        "student_norms": norms,
    }


def methods_table() -> str:
    """The README's list of methods, as Markdown."""
    lines = [
        "| name | what it does | paper | protocol | needs beyond models | data-free |",
        "|" + " --- |" * 6,
    ]
    for method in METHODS:
        facts = facts_of(method)
        free = "yes" if facts["data_free"] else "no"
        texts = [
            f"`{method}`",
            facts["idea"].rstrip("."),
            facts["paper"],
            facts["protocol"],
            facts["needs"],
            free,
        ]
        lines.append(f"| {' | '.join(text or '–' for text in texts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(methods_table())
