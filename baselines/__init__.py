"""The published algorithms, one a file. The order here is the order of the tables."""

from baselines import centralised, dense, fedavg, fedrolex, local

BASELINES = {
    "local": local,
    "fedavg": fedavg,
    "fedrolex": fedrolex,
    "dense": dense,
    "centralised": centralised,
}
