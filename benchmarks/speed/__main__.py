"""python -m benchmarks.speed: how fast the training loop is on this machine.

It is measured against a plain loop, and against its own training steps alone. The work is FedAvg
on Fashion-MNIST: 10 clients, Dirichlet(0.1), 10 steps of batch size 64 per client and round, a CNN
of 4 layers. All variants run in turn, round by round in one process, so that other work on the
machine slows them alike: read the ratios.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import exit_code_of
from mosaic.fl.errors import InputError, did_you_mean

PART_NAMES = (
    "rounds",
    "kernels",
    "roofline",
    "profile",
    "methods",
    "clients",
    "memory",
    "executors",
    "jobs",
    "accuracy",
)
"""What can be measured, in the order in which it is printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 2 for a wrong option or value."""
    options = _parser().parse_args(argv)
    return exit_code_of(lambda: command(options))


def command(options: argparse.Namespace) -> int:
    """Measure what the options say; see ``main`` for the exit code."""
    for part in options.parts:
        if part not in PART_NAMES:
            raise did_you_mean("part", part, PART_NAMES)

    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads is {options.threads}; it must be at least 1.")

    # PyTorch is imported only now: --help and wrong parts are answered at once.
    from benchmarks.speed.parts import measure

    measure(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PART_NAMES)} (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, default=8, help="timed rounds per variant (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda (default: %(default)s)")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        help="a script whose last printed word is its seconds per round",
    )
    parser.add_argument(
        "--python", default=sys.executable, help="the Python that runs peers (default: this one)"
    )
    parser.add_argument(
        "--methods", default="all", help="methods of the parts methods and jobs (default: all)"
    )
    parser.add_argument(
        "--clients",
        default="10,100,1000",
        help="numbers of clients of the part clients (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for figures and for speed.txt, which has all that is printed",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
