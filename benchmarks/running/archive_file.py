"""The bytes of an archive: lines of JSON, compressed in parts that can be read without each other.

A part is a gzip member with whole cells. Any program that reads gzip reads the parts as one text.
Each part has a checksum of its own, so damage reaches the cells of its part only. Of a part that
was cut short, the cells before the cut are read. Of a part that does not fit its checksum nothing
is: nobody knows from where on its numbers are others.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator

PART_SIZE = 64_000
"""Bytes of lines after which a part ends. Smaller parts lose less, and are larger in all: these
take a fifth more than one part for a whole suite would."""

MEMBER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
"""How a part begins: gzip's header without a name and a time."""

GZIP = 16 + zlib.MAX_WBITS  # zlib: the stream has the header and the checksum of gzip


def compress(texts: Iterable[str]) -> bytes:
    """Compress texts, none of which is divided between two parts. Equal texts give equal bytes."""
    parts = []
    part = b""
    for text in texts:
        part += text.encode()
        if len(part) >= PART_SIZE:
            parts.append(part)
            part = b""
    if part or not parts:
        parts.append(part)
    # no time and no file name in the header: the bytes depend on the content alone
    return b"".join(gzip.compress(part, compresslevel=9, mtime=0) for part in parts)


def decompress(data: bytes) -> tuple[bytes, list[str]]:
    """What can be read of an archive.

    Args:
        data: the bytes of the file, of this or an older version of this project.

    Returns:
        The lines of its sound parts, and what is wrong with the others.
    """
    lines = b""
    problems = [] if data else ["it is empty"]
    for content, problem in _parts(data):
        lines += content
        if problem:
            problems.append(problem)
    return lines, problems


def _parts(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The whole lines of each part, and what is wrong with it."""
    position = 0
    while position < len(data):
        stream = zlib.decompressobj(GZIP)
        try:
            content = stream.decompress(data[position:])
        except zlib.error as error:
            yield b"", f"the part at byte {position}: {error}"
            position = _next_part(data, position)
            continue

        if stream.eof:
            yield content, ""
            position = len(data) - len(stream.unused_data)
            continue
        # Its end is missing: the file was cut, or a part of it was taken out.
        whole_lines = content[: content.rfind(b"\n") + 1]
        yield whole_lines, f"the part at byte {position} ends too early"
        position = _next_part(data, position)


def _next_part(data: bytes, position: int) -> int:
    """Where the next part begins after a damaged one; the end of the data if there is none."""
    start = data.find(MEMBER, position + 1)
    return start if start >= 0 else len(data)
