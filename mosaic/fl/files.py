"""Files that are either complete or absent."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that other processes see all of it or nothing.

    The data go to a hidden file in the same folder, which is then renamed.

    Args:
        path: Where the file must be; its folder exists.
        data: The file's content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)
