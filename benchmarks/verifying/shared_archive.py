"""An archive of ``benchmarks.share``: unpacked, and compared with its manifest."""

import hashlib
import json
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from benchmarks.verifying.integrity import tell
from benchmarks.verifying.verdict import Verdict
from mosaic.fl.errors import InputError
from mosaic.fl.files import problem_of

MANIFEST = "ro-crate-metadata.json"

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What reading a file of a damaged archive raises; a RuntimeError if it is encrypted."""


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive, and not of a folder."""
    return path.suffix == ".zip" and path.is_file()


def unpack_shared(path: Path, into: Path, verdict: Verdict) -> None:
    """Unpack an archive, and compare the SHA-256 of each file with the one in its manifest.

    Args:
        path: the archive. It stays as it is.
        into: the folder that its files go to; those of places outside it are not unpacked.
        verdict: gets what was found.

    Raises:
        InputError: it is no such archive, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _unpack(archive, path, into, verdict)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(
            f"{path} is no archive of benchmarks.share that can be read: {problem_of(error)}."
        ) from error


def _unpack(archive: zipfile.ZipFile, path: Path, into: Path, verdict: Verdict) -> None:
    if MANIFEST not in archive.namelist():
        raise InputError(
            f"{path} has no {MANIFEST}: give an archive that benchmarks.share wrote, or a folder."
        )
    problems = []
    sums: dict[str, str] = {}
    try:
        sums = _sums(archive.read(MANIFEST))
    except DAMAGE as error:
        problems.append(f"{MANIFEST} is damaged: {problem_of(error)}")

    into.mkdir(parents=True)
    for entry in archive.infolist():
        name = entry.filename
        if entry.is_dir() or name == MANIFEST:
            continue
        if not _is_inside(name):
            problems.append(f"{name} would be a file outside the suite's folder")
            continue
        try:
            data = archive.read(entry)
        except DAMAGE as error:
            problems.append(f"{name} is damaged: {problem_of(error)}")
            continue
        if name not in sums:
            problems.append(f"{name} is not in the manifest")
        elif hashlib.sha256(data).hexdigest() != sums[name]:
            problems.append(f"{name} is not the file that the manifest has the SHA-256 of")
        file = into / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    present = set(archive.namelist())
    problems += [f"{name} is missing, and the manifest has it" for name in sums.keys() - present]
    tell(problems, f"{path.name}: ", verdict)
    if not problems:
        verdict.agrees(f"{len(sums)} files with the SHA-256 that the manifest has")


def _sums(manifest: bytes) -> dict[str, str]:
    """The SHA-256 of each file, by its name; a ValueError if it is no manifest."""
    content = json.loads(manifest.decode())
    if not isinstance(content, dict) or not isinstance(content.get("@graph"), list):
        raise ValueError("it names no files")
    found = {}
    for entity in content["@graph"]:
        if isinstance(entity, dict) and "sha256" in entity:
            found[str(entity.get("name", entity.get("@id")))] = str(entity["sha256"])
    return found


def _is_inside(name: str) -> bool:
    place = PurePosixPath(name)
    return not place.is_absolute() and ".." not in place.parts and "\\" not in name
