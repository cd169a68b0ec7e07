"""check_model: whether a network keeps every rule that the methods of this project rely on.

Each failure is an InputError that names the model and says which line of its file to write.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic.fl.errors import InputError
from mosaic.fl.models.registry import UNCUT_GROUPS, Model, share_of, whole_tensors
from mosaic.fl.models.spec import Spec, State

BASE_WIDTH = 8
N_CLASSES = 7  # a number that no other dimension is likely to have
BATCH = 4
SIZES = (8, 28)
OTHER_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_model(name: str, model: Model, sizes: Sequence[int] = SIZES) -> None:
    """Build small networks of a model and try them on grey and on coloured images.

    Args:
        name: The model's name, for the error texts.
        model: The model; it need not be registered.
        sizes: The heights and widths of images, in pixels, that it must work with.

    Raises:
        InputError: The model breaks a rule. The rules are: it builds and runs, forwards and
            backwards, on images in the memory format channels_last; its state consists of
            floating-point tensors of at least one dimension; all BatchNorm layers are
            ``nn.BatchNorm2d``; ``features`` gives (B, F), the last layer is ``linear``, and the
            logits are ``linear(features(images))``; ``group`` names a known group for the leading
            dimensions of every tensor, and sizes agree with ``multiples``; where there are narrow
            versions, one of width 0.5 works, and a group holds all the dimensions that must be cut
            together.
    """
    check = _Check(name, model)
    check.declaration()
    widths = (1.0, 0.5) if model.narrows else (1.0,)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        for channels, size, width in itertools.product((1, 3), sizes, widths):
            spec = Spec(name, channels, N_CLASSES, BASE_WIDTH, width, size)
            network = check.network_of(spec)
            check.layers(network)
            check.passes(network, spec)
            check.groups(network, spec)
            if model.narrows:
                check.permutations(network, spec)


class _Check:
    """The rules, one method each, for one model."""

    def __init__(self, name: str, model: Model):
        self.name = name
        self.model = model

    def error(self, problem: str, remedy: str) -> InputError:
        return InputError(f"model {self.name!r}: {problem}. {remedy}.")

    def attempt(self, what: str, remedy: str, work: Callable):
        """The result of ``work()``; any exception of it becomes an InputError."""
        try:
            return work()
        except (Exception, SystemExit) as cause:
            problem = f"{what} failed with {type(cause).__name__}: {cause}"
            raise self.error(problem.rstrip("."), remedy) from cause

    def declaration(self) -> None:
        """``multiples`` are positive integers, and a model with narrow versions has groups."""
        if not self.model.multiples:
            raise self.error("multiples is empty", "Write multiples=(1,) or more of them")
        for multiple in self.model.multiples:
            if not isinstance(multiple, int) or multiple < 1:
                raise self.error(
                    f"multiples contains {multiple!r}",
                    "Write positive integers, for example multiples=(1, 2, 4)",
                )
        if self.model.narrows and self.model.group is whole_tensors:
            raise self.error(
                "narrow versions need the channel groups of every tensor",
                "Write group=..., multiples=(...), or narrows=False for full width only",
            )

    def channels_at(self, spec: Spec) -> list[int]:
        """The sizes of c1, c2, ... at the spec's width."""
        full = [multiple * spec.base_width for multiple in self.model.multiples]
        return [share_of(channels, spec.width) for channels in full]

    def network_of(self, spec: Spec) -> nn.Module:
        network = self.attempt(
            f"building {_described(spec)}",
            "network must be callable as network(spec, channels), "
            f"here with channels={self.channels_at(spec)}",
            lambda: self.model.network(spec, self.channels_at(spec)),
        )
        if not isinstance(network, nn.Module):
            raise self.error(
                f"network(spec, channels) gave a {type(network).__name__}",
                "Write a subclass of torch.nn.Module, and MODEL = Model(network=ThatClass, ...)",
            )
        return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def layers(self, network: nn.Module) -> None:
        """The layers and tensors that methods look for are there, and only those they can treat."""
        if not isinstance(getattr(network, "linear", None), nn.Linear):
            raise self.error(
                "it has no final layer called linear",
                "Write self.linear = nn.Linear(n_features, spec.n_classes) in __init__",
            )
        if not callable(getattr(network, "features", None)):
            raise self.error(
                "it has no method features",
                "Write def features(self, x), images (B, C, H, W) to features (B, F), "
                "and def forward(self, x): return self.linear(self.features(x))",
            )
        for layer_name, layer in network.named_modules():
            if isinstance(layer, OTHER_BATCH_NORMS):
                raise self.error(
                    f"{layer_name} is a {type(layer).__name__}",
                    "Write nn.BatchNorm2d there, the only one whose statistics methods know",
                )
            if isinstance(layer, nn.BatchNorm2d) and not layer.track_running_stats:
                raise self.error(
                    f"{layer_name} keeps no running statistics",
                    "Write nn.BatchNorm2d(...) without track_running_stats=False",
                )
        for tensor_name, tensor in _state_of(network).items():
            if tensor.dim() == 0 or not tensor.is_floating_point():
                raise self.error(
                    f"{tensor_name} is a {tensor.dtype} tensor of shape {tuple(tensor.shape)}; "
                    "servers average floating-point tensors of at least one dimension",
                    "Write torch.zeros(1) for a single number, and "
                    "register_buffer(..., persistent=False) for what is not to be averaged",
                )

    def passes(self, network: nn.Module, spec: Spec) -> None:
        """Features and logits have the right shapes, and gradients arrive."""
        described = _described(spec)
        images = _images(spec)
        network.eval()
        with torch.no_grad():
            features = self.attempt(
                f"features of {described}",
                "Images are channels_last: write x.flatten(1) and x.mean((2, 3)), not x.view(...)",
                lambda: network.features(images),  # pyright: ignore[reportCallIssue]
            )
            logits = self.attempt(
                f"the forward pass of {described}",
                "Write def forward(self, x): return self.linear(self.features(x))",
                lambda: network(images),
            )
        linear = network.linear
        if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != BATCH:
            raise self.error(
                f"features gave {_shape_of(features)} for {described}, not (B, F)",
                "End features with .flatten(1) or .mean((2, 3))",
            )
        if not isinstance(logits, Tensor) or logits.shape != (BATCH, spec.n_classes):
            raise self.error(
                f"the forward pass gave {_shape_of(logits)} for {described}, "
                f"not (B, n_classes) = {(BATCH, spec.n_classes)}",
                "Write self.linear = nn.Linear(n_features, spec.n_classes), "
                "and return self.linear(self.features(x))",
            )
        expected = F.linear(features, linear.weight, linear.bias)  # pyright: ignore
        if not torch.allclose(logits, expected, rtol=1e-4, atol=1e-5):
            raise self.error(
                "its logits are not linear(features(x)), which methods rely on",
                "Write def forward(self, x): return self.linear(self.features(x)), "
                "and put whatever comes before into features",
            )
        self.attempt(
            f"a training step of {described}",
            "The forward pass must be differentiable in training mode",
            lambda: network.train()(images).sum().backward(),
        )

    def groups(self, network: nn.Module, spec: Spec) -> None:
        """``group`` names known groups, whose sizes are those of the tensors."""
        sizes: dict[str, int] = {"image": spec.channels, "classes": spec.n_classes}
        for i, channels in enumerate(self.channels_at(spec)):
            sizes[f"c{i + 1}"] = channels
        known = ", ".join(sorted({*sizes, *UNCUT_GROUPS}))

        for name, tensor in _state_of(network).items():
            groups = self.groups_of(name, tensor)
            for dim, group in enumerate(groups):
                if group not in sizes and group not in UNCUT_GROUPS:
                    raise self.error(
                        f"group({name!r}) names the group {group!r}",
                        f"Return groups out of: {known}",
                    )
                if group in sizes and sizes[group] != tensor.shape[dim]:
                    raise self.error(
                        f"dimension {dim} of {name} has {tensor.shape[dim]} values in "
                        f"{_described(spec)}, but its group {group!r} has {sizes[group]}",
                        "Correct group(name) or multiples: c1, c2, ... have "
                        "multiples x base_width channels",
                    )

        last = f"c{len(self.model.multiples)}"
        linear = self.groups_of("linear.weight", network.linear.weight)  # pyright: ignore
        if self.model.narrows and linear != ("classes", last):
            raise self.error(
                f"group('linear.weight') is {linear}",
                f"Return ('classes', '{last}'): where there are narrow versions, "
                "the last group is the features",
            )

    def groups_of(self, name: str, tensor: Tensor) -> tuple[str, ...]:
        """The groups of a tensor's first one or two dimensions."""
        n_dims = min(tensor.dim(), 2)
        groups = self.attempt(
            f"group({name!r})",
            "group must return a tuple of group names for every tensor of the state",
            lambda: tuple(self.model.group(name)),
        )
        if len(groups) < n_dims:
            raise self.error(
                f"group({name!r}) gave {groups} for a tensor of shape {tuple(tensor.shape)}",
                f"Return {n_dims} group names, of its first {n_dims} dimensions",
            )
        return groups[:n_dims]

    def permutations(self, network: nn.Module, spec: Spec) -> None:
        """A group holds every dimension that must be cut together.

        If the channels of a group are permuted in all its tensors alike, the network is the same
        function. Where they are not all named, or another group of that size is named, it is not.
        """
        network.eval()
        images = _images(spec)
        tensors = _state_of(network)  # they share memory with the network
        with torch.no_grad():
            # Initial biases and statistics are all equal, so that a permutation would not show.
            for tensor in tensors.values():
                if tensor.dim() == 1:
                    tensor.uniform_(0.5, 1.5)
            state = {name: tensor.clone() for name, tensor in tensors.items()}
            expected = network(images)
            tolerance = 1e-3 * expected.abs().max().item()

            for i, n_channels in enumerate(self.channels_at(spec)):
                group = f"c{i + 1}"
                order = torch.arange(n_channels).roll(1)
                for name, tensor in tensors.items():
                    tensor.copy_(self.permuted(name, state[name], group, order))
                if (network(images) - expected).abs().max() > tolerance:
                    raise self.error(
                        f"a permutation of the channels of {group} changes its logits: some tensor "
                        f"that reads or writes {group} names another group, or the network treats "
                        "channels by their position",
                        "Correct group(name), or write narrows=False for full width only",
                    )

    def permuted(self, name: str, tensor: Tensor, group: str, order: Tensor) -> Tensor:
        """The tensor with the channels of ``group`` in another order, in all its dimensions."""
        for dim, named in enumerate(self.groups_of(name, tensor)):
            if named == group:
                tensor = tensor.index_select(dim, order)
        return tensor


def _state_of(network: nn.Module) -> State:
    state = network.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _images(spec: Spec) -> Tensor:
    """Noise (B, C, S, S) in [-1, 1], channels_last: the same in every call."""
    rng = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(BATCH, spec.channels, spec.size, spec.size, generator=rng) - 1
    return images.contiguous(memory_format=torch.channels_last)


def _described(spec: Spec) -> str:
    return (
        f"a network of width {spec.width:g} for images ({spec.channels}, {spec.size}, {spec.size})"
    )


def _shape_of(result: object) -> str:
    if isinstance(result, Tensor):
        return str(tuple(result.shape))
    return f"a {type(result).__name__}"
