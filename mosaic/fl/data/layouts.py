"""The names that files and folders of a data set have on people's disks."""

import os
import re
from pathlib import Path

SUFFIXES_OF_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
N_LISTED = 8  # names in a message

# Other systems' files, which hold no data: their names, besides those that begin with a dot.
NO_DATA = ("__MACOSX", "Thumbs.db", "desktop.ini")


def visible(folder: Path) -> list[Path]:
    """The entries of a folder sorted by name, without hidden ones and those of other systems."""
    entries = [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in NO_DATA
    ]
    return sorted(entries, key=lambda entry: entry.name)


def what_lies_in(folder: Path) -> str:
    """The entries of a folder, for a message: "in FOLDER lie a, b"; what to do with archives."""
    try:
        names = [entry.name for entry in visible(folder)]
    except OSError as error:
        return f"{folder} cannot be listed: {error.strerror}"
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    text = f"in {folder} lie {', '.join(names[:N_LISTED])}{more}"
    if packed := [name for name in names if name.lower().endswith(SUFFIXES_OF_ARCHIVES)]:
        text += f" (if {packed[0]} has the files, unpack it)"
    return text


def find_file(folder: Path, name: str) -> Path:
    """The file under one of the names that it is known by.

    The IDX files of MNIST also have a dot before "idx", may be compressed, and may lie in a folder
    of their own name. Food-101 has its lists as JSON and as text.

    Returns:
        The first that exists; the folder's `name` if none does.
    """
    dotted = name.replace("-idx", ".idx")
    names = [name, f"{name}.gz", dotted, f"{dotted}.gz"]
    names += [f"{name}/{name}", f"{dotted}/{dotted}", name.replace(".json", ".txt")]
    for other in names:
        if os.path.isfile(folder / other):  # also where Path.is_file raises PermissionError
            return folder / other
    return folder / name


def folders(root: Path, name: str, subfolder: str) -> list[Path]:
    """Where the files of a data set may lie below a root, the usual places first.

    The usual places: torchvision's, the folder named after the data set, and the root itself. Then
    up to three levels of folders with one of these names, also if written otherwise: CIFAR-10,
    cifar-10-batches-py/cifar-10-batches-py.

    Args:
        root: the folder that was given.
        name: of the data set.
        subfolder: where torchvision puts the files.
    """
    found = [root / subfolder, root / name / subfolder, root / name, root]
    known = {_plain(part) for part in (name, *Path(subfolder).parts)}
    level = [root]
    for _ in range(3):
        level = [below for folder in level for below in _known_folders(folder, known)]
        found += level
    return list(dict.fromkeys(found))


def _known_folders(folder: Path, known: set[str]) -> list[Path]:
    try:
        return [
            path for path in visible(folder) if _plain(path.name) in known and os.path.isdir(path)
        ]
    except OSError:
        return []


def _plain(name: str) -> str:
    """A name without case, hyphens and the like."""
    return re.sub("[^a-z0-9]", "", name.lower())
