"""The user's home folder, which a user id without a name and many a batch job do not have."""

import os
from pathlib import Path

from mosaic.fl.errors import InputError


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with the home folder in place of "~".

    Raises:
        InputError: If there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot read {path}: {error} Give the whole path.") from None


def user_cache() -> Path | None:
    """The folder of what is kept on this machine for the user; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given, "mosaic-bench")
    home = home_folder()
    return home / ".cache" / "mosaic-bench" if home else None


def home_folder() -> Path | None:
    """The user's home folder; None where there is none, as for a user id without a name."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_absolute() else None
