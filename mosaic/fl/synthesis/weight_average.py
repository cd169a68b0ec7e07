"""The moving average of a network's weights over its training."""

import torch
from torch import Tensor, nn

from mosaic.fl.models.live_network import LiveNetwork
from mosaic.fl.models.spec import State


class WeightAverage:
    """The exponential moving average of a network's weights, beside the network.

    After each step it is decay x average + (1 - decay) x weights. It starts from the weights before
    the first step, as in Yazici et al., ICLR 2019: The Unusual Effectiveness of Averaging in GAN
    Training. So after few steps it still remembers them: their share is decay^steps.

    BatchNorm's running statistics are no weights: they are moving averages already, and are taken
    from the network as it is.

    Args:
        network: the network in training. It is read, never changed.
        decay: the weight of the past, in [0, 1). 0: there is no average, the weights are the last.

    Attributes:
        decay: as above.
        weights: the averages by the weights' names; empty without a decay.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        self._live = LiveNetwork(network)
        if decay:
            for name, weight in network.named_parameters():
                self.weights[name] = weight.detach().clone()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights after a step."""
        for name, average in self.weights.items():
            average.lerp_(self._live.state[name], 1 - self.decay)

    def save(self) -> State:
        """A copy of the network's state, with the averages in the place of the weights."""
        return self._live.save() | self.copied()

    def copied(self) -> dict[str, Tensor]:
        """A copy of the averages."""
        return {name: average.clone() for name, average in self.weights.items()}

    def load(self, weights: dict[str, Tensor]) -> None:
        """Put the averages back to what :meth:`copied` gave."""
        for name, average in self.weights.items():
            average.copy_(weights[name])
