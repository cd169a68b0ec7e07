"""The cached stages in which clients train conditional VAEs."""

from dataclasses import replace
from typing import Any

from mosaic.fl.cache import stage
from mosaic.fl.channel import upload
from mosaic.fl.data.federation import open_federation
from mosaic.fl.models.spec import State
from mosaic.fl.synthesis.cvae import CvaeConfig, train_cvae
from mosaic.fl.task import Task


@stage(version=2, sees=Task.without_models)
def client_cvae(task: Task, config: CvaeConfig, client: int) -> dict[str, Any]:
    """One client's conditional VAE, which stays with the client.

    Returns:
        "state": the decoder. "losses": "reconstruction" and "kl" in nats per image, means over the
        last tenth of the steps.
    """
    shard = open_federation(task).shards[client]
    n_classes = task.source.n_classes
    decoder, losses = train_cvae(task, config, shard, config.cvae_steps, n_classes, "cvae", client)
    return {"state": decoder, "losses": losses}


@stage(version=1, sees=Task.without_models)
def client_modules(
    task: Task, config: CvaeConfig, client: int, together: bool = True
) -> dict[str, list[State] | dict[str, float]]:
    """One client's modules: a VAE without labels for each class that the client has.

    Args:
        task: the federated problem.
        config: the networks and how to train them.
        client: the client's number.
        together: whether the modules take ``config.cvae_steps`` steps together, shared out as
            evenly as possible, and at least one each; otherwise each of them takes as many.

    Returns:
        "states": the decoders, uploaded, in ascending order of their classes. "losses":
        "reconstruction" and "kl" in nats per image, means over the modules.
    """
    shard = open_federation(task).shards[client]
    labels = shard.labels[shard.indices]
    classes = shard.classes.tolist()
    steps_each, steps_left = divmod(config.cvae_steps, len(classes) if together else 1)

    states = []
    losses = []
    for i, label in enumerate(classes):
        steps = steps_each + 1 if i < steps_left else steps_each
        of_class = replace(shard, indices=shard.indices[labels == label])
        decoder, module_losses = train_cvae(
            task, config, of_class, max(1, steps), 0, "module", client, label
        )
        states.append(upload(decoder, "generator"))
        losses.append(module_losses)
    mean_losses = {name: sum(each[name] for each in losses) / len(losses) for name in losses[0]}
    return {"states": states, "losses": mean_losses}
