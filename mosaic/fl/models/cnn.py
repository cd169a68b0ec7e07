"""Client and server networks, each at any width: MODELS.

A model is built from a :class:`Spec` and lives in memory once a process (:func:`resident`); states are loaded into
it. ``layout`` names, for each tensor of a state, the group of channels that each of its first dimensions counts:
layers of one group are cut alike, so identity skips line up. Groups "image", "pixels" and "classes" are never cut.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mosaic.fl.device import device as chosen_device
from mosaic.fl.errors import InputError
from mosaic.fl.fast.convolutions import Conv2d
from mosaic.fl.fast.fused_norm import NormReluPool
from mosaic.fl.rng import seed_of
from mosaic.fl.task import State


@dataclass(frozen=True)
class Spec:
    """A network's shape: ``base_width`` channels in the first layer at width 1, times ``width`` in (0, 1]."""

    model: str
    channels: int
    n_classes: int
    base_width: int
    width: float = 1.0
    size: int = 28  # of the images; only ``cnn2`` depends on it


BATCH_NORM_MOMENTUM = 0.1  # PyTorch's default, which the authors use

Layout = dict[str, tuple[str, ...]]


class ConvBlock(nn.Sequential):
    def __init__(self, n_in: int, n_out: int, pool: bool):
        super().__init__()
        self.conv = Conv2d(n_in, n_out, 3, padding=1, bias=False)  # of 8x8 images the last sees one pixel
        self.norm = NormReluPool(n_out, pool)


class CNN(nn.Module):
    """Four 3x3 convolutions with BatchNorm, of w, 2w, 4w, 4w channels, three of them pooled; images from 8x8.

    ``features``: (B, C, H, W) to (B, 4w), the mean over space. The house's network for small grey images.
    """

    def __init__(self, spec: Spec):
        super().__init__()
        widths = [spec.channels, *(scaled(spec, group) for group in ("c1", "c2", "c3", "c4"))]
        self.blocks = nn.Sequential(*(ConvBlock(widths[i], widths[i + 1], pool=i < 3) for i in range(4)))
        self.linear = nn.Linear(widths[4], spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def _cnn_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c4")
    i = int(name.split(".")[1])
    return (f"c{i + 1}", f"c{i}" if i else "image")


class CNN2(nn.Module):
    """Two 5x5 convolutions with BatchNorm, of w and 2w channels, both pooled, and a classifier of all their pixels.

    DENSE's network for grey images (Zhang et al., NeurIPS 2022): 29,034 parameters at w = 16, 28x28 and 10 classes.
    ``features``: (B, C, S, S) to (B, 2w (S/4)^2). It has no narrower versions.
    """

    def __init__(self, spec: Spec):
        super().__init__()
        widths = [spec.channels, scaled(spec, "c1"), scaled(spec, "c2")]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(Conv2d(n_in, n_out, 5, padding=2), NormReluPool(n_out, pool=True))
                for n_in, n_out in itertools.pairwise(widths)
            )
        )
        self.linear = nn.Linear(widths[2] * (spec.size // 4) ** 2, spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def _cnn2_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "pixels")
    return ("c1", "image") if name.startswith("blocks.0") else ("c2", "c1")


class BasicBlock(nn.Module):
    """Its 1x1 convolution of stride 2 is one of stride 1 over every other pixel: the same numbers and the same state.

    PyTorch 2.14's strided one writes past its memory in the backward pass of fewer than 8 channels on AVX2 processors
    (channels_last; oneDNN's ``brgconv_strided:avx2``).
    """

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = NormReluPool(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.add_module("conv", nn.Conv2d(n_in, n_out, 1, bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x[:, :, :: self.stride, :: self.stride]))


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) with the CIFAR stem: one 3x3 convolution, no pooling.

    11,173,962 parameters at base width 64 with 3 channels and 10 classes. ``features``: (B, C, H, W) to (B, 8w).
    """

    def __init__(self, spec: Spec):
        super().__init__()
        s = [scaled(spec, f"c{i}") for i in (1, 2, 3, 4)]
        self.conv = Conv2d(spec.channels, s[0], 3, padding=1, bias=False)
        self.norm = NormReluPool(s[0])
        self.stages = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(s[max(i - 1, 0)], s[i], 1 if i == 0 else 2), BasicBlock(s[i], s[i], 1))
                for i in range(4)
            )
        )
        self.linear = nn.Linear(s[3], spec.n_classes)

    def features(self, x: Tensor) -> Tensor:
        return self.stages(self.norm(self.conv(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))


def _resnet_group(name: str) -> tuple[str, ...]:
    if name.startswith("linear"):
        return ("classes", "c4")
    if not name.startswith("stages"):
        return ("c1", "image")
    _, stage, block, layer = name.split(".")[:4]
    out = f"c{int(stage) + 1}"
    entry = block == "0" and layer in ("conv1", "shortcut")  # reads the stage before
    return (out, f"c{max(int(stage), 1)}" if entry else out)


@dataclass(frozen=True)
class Model:
    network: Callable[[Spec], nn.Module]
    group: Callable[[str], tuple[str, ...]]
    multiples: tuple[int, ...]  # channels of the groups c1, c2, ..., in base widths
    narrows: bool = True  # is there a sub-model of each width?


MODELS = {
    "cnn": Model(CNN, _cnn_group, (1, 2, 4, 4)),
    "cnn2": Model(CNN2, _cnn2_group, (1, 2), narrows=False),
    "resnet18": Model(ResNet18, _resnet_group, (1, 2, 4, 8)),
}


def full(spec: Spec, group: str) -> int:
    """Channels of ``group`` at width 1."""
    return MODELS[spec.model].multiples[int(group[1:]) - 1] * spec.base_width


def channel_groups(model: str) -> list[str]:
    """The groups of channels that widths cut: c1, c2, and on."""
    return [f"c{i + 1}" for i in range(len(MODELS[model].multiples))]


def scaled(spec: Spec, group: str) -> int:
    """Channels of ``group`` at the spec's width r: ceil(r c), as in HeteroFL and FedRolex."""
    if spec.width < 1 and not MODELS[spec.model].narrows:
        able = ", ".join(name for name, model in MODELS.items() if model.narrows)
        raise InputError(
            f"model {spec.model!r} has no version of width {spec.width:g}; full width only, or one of: {able}."
        )
    return max(1, math.ceil(spec.width * full(spec, group) - 1e-9))  # 0.28 x 25 is 7, not floating point's 8


def layout(spec: Spec) -> Layout:
    """For each tensor of a state, the channel group of each of its first one or two dimensions."""
    group = MODELS[spec.model].group
    state = resident(spec, "meta").state
    return {name: group(name)[: min(tensor.dim(), 2)] for name, tensor in state.items()}


class Resident:
    """The one network of a spec in a process. ``load`` copies a state in; ``save`` takes a copy out."""

    def __init__(self, network: nn.Module):
        self.network = network
        # BatchNorm's batch counters only serve a momentum that is not used here; they are no part of a model
        self.state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
        self.norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        self.loaded: State | None = None

    def load(self, state: State) -> None:
        if self.loaded is not state:
            for name, live in self.state.items():
                live.copy_(state[name])
            self.loaded = state

    def save(self) -> State:
        return {name: live.clone(memory_format=torch.preserve_format) for name, live in self.state.items()}

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
def resident(spec: Spec, device: str) -> Resident:
    if spec.model not in MODELS:
        raise InputError(f"unknown model {spec.model!r}; possible: {', '.join(MODELS)}.")
    # weights that are born in inference mode could never be trained: the first to ask may be a scorer
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), torch.device(device):
        return Resident(MODELS[spec.model].network(spec).to(memory_format=torch.channels_last))


def initial(spec: Spec, seed: int) -> State:
    """A freshly initialised model (PyTorch's default laws): drawn on the CPU, so the same on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "initial", spec.model))
        drawn = Resident(MODELS[spec.model].network(spec)).save()
    return {name: tensor.to(chosen_device()) for name, tensor in drawn.items()}
