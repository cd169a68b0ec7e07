"""What the installed commands call. They hear signals before the imports, which take a while."""

from benchmarks.running.stopping import hear_signals


def run() -> int:
    """``mosaic-bench``, see :func:`benchmarks.run.main`."""
    hear_signals()
    from benchmarks.run import main

    return main()


def verify() -> int:
    """``mosaic-bench-verify``, see :func:`benchmarks.verify.main`."""
    hear_signals()
    from benchmarks.verify import main

    return main()


def tune() -> int:
    """``mosaic-bench-tune``, see :func:`benchmarks.tune.main`."""
    hear_signals()
    from benchmarks.tune import main

    return main()
