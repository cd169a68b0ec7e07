"""Fixtures for tests of the cache."""

import example_stages
import pytest


@pytest.fixture
def computed() -> list[str]:
    """The names of the stages of example_stages.py that the test computes, in order."""
    example_stages.computed.clear()
    return example_stages.computed
