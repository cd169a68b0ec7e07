"""A suite's records in one file: ``python -m benchmarks.running.archive pack|unpack FOLDER``.

A run writes one small file per finished cell (``cells/<key>.jsonl``) and one per partition
(``partitions/<hash>.json``). The archive, ``records.jsonl.gz``, has the rows of all of
them, one JSON object per line, in the order of the file names. The same files always give the same
archive.

A row with the status "partition" is a partition's file: ``certificate`` is the text of the file.
All other rows are records: ``pandas.read_json("records.jsonl.gz", lines=True)`` reads them.
"""

from benchmarks.running.stopping import hear_signals, on_stop_say, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import functools
import json
import sys
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from benchmarks.cli import exit_code_of, printed_warnings
from benchmarks.output import new_console
from benchmarks.running.archive_file import compress, decompress
from benchmarks.running.record_file import Row, parse_rows
from mosaic.fl.errors import InputError
from mosaic.fl.files import problem_of, set_aside, write_whole

ARCHIVE = "records.jsonl.gz"


def pack(folder: Path, remove: bool = False) -> Path:
    """Write the cells and partitions of a suite's folder into its archive.

    Cells that only an earlier archive in this folder has are kept in the new one. A file whose cell
    is in the earlier archive too takes the place of the archived rows.

    Args:
        folder: a suite's folder, with ``cells/`` and ``partitions/``.
        remove: delete the packed files afterwards. Failed cells and generated images stay.

    Returns:
        The path of the archive.

    Raises:
        InputError: there is nothing to pack, or a file is not what its name says.
    """
    earlier = _content(folder)
    files = dict(earlier.files)
    packed = [
        *sorted((folder / "cells").glob("*.jsonl")),
        *sorted((folder / "partitions").glob("*.json")),
    ]
    for path in packed:
        files[path.relative_to(folder).as_posix()] = _checked(path)
    if not files:
        raise InputError(f"{folder} has no cells; give a suite's folder, such as results/mine.")

    archive = _replace(folder, earlier, files)
    if remove:
        for path in packed:
            path.unlink()
            # left from before the cell was done; alone it would mean that the cell has failed since
            path.with_suffix(".failed.json").unlink(missing_ok=True)
        for name in ("cells", "partitions"):
            _remove_if_empty(folder / name)
    return archive


def _checked(path: Path) -> bytes:
    """The content of a file that is to be packed.

    Raises:
        InputError: it is damaged, so the archive would not give it back.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".jsonl":
            parse_rows(content, path.stem)
        else:
            json.loads(content.decode())
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot pack {path}: {problem_of(error)}. A run of the suite makes it again."
        ) from error
    return content


def _replace(folder: Path, earlier: "_Content", files: dict[str, bytes]) -> Path:
    """Write the files as the archive of a folder. A damaged earlier one is set aside.

    Raises:
        InputError: the archive would not give them back unchanged.
    """
    archive = folder / ARCHIVE
    data = compress(_lines(name, files[name]) for name in sorted(files))
    lines, _ = decompress(data)
    if sound_files(lines) != (files, []):
        raise InputError(f"{archive} would not give back its files unchanged.")

    if earlier.problem:
        set_aside(archive, "archive", earlier.problem, "a new one has what could be read of it")
    write_whole(archive, data)
    return archive


def forget(folder: Path, keys: Collection[str]) -> None:
    """Take cells out of a suite's archive, because they are run again. Partitions stay in it."""
    earlier = _content(folder)
    forgotten = {f"cells/{key}.jsonl" for key in keys}
    files = {name: data for name, data in earlier.files.items() if name not in forgotten}
    if len(files) < len(earlier.files):
        _replace(folder, earlier, files)


def unpack(folder: Path, into: Path | None = None) -> list[Path]:
    """Restore the cells and partitions of a suite's archive. Files that exist are left as they are.

    Args:
        folder: a suite's folder; without an archive nothing happens.
        into: where ``cells/`` and ``partitions/`` go, by default ``folder``.

    Returns:
        The paths of the files that were written.

    Raises:
        InputError: the archive cannot be read.
    """
    target = folder if into is None else into
    written = []
    for name, content in _content(folder).files.items():
        path = target / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        written.append(path)
    return written


def packed_rows(folder: Path) -> dict[str, list[Row]]:
    """The rows of each cell in a suite's archive, by the cell's key; empty without an archive.

    Of a damaged archive, what can be read. An archive that has not changed
    is read once per process, and its rows are shared: copy a row before you change it.
    """
    archive = folder / ARCHIVE
    if not archive.exists():
        return {}
    state = archive.stat()
    return _read_rows(archive, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _read_rows(archive: Path, changed: int, size: int) -> dict[str, list[Row]]:
    cells: dict[str, list[Row]] = {}
    for name, content in _read(archive, changed, size).files.items():
        if name.startswith("cells/"):
            key = Path(name).stem
            cells[key] = parse_rows(content, key)
    return cells


@dataclass(frozen=True)
class _Content:
    """What an archive has.

    Attributes:
        files: the sound files, content by name relative to the suite's folder.
        problem: what is wrong with the rest of it; empty for a sound archive.
    """

    files: dict[str, bytes]
    problem: str


def _content(folder: Path) -> _Content:
    archive = folder / ARCHIVE
    if not archive.exists():
        return _Content({}, "")
    state = archive.stat()
    return _read(archive, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _read(archive: Path, changed: int, size: int) -> _Content:
    """The content of an archive; time and size are there so that a changed one is read again.

    A damaged archive is named in a warning, once per process, and left where it is.
    """
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the archive {archive}: {error.strerror or error}. Make it readable, or "
            "move it away and run its cells again."
        ) from error

    lines, problems = decompress(data)
    files, more_problems = sound_files(lines)
    problems += more_problems
    if not problems:
        return _Content(files, "")

    n_cells = sum(name.startswith("cells/") for name in files)
    warnings.warn(
        f"damaged archive {archive}: {problems[0]}. {n_cells} cells can be read; what it had of "
        "others runs again. Restore it (git checkout), or pack the suite again after the run.",
        stacklevel=2,
    )
    return _Content(files, problems[0])


def sound_files(lines: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The files, content by name, of an archive's lines, and what is wrong with others."""
    files: dict[str, bytes] = {}
    problems = []
    for line in lines.splitlines(keepends=True):
        try:
            name, content = _file_of(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"a line that cannot be read: {problem_of(error)}")
            continue
        files[name] = files.get(name, b"") + content

    for name in [name for name in files if name.startswith("cells/")]:
        try:
            parse_rows(files[name], Path(name).stem)
        except ValueError as error:
            problems.append(f"{name}: {problem_of(error)}")
            del files[name]
    return files, problems


def _lines(name: str, content: bytes) -> str:
    """The lines of the archive for one file."""
    text = content.decode()
    if name.startswith("cells/"):
        return text
    row = {"status": "partition", "partition": Path(name).stem, "certificate": text}
    return json.dumps(row) + "\n"


def _file_of(line: bytes) -> tuple[str, bytes]:
    """The name of the file that a line of an archive is of, and what the line has of it."""
    row = json.loads(line)
    if row["status"] == "partition":
        name = row["partition"]
        if Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a partition")
        return f"partitions/{name}.json", row["certificate"].encode()
    return f"cells/{row['cell']}.jsonl", line


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def main(argv: Sequence[str] | None = None) -> int:
    """Pack or unpack the folders; exit code 2 for one that cannot be, 128 + signal: stopped."""
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        on_stop_say(lambda: "no file is lost or half-written; the same command goes on")
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.running.archive",
        description="Put a suite's finished cells into one file, or restore them from it.",
    )
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a suite's folder")
    parser.add_argument("--remove", action="store_true", help="pack: delete the packed files")
    return parser.parse_args(argv)


def _command(options: argparse.Namespace) -> int:
    for folder in options.folders:
        with printed_warnings():
            if options.action == "pack":
                text = f"wrote {pack(folder, options.remove)}"
            elif not (folder / ARCHIVE).exists():
                raise InputError(f"there is no {folder / ARCHIVE}; give a suite's folder.")
            else:
                text = f"restored {len(unpack(folder))} files in {folder}"
        new_console(highlight=False, soft_wrap=True).print(escape(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
