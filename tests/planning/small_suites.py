"""A small suite as text, and the cells of one of this package's suites."""

from benchmarks.planning.expand import expand_cells
from benchmarks.planning.suite import read_suite

TINY = """
question = "Is it?"
omega = [0.1]
clients = [2]
[[method]]
name = "fedavg"
[[method]]
name = "mosaic"
"""


def cells(name: str = "heterogeneity", scale: str = "quick", **given):
    return expand_cells(*read_suite(name), scale, **given)
