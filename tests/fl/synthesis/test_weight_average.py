"""The moving average of a network's weights."""

import torch
from torch import nn

from mosaic.fl.synthesis.weight_average import WeightAverage


def network_at(weight: float) -> nn.Sequential:
    """A 1x1 convolution with this weight, and BatchNorm."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    set_weight(network, weight)
    return network


def set_weight(network: nn.Sequential, weight: float) -> None:
    with torch.no_grad():
        next(network.parameters()).fill_(weight)


def test_each_update_moves_the_average_towards_the_weights():
    """Decay 0.75, weights 0, 4, 8: the average is 0, then 0.25 x 4 = 1, then 0.75 + 2 = 2.75."""
    network = network_at(0.0)
    average = WeightAverage(network, 0.75)
    for weight, wanted in ((4.0, 1.0), (8.0, 2.75)):
        set_weight(network, weight)
        average.update()
        assert average.save()["0.weight"].item() == wanted
    assert next(network.parameters()).item() == 8.0  # the network itself is left alone


def test_running_statistics_are_the_networks_own():
    network = network_at(1.0)
    average = WeightAverage(network, 0.5)
    network.train()(torch.tensor([2.0, 4.0]).view(2, 1, 1, 1))
    average.update()
    assert torch.equal(average.save()["1.running_mean"], network.state_dict()["1.running_mean"])
    assert average.save()["1.running_mean"].item() != 0


def test_without_a_decay_it_is_the_network_as_it_is():
    network = network_at(1.0)
    average = WeightAverage(network, 0.0)
    set_weight(network, 5.0)
    average.update()
    assert average.save()["0.weight"].item() == 5.0
    assert not average.weights


def test_what_is_saved_is_a_copy():
    network = network_at(1.0)
    average = WeightAverage(network, 0.5)
    saved = average.save()
    set_weight(network, 5.0)
    average.update()
    assert saved["0.weight"].item() == 1.0
