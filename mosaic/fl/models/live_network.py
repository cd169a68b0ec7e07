"""mosaic.fl.models.live_network"""

import functools

import torch
from torch import nn

from mosaic.fl.device import device as chosen_device
from mosaic.fl.errors import InputError
from mosaic.fl.models.registry import MODELS, new_network
from mosaic.fl.models.spec import Layout, Spec, State
from mosaic.fl.rng import seed_of

BATCH_NORM_MOMENTUM = 0.1  # PyTorch's default, which the authors use


def layout_of(spec: Spec) -> Layout:
    """For each tensor of a state, the channel group of each of its first one or two dimensions."""
    group = MODELS[spec.model].group
    state = live_network(spec, "meta").state
    return {name: group(name)[: min(tensor.dim(), 2)] for name, tensor in state.items()}


class LiveNetwork:
    """The one network of a spec in a process. ``load`` copies a state in; ``save`` takes a copy out."""

    def __init__(self, network: nn.Module):
        self.network = network
        # BatchNorm's batch counters only serve a momentum that is not used here; they are no part of a model
        self.state = {
            k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
        }
        self.norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        self.loaded: State | None = None

    def load(self, state: State) -> None:
        if self.loaded is not state:
            for name, live in self.state.items():
                live.copy_(state[name])
            self.loaded = state

    def save(self) -> State:
        return {
            name: live.clone(memory_format=torch.preserve_format)
            for name, live in self.state.items()
        }

    def training(self) -> nn.Module:
        """The network in training mode; from here on it is nobody's state."""
        self.loaded = None
        for norm in self.norms:
            norm.momentum = BATCH_NORM_MOMENTUM
        return self.network.train()

    def evaluating(self, batch_norm: str) -> nn.Module:
        """The network in eval mode; with policy "batch", BatchNorm takes each batch's own statistics and keeps none."""
        self.network.eval()
        if batch_norm == "batch":
            for norm in self.norms:
                norm.train()
                norm.momentum = 0.0
        return self.network


@functools.lru_cache(maxsize=64)
def live_network(spec: Spec, device: str) -> LiveNetwork:
    if spec.model not in MODELS:
        raise InputError(f"unknown model {spec.model!r}; possible: {', '.join(MODELS)}.")
    # weights that are born in inference mode could never be trained: the first to ask may be a scorer
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), torch.device(device):
        return LiveNetwork(new_network(spec).to(memory_format=torch.channels_last))


def initial_model(spec: Spec, seed: int) -> State:
    """A freshly initialised model (PyTorch's default laws): drawn on the CPU, so the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "initial", spec.model))
        drawn = LiveNetwork(new_network(spec)).save()
    return {name: tensor.to(chosen_device()) for name, tensor in drawn.items()}
