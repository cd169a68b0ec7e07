"""FLOPs of each method, from those of its networks and the steps of its loop."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from baselines.fedavg import at_smallest_width
from baselines.feddf import LOOKS, n_judges
from baselines.fedrolex import WITHOUT_PARTS
from benchmarks.planning.flop_parts import (
    Part,
    all_clients,
    at_clients,
    at_server,
    classes_of_clients,
    client_cvaes,
    cvae_drawn,
    federated_rounds,
    independent_training,
    last_models,
    local_training,
    n_proxy,
    own_rounds,
    server_training,
)
from benchmarks.planning.mosaic_flops import mosaic
from benchmarks.planning.network_flops import classifier, server_generator
from benchmarks.planning.sharing_flops import mosaic_feedback, sda_fl
from mosaic.fl.task import Task


def local(task: Task, config: Any) -> Iterator[Part]:
    """Each client alone."""
    yield independent_training(task)


def fedavg(task: Task, config: Any) -> Iterator[Part]:
    """The rounds, at the narrowest client's width; those with more local work are no one else's."""
    task = at_smallest_width(task)
    if config.local == 1:
        yield federated_rounds(task)
    else:
        yield own_rounds(task)
        yield at_clients((config.local - 1) * local_training(task))


def only_rounds(task: Task, config: Any) -> Iterator[Part]:
    """The cached rounds and nothing else that counts: new heads."""
    yield federated_rounds(task)


def ensemble(task: Task, config: Any) -> Iterator[Part]:
    """The cached rounds, and all clients' models of the last one."""
    yield federated_rounds(task)
    yield last_models(task)


def fens(task: Task, config: Any) -> Iterator[Part]:
    """Rounds of the method's own, with all clients in the last one; the aggregator is small."""
    yield own_rounds(task)
    yield last_models(task)._replace(name=None)


def fedrolex(task: Task, config: Any) -> Iterator[Part]:
    """Without its own loss and average FedRolex shares its rounds with other methods."""
    if config == WITHOUT_PARTS:
        yield federated_rounds(task)
    else:
        yield own_rounds(task)


def prototype_head(task: Task, config: Any) -> Iterator[Part]:
    """The models that Mosaic starts from; the head's training does not count beside them."""
    if config.protocol == "rounds":
        yield federated_rounds(task)
        yield last_models(task)
    else:
        yield independent_training(task)


def rounds_of_its_own(task: Task, config: Any) -> Iterator[Part]:
    """Local steps of the method's own, and a server that only averages."""
    yield own_rounds(task)


def moon(task: Task, config: Any) -> Iterator[Part]:
    """From a client's second round on, each image passes two more networks."""
    yield own_rounds(task)
    if task.rounds > 1:
        again = local_training(replace(task, rounds=task.rounds - 1))
        yield at_clients(2 * again * classifier(task.spec) / classifier(task.spec, weights=True))


def one_shot_synthesis(task: Task, config: Any, per_taught_image: float) -> Iterator[Part]:
    """DENSE and Co-Boosting at the end of the rounds.

    Each epoch fits one more batch to all clients' models. Then the student takes the epoch's part
    of ``distil_steps``.

    Args:
        task: the task.
        config: the method's settings.
        per_taught_image: FLOPs of an image of a pass before the student sees it.
    """
    yield federated_rounds(task)
    yield last_models(task)

    source = task.source
    _, learnt = server_generator("upsampling", config.latent, 0, source.channels, source.size, 0)
    fitted = learnt + all_clients(task, images=True) + classifier(task.spec, images=True)

    images = config.epochs * config.batch
    yield at_server(images * (config.synthesis_steps * fitted + all_clients(task)))

    taught = config.distil_steps * config.batch
    yield at_server(taught * per_taught_image + server_training(task, taught))


def dense(task: Task, config: Any) -> Iterator[Part]:
    """Either protocol of DENSE."""
    if config.protocol == "end":
        return one_shot_synthesis(task, config, 0.0)

    generator = _conditional(task, "multiply", config.round_latent, config.round_ngf)
    return in_turns(
        task,
        generator,
        config.round_batch,
        turns=config.round_turns,
        generator_steps=config.round_generator_steps,
        student_steps=config.round_student_steps,
    )


def coboosting(task: Task, config: Any) -> Iterator[Part]:
    """Co-Boosting perturbs each image by the ensemble's gradient and labels it again."""
    per_image = all_clients(task, images=True) + all_clients(task)
    return one_shot_synthesis(task, config, per_image)


def _conditional(task: Task, kind: str, latent: int, ngf: int) -> tuple[float, float]:
    """A conditional generator for the task's images: drawn, learnt."""
    source = task.source
    return server_generator(kind, latent, ngf, source.channels, source.size, source.n_classes)


def in_turns(
    task: Task,
    generator: tuple[float, float],
    batch: int,
    *,
    turns: int,
    generator_steps: int,
    student_steps: int,
    generators: int = 1,
    through_student: bool = False,
) -> Iterator[Part]:
    """A generator at the server and its student take turns in each round.

    Args:
        task: the task.
        generator: FLOPs of an image that is drawn, and of one that the generator learns from.
        batch: images per step.
        turns: turns per round.
        generator_steps: the generator's steps per turn.
        student_steps: the student's steps per turn.
        generators: how many generators draw the student's images.
        through_student: whether the generator's gradient passes the student too.
    """
    yield own_rounds(task)

    drawn, learnt = generator
    of_student = classifier(task.spec, images=through_student)
    per_generator_image = learnt + all_clients(task, images=True) + of_student
    per_student_image = drawn + all_clients(task) + classifier(task.spec, weights=True)
    per_turn = generator_steps * per_generator_image
    per_turn += student_steps * generators * per_student_image
    yield at_server(task.rounds * turns * batch * per_turn)


def dfrd(task: Task, config: Any) -> Iterator[Part]:
    """From the second round on the generator's moving average draws images too."""
    return in_turns(
        task,
        _conditional(task, "multiply", config.latent, config.ngf),
        config.batch,
        turns=config.turns,
        generator_steps=config.generator_steps,
        student_steps=config.student_steps,
        generators=2 if task.rounds > 1 else 1,
    )


def dfdg(task: Task, config: Any) -> Iterator[Part]:
    """DFDG: two generators learn in turn; each batch of both is labelled once and learnt again."""
    yield federated_rounds(task)
    yield last_models(task)

    drawn, learnt = _conditional(task, "multiply", config.latent, config.ngf)
    labelled = drawn + all_clients(task)
    step = learnt + all_clients(task, images=True) + classifier(task.spec)
    images = config.turns * 2 * config.batch
    yield at_server(images * (config.generator_steps * step + 2 * labelled))
    yield at_server(server_training(task, images * config.student_steps))


def fedftg(task: Task, config: Any) -> Iterator[Part]:
    """FedFTG, whose generator seeks images on which the student differs."""
    return in_turns(
        task,
        _conditional(task, "concatenate", config.latent, config.ngf),
        config.batch,
        turns=config.turns,
        generator_steps=config.generator_steps,
        student_steps=config.student_steps,
        through_student=True,
    )


def feddf(task: Task, config: Any) -> Iterator[Part]:
    """FedDF labels each proxy image once per round; some of them judge the student on its way."""
    yield own_rounds(task)
    images = config.steps * config.batch
    n = n_proxy(task, config)
    held_out = n_judges(config, n)
    labelled = min(images, n - held_out) + held_out
    judged = held_out * (1 + min(LOOKS, config.steps)) * classifier(task.spec)
    taught = server_training(task, images)
    yield at_server(task.rounds * (labelled * all_clients(task) + judged + taught))


def fedcvae(task: Task, config: Any) -> Iterator[Part]:
    """FedCVAE, with or without a decoder at the server that imitates the clients' decoders."""
    n_classes = task.source.n_classes
    if config.start == "average":
        yield federated_rounds(task)
    yield client_cvaes(task, config, n_classes)

    drawn = cvae_drawn(task, config, n_classes)
    if config.variant == "kd":
        yield at_server(config.kd_steps * config.kd_batch * 4 * drawn)
    yield at_server(config.images * drawn)
    yield at_server(server_training(task, config.classifier_steps * config.classifier_batch))


def federatedfactory(task: Task, config: Any) -> Iterator[Part]:
    """FederatedFactory; its modules may be as many as clients have classes."""
    modules = client_cvaes(task, config, 0)
    if config.steps_per == "client":
        yield modules
    else:
        per_client = classes_of_clients(task) / task.n_clients
        yield at_clients(modules.flops * per_client, (modules.name, "module"))
    yield at_server(config.images * cvae_drawn(task, config, 0))
    yield at_server(server_training(task, config.classifier_steps * config.classifier_batch))


def centralised(task: Task, config: Any) -> Iterator[Part]:
    """As many steps as all clients together, of the server's model; they are cached."""
    name = ("pooled_model", task.without_clients(), task.n_clients)
    of_all = replace(task, widths=(), participation=1.0)
    yield Part(name, local_training(of_all), "local")


PARTS: dict[str, Callable[[Task, Any], Iterable[Part]]] = {
    "local": local,
    "fedavg": fedavg,
    "fedprox": rounds_of_its_own,
    "fedrs": rounds_of_its_own,
    "fedlc": rounds_of_its_own,
    "fedbn": rounds_of_its_own,
    "scaffold": rounds_of_its_own,
    "feddyn": rounds_of_its_own,
    "moon": moon,
    "heterofl": rounds_of_its_own,
    "fedrolex": fedrolex,
    "ensemble": ensemble,
    "fens": fens,
    "prototype_head": prototype_head,
    "ccvr": only_rounds,
    "fedcgs": only_rounds,
    "fedpft": only_rounds,
    "fedgen": rounds_of_its_own,
    "fedftg": fedftg,
    "dfrd": dfrd,
    "feddf": feddf,
    "dense": dense,
    "coboosting": coboosting,
    "dfdg": dfdg,
    "fedcvae": fedcvae,
    "federatedfactory": federatedfactory,
    "sda_fl": sda_fl,
    "data_sharing": rounds_of_its_own,
    "mosaic": mosaic,
    "mosaic_feedback": mosaic_feedback,
    "centralised": centralised,
}
"""The parts of each of this package's methods; a method from outside has no forecast."""
