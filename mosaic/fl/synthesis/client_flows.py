"""The cached stage in which clients train rectified flows."""

from typing import Any

from mosaic.fl.cache import stage
from mosaic.fl.data.federation import open_federation
from mosaic.fl.synthesis.flow import FlowConfig, train_flow
from mosaic.fl.task import Task


@stage(version=1, sees=Task.without_models)
def client_flow(task: Task, config: FlowConfig, client: int) -> dict[str, Any]:
    """One client's rectified flow, which stays with the client.

    Returns:
        "state": the network. "losses": "reconstruction" in nats per image, the mean over the last
        tenth of the steps.
    """
    shard = open_federation(task).shards[client]
    state, losses = train_flow(task, config, shard, "flow", client)
    return {"state": state, "losses": losses}
