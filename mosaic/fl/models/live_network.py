"""LiveNetwork: one network per process and shape, into which model states are loaded in turn."""

import functools

import torch
from torch import nn

from mosaic.fl.device import device as chosen_device
from mosaic.fl.models.registry import model_named, new_network
from mosaic.fl.models.spec import Layout, Spec, State
from mosaic.fl.rng import seed_of

BATCH_NORM_MOMENTUM = 0.1  # PyTorch's default, which the authors use


def layout_of(spec: Spec) -> Layout:
    """For each tensor of a state, the channel group of each of its first one or two dimensions."""
    group = model_named(spec.model).group
    state = live_network(spec, "meta").state
    return {name: group(name)[: min(tensor.dim(), 2)] for name, tensor in state.items()}


class LiveNetwork:
    """A network that computes, and the tensors of its state.

    ``load`` copies a state into the network; ``save`` takes a copy out. Building a network takes
    longer than copying a state, so a process keeps one per shape (``live_network``).

    Args:
        network: The network. It is used as it is, not copied.

    Attributes:
        network: The same network.
        state: Its parameters and running statistics by name. They share memory with the network.
        norms: Its BatchNorm layers.
        loaded: The state that the network holds at present, or None where its weights have changed.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        # BatchNorm's batch counters only serve a momentum of None, which is not used here:
        # they are not part of a model.
        self.state = {
            name: tensor
            for name, tensor in network.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        self.norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        self.loaded: State | None = None

    def load(self, state: State) -> None:
        """Copy ``state`` into the network, unless it is the one that was loaded last."""
        if self.loaded is state:
            return
        for name, tensor in self.state.items():
            tensor.copy_(state[name])
        self.loaded = state

    def save(self) -> State:
        """A copy of the network's state."""
        return {
            name: tensor.clone(memory_format=torch.preserve_format)
            for name, tensor in self.state.items()
        }

    def training(self) -> nn.Module:
        """The network in training mode.

        The next ``load`` copies even the same state again, since training changes the weights.
        """
        self.loaded = None
        for norm in self.norms:
            norm.momentum = BATCH_NORM_MOMENTUM
        return self.network.train()

    def evaluating(self, batch_norm: str) -> nn.Module:
        """The network in evaluation mode. No running statistics change.

        Args:
            batch_norm: "average": BatchNorm layers use their running statistics. "batch": they use
                each batch's own.
        """
        self.network.eval()
        if batch_norm == "batch":
            for norm in self.norms:
                norm.train()
                norm.momentum = 0.0
        return self.network


@functools.lru_cache(maxsize=64)
def live_network(spec: Spec, device: str) -> LiveNetwork:
    """This process's network of that shape; the caller loads a state before it computes.

    Args:
        spec: The network's shape.
        device: A PyTorch device. "meta" gives shapes without values.

    Raises:
        InputError: There is no such model, or it has no version of the spec's width.
    """
    # The first call may come from an evaluation; weights that are created in inference mode could
    # not be trained later.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), torch.device(device):
        return LiveNetwork(new_network(spec).to(memory_format=torch.channels_last))


def initial_model(spec: Spec, seed: int) -> State:
    """A freshly initialised model, by PyTorch's default initialisation.

    It depends on ``seed`` and on the shape alone. It is drawn on the CPU, so it is the same on
    every device. PyTorch's global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "initial", spec.model))
        state = LiveNetwork(new_network(spec)).save()
    return {name: tensor.to(chosen_device()) for name, tensor in state.items()}
