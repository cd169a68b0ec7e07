"""Text files that a user gives: UTF-8, with or without a byte-order mark, with any line ends."""

import codecs
from pathlib import Path

from mosaic.fl.errors import InputError

OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""What text in another encoding begins with. UTF-32's marks begin with UTF-16's."""


def read_text(path: Path, what: str = "") -> str:
    """The text of a file, with line ends as LF.

    Args:
        path: the file.
        what: how errors call it before its path, e.g. "--params ".

    Raises:
        InputError: if it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {what}{path}: {error.strerror}; give an existing text file."
        ) from None
    return text_of_bytes(content, f"{what}{path}")


def text_of_bytes(content: bytes, name: str) -> str:
    """The text of a file's bytes, with line ends as LF.

    Args:
        content: the bytes.
        name: how errors call the file.

    Raises:
        InputError: if they are not UTF-8.
    """
    for mark, encoding in OTHER_MARKS.items():
        if content.startswith(mark):
            raise InputError(f"{name} is {encoding} text; save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not UTF-8 text (line {line}, byte 0x{content[error.start]:02x}); "
            "save it as UTF-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
