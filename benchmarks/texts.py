"""Texts that users chose (labels, names of data, reasons), made fit for any output."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
"""Unicode's categories of characters that move, hide or break what stands beside them."""

JOINERS = "\u200c\u200d\ufe0f"
"""Invisible characters that belong to the spelling of a word or of an emoji."""

LONGEST_FILE_NAME = 120
"""Bytes, without the ending. File systems take 255, some of them 143."""


def one_line(text: str) -> str:
    """The text on one line, in which every character can be seen.

    Line breaks, tabs and other control characters become what Python's strings have for them, such
    as ``\\n``. A text of white space alone is in quotes.
    """
    visible = "".join(_visible(character) for character in text)
    if visible and not visible.strip():
        return f"'{visible}'"
    return visible


def _visible(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in INVISIBLE:
        return character
    return escaped(character)


def escaped(text: str) -> str:
    r"""The text in ASCII as Python's strings have it, e.g. ``\n`` or ``\u4e2d``."""
    return text.encode("unicode_escape").decode()


def shortened(text: str, most: int) -> str:
    """The text with single spaces; one of more than ``most`` characters ends after a whole word."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    return f"{text[:most].rsplit(' ', 1)[0]} …"


def utf8(text: str) -> bytes:
    r"""The text for a file; what is no character (from a file's name) becomes e.g. ``\udcff``."""
    return text.encode("utf-8", "backslashreplace")


def file_names(texts: Sequence[str]) -> list[str]:
    """Names of files for texts of any characters, without endings; no two texts share one.

    Characters other than letters, digits and ``.,=+-_`` become "-". A name that is too long, or
    that several texts would share where a file system ignores capitals, ends with a hash of its
    text.

    Args:
        texts: the texts, in a fixed order: of equal ones the second has another name than the
            first.
    """
    names = [re.sub(r"[^\w.,=+-]+", "-", text) for text in texts]
    shared = Counter(_same_file(name) for name in names)
    seen: Counter[str] = Counter()
    distinct = []
    for name, text in zip(names, texts, strict=True):
        if shared[_same_file(name)] > 1 or len(name.encode()) > LONGEST_FILE_NAME:
            name = _with_hash(name, f"{text}{seen[text] or ''}")
        seen[text] += 1
        distinct.append(name)
    return distinct


def _same_file(name: str) -> str:
    """What is equal for names that some file system takes for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _with_hash(name: str, text: str) -> str:
    digits = hashlib.sha256(utf8(text)).hexdigest()[:8]
    start = name.encode()[: LONGEST_FILE_NAME - len(digits) - 1]
    return f"{start.decode(errors='ignore')}-{digits}"
