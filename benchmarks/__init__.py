"""The harness: suites, records and reports.

from benchmarks import run_suite, load_records
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.api import load_records, run_suite

__all__ = ["load_records", "run_suite"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, so that ``python -m benchmarks.run --help`` is fast."""
    if name in __all__:
        from benchmarks import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
