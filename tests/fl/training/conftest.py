"""A start and a client's data, for the tests of training."""

import pytest

from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.live_network import initial_model


@pytest.fixture
def start(task):
    """The initial model of ``task``."""
    return initial_model(task.spec, task.seed)


@pytest.fixture
def shard(task):
    """The data of client 0."""
    return open_federation(task).shards[0]
