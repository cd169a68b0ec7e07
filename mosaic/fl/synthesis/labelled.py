"""The kinds of generators that draw a client's images by label, by their names in settings."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from mosaic.fl.channel import upload
from mosaic.fl.synthesis.client_cvaes import client_cvae
from mosaic.fl.synthesis.client_flows import client_flow
from mosaic.fl.synthesis.cvae import cvae_config
from mosaic.fl.synthesis.flow import flow_config
from mosaic.fl.task import Task


class Labelled(NamedTuple):
    """A kind of generator.

    Attributes:
        settings: The part of a method's configuration that determines the generators.
        trained: The cached stage: a client's generator as "state" and its "losses", from the task,
            the settings and the client's number.
    """

    settings: Callable[[Any], Any]
    trained: Callable[..., dict[str, Any]]


LABELLED = {
    "cvae": Labelled(cvae_config, client_cvae),
    "flow": Labelled(flow_config, client_flow),
}


def labelled_stages(kind: str, task: Task, config: Any) -> list[partial]:
    """The cached stages in which all clients train their generators."""
    settings, trained = LABELLED[kind]
    return [partial(trained, task, settings(config), client) for client in range(task.n_clients)]


def uploaded_generators(kind: str, task: Task, config: Any) -> list[dict[str, Any]]:
    """All clients' generators, which they upload: "state" and "losses" of each."""
    generators = [call() for call in labelled_stages(kind, task, config)]
    return [each | {"state": upload(each["state"], "generator")} for each in generators]
