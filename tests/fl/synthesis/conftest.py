"""Small decoders for the tests of what they draw."""

import pytest

from mosaic.fl.synthesis.cvae import CvaeConfig, new_decoder
from mosaic.fl.synthesis.decoders import Decoders


@pytest.fixture
def small() -> CvaeConfig:
    """A CVAE that is trained in no time."""
    return CvaeConfig(cvae_latent=4, cvae_hidden=32, cvae_steps=6, cvae_batch=16)


@pytest.fixture
def untrained(small):
    """``untrained(task, label_counts, ...)``: decoders of random weights, the same for all."""

    def build(task, label_counts, **options) -> Decoders:
        n_classes = label_counts.shape[1] if options.get("conditional", True) else 0
        state = new_decoder(task, small, n_classes).state_dict()
        return Decoders(task, small, [state] * len(label_counts), label_counts, **options)

    return build
