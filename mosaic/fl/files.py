"""Files that are either complete or absent."""

import os
from pathlib import Path

from mosaic.fl.unfinished import unfinished


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that other processes see all of it or nothing.

    The data go to a hidden file in the same folder, which is then renamed.

    Args:
        path: Where the file must be; its folder exists.
        data: The file's content.

    Raises:
        OSError: The file cannot be written; ``filename`` is ``path``, and nothing is left behind.
    """
    with unfinished(path) as temporary:
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except OSError as error:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
