"""The operations in a study's journal: which are sound, and what is missing between them.

Optuna writes one operation per line and numbers studies and trials in the order of their creation.
It stops at an operation that it does not understand, and after a lost creation it applies the
operations that follow to the wrong trial.
"""

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from optuna.distributions import json_to_distribution

from mosaic.fl.errors import InputError

CREATE_STUDY = 0
DELETE_STUDY = 1
CREATE_TRIAL = 4
SET_PARAM = 5
SET_STATE = 6
LATEST = 10  # Optuna's newest operation

RUNNING, COMPLETE, WAITING = 0, 1, 4  # states of trials

Line = dict[str, Any]
"""One operation: "op_code", and what it needs."""

NUMBER = (int, float)
FIELDS: dict[int, dict[str, Any]] = {
    CREATE_STUDY: {"study_name": (str,), "directions": (list,)},
    DELETE_STUDY: {"study_id": (int,)},
    2: {"study_id": (int,), "user_attr": (dict,)},
    3: {"study_id": (int,), "system_attr": (dict,)},
    CREATE_TRIAL: {"study_id": (int,), "datetime_start": (str, type(None))},
    SET_PARAM: {
        "trial_id": (int,),
        "param_name": (str,),
        "param_value_internal": NUMBER,
        "distribution": (str,),
    },
    SET_STATE: {"trial_id": (int,), "state": (int,), "values": (list, type(None))},
    7: {"trial_id": (int,), "step": (int,), "intermediate_value": NUMBER},
    8: {"trial_id": (int,), "user_attr": (dict,)},
    9: {"trial_id": (int,), "system_attr": (dict,)},
}
"""The fields of each operation, with the types of their values."""

ATTRIBUTES: dict[str, Any] = {
    "identity": (dict,),
    "lost": (dict,),
    "gone": (dict,),
    "process": (dict,),
    "attempt": (int,),
    "retry_of": (int,),
    "ordinal": (int,),
    "news": NUMBER,
    "default": (bool,),
    "reason": (str,),
    "traceback": (str,),
    "fixed_params": (dict,),
}
"""What the tuner stores of a study and of a trial, with the types of the values."""


def operations_of(raw: bytes) -> tuple[list[Line], bool]:
    """The sound operations in a line of a journal.

    Several are in one line if the end of a line was damaged, or if an operation was appended to one
    that was never finished.

    Args:
        raw: the line without its end.

    Returns:
        The operations, and whether that is all of the line.

    Raises:
        InputError: the operation is one of a later version of Optuna.
    """
    text = raw.decode(errors="replace")
    try:
        lines = [json.loads(text)]
        whole = True
    except (ValueError, RecursionError):
        lines = list(_operations_within(text))
        whole = False
    sound = [line for line in lines if is_sound(line)]
    return sound, whole and len(sound) == len(lines)


def _operations_within(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    start = text.find('{"op_code"')
    while start >= 0:
        try:
            line, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield line
        start = text.find('{"op_code"', end)


def is_sound(line: Any) -> bool:
    """Whether Optuna can apply an operation, and the tuner understands what it says.

    Raises:
        InputError: it is one of a later version of Optuna.
    """
    if not isinstance(line, dict) or type(line.get("op_code")) is not int:
        return False
    if line["op_code"] > LATEST:
        raise InputError(
            f"a journal has the operation {line['op_code']}, which a later version of Optuna "
            "wrote; update optuna, or move the journal away to start again."
        )
    if line["op_code"] not in FIELDS:
        return line["op_code"] == LATEST
    if not isinstance(line.get("worker_id"), str):
        return False
    for field, types in FIELDS[line["op_code"]].items():
        if field not in line or type(line[field]) not in types:
            return False
    try:
        return _has_sound_values(line)
    except Exception:  # damaged values give errors of any kind
        return False


def _has_sound_values(line: Line) -> bool:
    """Whether the values of an operation are possible; errors mean that they are not."""
    code = line["op_code"]
    if code == CREATE_STUDY:
        return set(line["directions"]) <= {1, 2} and len(line["directions"]) > 0
    if code == CREATE_TRIAL:
        if line["datetime_start"] is not None:
            datetime.fromisoformat(line["datetime_start"])
        waits = line.get("state", RUNNING) in (RUNNING, WAITING)
        attributes = line.get("user_attrs", {}) | line.get("system_attrs", {})
        return waits and _attributes_fit(attributes)
    if code == SET_PARAM:
        distribution = json_to_distribution(line["distribution"])
        value = distribution.to_external_repr(line["param_value_internal"])
        return distribution.to_internal_repr(value) == line["param_value_internal"]
    if code == SET_STATE:
        return _is_sound_state(line)

    attributes = line.get("user_attr", line.get("system_attr"))
    return attributes is None or (len(attributes) == 1 and _attributes_fit(attributes))


def _is_sound_state(line: Line) -> bool:
    state = line["state"]
    if state not in range(5):
        return False
    if state != WAITING:
        datetime.fromisoformat(line["datetime_start" if state == RUNNING else "datetime_complete"])
    values = line["values"] or []
    numbers = all(type(value) in NUMBER and math.isfinite(value) for value in values)
    return numbers and (len(values) > 0 or state != COMPLETE)


def _attributes_fit(attributes: dict[str, Any]) -> bool:
    for name, value in attributes.items():
        types = (dict,) if name.startswith("seed ") else ATTRIBUTES.get(name)
        if types is not None and type(value) not in types:
            return False
        if name == "process" and not _is_process(value):
            return False
    return True


def _is_process(value: dict[str, Any]) -> bool:
    return (
        isinstance(value.get("host"), str)
        and type(value.get("pid")) is int
        and type(value.get("begun")) in NUMBER
    )


def completed(lines: list[Line], creation: Line) -> list[Line]:
    """The operations, with a creation before the first operation on each study and trial.

    Args:
        lines: sound operations.
        creation: the operation that creates the study, for the case that it was lost.

    Returns:
        Operations that Optuna numbers as it did when they were written. A trial whose creation was
        lost is created empty. A creation that comes late is moved forward, and a second copy of one
        is left out.
    """
    # A number that is larger than that of all lines is damaged.
    possible = range(-1, len(lines))
    waiting = [
        line
        for line in _without_copies(lines)
        if line.get("trial_id", -1) in possible and line.get("study_id", -1) in possible
    ]
    n_creations = sum(line["op_code"] == CREATE_TRIAL for line in waiting)
    n_named = 1 + max((line.get("trial_id", -1) for line in waiting), default=-1)
    n_lost = max(0, n_named - n_creations)

    kept: list[Line] = []
    created = _Created()
    while waiting:
        line = waiting[0]
        if created.lacks_study_of(line):
            line = created.deletion_of(creation) or creation
        elif created.lacks_trial_of(line):
            later = next((other for other in waiting if other["op_code"] == CREATE_TRIAL), None)
            if not created.studies:
                line = creation
            elif n_lost > 0 or later is None:
                line = _empty_trial(max(created.studies))
                n_lost -= 1
            else:
                line = later
                waiting.remove(later)
        else:
            waiting.pop(0)
        kept.append(line)
        created.apply(line)
    return kept


class _Created:
    """What the operations so far have created, in Optuna's numbers."""

    def __init__(self) -> None:
        self.studies: dict[int, str] = {}  # those that exist, names by id
        self.n_studies = 0
        self.n_trials = 0

    def lacks_study_of(self, line: Line) -> bool:
        return line.get("study_id", -1) >= self.n_studies

    def lacks_trial_of(self, line: Line) -> bool:
        return line.get("trial_id", -1) >= self.n_trials

    def deletion_of(self, creation: Line) -> Line | None:
        """The deletion, which was lost, of the study that is to be created again, if it exists."""
        if creation["study_name"] not in self.studies.values():
            return None
        return {"op_code": DELETE_STUDY, "worker_id": "repair", "study_id": max(self.studies)}

    def apply(self, line: Line) -> None:
        code = line["op_code"]
        if code == CREATE_STUDY and line["study_name"] not in self.studies.values():
            self.studies[self.n_studies] = line["study_name"]
            self.n_studies += 1
        elif code == DELETE_STUDY:
            self.studies.pop(line["study_id"], None)
        elif code == CREATE_TRIAL and line["study_id"] in self.studies:
            self.n_trials += 1


def _empty_trial(study_id: int) -> Line:
    return {
        "op_code": CREATE_TRIAL,
        "study_id": study_id,
        "worker_id": "repair",
        "datetime_start": None,
    }


def _without_copies(lines: list[Line]) -> list[Line]:
    """The lines without second copies of creations of trials, which would shift all numbers."""
    kept: list[Line] = []
    seen = set()
    for line in lines:
        if line["op_code"] == CREATE_TRIAL and line["worker_id"] != "repair":
            text = json.dumps(line)
            copied = text in seen if line["datetime_start"] else bool(kept) and kept[-1] == line
            if copied:
                continue
            seen.add(text)
        kept.append(line)
    return kept
