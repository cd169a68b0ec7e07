"""What several test files use: test images, a model's file, logits, equality to the last bit.

pytest puts the folder of the top conftest.py on the path, so every test file can import this one:
``from helpers import images, logits_of, same``.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mosaic.fl.contract import Snapshot
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise

LINEAR_MODEL = '''
"""A linear model."""

from torch import nn

from mosaic.fl.models.registry import Model


class Linear(nn.Module):
    def __init__(self, spec, channels):
        super().__init__()
        self.linear = nn.Linear(spec.channels * spec.size**2, spec.n_classes)

    def features(self, x):
        return x.flatten(1)

    def forward(self, x):
        return self.linear(self.features(x))


MODEL = Model(network=Linear, narrows=False)
'''
"""The file of a user's model."""


def images(n: int | None = 40) -> Tensor:
    """The first ``n`` normalised test images of digits (n, 1, 8, 8); None for all of them."""
    return normalise(load("digits", "test").images[:n])


def logits_of(snapshot: Snapshot, x: Tensor | None = None) -> Tensor:
    """The logits (M, B, K) of a snapshot's M models.

    Args:
        snapshot: The snapshot.
        x: Normalised images (B, C, H, W); by default those of :func:`images`.
    """
    models = [snapshot.predict] if callable(snapshot.predict) else snapshot.predict
    x = images() if x is None else x
    return torch.stack([predict(x) for predict in models])


def rng(seed: int = 0) -> torch.Generator:
    """A random generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def same(first: Any, *others: Any) -> bool:
    """Whether all values are equal to the last bit: tensors, or dicts and sequences of them."""
    return all(_same(first, other) for other in others)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def few_steps(method: str) -> dict[str, int]:
    """A thousandth of the paper's steps, and one at least, for each setting that counts steps."""
    from benchmarks.planning.methods import METHODS

    counted = [f for f in dataclasses.fields(METHODS[method].Config) if f.metadata.get("work")]
    return {f.name: max(1, round(f.default / 1000)) for f in counted}
