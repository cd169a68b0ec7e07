"""FedAvg from scratch: both loops, the rounds and the SGD steps, in plain PyTorch.

McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data,
AISTATS 2017, arXiv:1602.05629, Algorithm 1. Only the data and their split among the clients come
from ``mosaic.fl``: real 8x8 digits, split by a Dirichlet distribution over the classes.
``baselines/fedavg.py`` is the same algorithm as the benchmark runs it.

Run it from the root of the repository; it takes a few seconds:

    python -m examples.fedavg_plain
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from mosaic.fl.data.federation import Shard, open_federation
from mosaic.fl.data.loading import load
from mosaic.fl.data.transforms import normalise
from mosaic.fl.task import Task

CLIENTS = 10
OMEGA = 0.1  # Dirichlet concentration: the smaller, the fewer classes per client
ROUNDS = 20
STEPS = 10  # SGD steps per client and round
BATCH = 32
LEARNING_RATE = 0.1


def new_network() -> nn.Module:
    """A small convolutional network: images (B, 1, 8, 8) to logits (B, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 2 * 2, 10),
    )


def train_client(server: nn.Module, shard: Shard) -> nn.Module:
    """The client's part of a round: SGD from the server's model on the client's own data."""
    network = copy.deepcopy(server)
    optimiser = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        batch = shard.indices[torch.randint(shard.size, (BATCH,))]
        images = normalise(shard.images[batch])
        loss = F.cross_entropy(network(images), shard.labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@torch.no_grad()
def average(clients: list[nn.Module], sizes: list[int]) -> nn.Module:
    """The server's part of a round: the mean of the clients' models, weighted by their sizes."""
    server = copy.deepcopy(clients[0])
    states = [client.state_dict() for client in clients]
    for name, parameter in server.state_dict().items():
        weighted = [size * state[name] for size, state in zip(sizes, states, strict=True)]
        parameter.copy_(torch.stack(weighted).sum(0) / sum(sizes))
    return server


@torch.no_grad()
def accuracy(network: nn.Module) -> float:
    """The share of correctly classified test images."""
    test = load("digits", "test")
    predicted = network(normalise(test.images)).argmax(1)
    return (predicted == test.labels).float().mean().item()


def main(rounds: int = ROUNDS) -> list[float]:
    """Run FedAvg, print the test accuracy after each round, and return these accuracies."""
    torch.set_num_threads(1)  # more threads only slow down networks this small
    torch.manual_seed(0)
    federation = open_federation(Task(dataset="digits", n_clients=CLIENTS, omega=OMEGA))
    server = new_network()

    accuracies = []
    for t in range(1, rounds + 1):
        clients = [train_client(server, shard) for shard in federation.shards]
        server = average(clients, federation.sizes)
        accuracies.append(accuracy(server))
        print(f"round {t:2d}: {accuracies[-1]:.1%} of the test images are classified correctly")
    return accuracies


if __name__ == "__main__":
    main()
