"""The cached stages in which clients train conditional VAEs."""

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.spec import State
from mosaic.fl.synthesis.cvae import CvaeConfig, train_cvae
from mosaic.fl.task import Task


@stage(version=1, sees=Task.without_models)
def client_cvae(task: Task, config: CvaeConfig, client: int) -> dict[str, State | dict[str, float]]:
    """One client's decoder, uploaded, and the means of its losses (nats an image) over the last tenth of its steps."""
    shard = open_federation(task).shards[client]
    n_classes = task.source.n_classes
    decoder, losses = train_cvae(
        task, config, shard, shard.indices, config.cvae_steps, n_classes, "cvae", client
    )
    return {"state": upload(decoder, "generator"), "losses": losses}


@stage(version=1, sees=Task.without_models)
def client_modules(
    task: Task, config: CvaeConfig, client: int
) -> dict[str, list[State] | dict[str, float]]:
    """A decoder for each class that the client holds, ascending, uploaded; together they take a client's steps.

    The losses are means over the modules.
    """
    shard = open_federation(task).shards[client]
    held = shard.classes.tolist()
    states, losses = [], []
    for rank, label in enumerate(held):
        steps = config.cvae_steps // len(held) + (rank < config.cvae_steps % len(held))
        own = shard.indices[shard.labels[shard.indices] == label]
        state, loss = train_cvae(
            task, config, shard, own, max(1, steps), 0, "module", client, label
        )
        states.append(upload(state, "generator"))
        losses.append(loss)
    return {
        "states": states,
        "losses": {k: sum(loss[k] for loss in losses) / len(losses) for k in losses[0]},
    }
