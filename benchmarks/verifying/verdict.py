"""What a verification has found."""

from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str, str], None]
"""Called with a kind of finding ("agrees", "differs", "cannot", "note") and its text."""


def _silent(kind: str, text: str) -> None:
    """The default of ``say``: nothing is printed."""


@dataclass
class Verdict:
    """What agrees, what differs and what could not be checked, each in one line.

    Attributes:
        differences: what is not as the records, or today's run of a cell, say.
        unchecked: what was asked for and could not be checked, with what to do about it.
        agreements: what was compared and is equal.
        notes: what a reader should know besides.
        say: called with each finding when it is made.
    """

    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    agreements: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    say: Say = _silent

    @property
    def code(self) -> int:
        """0: all agrees; 1: something differs; 2: nothing does, but something was not checked."""
        if self.differences:
            return 1
        return 2 if self.unchecked else 0

    def differs(self, text: str) -> None:
        """Something is not as it should be."""
        self.differences.append(text)
        self.say("differs", text)

    def cannot(self, text: str) -> None:
        """Something that was asked for could not be checked."""
        self.unchecked.append(text)
        self.say("cannot", text)

    def agrees(self, text: str) -> None:
        """Something was compared and is equal."""
        self.agreements.append(text)
        self.say("agrees", text)

    def note(self, text: str) -> None:
        """Something that decides nothing."""
        self.notes.append(text)
        self.say("note", text)
