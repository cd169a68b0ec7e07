"""A suite's records in one file: ``python -m benchmarks.running.archive pack|unpack FOLDER``.

A run writes one small file per finished cell (``cells/<key>.jsonl``) and one per partition
(``partitions/<hash>.json``). The archive, ``records.jsonl.gz``, has the rows of all of
them, one JSON object per line, in the order of the file names. The same files always give the same
archive.

A row with the status "partition" is a partition's file: ``certificate`` is the text of the file.
All other rows are records: ``pandas.read_json("records.jsonl.gz", lines=True)`` reads them.
"""

import argparse
import functools
import gzip
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from benchmarks.output import make_streams_readable, new_console
from mosaic.fl.errors import InputError
from mosaic.fl.files import write_whole

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
    files = _archived(folder)
    packed = [
        *sorted((folder / "cells").glob("*.jsonl")),
        *sorted((folder / "partitions").glob("*.json")),
    ]
    for path in packed:
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    if not files:
        raise InputError(f"{folder} has no cells; give a suite's folder, such as results/mine.")

    lines = "".join(_lines(name, files[name]) for name in sorted(files)).encode()
    if _files(lines) != files:
        raise InputError(f"{folder} has records that an archive would not give back unchanged.")

    archive = folder / ARCHIVE
    # no time and no file name in the header: the bytes depend on the content alone
    write_whole(archive, gzip.compress(lines, compresslevel=9, mtime=0))
    if remove:
        for path in packed:
            path.unlink()
            # left from before the cell was done; alone it would mean that the cell has failed since
            path.with_suffix(".failed.json").unlink(missing_ok=True)
        for name in ("cells", "partitions"):
            _remove_if_empty(folder / name)
    return archive


def unpack(folder: Path, into: Path | None = None) -> list[Path]:
    """Restore the cells and partitions of a suite's archive. Files that exist are left as they are.

    Args:
        folder: a suite's folder; without an archive nothing happens.
        into: where ``cells/`` and ``partitions/`` go, by default ``folder``.

    Returns:
        The paths of the files that were written.

    Raises:
        InputError: the archive is damaged.
    """
    target = folder if into is None else into
    written = []
    for name, content in _archived(folder).items():
        path = target / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        written.append(path)
    return written


def packed_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each cell in a suite's archive, by the cell's key; empty without an archive.

    The rows are as they were written (infinity is the text "inf"). An archive that has not changed
    is read once per process, and its rows are shared: copy a row before you change it.
    """
    archive = folder / ARCHIVE
    if not archive.exists():
        return {}
    state = archive.stat()
    return _read_rows(archive, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _read_rows(archive: Path, changed: int, size: int) -> dict[str, list[dict[str, Any]]]:
    cells: dict[str, list[dict[str, Any]]] = {}
    for name, content in _read(archive, changed, size).items():
        if name.startswith("cells/"):
            cells[Path(name).stem] = [json.loads(line) for line in content.splitlines()]
    return cells


def _archived(folder: Path) -> dict[str, bytes]:
    """The files in a folder's archive, content by name relative to the folder; a new dict."""
    archive = folder / ARCHIVE
    if not archive.exists():
        return {}
    state = archive.stat()
    return dict(_read(archive, state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=8)
def _read(archive: Path, changed: int, size: int) -> dict[str, bytes]:
    """The files in an archive; time and size are there so that a changed archive is read again."""
    try:
        return _files(gzip.decompress(archive.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"damaged archive {archive}: {error}. Restore it (git checkout), or delete it and run "
            "its cells again."
        ) from None


def _lines(name: str, content: bytes) -> str:
    """The lines of the archive for one file."""
    text = content.decode()
    if name.startswith("cells/"):
        return text
    row = {"status": "partition", "partition": Path(name).stem, "certificate": text}
    return json.dumps(row) + "\n"


def _files(lines: bytes) -> dict[str, bytes]:
    """The files, content by name, of an archive's lines."""
    files: dict[str, bytes] = {}
    for line in lines.splitlines(keepends=True):
        row = json.loads(line)
        if row["status"] == "partition":
            files[f"partitions/{row['partition']}.json"] = row["certificate"].encode()
        else:
            name = f"cells/{row['cell']}.jsonl"
            files[name] = files.get(name, b"") + line
    return files


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def main(argv: Sequence[str] | None = None) -> int:
    """Pack or unpack the folders; exit code 2 for a folder that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.running.archive",
        description="Put a suite's finished cells into one file, or restore them from it.",
    )
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a suite's folder")
    parser.add_argument("--remove", action="store_true", help="pack: delete the packed files")
    options = parser.parse_args(argv)
    make_streams_readable()
    console = new_console(highlight=False, soft_wrap=True)
    try:
        for folder in options.folders:
            if options.action == "pack":
                console.print(f"wrote {escape(str(pack(folder, options.remove)))}")
            else:
                console.print(f"restored {len(unpack(folder))} files in {escape(str(folder))}")
    except (InputError, UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        new_console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
