"""check_method checks every part of a module, and its errors show the line to write."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from baselines import BASELINES
from mosaic import method as mosaic
from mosaic.fl.contract import check_method, choice
from mosaic.fl.errors import InputError


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    student: str = choice("average", "random")
    protocol: str = choice("end", "every round")


@dataclass
class NotFrozen:
    lr: float = 0.1


@dataclass(frozen=True)
class WithoutDefault:
    lr: float


@dataclass(frozen=True)
class Failing:
    lr: float = 0.1

    def __post_init__(self):
        raise ValueError("no such rate")


@dataclass(frozen=True)
class WithFactory:
    layers: list = field(default_factory=list)


def run(task, config):
    yield


def module_with(**parts) -> ModuleType:
    """A correct method with other parts; a part of None is left out."""
    module = ModuleType("mine")
    module.__doc__ = "Mine: a test's method.\n\nNobody et al., 2026."
    right = {
        "PAPER": "",
        "PROTOCOL": "every round",
        "NEEDS": (),
        "Config": Config,
        "SPACE": {},
        "run": run,
    }
    for name, part in (right | parts).items():
        if part is not None:
            setattr(module, name, part)
    return module


def message_of(module: ModuleType) -> str:
    with pytest.raises(InputError) as error:
        check_method("mine", module)
    message = str(error.value)
    assert message.startswith("method 'mine': ") and "Write, for example: " in message
    return message


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_passes(name):
    check_method(name, BASELINES[name])


def test_mosaic_passes():
    check_method("mosaic", mosaic)


def delegating(task, config) -> Iterator[None]:
    return run(task, config)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"NEEDS": ("label counts", "raw data")},
        {"Config": WithFactory},
        {"SPACE": {"lr": (0.01, 1.0), "student": ["random", "average"]}},
        {"SPACE": {"student": ("average", "random")}},
        {"SPACE": {"lr": [0.1, 0.2]}},
        {"SPACE": {"lr": [0.1, 0.2]}, "TUNED": ("lr",)},
        {"STUDENT": ("random", "trained")},
        {"STUDENT": ("config.student", "kept")},
        {"STUDENT": ("", "clients' own")},
        {"STUDENT": {"end": ("average", "kept"), "every round": ("config.student", "trained")}},
        {"run": delegating},
        {"stages": lambda task, config: []},
    ],
)
def test_a_correct_module_passes(parts):
    check_method("mine", module_with(**parts))


@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        (None, "its docstring is missing"),
        ("", "its docstring is missing"),
        ("Mine", "its docstring begins with 'Mine'"),
        ("Mine:", "its docstring begins with 'Mine:'"),
        ("Mine\n\nNote: an idea.", "its docstring begins with 'Mine'"),
    ],
)
def test_the_docstring_begins_with_a_name_and_an_idea(docstring, wanted):
    module = module_with()
    module.__doc__ = docstring
    message = message_of(module)
    assert wanted in message
    assert '"""mine: what the method does, in one sentence."""' in message


@pytest.mark.parametrize(
    ("part", "value", "wanted"),
    [
        ("PAPER", None, "PAPER is missing"),
        ("PAPER", 2026, "PAPER is 2026; it must be a text"),
        ("PROTOCOL", None, "PROTOCOL is missing; possible: 'every round', 'once, after"),
        ("PROTOCOL", "twice", "PROTOCOL is 'twice'; possible: 'every round'"),
        ("NEEDS", None, "NEEDS is missing; it must be a tuple"),
        ("NEEDS", "label counts", "NEEDS is 'label counts'; it must be a tuple"),
        ("NEEDS", ("luck",), r"NEEDS is ('luck',); it must be a tuple, empty or of: 'label"),
        ("Config", None, "Config is missing; it must be a frozen dataclass"),
        ("Config", Config(), "it must be a frozen dataclass"),
        ("Config", object, "Config is not a frozen dataclass"),
        ("Config", NotFrozen, "Config is not a frozen dataclass"),
        ("Config", WithoutDefault, "must have a default; without one: 'lr'"),
        ("Config", Failing, "Config() fails: no such rate"),
        ("SPACE", None, "SPACE is missing; it must be a dict"),
        ("SPACE", ["lr"], "SPACE is ['lr']; it must be a dict"),
        ("SPACE", {"mu": (0, 1)}, "SPACE has 'mu', which Config lacks; possible: 'lr', "),
        ("SPACE", {"lr": (0.2, 1.0)}, "the default in Config, 0.1, must be inside the range"),
        ("SPACE", {"lr": (1.0, 0.01)}, "the default in Config, 0.1, must be inside the range"),
        ("SPACE", {"student": (0, 1)}, "a range is for numbers, and the default in Config is 'a"),
        ("SPACE", {"student": ["random", "none"]}, "'average', must be one of the choices"),
        ("SPACE", {"student": ["average"]}, "a list of at least two choices"),
        ("TUNED", ("lr",), "TUNED is ('lr',); it must be a tuple of one to 3 different settings"),
        ("TUNED", (), "there are none, so leave TUNED out"),
        ("SPACE", {"lr": 0.1}, "SPACE['lr'] is 0.1; it must be (low, high), or a list"),
        ("run", None, "run is missing; it must be a function"),
        ("run", "fedavg", "run is 'fedavg'; it must be a function"),
        ("run", lambda task: iter(()), "run must take two arguments, task and config"),
        ("run", lambda task, config: [], "run must be a generator: it must yield a Snapshot"),
        ("stages", [], "stages must be a function of two arguments"),
        ("stages", lambda task: [], "stages must be a function of two arguments"),
        ("STUDENT", "average", "STUDENT has 'average'; it must be (start, norms)"),
        ("STUDENT", ("zero", "kept"), "STUDENT has ('zero', 'kept')"),
        ("STUDENT", ("config.weights", "kept"), "STUDENT has ('config.weights', 'kept')"),
        ("STUDENT", ("average", "lost"), "norms one of 'kept', 'trained', "),
        ("STUDENT", {"end": ("average", "kept")}, "its keys must be the choices of Config.prot"),
        (
            "STUDENT",
            {"end": ("average", "kept"), "every round": ("average",)},
            "STUDENT has ('average',)",
        ),
    ],
)
def test_a_wrong_part_is_named_with_what_is_possible_and_a_line_to_write(part, value, wanted):
    message = message_of(module_with(**{part: value}))
    assert wanted in message
    assert part in message.split("Write, for example: ")[1]


def test_a_student_by_protocol_needs_a_setting_of_that_name():
    module = module_with(Config=WithFactory, STUDENT={"end": ("average", "kept")})
    assert "the choices of Config.protocol: there are none" in message_of(module)
