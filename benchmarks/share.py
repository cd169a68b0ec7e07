"""python -m benchmarks.share FOLDER: a suite's records and report as one archive for others."""

from benchmarks.running.stopping import hear_signals, stops_cleanly

if __name__ == "__main__":
    hear_signals()

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.markup import escape

from benchmarks.cli import console, exit_code_of, printed_warnings, read_options
from mosaic.fl.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Args:
        argv: its options; by default the process's.

    Returns:
        The exit code. 0: the archive is written; 2: a wrong option or folder, a damaged record,
        or a missing package; 128 + signal: stopped.
    """
    with stops_cleanly(ends_after=argv is None):
        options = _parse(argv)
        return exit_code_of(lambda: _command(options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.share",
        description="Write a suite's records, report and a manifest (RO-Crate) into one archive.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="a suite's folder")
    add("--out", type=Path, metavar="FILE.zip", help="the archive (default: FOLDER.zip)")
    add(
        "--license",
        default="not stated",
        metavar="TEXT",
        help="of the records, for the manifest: a name or an address (default: %(default)s)",
    )
    return read_options(parser, argv)


def _command(options: argparse.Namespace) -> int:
    folder = options.folder.resolve()
    out = options.out or folder.with_name(f"{folder.name}.zip")
    if out.suffix != ".zip" or out.is_dir() or not out.resolve().parent.is_dir():
        raise InputError(f"cannot write {out}; give --out FILE.zip in a folder that exists.")
    if find_spec("rocrate") is None:
        raise InputError("this command needs a package that is missing: pip install rocrate")

    # pandas and the rest are imported only now: --help and wrong options are answered at once.
    from benchmarks.running.share_folder import share

    with printed_warnings():
        names = share(options.folder, out, options.license)
    text = f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB, {len(names)} files)"
    console.print(escape(text), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
